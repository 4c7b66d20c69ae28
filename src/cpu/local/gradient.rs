//! Where the gradient of weights goes, and where its sums are taken.

use super::layer::Layer;
use super::narrow::Narrow;
use crate::cpu::change::Changed;
use crate::cpu::shared::Shared;
use crate::cpu::team::Needs;
use pulp::Simd;

/// Weights whose gradient a thread has at once where it is kept nowhere: they and their states come from memory meanwhile, the gradient
/// stays in the thread's own cache.
const TOGETHER: usize = 1 << 14;
/// Fewest rows of weights of them: those of a tile.
const ROWS: usize = 8;

/// What becomes of a gradient of weights.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Gradient<'a> {
    /// It is written somewhere.
    Kept(Kept<'a>),
    /// Weights are changed by it.
    Changes(Changed<'a>),
}

/// Where a gradient is written.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Kept<'a> {
    pub(in crate::cpu) values: Shared<'a>,
    /// Whether it is added to what is there.
    pub(in crate::cpu) accumulate: bool,
}

impl<'a> Gradient<'a> {
    /// Whether it is added to what is there.
    #[inline(always)]
    pub(super) fn accumulates(&self) -> bool {
        matches!(self, Self::Kept(Kept { accumulate: true, .. }))
    }

    /// Most rows of weights, of so many filters each, that a thread may do together.
    pub(super) fn most_rows(&self, filters: usize) -> usize {
        match self {
            Self::Kept(_) => usize::MAX,
            Self::Changes(_) => rows(filters),
        }
    }

    /// Where a thread sums the gradient of the weights from number `first` on: in their places, or in its room.
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
    (TOGETHER / filters.max(1)).max(ROWS)
}

/// The room that a task needs besides where the gradient of a layer's weights is kept nowhere.
pub(in crate::cpu) fn gradient_needs(layer: &Layer) -> Needs {
    if let Some((one, _)) = layer.as_one_location(1) {
        return gradient_needs(one);
    }
    let filters = layer.geometry.group_filters() as usize;
    let own = rows(filters).min(layer.geometry.most_entries() as usize) * filters;
    let gradient = Narrow::of(layer, 1).map_or(own, |narrow| own.max(narrow.most_weights()));
    Needs { gradient, ..Needs::default() }
}

/// Where some weights' gradient is summed by a thread.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) values: Shared<'a>,
    /// That of the first of them.
    pub(super) first: usize,
    changes: Option<Changes<'a>>,
}

#[derive(Clone, Copy)]
struct Changes<'a> {
    changed: Changed<'a>,
    /// Among all weights.
    first: usize,
    count: usize,
}

impl Place<'_> {
    /// Changes the weights, now that their gradient is there.
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
