//! `Rearrange`, `RearrangeGrad` and `Concatenate`.

use super::shared::Shared;
use super::team::{Span, Team};
use super::transpose::transpose;
use crate::ops::{AxisMap, MOST_AXES, Moved, MovedAxes, repeats};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Axes without the last one: rows differ by their places along these.
type Outer = [usize; MOST_AXES - 1];

/// The sizes of an array along all axes but the last.
fn sizes(axes: &MovedAxes, size: impl Fn(&AxisMap) -> u32) -> Outer {
    std::array::from_fn(|at| size(&axes.0[at].map) as usize)
}

/// The places of row `index` along all axes but the last, and its sample.
#[inline(always)]
fn places(sizes: Outer, index: usize) -> (Outer, usize) {
    let (mut places, mut rest) = ([0; MOST_AXES - 1], index);
    for (place, size) in places.iter_mut().zip(sizes).rev() {
        (*place, rest) = (rest % size, rest / size);
    }
    (places, rest)
}

/// Each output element is an input element, or 0.
pub(super) fn rearrange(team: &Team, axes: &[AxisMap], input: &[f32], output: &mut [f32]) {
    if let Some(moved) = MovedAxes::new(axes) {
        move_axes(team, moved, input, output);
    }
}

fn move_axes(team: &Team, axes: MovedAxes, input: &[f32], output: &mut [f32]) {
    if let Some(sides) = axes.transposition() {
        return transpose(team, sides.map(|side| side as usize), input, output);
    }
    let sample = axes.0.iter().map(|axis| axis.map.input as usize).product();
    let row = axes.0[MOST_AXES - 1].map.output as usize;
    let (rows, output) = (output.len() / row, Shared::new(output));
    team.each(rows, 10 + row as u64 / 4, |span| Rows { span, axes, sample, input, output });
}

/// Rows of outputs, along the last axis.
struct Rows<'a> {
    span: Span,
    axes: MovedAxes,
    /// Elements of an input sample.
    sample: usize,
    input: &'a [f32],
    output: Shared<'a>,
}

/// The input position that an output position takes its value from.
#[inline(always)]
fn read(map: &AxisMap, place: usize) -> Option<usize> {
    let at = place as isize - map.before as isize;
    (at >= 0).then_some(at as usize / map.repeat as usize).filter(|at| *at < map.input as usize)
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [outer @ .., Moved { map, stride }] = self.axes.0;
        let stride = stride as usize;
        let (sizes, row) = (sizes(&self.axes, |map| map.output), map.output as usize);
        for index in self.span.first..self.span.end {
            // SAFETY: rows are apart.
            let output = unsafe { self.output.part(index * row, row) };
            let (places, n) = places(sizes, index);
            let from = outer.iter().zip(places).try_fold(n * self.sample, |from, (axis, place)| {
                Some(from + read(&axis.map, place)? * axis.stride as usize)
            });
            let Some(from) = from else {
                output.fill(0.0);
                continue;
            };
            if map.repeat == 1 && stride == 1 {
                let first = map.before.max(0).min(map.output as i32) as usize;
                let skipped = (-map.before).max(0) as usize;
                let count = (row - first).min((map.input as usize).saturating_sub(skipped));
                output[..first].fill(0.0);
                if count > 0 {
                    output[first..][..count].copy_from_slice(&self.input[from + skipped..][..count]);
                }
                output[first + count..].fill(0.0);
            } else {
                for (place, to) in output.iter_mut().enumerate() {
                    *to = read(&map, place).map_or(0.0, |at| self.input[from + at * stride]);
                }
            }
        }
    }
}

/// The gradient by each input element: the sum over the output elements that take their value from it.
pub(super) fn rearrange_grad(team: &Team, axes: &[AxisMap], grad_output: &[f32], grad_input: &mut [f32]) {
    let Some(moved) = MovedAxes::new(axes) else { return };
    if !repeats(axes) {
        return move_axes(team, moved.inverse(), grad_output, grad_input);
    }
    let axes = moved.by_input();
    let row = axes.0[MOST_AXES - 1].map.input as usize;
    let sums = axes.0.iter().map(|axis| u64::from(axis.map.repeat)).product::<u64>();
    let sample = axes.0.iter().map(|axis| axis.map.output as usize).product();
    let (rows, grad_input) = (grad_input.len() / row, Shared::new(grad_input));
    team.each(rows, 20 + row as u64 * sums / 2, |span| Sums { span, axes, sample, grad_output, grad_input });
}

/// Rows of an input's gradient, along its last axis.
struct Sums<'a> {
    span: Span,
    axes: MovedAxes,
    /// Elements of an output sample.
    sample: usize,
    grad_output: &'a [f32],
    grad_input: Shared<'a>,
}

/// The output positions that take their value from an input position.
#[inline(always)]
fn readers(map: &AxisMap, place: usize) -> Range<usize> {
    let first = (place * map.repeat as usize) as isize + map.before as isize;
    let inside = |at: isize| at.clamp(0, map.output as isize) as usize;
    inside(first)..inside(first + map.repeat as isize)
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [a, b, c, d, inner] = self.axes.0;
        let (sizes, row) = (sizes(&self.axes, |map| map.input), inner.map.input as usize);
        for index in self.span.first..self.span.end {
            // SAFETY: rows are apart.
            let sums = unsafe { self.grad_input.part(index * row, row) };
            sums.fill(0.0);
            let (places, n) = places(sizes, index);
            let [a_at, b_at, c_at, d_at] = places;
            for o_a in readers(&a.map, a_at) {
                for o_b in readers(&b.map, b_at) {
                    for o_c in readers(&c.map, c_at) {
                        for o_d in readers(&d.map, d_at) {
                            let along = [(o_a, a), (o_b, b), (o_c, c), (o_d, d)];
                            let from: usize = along.iter().map(|(o, axis)| o * axis.stride as usize).sum();
                            add(sums, inner, &self.grad_output[n * self.sample + from..]);
                        }
                    }
                }
            }
        }
    }
}

/// Adds the gradients of what takes its values from a row of inputs.
#[inline(always)]
fn add(sums: &mut [f32], Moved { map, stride }: Moved, grad: &[f32]) {
    if map == AxisMap::whole(map.input, map.of) && stride == 1 {
        for (sum, dy) in sums.iter_mut().zip(grad) {
            *sum += dy;
        }
        return;
    }
    for (place, sum) in sums.iter_mut().enumerate() {
        for o in readers(&map, place) {
            *sum += grad[o * stride as usize];
        }
    }
}

/// Some columns of an output.
#[derive(Clone, Copy)]
pub(super) struct SomeColumns {
    pub(super) first: usize,
    pub(super) count: usize,
    /// How many columns the output has.
    pub(super) all: usize,
}

/// Copies one of several inputs to its columns of the output.
pub(super) fn concatenate(team: &Team, columns: SomeColumns, input: &[f32], output: &mut [f32]) {
    let (rows, output) = (input.len() / columns.count, Shared::new(output));
    team.each(rows, 5 + columns.count as u64 / 4, |span| Copies { span, columns, input, output });
}

struct Copies<'a> {
    span: Span,
    columns: SomeColumns,
    input: &'a [f32],
    output: Shared<'a>,
}

impl WithSimd for Copies<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let SomeColumns { first, count, all } = self.columns;
        for row in self.span.first..self.span.end {
            // SAFETY: rows are apart.
            let output = unsafe { self.output.part(row * all + first, count) };
            output.copy_from_slice(&self.input[row * count..][..count]);
        }
    }
}
