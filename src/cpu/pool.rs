//! `Pool` and `PoolGrad`: windows in the order of their positions, channels side by side.

use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{Pool, PoolAxis, PoolGrad, PoolKind, Ties, Windows};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Channels whose largest values are found at once.
const TOGETHER: usize = 16;
/// A block of input rows is this many windows high. Windows that cross a block's end are searched twice.
const HEIGHTS: usize = 4;

/// Windows as they lie: `[outer][positions][inner]`.
#[derive(Clone, Copy)]
struct Sizes {
    axes: [PoolAxis; 3],
    inner: usize,
    /// Positions of the input that a window has at most, along each axis: its own may be far more.
    within: [usize; 3],
}

impl Sizes {
    fn new(windows: &Windows) -> Self {
        let inner = windows.inner() as usize;
        let axes = windows.three_axes();
        Self { axes, inner, within: axes.map(|axis| axis.window.min(axis.input) as usize) }
    }

    /// Steps of `elements` windows' elements of which `at_once` take a nanosecond.
    fn nanoseconds(&self, elements: usize, at_once: u64) -> u64 {
        let steps = self.within.iter().fold(elements as u64, |all, &within| all.saturating_mul(within as u64));
        steps / at_once
    }

    fn inputs(&self) -> [usize; 3] {
        self.axes.map(|axis| axis.input as usize)
    }

    fn outputs(&self) -> [usize; 3] {
        self.axes.map(|axis| axis.output as usize)
    }
}

/// The positions of window `o` along an axis that lie within the input.
#[inline(always)]
fn positions(axis: &PoolAxis, o: usize) -> Range<usize> {
    let (start, before) = (o * axis.stride as usize, axis.before as usize);
    start.max(before) - before..(start + axis.window as usize).min(before + axis.input as usize) - before
}

/// The windows along an axis that contain a position.
#[inline(always)]
fn readers(axis: &PoolAxis, position: usize) -> Range<usize> {
    let (at, window, stride) = (position + axis.before as usize, axis.window as usize, axis.stride as usize);
    let first = if at >= window { (at - window) / stride + 1 } else { 0 };
    first..(at / stride + 1).min(axis.output as usize)
}

#[inline(always)]
fn larger(most: f32, value: f32) -> f32 {
    if value > most { value } else { most }
}

/// The largest value or the average of each window.
pub(super) fn pool(team: &Team, o: &Pool, input: &[f32], output: &mut [f32]) {
    let (kind, sizes) = (o.kind, Sizes::new(&o.windows));
    let [_, _, columns] = sizes.outputs();
    let row = columns * sizes.inner;
    let (rows, output) = (output.len() / row, Shared::new(output));
    let nanoseconds = sizes.nanoseconds(row, if sizes.inner > 1 { 8 } else { 2 });
    team.each(rows, nanoseconds, |span| Forward { span, kind, sizes, input, output });
}

/// Rows of outputs along the last axis.
struct Forward<'a> {
    span: Span,
    kind: PoolKind,
    sizes: Sizes,
    input: &'a [f32],
    output: Shared<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sizes, .. } = self;
        let ([rows, lines, columns], [high, deep, wide]) = (sizes.outputs(), sizes.inputs());
        for index in self.span.first..self.span.end {
            let (o1, o0, n) = (index % lines, index / lines % rows, index / lines / rows);
            let [along_0, along_1] = [positions(&sizes.axes[0], o0), positions(&sizes.axes[1], o1)];
            // SAFETY: rows are apart.
            let row = unsafe { self.output.part(index * columns * sizes.inner, columns * sizes.inner) };
            for (o2, output) in row.chunks_exact_mut(sizes.inner).enumerate() {
                let along_2 = positions(&sizes.axes[2], o2);
                let run = |i0: usize, i1: usize| {
                    let from = (((n * high + i0) * deep + i1) * wide + along_2.start) * sizes.inner;
                    &self.input[from..][..along_2.len() * sizes.inner]
                };
                output.fill(if self.kind == PoolKind::Max { f32::MIN } else { 0.0 });
                for (i0, i1) in along_0.clone().flat_map(|i0| along_1.clone().map(move |i1| (i0, i1))) {
                    for values in run(i0, i1).chunks_exact(sizes.inner) {
                        match self.kind {
                            PoolKind::Max => combine(output, values, larger),
                            PoolKind::Average => combine(output, values, |sum, value| sum + value),
                        }
                    }
                }
                if self.kind == PoolKind::Average {
                    let count = (along_0.len() * along_1.len() * along_2.len()) as f32;
                    output.iter_mut().for_each(|sum| *sum /= count);
                }
            }
        }
    }
}

#[inline(always)]
fn combine(all: &mut [f32], values: &[f32], with: impl Fn(f32, f32) -> f32) {
    for (all, &value) in all.iter_mut().zip(values) {
        *all = with(*all, value);
    }
}

/// The gradient by a pool's input. An average doesn't need the input.
pub(super) fn pool_grad(team: &Team, o: &PoolGrad, [input, grad_output]: [&[f32]; 2], grad_input: &mut [f32]) {
    let (kind, ties, sizes) = (o.kind, o.ties, Sizes::new(&o.windows));
    let [rows, lines, columns] = sizes.inputs();
    let block = (HEIGHTS * sizes.within[0]).min(rows);
    let blocks = rows.div_ceil(block);
    let samples = grad_input.len() / (rows * lines * columns * sizes.inner);
    let grad_input = Shared::new(grad_input);
    let [_, lines, columns] = sizes.outputs();
    let around = readers(&sizes.axes[0], block - 1).end * lines * columns;
    let nanoseconds = sizes.nanoseconds(around * sizes.inner, if sizes.inner > 1 { 4 } else { 1 });
    let work = |span| Backward { span, kind, ties, sizes, blocks, block, input, grad_output, grad_input };
    team.each(samples * blocks, nanoseconds, work);
}

/// Blocks of input rows along the first axis, each with all windows that contain one of its positions.
struct Backward<'a> {
    span: Span,
    kind: PoolKind,
    ties: Ties,
    sizes: Sizes,
    /// How many blocks a sample has.
    blocks: usize,
    /// How many rows a block has.
    block: usize,
    input: &'a [f32],
    grad_output: &'a [f32],
    grad_input: Shared<'a>,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { sizes, block, .. } = self;
        let ([rows, lines, columns], [high, deep, wide]) = (sizes.outputs(), sizes.inputs());
        let row = deep * wide * sizes.inner;
        for index in self.span.first..self.span.end {
            let (n, first) = (index / self.blocks, index % self.blocks * block);
            let mine = first..(first + block).min(high);
            // SAFETY: blocks are apart.
            let written = unsafe { self.grad_input.part((n * high + first) * row, mine.len() * row) };
            written.fill(0.0);
            let sample = if self.kind == PoolKind::Max { &self.input[n * high * row..][..high * row] } else { &[] };
            let mut grads = Grads { sizes, sample, first: first * deep * wide, written };
            for o0 in readers(&sizes.axes[0], mine.start).start..readers(&sizes.axes[0], mine.end - 1).end {
                for (o1, o2) in (0..lines).flat_map(|o1| (0..columns).map(move |o2| (o1, o2))) {
                    let window = [(0, o0), (1, o1), (2, o2)].map(|(axis, o)| positions(&sizes.axes[axis], o));
                    let from = (((n * rows + o0) * lines + o1) * columns + o2) * sizes.inner;
                    let grad = &self.grad_output[from..][..sizes.inner];
                    match (self.kind, self.ties) {
                        (PoolKind::Average, _) => grads.average(&window, &mine, grad),
                        (PoolKind::Max, Ties::First) => grads.first(&window, grad),
                        (PoolKind::Max, Ties::Every) => grads.every(&window, &mine, grad),
                    }
                }
            }
        }
    }
}

/// The gradient of a block of input rows.
struct Grads<'a> {
    sizes: Sizes,
    /// The input that was pooled.
    sample: &'a [f32],
    /// The block's first position.
    first: usize,
    written: &'a mut [f32],
}

impl Grads<'_> {
    /// Calls `visit` with each position of a window whose row is in `rows`.
    #[inline(always)]
    fn each(sizes: &Sizes, window: &[Range<usize>; 3], rows: &Range<usize>, mut visit: impl FnMut(usize)) {
        let [_, deep, wide] = sizes.inputs();
        for i0 in window[0].start.max(rows.start)..window[0].end.min(rows.end) {
            for i1 in window[1].clone() {
                for i2 in window[2].clone() {
                    visit((i0 * deep + i1) * wide + i2);
                }
            }
        }
    }

    #[inline(always)]
    fn average(&mut self, window: &[Range<usize>; 3], rows: &Range<usize>, grad: &[f32]) {
        let count = window.iter().map(ExactSizeIterator::len).product::<usize>() as f32;
        Self::each(&self.sizes, window, rows, |position| {
            let written = &mut self.written[(position - self.first) * grad.len()..];
            combine(&mut written[..grad.len()], grad, |sum, dy| sum + dy / count);
        });
    }

    /// Gives a window's gradient to the first of its largest values, if that is in the block.
    #[inline(always)]
    fn first(&mut self, window: &[Range<usize>; 3], grad: &[f32]) {
        let inner = grad.len();
        let all = 0..self.sizes.inputs()[0];
        let [_, deep, wide] = self.sizes.inputs();
        let start = (window[0].start * deep + window[1].start) * wide + window[2].start;
        for (chunk, grad) in grad.chunks(TOGETHER).enumerate() {
            let channel = chunk * TOGETHER;
            let values = |position: usize| &self.sample[position * inner + channel..][..grad.len()];
            let (mut most, mut at) = ([0.0f32; TOGETHER], [start; TOGETHER]);
            most[..grad.len()].copy_from_slice(values(start));
            Self::each(&self.sizes, window, &all, |position| {
                for ((most, at), &value) in most.iter_mut().zip(&mut at).zip(values(position)) {
                    let is_larger = *most < value;
                    *most = if is_larger { value } else { *most };
                    *at = if is_larger { position } else { *at };
                }
            });
            for ((at, dy), lane) in at.iter().zip(grad).zip(channel..) {
                if let Some(sum) = at.checked_sub(self.first).and_then(|at| self.written.get_mut(at * inner + lane)) {
                    *sum += dy;
                }
            }
        }
    }

    #[inline(always)]
    fn every(&mut self, window: &[Range<usize>; 3], rows: &Range<usize>, grad: &[f32]) {
        let inner = grad.len();
        let all = 0..self.sizes.inputs()[0];
        for (chunk, grad) in grad.chunks(TOGETHER).enumerate() {
            let channel = chunk * TOGETHER;
            let values = |position: usize| &self.sample[position * inner + channel..][..grad.len()];
            let mut most = [f32::MIN; TOGETHER];
            let most = &mut most[..grad.len()];
            Self::each(&self.sizes, window, &all, |position| combine(most, values(position), larger));
            Self::each(&self.sizes, window, rows, |position| {
                let written = &mut self.written[(position - self.first) * inner + channel..][..grad.len()];
                for (((sum, dy), most), value) in written.iter_mut().zip(grad).zip(&*most).zip(values(position)) {
                    *sum += if value == most { *dy } else { 0.0 };
                }
            });
        }
    }
}
