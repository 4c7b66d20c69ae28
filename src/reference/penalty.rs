//! Penalties, their gradients, and sums over whole buffers.

use crate::ops::{ClipScale, Orthogonal, OrthogonalGrad, PenaltyGrad, StepNumbers, Term, Total, Vectors};

/// The factor 1 / samples, if a step is given; else 1.
fn per_sample(step: Option<StepNumbers>) -> f64 {
    step.map_or(1.0, |step| step.per_sample.into())
}

/// The gradient of `l1·Σ|of| + l2·Σof²`.
#[must_use]
pub fn penalty_grad(o: &PenaltyGrad, of: &[f64], step: Option<StepNumbers>) -> Vec<f64> {
    let share = per_sample(step);
    of.iter().map(|&x| slope([o.l1, o.l2], x) * share).collect()
}

/// The derivative of `l1·|x| + l2·x²`.
pub(super) fn slope([l1, l2]: [f32; 2], x: f64) -> f64 {
    let sign = if x == 0.0 { 0.0 } else { x.signum() };
    f64::from(l1) * sign + 2.0 * f64::from(l2) * x
}

/// The sum of a buffer.
#[must_use]
pub fn total(o: &Total, input: &[f64], step: Option<StepNumbers>) -> f64 {
    let term = |x: &f64| match o.of {
        Term::Value => *x,
        Term::Magnitude => x.abs(),
        Term::Square => x * x,
    };
    input.iter().map(term).sum::<f64>() * f64::from(o.factor) * per_sample(step)
}

/// The factor that clips gradients by their norm.
#[must_use]
pub fn clip_scale(o: &ClipScale, squares: f64) -> f64 {
    let (norm, limit) = (squares.sqrt(), f64::from(o.limit));
    if norm.is_nan() || o.global && norm.is_infinite() { f64::NAN } else { limit / norm.max(limit) }
}

/// Least square of a norm that vectors are divided by: that of TensorFlow's `l2_normalize`.
const LEAST: f64 = 1e-12;

/// The vectors of a matrix, each divided by its norm.
fn normalised(of: Vectors, matrix: &[f64]) -> Vec<Vec<f64>> {
    let [count, length, vector, element] = [of.count, of.length, of.vector, of.element].map(|size| size as usize);
    let values = |i: usize| (0..length).map(move |c| matrix[i * vector + c * element]);
    let norm = |i: usize| values(i).map(|x| x * x).sum::<f64>().max(LEAST).sqrt();
    (0..count).map(|i| values(i).map(|x| x / norm(i)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How far a matrix's rows or columns are from orthogonal.
#[must_use]
pub fn orthogonal(o: &Orthogonal, input: &[f64]) -> f64 {
    let of = o.vectors();
    let all = normalised(of, input);
    let others = |i: usize| all.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, b)| b);
    let sum: f64 = all.iter().enumerate().map(|(i, a)| others(i).map(|b| dot(a, b).abs()).sum::<f64>()).sum();
    sum * of.share(o.factor)
}

/// The gradient of [`orthogonal`].
#[must_use]
pub fn orthogonal_grad(o: &OrthogonalGrad, input: &[f64]) -> Vec<f64> {
    let of = o.vectors();
    let all = normalised(of, input);
    let mut grad = vec![0.0; input.len()];
    for (i, a) in all.iter().enumerate() {
        // By the normalised vector; each pair counts in both orders.
        let mut by_normalised = vec![0.0; a.len()];
        for (_, b) in all.iter().enumerate().filter(|(j, _)| *j != i) {
            let product = dot(a, b);
            let sign = if product == 0.0 { 0.0 } else { product.signum() };
            by_normalised.iter_mut().zip(b).for_each(|(sum, b)| *sum += 2.0 * of.share(o.factor) * sign * b);
        }
        let place = |c: usize| i * of.vector as usize + c * of.element as usize;
        let square: f64 = (0..a.len()).map(|c| input[place(c)] * input[place(c)]).sum();
        let along = if square >= LEAST { dot(a, &by_normalised) } else { 0.0 };
        for (c, g) in by_normalised.iter().enumerate() {
            grad[place(c)] = (g - a[c] * along) / square.max(LEAST).sqrt();
        }
    }
    grad
}
