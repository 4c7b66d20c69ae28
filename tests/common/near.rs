//! Comparisons of arrays of floats: `approx` decides, and the message names the worst element.

use approx::AbsDiffEq;
use std::fmt::Display;

/// Panics unless every value is as expected to `tolerance` of the largest that is expected (of 1, where all of them are
/// smaller, as in sums that cancel).
#[track_caller]
pub(crate) fn assert_near(what: impl Display, found: &[f32], expected: &[f64], tolerance: f64) {
    let largest = largest(expected).max(1.0);
    if let Some(worst) = disagreement(found, expected, tolerance * largest) {
        panic!("{what}: {worst}, which is {tolerance:e} of the largest value, {largest}");
    }
}

/// The largest magnitude.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

/// The element that is farthest from what is expected, where one is farther than `epsilon`, or the lengths, where they
/// differ.
pub(crate) fn disagreement(found: &[f32], expected: &[f64], epsilon: f64) -> Option<String> {
    let found: Vec<f64> = found.iter().map(|&value| value.into()).collect();
    if found.as_slice().abs_diff_eq(expected, epsilon) {
        return None;
    }
    if found.len() != expected.len() {
        return Some(format!("{} values, not {}", found.len(), expected.len()));
    }
    // A NaN must not pass for small; infinities are near nothing.
    let off = |(found, expected): (&f64, &f64)| match (found - expected).abs() {
        off if off.is_nan() => f64::INFINITY,
        off => off,
    };
    let worst = found.iter().zip(expected).map(off).enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    let (index, off) = worst.unwrap_or_default();
    let (found, expected, of) = (found[index], expected[index], found.len());
    Some(format!("element {index} of {of} is {found}, not {expected}: off by {off:e}, over {epsilon:e}"))
}
