//! `Reduce` and `ReduceGrad`: along an axis of any length.

use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{Along, PoolKind, Reduce, ReduceGrad};
use pulp::{Simd, WithSimd};

/// Neighbouring elements after the axis that are reduced together.
const TOGETHER: usize = 64;
/// Positions that are summed before they are added to a sum, so that long sums round little.
const BLOCK: usize = 128;

/// The largest value or the average along an axis.
pub(super) fn reduce(team: &Team, o: &Reduce, input: &[f32], output: &mut [f32]) {
    let (kind, sizes) = (o.kind, Sizes::new(o.along));
    let (chunks, rows) = (sizes.inner.div_ceil(TOGETHER), output.len() / sizes.inner);
    let output = Shared::new(output);
    team.each(rows * chunks, sizes.nanoseconds(), |span| Forward { span, kind, sizes, chunks, input, output });
}

#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    inner: usize,
}

impl Sizes {
    fn new(along: Along) -> Self {
        Self { length: along.length as usize, inner: along.inner as usize }
    }

    fn nanoseconds(self) -> u64 {
        (self.length * TOGETHER.min(self.inner) / 4) as u64
    }
}

/// Some neighbouring elements after the axis: their positions are `inner` apart, from element `from` on.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    values: &'a [f32],
    sizes: Sizes,
    from: usize,
    lanes: usize,
}

impl<'a> Chunk<'a> {
    #[inline(always)]
    fn at(self, position: usize) -> &'a [f32] {
        &self.values[self.from + position * self.sizes.inner..][..self.lanes]
    }

    #[inline(always)]
    fn largest(self, all: &mut [f32]) {
        all.fill(f32::NEG_INFINITY);
        for position in 0..self.sizes.length {
            for (most, &value) in all.iter_mut().zip(self.at(position)) {
                *most = if value > *most || value.is_nan() { value } else { *most };
            }
        }
    }

    #[inline(always)]
    fn average(self, all: &mut [f32]) {
        all.fill(0.0);
        for first in (0..self.sizes.length).step_by(BLOCK) {
            let mut sums = [0.0f32; TOGETHER];
            for position in first..(first + BLOCK).min(self.sizes.length) {
                for (sum, value) in sums.iter_mut().zip(self.at(position)) {
                    *sum += value;
                }
            }
            for (all, sum) in all.iter_mut().zip(sums) {
                *all += sum;
            }
        }
        let length = self.sizes.length as f32;
        all.iter_mut().for_each(|sum| *sum /= length);
    }
}

struct Forward<'a> {
    span: Span,
    kind: PoolKind,
    sizes: Sizes,
    /// How many chunks a row has.
    chunks: usize,
    input: &'a [f32],
    output: Shared<'a>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Sizes { length, inner } = self.sizes;
        for index in self.span.first..self.span.end {
            let (row, first) = (index / self.chunks, index % self.chunks * TOGETHER);
            let lanes = TOGETHER.min(inner - first);
            // SAFETY: chunks are apart.
            let output = unsafe { self.output.part(row * inner + first, lanes) };
            let chunk = Chunk { values: self.input, sizes: self.sizes, from: row * length * inner + first, lanes };
            match self.kind {
                PoolKind::Max => chunk.largest(output),
                PoolKind::Average => chunk.average(output),
            }
        }
    }
}

/// The gradient by the input of a reduction. An average doesn't need the input.
pub(super) fn reduce_grad(team: &Team, o: &ReduceGrad, [input, grad_output]: [&[f32]; 2], grad_input: &mut [f32]) {
    let (kind, sizes) = (o.kind, Sizes::new(o.along));
    let (chunks, rows) = (sizes.inner.div_ceil(TOGETHER), grad_output.len() / sizes.inner);
    let grad_input = Shared::new(grad_input);
    let work = |span| Backward { span, kind, sizes, chunks, input, grad_output, grad_input };
    team.each(rows * chunks, 3 * sizes.nanoseconds(), work);
}

struct Backward<'a> {
    span: Span,
    kind: PoolKind,
    sizes: Sizes,
    chunks: usize,
    input: &'a [f32],
    grad_output: &'a [f32],
    grad_input: Shared<'a>,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Sizes { length, inner } = self.sizes;
        for index in self.span.first..self.span.end {
            let (row, first) = (index / self.chunks, index % self.chunks * TOGETHER);
            let lanes = TOGETHER.min(inner - first);
            let grad = &self.grad_output[row * inner + first..][..lanes];
            let from = row * length * inner + first;
            let chunk = Chunk { values: self.input, sizes: self.sizes, from, lanes };
            let (mut most, mut count) = ([0.0; TOGETHER], [0u32; TOGETHER]);
            if self.kind == PoolKind::Max {
                chunk.largest(&mut most[..lanes]);
                for position in 0..length {
                    for ((count, most), value) in count.iter_mut().zip(&most).zip(chunk.at(position)) {
                        *count += u32::from(value == most);
                    }
                }
            }
            for position in 0..length {
                // SAFETY: chunks are apart, and so are their positions.
                let written = unsafe { self.grad_input.part(from + position * inner, lanes) };
                match self.kind {
                    PoolKind::Average => {
                        for (dx, dy) in written.iter_mut().zip(grad) {
                            *dx = dy / length as f32;
                        }
                    }
                    PoolKind::Max => {
                        let ties = most.iter().zip(&count).zip(chunk.at(position)).zip(grad);
                        for (dx, (((most, &count), value), dy)) in written.iter_mut().zip(ties) {
                            *dx = if value == most { 1.0 } else { 0.0 } / count as f32 * dy;
                        }
                    }
                }
            }
        }
    }
}
