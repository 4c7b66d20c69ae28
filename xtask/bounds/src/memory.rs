//! Memory that invocations share, each word with who wrote and read it last.

use super::column::{Word, either};

/// Nobody yet.
const NONE: u32 = u32::MAX;
/// Several.
const MANY: u32 = u32::MAX - 1;

/// Who touches a word, and after how many barriers: of two dispatches, or of a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct By {
    pub(super) invocation: u32,
    pub(super) now: u32,
}

impl By {
    /// Any invocation that stores a flag's value atomically.
    pub(super) const ATOMICALLY: u32 = u32::MAX - 2;
}

/// A value that is stored; in doubt it may be or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) value: Word,
    pub(super) in_doubt: bool,
}

/// Who touched a word, and between which barriers: of two dispatches, or of a workgroup.
#[derive(Debug, Clone, Copy)]
struct Touched {
    written_at: u32,
    writer: u32,
    read_at: u32,
    reader: u32,
}

const UNTOUCHED: Touched = Touched { written_at: NONE, writer: NONE, read_at: NONE, reader: NONE };

/// Words that invocations share. Between two barriers, which the caller counts, what one of them writes no other may read or write:
/// nothing says which is first.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pages: Vec<Option<Box<[Touched; PAGE]>>>,
}

const PAGE: usize = 1024;

impl Marks {
    fn at(&mut self, word: u64) -> &mut Touched {
        let (page, within) = (word as usize / PAGE, word as usize % PAGE);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        &mut self.pages[page].get_or_insert_with(|| Box::new([UNTOUCHED; PAGE]))[within]
    }

    pub(super) fn is_written(&self, word: u64) -> bool {
        let page = self.pages.get(word as usize / PAGE).and_then(Option::as_ref);
        page.is_some_and(|page| page[word as usize % PAGE].written_at != NONE)
    }

    /// Takes note of a read; the fault, if it is one. What nobody writes isn't noted.
    pub(super) fn read(&mut self, word: u64, by: By, is_given: bool) -> Option<&'static str> {
        let By { invocation: by, now } = by;
        let touched = self.at(word);
        if touched.written_at == NONE && !is_given {
            return Some("reads what nothing has written");
        }
        if touched.written_at == now && touched.writer != by {
            return Some("reads what another invocation writes meanwhile");
        }
        let others = touched.read_at == now && touched.reader != by;
        (touched.read_at, touched.reader) = (now, if others { MANY } else { by });
        None
    }

    pub(super) fn write(&mut self, word: u64, by: By) -> Option<&'static str> {
        let By { invocation: by, now } = by;
        let touched = self.at(word);
        let before = *touched;
        (touched.written_at, touched.writer) = (now, by);
        if before.written_at == now && before.writer != by {
            return Some("writes what another invocation writes meanwhile");
        }
        if before.read_at == now && before.reader != by {
            return Some("writes what another invocation reads meanwhile");
        }
        None
    }
}

/// A variable of a workgroup's: its words are kept, addresses pass through it.
#[derive(Debug)]
pub(super) struct Shared {
    words: Vec<Word>,
    marks: Marks,
}

impl Shared {
    pub(super) fn new(words: usize) -> Self {
        Self { words: vec![None; words], marks: Marks::default() }
    }

    /// What nothing has written is unknown: it may be read, but decide no address.
    pub(super) fn read(&mut self, word: u32, by: By) -> Result<Word, &'static str> {
        match self.marks.read(word.into(), by, true) {
            Some(fault) => Err(fault),
            None => Ok(self.words[word as usize]),
        }
    }

    pub(super) fn write(&mut self, word: u32, stored: Stored, by: By) -> Result<(), &'static str> {
        let held = &mut self.words[word as usize];
        *held = if stored.in_doubt { either(*held, stored.value) } else { stored.value };
        self.marks.write(word.into(), by).map_or(Ok(()), Err)
    }
}
