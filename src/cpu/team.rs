//! What operations run on: threads, vector instructions, and a room for each thread.

use super::instructions::Instructions;
use super::local::Reader;
use super::shared::Shared;
use super::stream::STREAMS;
use super::threads::{self, Threads};
use crate::room::zeroes;
use crate::{Error, Result};
use pulp::{Simd, WithSimd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Guessed nanoseconds of work that one thread does by itself: waking another takes 25 µs in a virtual machine. Guesses are of weights that
/// come from memory, two to three times too long where a cache has them.
const ALONE: u64 = 40_000;
/// Nanoseconds of a task: long compared with handing it out, short compared with the whole.
const TASK: u64 = 30_000;
/// Most tasks of an operation.
pub(super) const TASKS: usize = 256;

/// What a team works with.
#[derive(Debug, Clone)]
pub(super) struct Means {
    pub(super) threads: Threads,
    pub(super) instructions: Instructions,
    /// From how many numbers on results are written past the caches, if any are.
    pub(super) streams_from: Option<u64>,
}

/// How much room an operation's tasks need.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    pub(super) floats: usize,
    /// For a gradient that isn't kept.
    pub(super) gradient: usize,
    pub(super) readers: usize,
}

impl Needs {
    pub(super) fn most(self, other: Self) -> Self {
        Self {
            floats: self.floats.max(other.floats),
            gradient: self.gradient.max(other.gradient),
            readers: self.readers.max(other.readers),
        }
    }
}

/// A thread's own memory.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) floats: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) readers: Vec<Reader>,
}

/// Threads, their instructions and rooms. Results don't depend on how many threads there are.
#[derive(Debug)]
pub(super) struct Team {
    means: Means,
    rooms: Vec<Mutex<Room>>,
}

impl Team {
    pub(super) fn new(means: Means, needs: Needs) -> Result<Self> {
        let room = |_| {
            let mut readers = Vec::new();
            let bytes = (needs.readers as u64).saturating_mul(size_of::<Reader>() as u64);
            let none = |_| Error::OutOfMemory { what: "the readers of an input".into(), bytes };
            readers.try_reserve_exact(needs.readers).map_err(none)?;
            let [floats, gradient] = [needs.floats, needs.gradient].map(|count| zeroes("scratch", count as u64));
            Ok(Mutex::new(Room { floats: floats?, gradient: gradient?, readers }))
        };
        let rooms = (0..means.threads.count()).map(room).collect::<Result<Vec<_>>>()?;
        Ok(Self { means, rooms })
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.rooms.len()
    }

    /// Whether a result of so many numbers is written past the caches.
    pub(super) fn streams(&self, numbers: usize) -> bool {
        STREAMS && self.means.streams_from.is_some_and(|from| numbers as u64 >= from)
    }

    /// Bytes of the rooms.
    pub(super) fn bytes(&self) -> u64 {
        let room = self.room();
        let floats = room.floats.len() + room.gradient.len();
        let bytes = 4 * floats + size_of::<Reader>() * room.readers.capacity();
        (bytes * self.rooms.len()) as u64
    }

    /// Calls `work` on the team's threads, if one of its operations is long enough for several: `longest` is a guess of its nanoseconds.
    pub(super) fn enter(&self, longest: u64, work: impl FnOnce() + Send) {
        if longest > ALONE { self.means.threads.enter(work) } else { work() }
    }

    /// The calling thread's room. Two threads share one if the pool isn't the one that the program was bound in.
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        let place = threads::place() % self.rooms.len();
        self.rooms[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` for each of `count` things, in tasks of neighbouring things. `nanoseconds` is a guess of how long
    /// one takes.
    pub(super) fn each<W: WithSimd>(&self, count: usize, nanoseconds: u64, work: impl Fn(Span) -> W + Sync + Send) {
        let nanoseconds = nanoseconds.max(1);
        let together = (TASK / nanoseconds).max(1).min(count.max(1) as u64) as usize;
        let together = together.max(count.div_ceil(TASKS));
        let spread = nanoseconds.saturating_mul(count as u64) > ALONE;
        self.means.threads.each(spread, count.div_ceil(together), |task| {
            let first = task * together;
            self.means.instructions.run(work(Span { first, end: (first + together).min(count) }));
        });
    }

    /// Calls `work` with each piece of an array: its number, and its elements.
    pub(super) fn pieces(&self, written: &mut [f32], of: Piece, work: impl Fn(usize, &mut [f32]) + Sync) {
        let (length, written) = (written.len(), Shared::new(written));
        let work = &work;
        self.each(length.div_ceil(of.elements.max(1)), of.nanoseconds, |span| Pieces {
            span,
            of,
            length,
            written,
            work,
        });
    }
}

/// The pieces that an array is written in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Elements of a piece; the last may have fewer.
    pub(super) elements: usize,
    /// A guess of how long a piece takes.
    pub(super) nanoseconds: u64,
}

struct Pieces<'a, W> {
    span: Span,
    of: Piece,
    length: usize,
    written: Shared<'a>,
    work: &'a W,
}

impl<W: Fn(usize, &mut [f32])> WithSimd for Pieces<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for index in self.span.first..self.span.end {
            let from = index * self.of.elements;
            // SAFETY: spans are apart, and so are pieces.
            let piece = unsafe { self.written.part(from, self.of.elements.min(self.length - from)) };
            (self.work)(index, piece);
        }
    }
}

/// Neighbouring things.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) end: usize,
}
