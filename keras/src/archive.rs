//! Zip archives, which `.keras` and `.npz` are.

use crate::contents::Contents;
use crate::error::Problem;
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RangeReader, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipLocator};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Cursor, Read, Write};
use std::ops::Range;

/// An archive's bytes.
type Whole<'a> = &'a dyn ReaderAt;

/// An archive of which each byte belongs to one file: else a small one could hold the same large file a thousand times.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Whole<'a>>,
    /// The files' names, in the directory's order.
    names: Vec<String>,
    files: BTreeMap<String, File>,
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
        let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
        let zip = ZipLocator::new().locate_in_reader(whole, &mut buffer, length);
        let zip = zip.map_err(|(_, error)| unreadable(error))?;
        let (mut names, mut files, mut ranges) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut entries = zip.entries(&mut buffer);
        while let Some(entry) = entries.next_entry().map_err(unreadable)? {
            let place = entry.wayfinder();
            let (_, end) = zip.get_entry(place).map_err(unreadable)?.compressed_data_range();
            ranges.push(entry.local_header_offset()..end);
            // A name in another encoding is none that is looked for.
            if let Ok(name) = std::str::from_utf8(entry.file_path().as_ref()) {
                let (method, is_encrypted) = (entry.compression_method(), entry.flags().is_encrypted());
                // Of several with a name the last one counts, as in Python.
                if files.insert(name.to_owned(), File { method, is_encrypted, place }).is_none() {
                    names.push(name.to_owned());
                }
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
        Ok(Self { zip, names, files })
    }

    /// The files' names, in the directory's order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The contents of a file. Memory grows only with what is really there, not with what is claimed: a deflated byte stands for 1,032 at
    /// most.
    pub(crate) fn entry(&self, name: &str) -> Result<Vec<u8>, Problem> {
        let mut contents = Vec::new();
        let all = |from: &mut dyn Read| from.read_to_end(&mut contents).map(|_| ());
        self.file(name).and_then(|file| self.read(file, all)).map_err(|problem| problem.within(name))?;
        Ok(contents)
    }

    /// A file in the archive that `whole` is, without copying it if it isn't compressed. Its checksum is verified.
    pub(crate) fn lying(&self, whole: &Contents, name: &str) -> Result<Contents, Problem> {
        let stored = self.files.get(name).filter(|file| file.method == CompressionMethod::STORE);
        let Some(file) = stored.filter(|_| !whole.is_held()) else {
            return self.entry(name).map(Contents::held);
        };
        let all = |from: &mut dyn Read| io::copy(from, &mut io::sink()).map(|_| ());
        let range = self.read(file, all).map_err(|problem| problem.within(name))?;
        whole.part(range.start, range.end - range.start).ok_or_else(|| unreadable("it ends too early"))
    }

    fn file(&self, name: &str) -> Result<&File, Problem> {
        self.files.get(name).ok_or_else(|| Problem::format("isn't in the archive"))
    }

    /// Has `all` read a file to its end, where length and checksum are compared; and says where it lies, as it was packed.
    fn read(&self, file: &File, all: impl FnOnce(&mut dyn Read) -> io::Result<()>) -> Result<Range<u64>, Problem> {
        let entry = self.zip.get_entry(file.place).map_err(Problem::format)?;
        let (start, end) = entry.compressed_data_range();
        let packed = RangeReader::new(*self.zip.get_ref(), start..end);
        let contents: &mut dyn Read = match file.method {
            _ if file.is_encrypted => return Err(Problem::format("is encrypted")),
            CompressionMethod::STORE => &mut { packed },
            CompressionMethod::DEFLATE => &mut DeflateDecoder::new(packed),
            other => {
                return Err(Problem::format(format!("is compressed by method {}, which isn't read", other.as_u16())));
            }
        };
        all(&mut entry.verifying_reader(contents)).map_err(Problem::format)?;
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
