//! Losses, their gradients, accuracy.

use crate::ops::{Hits, HitsKind, Judged, Loss, LossGrad, LossKind, StepNumbers};

/// The epsilon that Keras clips probabilities to, as a 32-bit float.
const EPSILON: f64 = 1e-7_f32 as f64;
const MOST: f64 = (1.0 - 1e-7_f32) as f64;

fn clipped(p: f64) -> f64 {
    p.clamp(EPSILON, MOST)
}

/// The slope of [`clipped`].
fn is_within(p: f64) -> f64 {
    f64::from(u8::from((EPSILON..=MOST).contains(&p)))
}

/// The largest of a row, and the sum of `e^(x − largest)`.
fn largest_and_sum(row: &[f64]) -> (f64, f64) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (largest, row.iter().map(|x| (x - largest).exp()).sum())
}

/// The class that a target says, if it is one.
fn class(target: f64, classes: usize) -> Option<usize> {
    let whole = target.trunc();
    (0.0..classes as f64).contains(&whole).then_some(whole as usize)
}

/// A prediction, its target and the samples' weights.
#[derive(Debug, Clone, Copy)]
pub struct JudgedValues<'a> {
    /// `[batch][rows][classes]`, as [`Judged`] counts them.
    pub prediction: &'a [f64],
    /// As the prediction, or `[batch][rows]` where targets are class numbers.
    pub target: &'a [f64],
    /// `[batch]`; none is 1 for each sample.
    pub sample_weight: Option<&'a [f64]>,
}

impl JudgedValues<'_> {
    fn weight(&self, sample: usize) -> f64 {
        self.sample_weight.map_or(1.0, |weight| weight[sample])
    }
}

/// The loss at one element, for losses that are means over elements.
fn of_element(kind: LossKind, p: f64, t: f64) -> f64 {
    match kind {
        LossKind::MeanSquaredError => (p - t) * (p - t),
        LossKind::MeanAbsoluteError => (p - t).abs(),
        LossKind::Huber { delta } => {
            let (off, delta) = ((p - t).abs(), f64::from(delta));
            if off <= delta { 0.5 * off * off } else { delta * off - 0.5 * delta * delta }
        }
        LossKind::BinaryCrossentropy { from_logits: true, .. } => p.max(0.0) - p * t + (-p.abs()).exp().ln_1p(),
        _ => {
            let p = clipped(p);
            -(t * (p + EPSILON).ln() + (1.0 - t) * (1.0 - p + EPSILON).ln())
        }
    }
}

/// The derivative of that loss by `p`.
fn slope_of_element(kind: LossKind, p: f64, t: f64) -> f64 {
    let sign = |off: f64| if off == 0.0 { 0.0 } else { off.signum() };
    match kind {
        LossKind::MeanSquaredError => 2.0 * (p - t),
        LossKind::MeanAbsoluteError => sign(p - t),
        LossKind::Huber { delta } => {
            let (off, delta) = (p - t, f64::from(delta));
            if off.abs() <= delta { off } else { delta * sign(off) }
        }
        LossKind::BinaryCrossentropy { from_logits: true, .. } => 1.0 / (1.0 + (-p).exp()) - t,
        _ => {
            let within = is_within(p);
            let p = clipped(p);
            within * ((1.0 - t) / (1.0 - p + EPSILON) - t / (p + EPSILON))
        }
    }
}

/// The loss of a row of classes, whose target has as many elements or is one class number.
fn of_row(kind: LossKind, p: &[f64], t: &[f64]) -> f64 {
    match kind {
        LossKind::CategoricalCrossentropy { from_logits: true, .. } => {
            let (largest, sum) = largest_and_sum(p);
            p.iter().zip(t).map(|(p, t)| t * (sum.ln() - (p - largest))).sum()
        }
        LossKind::CategoricalCrossentropy { from_logits: false, .. } => {
            let sum: f64 = p.iter().sum();
            -p.iter().zip(t).map(|(p, t)| t * clipped(p / sum).ln()).sum::<f64>()
        }
        LossKind::SparseCategoricalCrossentropy { from_logits } => {
            let Some(class) = class(t[0], p.len()) else { return f64::NAN };
            if from_logits {
                let (largest, sum) = largest_and_sum(p);
                sum.ln() - (p[class] - largest)
            } else {
                p.iter().map(|&p| clipped(p)).sum::<f64>().ln() - clipped(p[class]).ln()
            }
        }
        _ => p.iter().zip(t).map(|(&p, &t)| of_element(kind, p, t)).sum::<f64>() / p.len() as f64,
    }
}

/// The gradient of that loss by the prediction.
fn grad_of_row(kind: LossKind, p: &[f64], t: &[f64]) -> Vec<f64> {
    match kind {
        LossKind::CategoricalCrossentropy { from_logits: true, .. } => {
            let (largest, sum) = largest_and_sum(p);
            p.iter().zip(t).map(|(p, t)| (p - largest).exp() / sum - t).collect()
        }
        LossKind::CategoricalCrossentropy { from_logits: false, .. } => {
            let sum: f64 = p.iter().sum();
            let shares: Vec<f64> = p.iter().map(|p| p / sum).collect();
            let by_shares = |(&q, &t): (&f64, &f64)| -is_within(q) * t / clipped(q);
            let slopes: Vec<f64> = shares.iter().zip(t).map(by_shares).collect();
            let along: f64 = slopes.iter().zip(&shares).map(|(slope, q)| slope * q).sum();
            slopes.iter().map(|slope| (slope - along) / sum).collect()
        }
        LossKind::SparseCategoricalCrossentropy { from_logits } => {
            let Some(class) = class(t[0], p.len()) else { return vec![f64::NAN; p.len()] };
            let is_class = |i: usize| f64::from(u8::from(i == class));
            if from_logits {
                let (largest, sum) = largest_and_sum(p);
                p.iter().enumerate().map(|(i, p)| (p - largest).exp() / sum - is_class(i)).collect()
            } else {
                let sum: f64 = p.iter().map(|&p| clipped(p)).sum();
                let slope = |(i, &p): (usize, &f64)| is_within(p) * (1.0 / sum - is_class(i) / clipped(p));
                p.iter().enumerate().map(slope).collect()
            }
        }
        _ => {
            let slope = |(&one, &t): (&f64, &f64)| slope_of_element(kind, one, t) / p.len() as f64;
            p.iter().zip(t).map(slope).collect()
        }
    }
}

/// Rows of a prediction with their targets and the number of their sample.
fn rows<'a>(
    of: &Judged,
    prediction: &'a [f64],
    target: &'a [f64],
    targets: u64,
) -> impl Iterator<Item = (usize, &'a [f64], &'a [f64])> {
    let (rows, each) = (of.rows as usize, (targets / of.rows) as usize);
    let both = prediction.chunks_exact(of.classes as usize).zip(target.chunks_exact(each));
    both.enumerate().map(move |(row, (p, t))| (row / rows, p, t))
}

fn smoothed(kind: LossKind, classes: u64, targets: &[f64]) -> Vec<f64> {
    let [factor, addend] = kind.smoothing(classes);
    targets.iter().map(|t| t * factor + addend).collect()
}

/// Each sample's loss.
#[must_use]
pub fn loss(o: &Loss, values: JudgedValues<'_>) -> Vec<f64> {
    let JudgedValues { prediction, target, .. } = values;
    let Judged { rows: of_sample, classes, .. } = o.of;
    let target = smoothed(o.kind, classes, target);
    let mut losses = vec![0.0; prediction.len() / (of_sample * classes) as usize];
    for (sample, p, t) in rows(&o.of, prediction, &target, o.of.targets(o.kind.targets())) {
        losses[sample] += values.weight(sample) * of_row(o.kind, p, t) / of_sample as f64;
    }
    losses
}

/// The gradient of all samples' losses by the prediction.
#[must_use]
pub fn loss_grad(o: &LossGrad, values: JudgedValues<'_>, step: StepNumbers) -> Vec<f64> {
    let target = smoothed(o.kind, o.of.classes, values.target);
    let rows = rows(&o.of, values.prediction, &target, o.of.targets(o.kind.targets()));
    let gradient = |(sample, p, t)| {
        let factor = values.weight(sample) * f64::from(step.per_sample) / o.of.rows as f64;
        grad_of_row(o.kind, p, t).into_iter().map(move |slope| slope * factor)
    };
    rows.flat_map(gradient).collect()
}

/// The first place of the largest value; NaN counts as smaller than all else.
fn place_of_largest(row: &[f64]) -> usize {
    let larger = |best: usize, at: usize| if row[at] > row[best] || row[best].is_nan() { at } else { best };
    let best = (0..row.len()).fold(0, larger);
    if row[best].is_nan() { 0 } else { best }
}

/// Each sample's share of right predictions.
#[must_use]
pub fn hits(o: &Hits, values: JudgedValues<'_>) -> Vec<f64> {
    let JudgedValues { prediction, target, .. } = values;
    let hit = |p: &[f64], t: &[f64]| match o.kind {
        HitsKind::Binary { threshold } => {
            let hit = |p: f64, t: f64| f64::from(u8::from(p > threshold.into())) == t;
            p.iter().zip(t).filter(|(p, t)| hit(**p, **t)).count() as f64 / p.len() as f64
        }
        HitsKind::Categorical => f64::from(u8::from(place_of_largest(p) == place_of_largest(t))),
        HitsKind::Sparse => f64::from(u8::from(place_of_largest(p) as f64 == t[0])),
    };
    let mut all = vec![0.0; prediction.len() / (o.of.rows * o.of.classes) as usize];
    for (sample, p, t) in rows(&o.of, prediction, target, o.of.targets(o.kind.targets())) {
        all[sample] += values.weight(sample) * hit(p, t) / o.of.rows as f64;
    }
    all
}
