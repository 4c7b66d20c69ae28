//! A file's bytes for `hdf5-pure`, which follows whatever addresses a file holds: how much it may read is bounded here.

use crate::contents::Contents;
use hdf5_pure::{FormatError, Source};
use std::sync::{Mutex, PoisonError};

/// An HDF5 file's bytes, of which so many may be read. Trees whose nodes name the same node twice, lists that name one object thousands of
/// times and groups that are searched for each of their names read the same bytes again and again; a sound file's are read a few times.
pub(crate) struct Metered {
    contents: Contents,
    meter: Mutex<Meter>,
}

const REFUSED: &str = "its parts name each other so often that reading it takes its bytes more than 16 times";

/// What may still be read.
struct Meter {
    left: u64,
    /// The last heap of names: each entry of a group may name the same of them, and all are copied.
    heap: Heap,
}

/// How far the names of a group are read: first a header, then all names, then the nodes with its entries.
enum Heap {
    Header,
    /// The longest name in it.
    Names(u64),
}

impl Metered {
    /// How often all bytes of a file may be read. The most that was seen is five times, of a model of 5,000 layers without weights.
    const TIMES: u64 = 16;
    /// What may be read of any file, in bytes. Of one of a kilobyte some ten are.
    const LEAST: u64 = 1 << 20;
    /// What a read costs beside its bytes.
    const READ: u64 = 32;

    pub(crate) fn new(contents: Contents) -> Self {
        let left = contents.length().saturating_mul(Self::TIMES).saturating_add(Self::LEAST);
        Self { contents, meter: Mutex::new(Meter { left, heap: Heap::Names(0) }) }
    }
}

impl Meter {
    fn take(&mut self, bytes: u64) -> Result<(), FormatError> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| FormatError::Source(REFUSED.into()))?;
        Ok(())
    }

    /// Looks for names among what was read.
    fn see(&mut self, read: &[u8]) -> Result<(), FormatError> {
        match (read, &self.heap) {
            (_, Heap::Header) => {
                let names = read.split(|&byte| byte == 0);
                self.heap = Heap::Names(names.map(|name| name.len() as u64).max().unwrap_or(0));
            }
            ([b'H', b'E', b'A', b'P', ..], _) => self.heap = Heap::Header,
            // The first eight bytes of a node; then it is read whole.
            (&[b'S', b'N', b'O', b'D', _, _, low, high], &Heap::Names(longest)) => {
                self.take(longest.saturating_mul(u16::from_le_bytes([low, high]).into()))?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.contents.length()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.take((buf.len() as u64).saturating_add(Self::READ))?;
        let read = self.contents.read(offset, buf).map_err(|error| FormatError::Source(error.to_string()))?;
        match buf.len() - read {
            0 => meter.see(buf),
            missing => Err(FormatError::Source(format!("the file ends {missing} bytes too early"))),
        }
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
            let mut read = vec![0; to - from];
            match file.read_at(from as u64, &mut read) {
                Ok(()) => assert_eq!(read, bytes[from..to]),
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
        assert_eq!(reads(&[1; 64], &[(0, 1)]).0, (64 * 16 + (1 << 20)) / 33);
        assert_eq!(reads(&[1; 64], &[(60, 66)]), (0, "byte source error: the file ends 2 bytes too early".into()));
    }

    /// Each entry of a group may have the longest name.
    #[test]
    fn names_are_read_as_often_as_they_may_be_named() {
        let heap = [&b"HEAP"[..], &[0; 28], &[0; 8], &[b'x'; 1000], &[0; 8]].concat();
        let entries = [&b"SNOD\x01\0"[..], &1000u16.to_le_bytes()].concat();
        let (header, names) = ((0, 32), (32, heap.len()));
        let file = [heap.clone(), entries.clone()].concat();
        let node = (heap.len(), file.len());
        assert_eq!(reads(&file, &[header, names, node]).0, 5);
        // Without names there is nothing to copy.
        assert!(reads(&file, &[node]).0 > 10_000);
        assert!(reads(&file, &[header, names]).0 > 1000);
    }
}
