//! A file's bytes for `hdf5-pure`, which follows whatever addresses a file holds: how much it may read is bounded here.

use crate::contents::Contents;
use crate::hdf5_types;
use hdf5_pure::{FormatError, Source};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An HDF5 file's bytes, of which so many may be read. Trees whose nodes name the same node twice, lists that name one object thousands of
/// times and groups that are searched for each of their names read the same bytes again and again; a sound file's are read a few times.
pub(crate) struct Metered {
    contents: Contents,
    meter: Mutex<Meter>,
}

/// It says [`Metered::TIMES`].
const REFUSED: &str = "its parts name each other so often that reading it takes its bytes more than 16 times";

/// What may still be read.
struct Meter {
    left: u64,
    /// The longest name in the last heap of names: each entry of a group may name it, and all are copied.
    longest: u64,
    strings: Strings,
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
}

/// Numbers in structures' headers that the library takes for granted, all addresses having 64 bits: in which header, at which byte, and
/// the most that it may be there. HDF5 itself writes 32 bits for arrays of chunks, 40 for heaps, and trees of a few levels.
const HEADERS: [(&[u8; 4], usize, u8); 7] = [
    // Bits of a fixed and of an extensible array's size; how many of the latter's blocks are in its index.
    (b"FAHD", 7, 32),
    (b"EAHD", 7, 32),
    (b"EAHD", 10, 16),
    // The depth of a tree, in two bytes.
    (b"BTHD", 12, 64),
    (b"BTHD", 13, 0),
    // Bits of a heap's size, in two bytes.
    (b"FRHP", 128, 63),
    (b"FRHP", 129, 0),
];

const _: () = assert!(Metered::TIMES == 16, "REFUSED says another number");

/// The bytes of the header of a heap of names.
const HEAP: usize = 32;

impl Metered {
    /// How often all bytes of a file may be read. The most that was seen is five times, of a model of 5,000 layers without weights.
    const TIMES: u64 = 16;
    /// What may be read of any file, in bytes. Of one of a kilobyte some ten are.
    const LEAST: u64 = 1 << 18;
    /// What a read costs beside its bytes.
    const READ: u64 = 32;

    pub(crate) fn new(contents: Contents) -> Self {
        let left = contents.length().saturating_mul(Self::TIMES).saturating_add(Self::LEAST);
        Self { contents, meter: Mutex::new(Meter { left, longest: 0, strings: Strings::default() }) }
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    fn take(&mut self, bytes: u64) -> Result<(), FormatError> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| FormatError::Source(REFUSED.into()))?;
        Ok(())
    }

    /// Looks at the names of a group, and at its nodes, which name them. Between the header of a heap and the nodes nothing else is read
    /// but a tree; whatever comes before it only makes names longer.
    fn see(&mut self, read: &[u8]) -> Result<(), FormatError> {
        self.take(hdf5_types::check(read)?)?;
        self.strings.see(read);
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
    /// How many steps of looking cost as much as a byte.
    const STEPS: u64 = 4;

    fn see(&mut self, read: &[u8]) {
        match &mut self.directory {
            _ if read.starts_with(b"GCOL") => {
                self.heaps += 1;
                self.directory = Some(0);
            }
            Some(bytes) => *bytes += read.len() as u64,
            None => *self = Self::default(),
        }
    }

    /// What looking for a string costs, which is read next. An object in a directory takes sixteen bytes.
    fn cost(&mut self) -> u64 {
        self.longest = self.longest.max(self.directory.take().unwrap_or_default());
        (self.heaps + self.longest / 16) / Self::STEPS
    }
}

fn check_header(read: &[u8]) -> Result<(), FormatError> {
    let is_wrong = |&(header, at, most): &(&[u8; 4], usize, u8)| {
        read.starts_with(header) && read.get(at).is_some_and(|&number| number > most)
    };
    if HEADERS.iter().any(is_wrong) {
        return Err(FormatError::Source("one of its structures has a size that no library writes".into()));
    }
    Ok(())
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.contents.length()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let mut meter = self.meter();
        let looking = meter.strings.cost();
        meter.take((buf.len() as u64).saturating_add(Self::READ + looking))?;
        drop(meter);
        let read = self.contents.read(offset, buf).map_err(|error| FormatError::Source(error.to_string()))?;
        match buf.len() - read {
            0 => check_header(buf),
            missing => Err(FormatError::Source(format!("the file ends {missing} bytes too early"))),
        }
    }

    fn read_metadata_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        // No string is looked for.
        let strings = std::mem::take(&mut self.meter().strings);
        let read = self.read_exact_at(offset, len)?;
        let mut meter = self.meter();
        meter.strings = strings;
        meter.see(&read)?;
        drop(meter);
        Ok(read)
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
        assert_eq!((most, why.ends_with("takes its bytes more than 16 times")), (16, true), "{why}");
        // Small reads cost more than their bytes.
        assert_eq!(reads(&[1; 64], &[(0, 1)]).0, (64 * 16 + (1 << 18)) / 33);
        let file = Metered::new(Contents::held(vec![1; 64]));
        let said = file.read_at(60, &mut [0; 6]).unwrap_err().to_string();
        assert!(said.ends_with("the file ends 2 bytes too early"), "{said}");
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
    fn sizes_that_no_library_writes_are_refused() {
        for (header, at, most) in HEADERS {
            let mut bytes = [&header[..], &[0; 140]].concat();
            bytes[at] = most;
            assert!(reads(&bytes, &[(0, 144)]).0 > 100);
            bytes[at] = most + 1;
            assert_eq!(reads(&bytes, &[(0, 144)]).0, 0);
        }
    }

    /// Each string is looked for among the heaps, and in the directory of its own.
    #[test]
    fn strings_cost_what_looking_for_them_does() {
        let heap = [&b"GCOL\x01\0\0\0"[..], &4096_u64.to_le_bytes(), &[1; 4080]].concat();
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
        assert_eq!(cost(&string), 8 + Metered::READ);
        metadata(0, 16);
        metadata(16, 4096);
        let directory = 4080 / 16;
        assert_eq!(cost(&string), 8 + Metered::READ + (1 + directory) / 4);
        // A shorter one doesn't make it less; there are two.
        metadata(0, 16);
        metadata(16, 32);
        assert_eq!(cost(&string), 8 + Metered::READ + (2 + directory) / 4);
        // Whatever else is read ends it.
        metadata(16, 32);
        assert_eq!(cost(&string), 8 + Metered::READ);
    }
}
