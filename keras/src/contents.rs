//! A file's bytes: in memory, or read from the file when they are needed.

use crate::error::Problem;
use rawzip::ReaderAt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Is called with how many bytes of a file were read so far, and how many it has. It may be called on any thread.
pub type Watch = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Some or all of a file's bytes.
#[derive(Clone)]
pub(crate) struct Contents {
    bytes: Bytes,
    start: u64,
    length: u64,
    /// How many bytes of the file they take, where they were unpacked.
    packed: u64,
}

#[derive(Clone)]
enum Bytes {
    Held(Arc<Vec<u8>>),
    Lying(Arc<Lying>),
}

/// An open file.
struct Lying {
    file: Mutex<File>,
    length: u64,
    read: AtomicU64,
    watch: Option<Watch>,
}

impl Contents {
    pub(crate) fn held(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self { bytes: Bytes::Held(Arc::new(bytes)), start: 0, length, packed: length }
    }

    /// What so many bytes of a file stood for.
    pub(crate) fn unpacked(bytes: Vec<u8>, packed: u64) -> Self {
        Self { packed, ..Self::held(bytes) }
    }

    /// Opens a file. What has no length, such as a pipe, is read into memory.
    pub(crate) fn open(path: &Path, watch: Option<Watch>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let described = file.metadata()?;
        if !described.is_file() {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return Ok(Self::held(bytes));
        }
        let length = described.len();
        let lying = Lying { file: Mutex::new(file), length, read: AtomicU64::new(0), watch };
        Ok(Self { bytes: Bytes::Lying(Arc::new(lying)), start: 0, length, packed: length })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes of the file they are: fewer where they were compressed.
    pub(crate) fn packed(&self) -> u64 {
        self.packed
    }

    /// Refuses a text that is far longer than its file, where it was compressed: JSON takes a hundred times its bytes in memory. Keras's
    /// largest are of two megabytes, beside weights of many more.
    pub(crate) fn check_text(&self, text: &str) -> Result<(), Problem> {
        let (found, file) = (text.len() as u64, self.packed);
        let most = file.saturating_mul(4).saturating_add(1 << 21);
        if found > most { Err(Problem::TextLength { found, most, file }) } else { Ok(()) }
    }

    /// Whether the bytes are in memory.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.bytes, Bytes::Held(_))
    }

    /// A part of the bytes; none if there are fewer.
    pub(crate) fn part(&self, start: u64, length: u64) -> Option<Self> {
        let fits = start.checked_add(length).is_some_and(|end| end <= self.length);
        let packed = self.packed.min(length);
        fits.then(|| Self { bytes: self.bytes.clone(), start: self.start + start, length, packed })
    }

    /// The first bytes, at most this many.
    pub(crate) fn first(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut first = Vec::new();
        self.reader().take(most).read_to_end(&mut first)?;
        Ok(first)
    }

    /// All bytes, in memory.
    pub(crate) fn all(self) -> io::Result<Vec<u8>> {
        match self.bytes {
            Bytes::Held(bytes) if (self.start, self.length) == (0, bytes.len() as u64) => {
                Ok(Arc::try_unwrap(bytes).unwrap_or_else(|shared| shared.to_vec()))
            }
            _ => {
                let mut all = Vec::new();
                self.reader().read_to_end(&mut all)?;
                Ok(all)
            }
        }
    }

    /// A reader from the first byte on.
    fn reader(&self) -> Place {
        Place { contents: self.clone(), at: 0 }
    }

    /// Fills `to` with the bytes from `at` on, as far as there are some.
    pub(crate) fn read(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let count = self.length.saturating_sub(at).min(to.len() as u64) as usize;
        let (to, from) = (&mut to[..count], self.start + at.min(self.length));
        match &self.bytes {
            Bytes::Held(bytes) => to.copy_from_slice(&bytes[from as usize..][..count]),
            Bytes::Lying(lying) => lying.read_exact(from, to)?,
        }
        Ok(count)
    }
}

impl Lying {
    fn read_exact(&self, from: u64, to: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(to)?;
        drop(file);
        let read = self.read.fetch_add(to.len() as u64, Ordering::Relaxed) + to.len() as u64;
        if let Some(watch) = &self.watch {
            watch(read.min(self.length), self.length);
        }
        Ok(())
    }
}

impl ReaderAt for Contents {
    fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(offset, to)
    }
}

/// A place in a file's bytes.
struct Place {
    contents: Contents,
    at: u64,
}

impl Read for Place {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.contents.read(self.at, to)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The same bytes, held and lying, whole and in part; and all that is read is told.
    #[test]
    fn bytes_are_the_file_s() {
        let path = std::env::temp_dir().join(format!("locally-contents-{}", std::process::id()));
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        std::fs::write(&path, &bytes).unwrap();
        let told = Arc::new(AtomicU64::new(0));
        let watch: Watch = {
            let told = told.clone();
            Arc::new(move |read, of| {
                assert_eq!(of, 1000);
                told.store(read, Ordering::Relaxed);
            })
        };
        let lying = Contents::open(&path, Some(watch)).unwrap();
        assert!(!lying.is_held());
        for contents in [Contents::held(bytes.clone()), lying] {
            assert_eq!(contents.first(3).unwrap(), [0, 1, 2]);
            let part = contents.part(10, 20).unwrap();
            assert_eq!(part.clone().all().unwrap(), bytes[10..30]);
            assert!(
                contents.part(990, 11).is_none() && contents.part(u64::MAX, 1).is_none() && part.part(20, 1).is_none()
            );
            let mut two = [0; 2];
            assert_eq!(part.read(18, &mut two).unwrap(), 2);
            assert_eq!(two, bytes[28..30]);
            assert_eq!((part.read(19, &mut two).unwrap(), part.read(1 << 40, &mut two).unwrap()), (1, 0));
            let mut rest = Vec::new();
            part.part(18, 2).unwrap().reader().read_to_end(&mut rest).unwrap();
            assert_eq!(rest, bytes[28..30]);
            assert_eq!(contents.all().unwrap(), bytes);
        }
        assert!(told.load(Ordering::Relaxed) >= 1000);
        std::fs::remove_file(&path).unwrap();
    }
}
