//! `Update`, `MovingAverage`, `PenaltyGrad` and `NonNegative`: element by element, each array passed once.

use super::change::{Changed, slope};
use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{MovingAverage, PenaltyGrad};
use pulp::{Simd, WithSimd};

/// Elements of a piece.
const PIECE: usize = 4096;

/// Updates a parameter and its states by its gradient.
pub(super) fn update(team: &Team, changed: Changed<'_>, gradient: &[f32]) {
    let pieces = gradient.len().div_ceil(PIECE);
    team.each(pieces, nanoseconds(gradient.len(), changed.states()), |span| Update { span, changed, gradient });
}

struct Update<'a> {
    span: Span,
    changed: Changed<'a>,
    gradient: &'a [f32],
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let first = self.span.first * PIECE;
        let end = (self.span.end * PIECE).min(self.gradient.len());
        // SAFETY: spans are apart.
        unsafe { self.changed.change(simd, first, &self.gradient[first..end]) };
    }
}

/// A guess of how long a piece takes, of an array that is read and some that are changed. Bytes decide: some 5 a
/// nanosecond.
fn nanoseconds(length: usize, states: usize) -> u64 {
    (PIECE.min(length.max(1)) * (3 + 2 * states) * 4 / 5) as u64
}

/// Sets negative weights to 0.
pub(super) fn non_negative(team: &Team, parameter: &mut [f32]) {
    let pieces = parameter.len().div_ceil(PIECE);
    let (length, parameter) = (parameter.len(), Shared::new(parameter));
    team.each(pieces, PIECE as u64 / 4, |span| Positive { span, length, parameter });
}

struct Positive<'a> {
    span: Span,
    length: usize,
    parameter: Shared<'a>,
}

impl WithSimd for Positive<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let first = self.span.first * PIECE;
        // SAFETY: spans are apart.
        let values = unsafe { self.parameter.part(first, (self.span.end * PIECE).min(self.length) - first) };
        // NaN stays NaN.
        values.iter_mut().for_each(|w| *w *= if *w >= 0.0 { 1.0 } else { 0.0 });
    }
}

/// An array that is read, and one that is changed by it, element by element.
pub(super) struct Pair<'a> {
    pub(super) team: &'a Team,
    pub(super) read: &'a [f32],
    pub(super) written: &'a mut [f32],
}

impl Pair<'_> {
    /// Averages a new value into an old average.
    pub(super) fn moving_average(self, o: &MovingAverage, batch: u32) {
        let (kept, share) = (o.momentum as f32, o.share(batch) as f32);
        if kept == 0.0 {
            return self.each(move |value, _| share * value);
        }
        self.each(move |value, average| kept * average + share * value);
    }

    /// The gradient of a penalty, times `share`.
    pub(super) fn penalty_grad(self, o: &PenaltyGrad, share: f32) {
        let penalty = [o.l1, 2.0 * o.l2];
        let gradient = move |x: f32| slope(penalty, x) * share;
        if o.accumulate {
            return self.each(move |x, sum| sum + gradient(x));
        }
        self.each(move |x, _| gradient(x));
    }

    /// Replaces each element by `change` of it and of the element that is read.
    fn each(self, change: impl Fn(f32, f32) -> f32 + Sync) {
        let length = self.written.len();
        let (read, written, change) = (self.read, Shared::new(self.written), &change);
        let each = |span| Pieces { span, length, read, written, change };
        self.team.each(length.div_ceil(PIECE), nanoseconds(length, 0), each);
    }
}

struct Pieces<'a, F> {
    span: Span,
    length: usize,
    read: &'a [f32],
    written: Shared<'a>,
    change: &'a F,
}

impl<F: Fn(f32, f32) -> f32> WithSimd for Pieces<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let first = self.span.first * PIECE;
        let length = (self.span.end * PIECE).min(self.length) - first;
        // SAFETY: spans are apart.
        let written = unsafe { self.written.part(first, length) };
        for (value, read) in written.iter_mut().zip(&self.read[first..][..length]) {
            *value = (self.change)(*read, *value);
        }
    }
}
