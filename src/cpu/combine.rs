//! `Combine`, `CombineGrad`, `Sum` and `Variance`.

use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{Combine, CombineGrad, How, Part, Sizes, Sum, Variance, strides};
use pulp::{Simd, WithSimd};

/// Elements of a row that are summed together.
const TOGETHER: usize = 256;

/// Two operands of a result, row by row of its last axis.
struct Operands<'a> {
    sizes: Sizes,
    parts: [Part; 2],
    values: [&'a [f32]; 2],
    /// A third array laid out as the result.
    beside: Option<&'a [f32]>,
}

/// Where row `row` of all samples begins in an operand of `sizes`, and the operand's step along the row.
fn row_of(part: &Part, sizes: &Sizes, row: usize) -> (usize, usize) {
    let [s0, s1, s2, _] = sizes.map(|size| size as usize);
    let place = [row / (s2 * s1) % s0, row / s2 % s1, row % s2];
    let strides = part.strides().map(|stride| stride as usize);
    let within: usize = place.iter().zip(strides).map(|(index, stride)| index * stride).sum();
    (row / (s0 * s1 * s2) * part.sample() as usize + within, strides[3])
}

/// `(a how b) / divisor`.
pub(super) fn combine(team: &Team, o: &Combine, values: [&[f32]; 2], output: &mut [f32]) {
    let operands = Operands { sizes: o.sizes, parts: [o.a, o.b], values, beside: None };
    let divisor = o.divisor;
    match o.how {
        How::Add => each(team, &operands, output, |a, b, _| (a + b) / divisor),
        How::Subtract => each(team, &operands, output, |a, b, _| (a - b) / divisor),
        How::Multiply => each(team, &operands, output, |a, b, _| a * b / divisor),
        // Neither may lose a NaN.
        How::Maximum => each(team, &operands, output, |a, b, _| {
            let other = if a < b { b } else { a + b };
            (if a >= b { a } else { other }) / divisor
        }),
        How::Minimum => each(team, &operands, output, |a, b, _| {
            let other = if a > b { b } else { a + b };
            (if a <= b { a } else { other }) / divisor
        }),
        How::PRelu => each(team, &operands, output, |a, b, _| if a <= 0.0 { a * b / divisor } else { a / divisor }),
    }
}

/// One operand's gradient at each element of the output, from both operands and the gradient by the output.
pub(super) fn combine_grad(team: &Team, o: &CombineGrad, [a, b, grad_output]: [&[f32]; 3], grad: &mut [f32]) {
    let operands = Operands { sizes: o.sizes, parts: [o.a, o.b], values: [a, b], beside: Some(grad_output) };
    let second = o.of_second;
    match o.how {
        How::Maximum => each(team, &operands, grad, |a, b, dy| if (a >= b) != second { dy } else { 0.0 }),
        How::Minimum => each(team, &operands, grad, |a, b, dy| if (a <= b) != second { dy } else { 0.0 }),
        How::PRelu if second => each(team, &operands, grad, |a, _, dy| if a > 0.0 { 0.0 } else { a * dy }),
        How::PRelu => each(team, &operands, grad, |a, b, dy| {
            let below = if a < 0.0 { b * dy } else { 0.0 };
            if a > 0.0 { dy } else { below }
        }),
        How::Add => each(team, &operands, grad, |_, _, dy| dy),
        How::Subtract => each(team, &operands, grad, |_, _, dy| if second { -dy } else { dy }),
        How::Multiply => each(team, &operands, grad, |a, b, dy| dy * if second { a } else { b }),
    }
}

/// Calls `function` with each element's operands and the element of the third array.
fn each(team: &Team, operands: &Operands<'_>, output: &mut [f32], function: impl Fn(f32, f32, f32) -> f32 + Sync) {
    let row = operands.sizes[3] as usize;
    let rows = output.len() / row;
    let (output, function) = (Shared::new(output), &function);
    team.each(rows, row as u64, |span| Rows { span, row, operands, output, function });
}

struct Rows<'a, F> {
    span: Span,
    row: usize,
    operands: &'a Operands<'a>,
    output: Shared<'a>,
    function: &'a F,
}

impl<F: Fn(f32, f32, f32) -> f32> WithSimd for Rows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { row, function, .. } = self;
        let Operands { sizes, parts: [a, b], values: [a_values, b_values], beside } = self.operands;
        for index in self.span.first..self.span.end {
            // SAFETY: rows are apart.
            let output = unsafe { self.output.part(index * row, row) };
            let ((a_first, a_step), (b_first, b_step)) = (row_of(a, sizes, index), row_of(b, sizes, index));
            let (a, b) = (&a_values[a_first..], &b_values[b_first..]);
            let none = [0.0];
            let (dy, dy_step) = beside.map_or((&none[..], 0), |beside| (&beside[index * row..][..row], 1));
            if (a_step, b_step, dy_step) == (1, 1, 1) {
                let operands = a[..row].iter().zip(&b[..row]).zip(dy);
                output.iter_mut().zip(operands).for_each(|(to, ((a, b), dy))| *to = function(*a, *b, *dy));
            } else if (a_step, b_step) == (1, 1) {
                let operands = a[..row].iter().zip(&b[..row]);
                output.iter_mut().zip(operands).for_each(|(to, (a, b))| *to = function(*a, *b, dy[0]));
            } else {
                let at = |i: usize| function(a[i * a_step], b[i * b_step], dy[i * dy_step]);
                output.iter_mut().zip(0..).for_each(|(to, i)| *to = at(i));
            }
        }
    }
}

/// Sums along axes, in f64 and in the order in which their terms lie.
pub(super) fn sum(team: &Team, o: &Sum, input: &[f32], output: &mut [f32]) {
    let batch = samples(&o.sizes, input);
    let divisor = f64::from(o.divisor) * if o.by_batch { batch.max(1) as f64 } else { 1.0 };
    let (sizes, left, summed) = (o.sizes, o.left(), o.summed());
    let axes = Axes { sizes, left, summed, samples: o.over_batch.then_some(batch) };
    axes.each(team, Terms { input, mean: None, divisor, accumulate: o.accumulate }, output);
}

/// How many samples of these sizes there are.
fn samples(sizes: &Sizes, values: &[f32]) -> usize {
    values.len() / sizes.iter().product::<u64>() as usize
}

/// The variance along axes and over samples, in f64 and in the order in which terms lie.
pub(super) fn variance(team: &Team, o: &Variance, [input, mean]: [&[f32]; 2], output: &mut [f32]) {
    let batch = samples(&o.sizes, input);
    let divisor = o.terms() as f64 * batch.max(1) as f64;
    let axes = Axes { sizes: o.sizes, left: o.left(), summed: o.taken(), samples: Some(batch) };
    axes.each(team, Terms { input, mean: Some(mean), divisor, accumulate: false }, output);
}

/// The axes of a sample: those that are left, and those that are summed along.
#[derive(Clone, Copy)]
struct Axes {
    sizes: Sizes,
    left: Sizes,
    summed: Sizes,
    /// How many samples a sum goes over; none where each sample has its own sums.
    samples: Option<usize>,
}

impl Axes {
    /// Writes each result's sum.
    fn each(self, team: &Team, of: Terms<'_>, output: &mut [f32]) {
        let row = self.left[3] as usize;
        // A task is some neighbouring results of a row.
        let (together, pieces) = (TOGETHER.min(row), row.div_ceil(TOGETHER));
        let rows = output.len() / row;
        let terms: u64 = self.summed.iter().product::<u64>() * self.samples.unwrap_or(1) as u64;
        let output = Shared::new(output);
        team.each(rows * pieces, terms.saturating_mul(together as u64).div_ceil(4), |span| Sums {
            span,
            axes: self,
            of,
            together,
            pieces,
            output,
        });
    }
}

/// The terms of sums: values, or their squared differences to each result's mean.
#[derive(Clone, Copy)]
struct Terms<'a> {
    input: &'a [f32],
    mean: Option<&'a [f32]>,
    divisor: f64,
    /// Whether the sum, divided, is added to the value in the output.
    accumulate: bool,
}

struct Sums<'a> {
    span: Span,
    axes: Axes,
    of: Terms<'a>,
    together: usize,
    pieces: usize,
    output: Shared<'a>,
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of, together, pieces, .. } = self;
        let Axes { sizes, left, summed, samples } = self.axes;
        let sample: usize = sizes.iter().product::<u64>() as usize;
        let steps = strides(&sizes).map(|stride| stride as usize);
        let row = left[3] as usize;
        // The axes that are left, with their strides in the input.
        let [l0, l1, l2, _] = left.map(|size| size as usize);
        let [t0, t1, t2, t3] = summed.map(|size| size as usize);
        let off = |x: f32, mean: f32| (f64::from(x) - f64::from(mean)) * (f64::from(x) - f64::from(mean));
        for index in self.span.first..self.span.end {
            let (at, first) = (index / pieces, index % pieces * together);
            let width = together.min(row - first);
            let own = if samples.is_some() { 0 } else { at / (l0 * l1 * l2) };
            let place = [at / (l1 * l2) % l0, at / l2 % l1, at % l2];
            let within: usize = place.iter().zip(steps).map(|(index, step)| index * step).sum();
            let from = own * sample + within + first;
            let mean = of.mean.map(|mean| &mean[at * row + first..][..width]);
            let mut sums = [0f64; TOGETHER];
            let sums = &mut sums[..width];
            for n in 0..samples.unwrap_or(1) {
                for (i, j, k) in (0..t0).flat_map(|i| (0..t1).flat_map(move |j| (0..t2).map(move |k| (i, j, k)))) {
                    let start = from + n * sample + i * steps[0] + j * steps[1] + k * steps[2];
                    if let [only] = sums
                        && t3 > 1
                    {
                        let terms = of.input[start..][..t3].iter();
                        *only += match mean {
                            None => terms.map(|&x| f64::from(x)).sum::<f64>(),
                            Some(mean) => terms.map(|&x| off(x, mean[0])).sum(),
                        };
                        continue;
                    }
                    let terms = &of.input[start..][..width];
                    match mean {
                        None => sums.iter_mut().zip(terms).for_each(|(sum, x)| *sum += f64::from(*x)),
                        Some(mean) => {
                            let both = terms.iter().zip(mean);
                            sums.iter_mut().zip(both).for_each(|(sum, (x, mean))| *sum += off(*x, *mean));
                        }
                    }
                }
            }
            // SAFETY: pieces of rows are apart.
            let output = unsafe { self.output.part(at * row + first, width) };
            for (to, sum) in output.iter_mut().zip(sums) {
                let result = *sum / of.divisor;
                *to = if of.accumulate { (f64::from(*to) + result) as f32 } else { result as f32 };
            }
        }
    }
}
