//! Where a gradient of weights goes, and where its sums are taken.

use super::layer::Layer;
use super::narrow::Narrow;
use crate::cpu::change::Changed;
use crate::cpu::shared::Shared;
use crate::cpu::team::Needs;
use pulp::Simd;

/// Weights whose gradient a thread has at a time where it isn't kept. The weights and their states come from memory,
/// while the gradient stays in the thread's own cache.
const TOGETHER: usize = 1 << 14;
/// The fewest rows of weights at a time: those of a tile.
const LEAST_ROWS: usize = 8;

/// What is done with a gradient of weights.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Gradient<'a> {
    /// It is written.
    Kept(Kept<'a>),
    /// Weights are updated by it, and it isn't kept.
    Changes(Changed<'a>),
}

/// Where a gradient is written.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Kept<'a> {
    pub(in crate::cpu) values: Shared<'a>,
    /// Whether it is added to what is there already.
    pub(in crate::cpu) accumulate: bool,
}

impl<'a> Gradient<'a> {
    /// Whether it is added to what is there already.
    #[inline(always)]
    pub(super) fn accumulates(&self) -> bool {
        matches!(self, Self::Kept(Kept { accumulate: true, .. }))
    }

    /// The most rows of weights, of so many filters each, that a thread should do together.
    pub(super) fn most_rows(&self, filters: usize) -> usize {
        match self {
            Self::Kept(_) => usize::MAX,
            Self::Changes(_) => rows(filters),
        }
    }

    /// Where a thread sums the gradient of the weights from number `first` on: where it is kept, or else in `room`.
    #[inline(always)]
    pub(super) fn place(&self, first: usize, count: usize, room: &'a mut [f32]) -> Place<'a> {
        match *self {
            Self::Kept(Kept { values, .. }) => Place { values, first, changes: None },
            Self::Changes(changed) => {
                let values = Shared::new(&mut room[..count]);
                Place { values, first: 0, changes: Some(Changes { changed, first, count }) }
            }
        }
    }
}

fn rows(filters: usize) -> usize {
    (TOGETHER / filters.max(1)).max(LEAST_ROWS)
}

/// The room that a task needs where the gradient of a layer's weights isn't kept.
pub(in crate::cpu) fn gradient_needs(layer: &Layer) -> Needs {
    if let Some((one, _)) = layer.as_one_location(1) {
        return gradient_needs(one);
    }
    let filters = layer.geometry.group_filters() as usize;
    let own = rows(filters).min(layer.geometry.most_entries() as usize) * filters;
    let gradient = Narrow::of(layer, 1).map_or(own, |narrow| own.max(narrow.most_weights()));
    Needs { gradient, ..Needs::default() }
}

/// Where a thread sums the gradient of some weights.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) values: Shared<'a>,
    /// Where the gradient of the first of these weights is.
    pub(super) first: usize,
    changes: Option<Changes<'a>>,
}

#[derive(Clone, Copy)]
struct Changes<'a> {
    changed: Changed<'a>,
    /// The first weight's number among all.
    first: usize,
    count: usize,
}

impl Place<'_> {
    /// Updates the weights, if that is what the gradient is for.
    ///
    /// # Safety
    /// No other thread changes these weights, and no part of the place is alive.
    #[inline(always)]
    pub(super) unsafe fn finish<S: Simd>(self, simd: S) {
        if let Some(Changes { changed, first, count }) = self.changes {
            // SAFETY: the caller vouches for both.
            unsafe { changed.change(simd, first, self.values.part(0, count)) };
        }
    }
}
