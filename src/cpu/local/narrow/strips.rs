//! Where the windows of a layer of one filter lie, and how threads share them.

use crate::cpu::local::layer::Layer;
use crate::cpu::local::windows::Even;
use std::ops::Range;

/// Most windows at padded edges of a layer that is gone along.
const UNEVEN: usize = 64;
/// Weights of the locations that one thread does together: in the first cache for all samples.
const TOGETHER: usize = 2048;

/// A layer of one filter, with what its operations read.
#[derive(Clone, Copy)]
pub(in crate::cpu::local) struct Narrow<'a> {
    pub(super) layer: &'a Layer,
    pub(super) even: Even,
    pub(super) batch: usize,
}

/// Neighbouring locations along the inner axis.
pub(super) struct Strip {
    /// The first of them among all locations.
    pub(super) first: usize,
    /// Of the outer axes.
    pub(super) outer: usize,
    /// Along the inner axis.
    pub(super) along: Range<usize>,
}

impl<'a> Narrow<'a> {
    /// What computes a layer of one filter, where its windows lie evenly but for a few.
    pub(in crate::cpu::local) fn of(layer: &'a Layer, batch: usize) -> Option<Self> {
        let even =
            layer.windows.even().filter(|_| layer.geometry.filters() == 1 && !layer.geometry.shares_weights())?;
        let others = layer.geometry.line() as usize - (even.locations.1 - even.locations.0);
        (others <= UNEVEN).then_some(Self { layer, even, batch })
    }

    fn width(&self) -> usize {
        self.layer.geometry.line() as usize
    }

    /// Locations of a strip.
    fn together(&self) -> usize {
        TOGETHER.div_ceil(self.window()).min(self.width())
    }

    /// Weights of the longest strip.
    pub(in crate::cpu::local) fn most_weights(&self) -> usize {
        self.together() * self.window()
    }

    pub(super) fn strips(&self) -> usize {
        self.layer.geometry.locations() as usize / self.width() * self.width().div_ceil(self.together())
    }

    pub(super) fn strip(&self, index: usize) -> Strip {
        let together = self.together();
        let strips = self.width().div_ceil(together);
        let (outer, first) = (index / strips, index % strips * together);
        let along = first..self.width().min(first + together);
        Strip { first: outer * self.width() + first, outer, along }
    }

    /// A guess of the nanoseconds of a strip.
    pub(super) fn nanoseconds(&self) -> u64 {
        let window = u64::from(self.layer.geometry.window());
        (self.together() as u64 * (window + 1) * self.batch as u64 / 2).max(1)
    }

    pub(super) fn window(&self) -> usize {
        self.layer.geometry.window() as usize
    }

    /// Those of a strip that lie evenly, and the others.
    pub(super) fn parts(&self, strip: &Strip) -> (Range<usize>, impl Iterator<Item = usize> + Clone + use<>) {
        let first = strip.along.start.max(self.even.locations.0).min(strip.along.end);
        let end = strip.along.end.min(self.even.locations.1).max(first);
        (first..end, (strip.along.start..first).chain(end..strip.along.end))
    }

    /// Place in a sample of the first input of an even window.
    pub(super) fn input(&self, along: usize) -> usize {
        self.even.input + (along - self.even.locations.0) * self.even.step
    }
}
