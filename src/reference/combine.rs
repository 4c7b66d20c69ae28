//! Values combined element by element, and sums along axes.

use crate::ops::{Combine, CombineGrad, How, Part, Sizes, Sum, Variance};

/// For each element of samples of these sizes, its sample and its index along each axis.
pub(super) fn places(sizes: Sizes, batch: usize) -> impl Iterator<Item = (usize, [usize; 4])> {
    let [s0, s1, s2, s3] = sizes.map(|size| size as usize);
    (0..batch * s0 * s1 * s2 * s3)
        .map(move |i| (i / (s0 * s1 * s2 * s3), [i / (s1 * s2 * s3) % s0, i / (s2 * s3) % s1, i / s3 % s2, i % s3]))
}

/// The operand's element for a place of the result; along an axis of size 1 it is always the same.
fn element(part: &Part, sample: usize, place: [usize; 4]) -> usize {
    let along = |all: usize, (size, index): (&u64, usize)| all * *size as usize + if *size == 1 { 0 } else { index };
    part.sizes.iter().zip(place).fold(if part.batched { sample } else { 0 }, along)
}

/// `(a how b) / divisor`.
#[must_use]
pub fn combine(o: &Combine, a: &[f64], b: &[f64], batch: usize) -> Vec<f64> {
    let batch = if o.a.batched || o.b.batched { batch } else { 1 };
    let of = |(sample, place)| (a[element(&o.a, sample, place)], b[element(&o.b, sample, place)]);
    let combined = |(a, b): (f64, f64)| match o.how {
        How::Add => a + b,
        How::Subtract => a - b,
        How::Multiply => a * b,
        How::Maximum | How::Minimum if a.is_nan() || b.is_nan() => f64::NAN,
        How::Maximum => a.max(b),
        How::Minimum => a.min(b),
        How::PRelu => {
            if a <= 0.0 {
                a * b
            } else {
                a
            }
        }
    };
    places(o.sizes, batch).map(of).map(|operands| combined(operands) / f64::from(o.divisor)).collect()
}

/// The gradient of one operand at each element of the output.
#[must_use]
pub fn combine_grad(o: &CombineGrad, a: &[f64], b: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let batch = grad_output.len() / o.sizes.iter().product::<u64>() as usize;
    let gradient = |((sample, place), dy): ((usize, [usize; 4]), &f64)| {
        let (a, b) = (a[element(&o.a, sample, place)], b[element(&o.b, sample, place)]);
        let taken = |first: bool| if first != o.of_second { *dy } else { 0.0 };
        match o.how {
            How::Maximum => taken(a >= b),
            How::Minimum => taken(a <= b),
            How::PRelu if o.of_second => {
                if a > 0.0 {
                    0.0
                } else {
                    a * dy
                }
            }
            How::PRelu if a > 0.0 => *dy,
            How::PRelu if a < 0.0 => b * dy,
            How::PRelu => 0.0,
            How::Add => *dy,
            How::Subtract => {
                if o.of_second {
                    -dy
                } else {
                    *dy
                }
            }
            How::Multiply => dy * if o.of_second { a } else { b },
        }
    };
    places(o.sizes, batch).zip(grad_output).map(gradient).collect()
}

/// Sums along axes, divided.
#[must_use]
pub fn sum(o: &Sum, input: &[f64], batch: usize) -> Vec<f64> {
    let left = Part { buffer: o.output, sizes: o.left(), batched: !o.over_batch };
    let mut sums = vec![0.0; left.elements() as usize * if o.over_batch { 1 } else { batch }];
    let divisor = f64::from(o.divisor) * if o.by_batch { batch.max(1) as f64 } else { 1.0 };
    for ((sample, place), value) in places(o.sizes, batch).zip(input) {
        sums[element(&left, sample, place)] += value / divisor;
    }
    sums
}

/// The variance along axes and over samples.
#[must_use]
pub fn variance(o: &Variance, input: &[f64], mean: &[f64], batch: usize) -> Vec<f64> {
    let left = Part::fixed(o.output, o.left());
    let mut sums = vec![0.0; left.elements() as usize];
    let terms = (o.terms() as usize * batch.max(1)) as f64;
    for ((sample, place), value) in places(o.sizes, batch).zip(input) {
        let at = element(&left, sample, place);
        sums[at] += (value - mean[at]) * (value - mean[at]) / terms;
    }
    sums
}
