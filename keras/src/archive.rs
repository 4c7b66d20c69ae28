//! Zip archives, which `.keras` and `.npz` are.

use crate::contents::Contents;
use crate::error::Problem;
use crate::named::Named;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipLocator, ZipVerification};
use std::fmt::Display;
use std::io::{Cursor, Read, Write};
use std::ops::Range;

/// Bytes that are unpacked at once.
const PART: usize = 1 << 16;

/// The most bytes of a file's record in the directory: a name, further fields and a comment of 65,535 each.
const RECORD: usize = 46 + 3 * 65_535;

/// A deflated byte stands for 1,032 at most.
pub(crate) const DEFLATE: u64 = 1100;

/// Its tables are made where an archive is opened: in a browser they would be a 25th of what is downloaded to read files.
type Checksum = Crc<u32, Table<16>>;

/// An archive's bytes.
type Whole<'a> = &'a dyn ReaderAt;

/// An archive of which each byte belongs to one file: else a small one could hold the same large file a thousand times.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Whole<'a>>,
    checksum: Checksum,
    /// In the directory's order. Of several with a name the last one counts, as in Python.
    files: Named<File>,
    /// The most bytes of a file in it.
    most: u64,
}

/// A file in it, as the archive's directory lists it.
struct File {
    method: CompressionMethod,
    is_encrypted: bool,
    place: ZipArchiveEntryWayfinder,
}

impl<'a> Archive<'a> {
    /// The archive that those `length` bytes are.
    pub(crate) fn open(whole: Whole<'a>, length: u64) -> Result<Self, Problem> {
        Self::unpacking_to(whole, length, u64::MAX)
    }

    /// The archive in a file, which may be within another archive: compressed twice, few bytes would stand for a million times as many.
    pub(crate) fn of(contents: &'a Contents) -> Result<Self, Problem> {
        Self::unpacking_to(contents, contents.length(), contents.packed().saturating_mul(DEFLATE))
    }

    fn unpacking_to(whole: Whole<'a>, length: u64, most: u64) -> Result<Self, Problem> {
        let mut buffer = vec![0; RECORD];
        let zip = ZipLocator::new().locate_in_reader(whole, &mut buffer, length);
        let zip = zip.map_err(|(_, error)| unreadable(error))?;
        let (mut files, mut ranges) = (Named::default(), Vec::new());
        let mut entries = zip.entries(&mut buffer);
        while let Some(entry) = entries.next_entry().map_err(unreadable)? {
            let place = entry.wayfinder();
            let (_, end) = zip.get_entry(place).map_err(unreadable)?.compressed_data_range();
            ranges.push(entry.local_header_offset()..end);
            // A name in another encoding is none that is looked for.
            if let Ok(name) = std::str::from_utf8(entry.file_path().as_ref()) {
                let (method, is_encrypted) = (entry.compression_method(), entry.flags().is_encrypted());
                files.insert(name.to_owned(), File { method, is_encrypted, place });
            }
        }
        let (listed, claimed) = (ranges.len() as u64, zip.entries_hint());
        if listed != claimed {
            return Err(unreadable(format!("{claimed} files are said to be in it, {listed} are listed")));
        }
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        if ranges.windows(2).any(|two| matches!(two, [one, next] if one.end > next.start)) {
            return Err(unreadable("files in it overlap"));
        }
        Ok(Self { zip, checksum: Checksum::new(&CRC_32_ISO_HDLC), files, most })
    }

    /// The files' names, in the directory's order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.all().iter().map(|(name, _)| name.as_str())
    }

    /// The contents of a file. Memory grows only with what is really there, not with what is claimed.
    pub(crate) fn entry(&self, name: &str) -> Result<Vec<u8>, Problem> {
        self.entry_and_place(name).map(|(contents, _)| contents)
    }

    fn entry_and_place(&self, name: &str) -> Result<(Vec<u8>, Range<u64>), Problem> {
        let mut contents = Vec::new();
        let place = self.read(name, |part| contents.extend_from_slice(part))?;
        Ok((contents, place))
    }

    /// A file in the archive that `whole` is, without copying it if it isn't compressed. Its checksum is verified.
    pub(crate) fn lying(&self, whole: &Contents, name: &str) -> Result<Contents, Problem> {
        let is_stored = self.files.get(name).is_some_and(|file| file.method == CompressionMethod::STORE);
        if whole.is_held() || !is_stored {
            let (contents, Range { start, end }) = self.entry_and_place(name)?;
            return Ok(Contents::unpacked(contents, whole.packed().min(end - start)));
        }
        let Range { start, end } = self.read(name, |_| {})?;
        whole.part(start, end - start).ok_or_else(|| unreadable("it ends too early"))
    }

    /// Gives `to` a file's contents part by part, and says where it lies, as it was packed.
    fn read(&self, name: &str, to: impl FnMut(&[u8])) -> Result<Range<u64>, Problem> {
        let file = self.files.get(name).ok_or("isn't in the archive");
        let read = file.map_err(Problem::format).and_then(|file| self.unpacked(file, to));
        read.map_err(|problem| problem.within(name))
    }

    fn unpacked(&self, file: &File, mut to: impl FnMut(&[u8])) -> Result<Range<u64>, Problem> {
        let entry = self.zip.get_entry(file.place).map_err(Problem::format)?;
        let packed = entry.reader();
        let claimed = packed.claim_verifier();
        let contents: &mut dyn Read = match file.method {
            _ if file.is_encrypted => return Err(Problem::format("is encrypted")),
            CompressionMethod::STORE => &mut { packed },
            CompressionMethod::DEFLATE => &mut DeflateDecoder::new(packed),
            other => {
                return Err(Problem::format(format!("is compressed by method {}, which isn't read", other.as_u16())));
            }
        };
        let (mut digest, mut length) = (self.checksum.digest(), 0);
        let mut part = vec![0; PART];
        loop {
            let count = contents.read(&mut part).map_err(Problem::format)?;
            let read = part.get(..count).unwrap_or_default();
            length += count as u64;
            if read.is_empty() || length > claimed.uncompressed_size {
                break;
            }
            if length > self.most {
                const { assert!(DEFLATE == 1100, "the words say another number") }
                return Err(Problem::format("unpacks to more than 1100 times the whole file"));
            }
            digest.update(read);
            to(read);
        }
        let found = ZipVerification { crc: digest.finalize(), uncompressed_size: length };
        claimed.valid(found).map_err(Problem::format)?;
        let (start, end) = entry.compressed_data_range();
        Ok(start..end)
    }
}

fn unreadable(error: impl Display) -> Problem {
    Problem::Unreadable { format: "zip archive", message: error.to_string() }
}

/// A zip archive of uncompressed files, as Keras and NumPy write it: each one's size before it, so that it can be read from its start
/// on. The same files always give the same bytes.
pub(crate) fn zip_bytes<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, Problem> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in files {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(contents.len() > u32::MAX as usize / 2);
        archive.start_file(name, options).map_err(|error| Problem::format(error).within(name))?;
        archive.write_all(contents).map_err(|error| Problem::format(error).within(name))?;
    }
    Ok(archive.finish().map_err(Problem::format)?.into_inner())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::tests::deflated::deflated;
    use std::ops::Range;

    /// Where a record of this kind begins in an archive.
    fn record(zip: &[u8], signature: &[u8; 4], number: usize) -> usize {
        let places = (0..zip.len() - 4).filter(|&at| zip[at..].starts_with(signature));
        places.clone().nth(number).unwrap()
    }

    const LISTED: &[u8; 4] = b"PK\x01\x02";
    const END: &[u8; 4] = b"PK\x05\x06";

    fn archive() -> Vec<u8> {
        zip_bytes([("one", &b"first"[..]), ("two", b"second"), ("none", b"")].into_iter()).unwrap()
    }

    /// That archive with some bytes of a record replaced.
    fn with(signature: &[u8; 4], number: usize, at: Range<usize>, bytes: &[u8]) -> Vec<u8> {
        let mut zip = archive();
        let record = record(&zip, signature, number);
        zip[record + at.start..record + at.end].copy_from_slice(bytes);
        zip
    }

    /// An archive within an archive may be compressed, and so may the file in it, if that isn't a thousand times a thousand.
    #[test]
    fn files_are_unpacked_to_a_thousand_times_the_whole() {
        let text: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for (contents, fits) in [(&text, true), (&vec![0; 100_000_000], false)] {
            let outer = Contents::held(deflated("inner", &deflated("file", contents)));
            let inner = Archive::of(&outer).unwrap().lying(&outer, "inner").unwrap();
            assert!(inner.packed() < outer.length() && outer.length() < inner.length());
            let archive = Archive::of(&inner).unwrap();
            let unpacked = archive.lying(&inner, "file");
            let Ok(unpacked) = unpacked else {
                let said = unpacked.err().unwrap().to_string();
                assert!(!fits && said.ends_with("unpacks to more than 1100 times the whole file"), "{said}");
                continue;
            };
            assert!(fits && unpacked.packed() <= inner.packed());
            assert_eq!(&unpacked.all().unwrap(), contents);
        }
    }

    /// What is said when all of an archive is read.
    fn said(zip: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let archive = Archive::open(&zip, zip.len() as u64).map_err(|problem| problem.to_string())?;
        archive.names().map(|name| archive.entry(name).map_err(|problem| problem.to_string())).collect()
    }

    #[test]
    fn files_are_read_as_they_were_written() {
        let expected: [&[u8]; 3] = [b"first", b"second", b""];
        assert_eq!(said(&archive()).unwrap(), expected);
        // An archive may lie behind something else: offsets are counted from where it begins.
        assert_eq!(said(&[&b"something else"[..], &archive()].concat()).unwrap(), expected);
        let whole = Contents::held(archive());
        let opened = Archive::open(&whole, whole.length()).unwrap();
        assert_eq!(opened.lying(&whole, "two").unwrap().all().unwrap(), b"second");
        assert!(opened.entry("three").unwrap_err().to_string().contains("isn't in the archive"));
    }

    #[test]
    fn records_in_the_directory_may_be_long() {
        let (mut zip, long) = (archive(), [7; 65_535]);
        let listed = record(&zip, LISTED, 0);
        zip[listed + 30..listed + 34].fill(0xff);
        zip.splice(listed + 49..listed + 49, [long, long].concat());
        let end = record(&zip, END, 0);
        let length = (end - listed) as u32;
        zip[end + 12..end + 16].copy_from_slice(&length.to_le_bytes());
        assert_eq!(said(&zip).unwrap(), [&b"first"[..], b"second", b""]);
    }

    #[test]
    fn of_two_files_with_a_name_the_last_counts() {
        assert_eq!(said(&with(LISTED, 1, 46..49, b"one")).unwrap(), [&b"second"[..], b""]);
    }

    #[test]
    fn what_is_wrong_with_an_archive_is_said() {
        let [checksum, longer] = ["checksum", "size"];
        let cases: [(Vec<u8>, &str); 8] = [
            (with(LISTED, 1, 16..20, &[1, 2, 3, 4]), checksum),
            (with(LISTED, 1, 24..28, &[7, 0, 0, 0]), longer),
            (with(LISTED, 1, 24..28, &[5, 0, 0, 0]), longer),
            (with(LISTED, 1, 8..10, &[1, 0]), "is encrypted"),
            (with(LISTED, 1, 10..12, &[93, 0]), "is compressed by method 93, which isn't read"),
            // The second file is where the first one is.
            (with(LISTED, 1, 42..46, &[0; 4]), "overlap"),
            (with(END, 0, 10..12, &[2, 0]), "2 files are said to be in it, 3 are listed"),
            (archive()[..40].to_vec(), "not a readable zip archive"),
        ];
        for (zip, why) in cases {
            let said = said(&zip).unwrap_err();
            assert!(said.to_lowercase().contains(why), "{said}, not {why}");
        }
    }
}
