//! Values of all invocations of a workgroup at once: a column of words, and sets of invocations.

use std::rc::Rc;

/// 32 bits of one invocation, where they are known. What a buffer's values decide isn't.
pub(super) type Word = Option<u32>;

/// Most invocations of a workgroup.
const MOST: usize = 256;

/// A set of a workgroup's invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mask([u64; MOST / 64]);

impl Mask {
    pub(super) fn first(count: usize) -> Self {
        (0..count).collect()
    }

    pub(super) fn any(self) -> bool {
        self != Self::default()
    }

    pub(super) fn has(self, lane: usize) -> bool {
        self.0[lane / 64] >> (lane % 64) & 1 == 1
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    pub(super) fn lanes(self) -> impl Iterator<Item = usize> {
        (0..MOST).filter(move |&lane| self.has(lane))
    }
}

impl FromIterator<usize> for Mask {
    fn from_iter<I: IntoIterator<Item = usize>>(lanes: I) -> Self {
        let mut mask = Self::default();
        lanes.into_iter().for_each(|lane| mask.0[lane / 64] |= 1 << (lane % 64));
        mask
    }
}

/// A word of each invocation. Most are the same for all, and are computed once.
#[derive(Debug, Clone)]
pub(super) enum Column {
    Same(Word),
    Each(Rc<[Word]>),
}

impl Column {
    pub(super) const UNKNOWN: Self = Self::Same(None);

    pub(super) fn known(word: u32) -> Self {
        Self::Same(Some(word))
    }

    pub(super) fn each(words: Vec<Word>) -> Self {
        match words.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => Self::Same(*first),
            _ => Self::Each(words.into()),
        }
    }

    pub(super) fn at(&self, lane: usize) -> Word {
        match self {
            Self::Same(word) => *word,
            Self::Each(words) => words.get(lane).copied().flatten(),
        }
    }

    pub(super) fn map(&self, apply: impl Fn(Word) -> Word) -> Self {
        match self {
            Self::Same(word) => Self::Same(apply(*word)),
            Self::Each(words) => Self::each(words.iter().map(|&word| apply(word)).collect()),
        }
    }

    pub(super) fn zip(&self, other: &Self, apply: impl Fn(Word, Word) -> Word) -> Self {
        match (self, other) {
            (Self::Same(a), Self::Same(b)) => Self::Same(apply(*a, *b)),
            (Self::Each(words), other) => {
                Self::each(words.iter().enumerate().map(|(lane, &a)| apply(a, other.at(lane))).collect())
            }
            (one, Self::Each(words)) => {
                Self::each(words.iter().enumerate().map(|(lane, &b)| apply(one.at(lane), b)).collect())
            }
        }
    }

    /// This one, but for `lanes` of `count` the other.
    pub(super) fn replaced(&self, with: &Self, lanes: Mask, count: usize) -> Self {
        if lanes == Mask::first(count) {
            return with.clone();
        }
        if let (Self::Same(a), Self::Same(b)) = (self, with)
            && a == b
        {
            return self.clone();
        }
        Self::each((0..count).map(|lane| if lanes.has(lane) { with.at(lane) } else { self.at(lane) }).collect())
    }

    /// The lanes of `among` in which it is this word; those in which it isn't known.
    pub(super) fn lanes_with(&self, word: u32, among: Mask) -> (Mask, Mask) {
        match self {
            Self::Same(None) => (Mask::default(), among),
            Self::Same(Some(all)) => (if *all == word { among } else { Mask::default() }, Mask::default()),
            Self::Each(words) => {
                let of = |wanted: Word| among.lanes().filter(|&lane| words[lane] == wanted).collect();
                (of(Some(word)), of(None))
            }
        }
    }
}

/// What both are, or unknown where they differ.
pub(super) fn either(a: Word, b: Word) -> Word {
    if a == b { a } else { None }
}
