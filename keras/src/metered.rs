//! A file's bytes for `hdf5-pure`, which follows whatever addresses a file holds: how much it may read is bounded here.

use crate::contents::Contents;
use crate::error::Problem;
use crate::hdf5_types;
use crate::object_headers::{Headers, Message};
use hdf5_pure::{FormatError, Source};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An HDF5 file's bytes, of which so many may be read. Trees whose nodes name the same node twice, lists that name one object thousands of
/// times and groups that are searched for each of their names read the same bytes again and again; a sound file's are read a few times.
pub(crate) struct Metered {
    contents: Contents,
    meter: Arc<Mutex<Meter>>,
}

/// What a file's reader is told by its meter, and tells it.
pub(crate) struct Metering(Arc<Mutex<Meter>>);

impl Metering {
    /// Reads a group's attributes: in them strings are looked for.
    pub(crate) fn of_attributes<T>(&self, read: impl FnOnce() -> T) -> T {
        locked(&self.0).strings = Some(Strings::default());
        let read = read();
        locked(&self.0).strings = None;
        read
    }

    /// Whether more was to be read than may be. The library takes some of what it can't read for missing.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match locked(&self.0).is_exceeded {
            true => Err(Problem::Unreadable { format: "HDF5 file", message: REFUSED.into() }),
            false => Ok(()),
        }
    }
}

/// It says [`Metered::TIMES`].
const REFUSED: &str = "its parts name each other so often that reading it takes its bytes more than 6 times";

/// What may still be read.
struct Meter {
    left: u64,
    is_exceeded: bool,
    /// The longest name in the last heap of names: each entry of a group may name it, and all are copied.
    longest: u64,
    /// While attributes are read.
    strings: Option<Strings>,
    headers: Headers,
}

/// Strings of one attribute may lie in many heaps, each with a directory of its objects. For each string the library looks for its heap among
/// those before, and for its object in the directory.
#[derive(Default)]
struct Strings {
    heaps: u64,
    /// The bytes of the longest directory.
    longest: u64,
    /// The bytes so far of a directory that is being read.
    directory: Option<u64>,
    /// Where the last heap was, and whether its directory is read once more.
    last: Option<u64>,
    is_again: bool,
}

/// A number in a structure's header that the library takes for granted, all addresses having 64 bits.
struct Number {
    header: &'static [u8; 4],
    /// Its bytes are from this one of the header to that one.
    bytes: (usize, usize),
    least: u16,
    most: u16,
}

const fn number(header: &'static [u8; 4], bytes: (usize, usize), [least, most]: [u16; 2]) -> Number {
    Number { header, bytes, least, most }
}

/// HDF5 itself writes 32 bits for arrays of chunks, 40 for heaps, and trees of a few levels.
const NUMBERS: [Number; 9] = [
    // Bits of a fixed and of an extensible array's size; how many of the latter's blocks are in its index, and bits of their pages.
    number(b"FAHD", (7, 8), [0, 32]),
    number(b"EAHD", (7, 8), [0, 32]),
    number(b"EAHD", (10, 11), [0, 16]),
    number(b"EAHD", (11, 12), [0, 32]),
    // The bytes of a tree's record, of which some kinds have a hash and a place, and its depth.
    number(b"BTHD", (10, 12), [11, 512]),
    number(b"BTHD", (12, 14), [0, 64]),
    // The bytes that name an object in a heap: what is longer is in the name itself. Bits of a heap's size.
    number(b"FRHP", (5, 7), [7, 8]),
    number(b"FRHP", (128, 130), [0, 63]),
    // Messages that several objects share, which nothing that writes models asks for: whatever version there is.
    number(b"SMTB", (4, 5), [1, 0]),
];

/// The bytes of the header of a heap of names.
const HEAP: usize = 32;

/// The bytes of a group's entry, and what stands in it for a soft link.
const ENTRY: usize = 40;
const SOFT_LINK: [u8; 4] = [2, 0, 0, 0];

impl Metered {
    /// How often all bytes of a file may be read. The most that was seen is five times, of thousands of layers of one weight each, whose names
    /// are strings of any length; Keras's own files take two.
    const TIMES: u64 = 6;
    /// What may be read of any file, in bytes. Of one of a kilobyte some ten are.
    const LEAST: u64 = 1 << 18;
    /// What a read costs beside its bytes.
    const READ: u64 = 16;

    pub(crate) fn new(contents: Contents) -> Self {
        let left = contents.length().saturating_mul(Self::TIMES).saturating_add(Self::LEAST);
        let meter = Meter { left, is_exceeded: false, longest: 0, strings: None, headers: Headers::default() };
        Self { contents, meter: Arc::new(Mutex::new(meter)) }
    }

    pub(crate) fn metering(&self) -> Metering {
        Metering(self.meter.clone())
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        locked(&self.meter)
    }
}

fn locked(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    fn take(&mut self, bytes: u64) -> Result<(), FormatError> {
        self.is_exceeded |= bytes > self.left;
        if self.is_exceeded {
            return Err(FormatError::Source(REFUSED.into()));
        }
        self.left -= bytes;
        Ok(())
    }

    /// Looks at the names of a group, and at its nodes, which name them. Between the header of a heap and the nodes nothing else is read
    /// but a tree; whatever comes before it only makes names longer.
    fn see(&mut self, at: u64, read: &[u8]) -> Result<(), FormatError> {
        // An attribute in a heap is read by itself. It may be as long as a part of a header that was named and not read.
        self.take(hdf5_types::check_attribute(read)?)?;
        for Message { kind, body } in self.headers.part(at, read).into_iter().flatten() {
            match kind {
                3 => self.take(hdf5_types::check(body)?)?,
                12 => self.take(hdf5_types::check_attribute(body)?)?,
                16 => self.headers.name(body).ok_or_else(wrong_number)?,
                _ => {}
            }
        }
        let refunded = self.strings.as_mut().map_or(0, |strings| strings.see(at, read));
        self.left = self.left.saturating_add(refunded);
        if read.starts_with(b"HEAP") && read.len() <= HEAP {
            self.longest = 0;
        }
        // The first eight bytes of a node; then it is read whole.
        if let &[b'S', b'N', b'O', b'D', _, _, low, high] = read {
            self.take(self.longest.saturating_mul(u16::from_le_bytes([low, high]).into()))?;
        }
        let names = read.split(|&byte| byte == 0).map(|name| name.len() as u64);
        self.longest = names.fold(self.longest, u64::max);
        Ok(())
    }
}

impl Strings {
    /// How many heaps, and how many bytes of a directory, are looked through in the time that a byte costs. An object in a directory takes
    /// sixteen bytes, and those of one string after the other are found at once.
    const HEAPS: u64 = 4;
    const DIRECTORY: u64 = 1024;

    /// What this metadata cost too much: nothing of a directory is kept but places of strings that are asked for, and one attribute after
    /// the other has its strings in the same heap.
    fn see(&mut self, at: u64, read: &[u8]) -> u64 {
        let length = read.len() as u64;
        match &mut self.directory {
            _ if read.starts_with(b"GCOL") => {
                self.heaps += 1;
                self.directory = Some(0);
                self.is_again = self.last.replace(at) == Some(at);
            }
            Some(bytes) => {
                *bytes += length;
                return if self.is_again { length - length / 64 + Metered::READ / 4 * 3 } else { length / 4 * 3 };
            }
            None => *self = Self { last: self.last, ..Self::default() },
        }
        0
    }

    /// What looking for a string costs, which is read next.
    fn cost(&mut self) -> u64 {
        self.longest = self.longest.max(self.directory.take().unwrap_or_default());
        self.heaps / Self::HEAPS + self.longest / Self::DIRECTORY
    }
}

fn wrong_number() -> FormatError {
    FormatError::Source("one of its structures has a size that no library writes".into())
}

fn check_numbers(read: &[u8]) -> Result<(), FormatError> {
    let is_wrong = |Number { header, bytes: (from, to), least, most }: &Number| {
        let of_header = read.starts_with(*header).then(|| read.get(*from..*to)).flatten();
        of_header.is_some_and(|bytes| {
            let number = bytes.iter().rev().fold(0, |number, &byte| number << 8 | u16::from(byte));
            !(*least..=*most).contains(&number)
        })
    };
    if NUMBERS.iter().any(is_wrong) { Err(wrong_number()) } else { Ok(()) }
}

/// A node of a group without its soft links, which have no object that the library could read. It is as long as it was, since the library
/// counts that, and reads as many entries as it says.
fn without_soft_links(mut node: Vec<u8>) -> Vec<u8> {
    let length = node.len();
    let entries = node.strip_prefix(b"SNOD").and_then(|node| node.get(4..)).unwrap_or_default();
    let hard = entries.chunks_exact(ENTRY).filter(|entry| entry.get(16..20) != Some(&SOFT_LINK));
    let hard: Vec<u8> = hard.flatten().copied().collect();
    if hard.len() < entries.len() {
        let [low, high, ..] = (hard.len() / ENTRY).to_le_bytes();
        node.truncate(6);
        node.extend([low, high]);
        node.extend(hard);
        node.resize(length, 0);
    }
    node
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.contents.length()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let mut meter = self.meter();
        meter.headers.look(offset, buf.len());
        let looking = meter.strings.as_mut().map_or(0, Strings::cost);
        meter.take((buf.len() as u64).saturating_add(Self::READ + looking))?;
        drop(meter);
        let read = self.contents.read(offset, buf).map_err(|error| FormatError::Source(error.to_string()))?;
        match buf.len() - read {
            0 => Ok(()),
            missing => Err(FormatError::Source(format!("the file ends {missing} bytes too early"))),
        }
    }

    fn read_metadata_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        // No string is looked for, nor the beginning of a header.
        let mut meter = self.meter();
        let (strings, headers) = (std::mem::take(&mut meter.strings), std::mem::take(&mut meter.headers));
        drop(meter);
        let read = self.read_exact_at(offset, len)?;
        let mut meter = self.meter();
        (meter.strings, meter.headers) = (strings, headers);
        meter.see(offset, &read)?;
        drop(meter);
        check_numbers(&read)?;
        Ok(without_soft_links(read))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// How often the bytes of `places`, from one to another, are read before that is refused, and with which words.
    fn reads(bytes: &[u8], places: &[(usize, usize)]) -> (usize, String) {
        let file = Metered::new(Contents::held(bytes.to_vec()));
        assert_eq!(file.len(), bytes.len() as u64);
        for (&(from, to), count) in places.iter().cycle().zip(0..) {
            match file.read_metadata_at(from as u64, to - from) {
                Ok(read) => assert_eq!(read, bytes[from..to]),
                Err(error) => return (count, error.to_string()),
            }
        }
        unreachable!()
    }

    #[test]
    fn all_bytes_may_be_read_some_times() {
        let (most, why) = reads(&vec![1; 1 << 20], &[(0, 1 << 20)]);
        assert_eq!((most, why.ends_with("takes its bytes more than 6 times")), (6, true), "{why}");
        // Small reads cost more than their bytes.
        assert_eq!(reads(&[1; 64], &[(0, 1)]).0, (64 * 6 + (1 << 18)) / 17);
        let file = Metered::new(Contents::held(vec![1; 64]));
        let said = file.read_at(60, &mut [0; 6]).unwrap_err().to_string();
        assert!(said.ends_with("the file ends 2 bytes too early"), "{said}");
        // It is known afterwards that more was to be read, whatever was made of it.
        let file = Metered::new(Contents::held(vec![1; 64]));
        let exceeded = file.metering();
        while file.read_at(0, &mut [0; 64]).is_ok() {
            assert_eq!(exceeded.check(), Ok(()));
        }
        assert!(exceeded.check().is_err_and(|problem| problem.to_string().contains("more than 6 times")));
    }

    /// Each entry of a group may have the longest name, whatever else looks like a heap of names.
    #[test]
    fn names_are_read_as_often_as_they_may_be_named() {
        let heap = [&b"HEAP"[..], &[0; 28], &[0; 8], &[b'x'; 1000], &[0; 8]].concat();
        let entries = [&b"SNOD\x01\0"[..], &1000u16.to_le_bytes()].concat();
        let (header, names, first) = ((0, 32), (32, heap.len()), (0, 8));
        let file = [heap.clone(), entries.clone()].concat();
        let node = (heap.len(), file.len());
        assert_eq!(reads(&file, &[header, names, node]).0, 2);
        for before in [first, header, names] {
            assert_eq!(reads(&file, &[before, header, names, node]).0, 3);
        }
        // Short names cost less.
        assert!(reads(&file, &[header, node]).0 > 100);
        assert!(reads(&file, &[header, names]).0 > 400);
    }

    #[test]
    fn soft_links_are_left_out_of_groups() {
        let entry = |name: u64, kind: u32| {
            let to = if kind == 2 { u64::MAX } else { 800 };
            [&name.to_le_bytes()[..], &to.to_le_bytes(), &kind.to_le_bytes(), &[0; 20]].concat()
        };
        let node = |entries: &[Vec<u8>]| {
            [&[b'S', b'N', b'O', b'D', 1, 0, entries.len() as u8, 0], &entries.concat()[..]].concat()
        };
        let read =
            |bytes: &[u8]| Metered::new(Contents::held(bytes.to_vec())).read_metadata_at(0, bytes.len()).unwrap();
        let (first, second, soft) = (entry(8, 0), entry(32, 1), entry(16, 2));
        let hard = node(&[first.clone(), second.clone()]);
        let all = read(&node(&[soft.clone(), first, soft.clone(), second]));
        assert_eq!((&all[..hard.len()], &all[hard.len()..]), (&hard[..], &[0; 80][..]));
        assert_eq!((read(&hard), read(&hard[..8])), (hard.clone(), hard[..8].to_vec()));
        assert_eq!(read(&node(&[soft]))[..8], node(&[])[..]);
    }

    #[test]
    fn sizes_that_no_library_writes_are_refused() {
        for Number { header, bytes: (from, to), least, most } in NUMBERS {
            let with = |number: u16| {
                let mut bytes = [&header[..], &[0; 140]].concat();
                // Whatever else is in this header is right.
                for other in NUMBERS.iter().filter(|other| other.header == header) {
                    bytes[other.bytes.0] = other.least as u8;
                }
                bytes[from..to].copy_from_slice(&number.to_le_bytes()[..to - from]);
                reads(&bytes, &[(0, 144)]).0
            };
            for (number, is_right) in [(least, least <= most), (most, least <= most), (most + 1, false)] {
                assert_eq!(with(number) > 10, is_right, "{header:?} {from} {number}");
            }
            if let Some(less) = least.checked_sub(1) {
                assert_eq!(with(less), 0, "{header:?} {from} {less}");
            }
        }
    }

    /// Types are looked at in every part of a header, and in what is read by itself.
    #[test]
    fn types_are_found_where_they_are_read() {
        let deep = [9 | 1 << 4, 0, 0, 0, 16, 0, 0, 0].repeat(40);
        let of_header = |own: &[u8]| {
            let length = own.len() as u16;
            let part = [&[3, 0][..], &length.to_le_bytes(), &[0; 4], own].concat();
            let prefix = [&[1, 0, 1, 0, 1, 0, 0, 0][..], &(part.len() as u32).to_le_bytes(), &[0; 4]].concat();
            let file = Metered::new(Contents::held([prefix, part].concat()));
            file.read_at(0, &mut [0; 4]).unwrap();
            file.read_metadata_at(0, 16).unwrap();
            file.read_metadata_at(16, file.len() as usize - 16)
        };
        let said = of_header(&deep).unwrap_err().to_string();
        assert!(said.contains("more than 32 types in one another"), "{said}");
        assert!(of_header(&deep[..80]).is_ok());
        let in_heap = [&[3, 0, 2, 0][..], &(deep.len() as u16).to_le_bytes(), &[0; 3], b"x\0", &deep].concat();
        assert_eq!(reads(&in_heap, &[(0, in_heap.len())]).0, 0);
    }

    /// Each string is looked for among the heaps, and in the directory of its own.
    #[test]
    fn strings_cost_what_looking_for_them_does() {
        let heap = [&b"GCOL\x01\0\0\0"[..], &8192_u64.to_le_bytes(), &[1; 8176]].concat();
        let file = Metered::new(Contents::held(heap));
        let cost = |read: &dyn Fn()| {
            let before = file.meter().left;
            read();
            before - file.meter().left
        };
        let metadata = |from: u64, to: u64| {
            file.read_metadata_at(from, (to - from) as usize).unwrap();
        };
        let string = || file.read_at(4000, &mut [0; 8]).unwrap();
        // Elsewhere none is looked for.
        metadata(0, 16);
        assert_eq!(cost(&|| metadata(16, 8192)), 8176 + Metered::READ);
        file.meter().strings = Some(Strings::default());
        assert_eq!(cost(&string), 8 + Metered::READ);
        metadata(0, 16);
        metadata(16, 8192);
        let directory = 8176 / 1024;
        assert_eq!(cost(&string), 8 + Metered::READ + directory);
        // Shorter ones don't make it less; there are five.
        for _ in 0..4 {
            metadata(0, 16);
            metadata(16, 32);
        }
        assert_eq!(cost(&string), 9 + Metered::READ + directory);
        // The directory that was read last costs little once more: the heap's sixteen bytes, as contents, and a part of it.
        metadata(0, 16);
        metadata(16, 8192);
        let again = cost(&|| {
            metadata(0, 16);
            metadata(16, 8192);
        });
        assert_eq!(again, 16 + Metered::READ + 8176 / 64 + Metered::READ / 4);
        assert_eq!(cost(&string), 9 + Metered::READ + directory);
        // Whatever else is read ends it.
        metadata(16, 32);
        assert_eq!(cost(&string), 8 + Metered::READ);
    }
}
