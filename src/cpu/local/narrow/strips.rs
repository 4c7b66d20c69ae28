//! Where the windows of a layer of one filter lie, and how they are divided among threads.

use super::planes::Planes;
use crate::cpu::local::fetch::FETCHES;
use crate::cpu::local::layer::Layer;
use crate::cpu::local::windows::Even;
use crate::cpu::stream::LINE;
use std::ops::Range;

/// A layer with more windows than this at padded edges is computed otherwise.
const UNEVEN: usize = 64;
/// Weights of the locations that a thread does together: they stay in the first-level cache for all samples. Layers of many weights
/// have longer strips, since memory gives longer stretches of each sample faster.
const TOGETHER: usize = 2048;
const LONG: usize = 8192;
/// Weights of a layer with so many long strips that each thread still gets some.
const MANY_WEIGHTS: u64 = 1 << 16;

/// With inputs of so many numbers, all samples together, the next ones are fetched: they leave a core's own caches.
const FETCHED: usize = 1 << 17;
/// Inputs of windows of so many taps are fetched, at most a line apart: with longer ones nothing was gained, and between others lie lines
/// that nothing reads.
const SHORT: usize = 4;
/// Inputs that are read or written before more is fetched.
const BETWEEN: usize = 384;

/// A layer of one filter, with what its operations read.
#[derive(Clone, Copy)]
pub(in crate::cpu::local) struct Narrow<'a> {
    pub(super) layer: &'a Layer,
    pub(super) even: Even,
    pub(super) batch: usize,
}

/// Neighbouring locations along the inner axis.
pub(super) struct Strip {
    /// The first location's number among all.
    pub(super) first: usize,
    /// The location along the outer axes.
    pub(super) outer: usize,
    /// The locations along the inner axis.
    pub(super) along: Range<usize>,
}

impl<'a> Narrow<'a> {
    /// The routines of a layer of one filter, if all but a few of its windows are equally far apart.
    pub(in crate::cpu::local) fn of(layer: &'a Layer, batch: usize) -> Option<Self> {
        let even =
            layer.windows.even().filter(|_| layer.geometry.filters() == 1 && !layer.geometry.shares_weights())?;
        let others = layer.geometry.line() as usize - (even.locations.1 - even.locations.0);
        (others <= UNEVEN).then_some(Self { layer, even, batch })
    }

    fn width(&self) -> usize {
        self.layer.geometry.line() as usize
    }

    /// Neighbouring locations, in pieces between which the next sample's lines of the cache are fetched.
    #[inline(always)]
    pub(super) fn between_fetches(&self, locations: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let most = if self.fetches() { BETWEEN.div_ceil(self.even.step) } else { locations.len().max(1) };
        locations.clone().step_by(most).map(move |first| first..locations.end.min(first + most))
    }

    /// Whether lines of the cache are fetched before they are needed.
    #[inline(always)]
    pub(super) fn fetches(&self) -> bool {
        FETCHES
            && self.batch > 1
            && self.even.length <= SHORT
            && self.even.step <= LINE
            && self.layer.geometry.inputs() as usize * self.batch >= FETCHED
    }

    /// What lies where, in the next sample, `of_sample` numbers further on; after the last sample in the first one, `of_strip` further on.
    #[inline(always)]
    pub(super) fn next(&self, place: *const f32, sample: usize, [of_sample, of_strip]: [usize; 2]) -> *const f32 {
        match sample + 1 < self.batch {
            true => place.wrapping_add(of_sample),
            false => place.wrapping_add(of_strip).wrapping_sub(sample * of_sample),
        }
    }

    /// How many locations a strip has.
    fn together(&self) -> usize {
        let most = if self.layer.geometry.connected_weights() < MANY_WEIGHTS { TOGETHER } else { LONG };
        most.div_ceil(self.window()).min(self.width())
    }

    /// How many weights the longest strip has.
    pub(in crate::cpu::local) fn most_weights(&self) -> usize {
        self.together() * self.window()
    }

    pub(in crate::cpu::local) fn strips(&self) -> usize {
        self.layer.geometry.locations() as usize / self.width() * self.width().div_ceil(self.together())
    }

    pub(super) fn strip(&self, index: usize) -> Strip {
        let together = self.together();
        let strips = self.width().div_ceil(together);
        let (outer, first) = (index / strips, index % strips * together);
        let along = first..self.width().min(first + together);
        Strip { first: outer * self.width() + first, outer, along }
    }

    /// A guess of the nanoseconds that a strip takes.
    pub(in crate::cpu::local) fn nanoseconds(&self) -> u64 {
        let window = u64::from(self.layer.geometry.window());
        let products = self.together() as u64 * (window + 1) * self.batch as u64;
        (products / self.each_nanosecond()).max(1)
    }

    /// How many products are taken in a nanosecond, by guess.
    pub(super) fn each_nanosecond(&self) -> u64 {
        if self.has_planes() { 8 } else { 2 }
    }

    /// Whether weights are moved so that vectors go along locations.
    pub(super) fn has_planes(&self) -> bool {
        Planes::pay(self.even.step, self.batch)
    }

    /// The weights of neighbouring locations, moved to a room, where there are any, that pays, and there is room for them.
    pub(super) fn planes<'r>(&self, room: &'r mut [f32], weights: &[f32]) -> Option<Planes<'r>> {
        if self.has_planes() && !weights.is_empty() { Planes::of(room, weights, self.window()) } else { None }
    }

    pub(super) fn window(&self) -> usize {
        self.layer.geometry.window() as usize
    }

    /// The locations of a strip whose windows are equally far apart, and the others.
    pub(super) fn parts(&self, strip: &Strip) -> (Range<usize>, impl Iterator<Item = usize> + Clone + use<>) {
        let first = strip.along.start.max(self.even.locations.0).min(strip.along.end);
        let end = strip.along.end.min(self.even.locations.1).max(first);
        (first..end, (strip.along.start..first).chain(end..strip.along.end))
    }

    /// Where the first input of such a window is in a sample.
    pub(super) fn input(&self, along: usize) -> usize {
        self.even.input + (along - self.even.locations.0) * self.even.step
    }
}
