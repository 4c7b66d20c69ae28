//! `Total`, `ClipScale`, `Orthogonal` and `OrthogonalGrad`.

use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{ClipScale, Term, Vectors};
use pulp::{Simd, WithSimd};

/// Most terms of a part of a sum.
pub(super) const PART: usize = 4096;
/// How many sums of a part are taken side by side.
const SUMS: usize = 16;
/// Least square of a norm that vectors are divided by: that of TensorFlow's `l2_normalize`.
const LEAST: f64 = 1e-12;

/// The sum of an array, in f64: of its parts, in order. `parts` has room for one number for each part.
pub(super) fn total(team: &Team, of: Term, input: &[f32], parts: &mut [f64]) -> f64 {
    let parts = &mut parts[..input.len().div_ceil(PART)];
    let shared = Shared::new(parts);
    team.each(input.len().div_ceil(PART), PART as u64 / 4, |span| Parts { span, of, input, parts: shared });
    parts.iter().sum()
}

/// Writes a sum, or adds it to what is there.
pub(super) fn put(sum: f64, accumulate: bool, output: &mut [f32]) {
    for output in output {
        *output = if accumulate { (f64::from(*output) + sum) as f32 } else { sum as f32 };
    }
}

struct Parts<'a> {
    span: Span,
    of: Term,
    input: &'a [f32],
    parts: Shared<'a, f64>,
}

impl WithSimd for Parts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for part in self.span.first..self.span.end {
            let first = part * PART;
            let values = &self.input[first..self.input.len().min(first + PART)];
            let sum = match self.of {
                Term::Value => lanes(values, |x| x),
                Term::Magnitude => lanes(values, f64::abs),
                Term::Square => lanes(values, |x| x * x),
            };
            // SAFETY: parts are apart.
            let to = unsafe { self.parts.part(part, 1) };
            to[0] = sum;
        }
    }
}

/// A sum in an order that doesn't depend on the instructions.
#[inline(always)]
fn lanes(values: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let (whole, rest) = values.as_chunks::<SUMS>();
    let mut sums = [0f64; SUMS];
    for values in whole {
        sums.iter_mut().zip(values).for_each(|(sum, x)| *sum += term(f64::from(*x)));
    }
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += term(f64::from(*x)));
    sums.iter().sum()
}

/// The factor that clips gradients.
pub(super) fn clip_scale(o: &ClipScale, squares: f32) -> f32 {
    let norm = squares.sqrt();
    if norm.is_nan() || o.global && norm.is_infinite() { f32::NAN } else { o.limit / norm.max(o.limit) }
}

/// A matrix whose vectors are compared with each other.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) of: Vectors,
    pub(super) share: f64,
    pub(super) accumulate: bool,
    pub(super) values: &'a [f32],
}

impl Matrix<'_> {
    fn element(&self, vector: usize, at: usize) -> f64 {
        f64::from(self.values[vector * self.of.vector as usize + at * self.of.element as usize])
    }

    fn dot(&self, a: usize, b: usize) -> f64 {
        (0..self.of.length as usize).map(|at| self.element(a, at) * self.element(b, at)).sum()
    }

    fn nanoseconds(&self) -> u64 {
        self.of.count.saturating_mul(self.of.length)
    }

    /// Writes 1 / norm of each vector.
    fn factors(&self, team: &Team, factors: &mut [f64]) {
        let factors = Shared::new(factors);
        team.each(self.of.count as usize, self.of.length, |span| Each {
            span,
            work: |i: usize| {
                // SAFETY: vectors are apart.
                let to = unsafe { factors.part(i, 1) };
                to[0] = 1.0 / self.dot(i, i).max(LEAST).sqrt();
            },
        });
    }
}

struct Each<F> {
    span: Span,
    work: F,
}

impl<F: Fn(usize)> WithSimd for Each<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        (self.span.first..self.span.end).for_each(self.work);
    }
}

/// How far the matrix is from orthogonal; `parts` has room for two numbers for each vector.
pub(super) fn orthogonal(team: &Team, matrix: Matrix<'_>, parts: &mut [f64]) -> f64 {
    let count = matrix.of.count as usize;
    let (factors, sums) = parts[..2 * count].split_at_mut(count);
    matrix.factors(team, factors);
    let (factors, shared) = (&*factors, Shared::new(sums));
    team.each(count, matrix.nanoseconds(), |span| Each {
        span,
        work: |i: usize| {
            let products = (0..count).filter(|j| *j != i).map(|j| (matrix.dot(i, j) * factors[i] * factors[j]).abs());
            // SAFETY: vectors are apart.
            let to = unsafe { shared.part(i, 1) };
            to[0] = products.sum();
        },
    });
    sums.iter().sum::<f64>() * matrix.share
}

/// The gradient of [`orthogonal`]; `parts`, and each thread's room, has a number for each vector.
pub(super) fn orthogonal_grad(team: &Team, matrix: Matrix<'_>, parts: &mut [f64], grad: &mut [f32]) {
    let count = matrix.of.count as usize;
    let factors = &mut parts[..count];
    matrix.factors(team, factors);
    let (factors, shared) = (&*factors, Shared::new(grad));
    team.each(count, 2 * matrix.nanoseconds(), |span| Each {
        span,
        work: |i: usize| {
            let mut room = team.room();
            let signs = &mut room.floats[..count];
            let mut along = 0.0;
            for (j, sign) in signs.iter_mut().enumerate() {
                let product = if j == i { 0.0 } else { matrix.dot(i, j) * factors[i] * factors[j] };
                along += product.abs();
                *sign = if product == 0.0 { 0.0 } else { product.signum() as f32 };
            }
            if matrix.dot(i, i) < LEAST {
                along = 0.0;
            }
            for c in 0..matrix.of.length as usize {
                let signed = signs.iter().zip(factors).enumerate();
                let toward: f64 =
                    signed.map(|(j, (sign, factor))| f64::from(*sign) * factor * matrix.element(j, c)).sum();
                let own = matrix.element(i, c) * factors[i];
                let change = 2.0 * matrix.share * factors[i] * (toward - own * along);
                let at = i * matrix.of.vector as usize + c * matrix.of.element as usize;
                // SAFETY: vectors have elements of their own.
                let to = unsafe { shared.part(at, 1) };
                to[0] = if matrix.accumulate { (f64::from(to[0]) + change) as f32 } else { change as f32 };
            }
        },
    });
}
