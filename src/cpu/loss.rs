//! `Loss`, `LossGrad` and `Hits`: a sample at a time, its sums in f64 and in the order of its elements.

use super::team::{Piece, Team};
use crate::ops::{Hits, HitsKind, Judged, Loss, LossGrad, LossKind, Targets};

/// The epsilon that Keras clips probabilities to, and adds to them.
const EPSILON: f32 = 1e-7;
const MOST: f32 = 1.0 - EPSILON;
/// Nanoseconds for an element: most of it for a logarithm.
const EACH: u64 = 8;

/// A prediction with its target and the samples' weights.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) prediction: &'a [f32],
    pub(super) target: &'a [f32],
    pub(super) weight: Option<&'a [f32]>,
    /// The factor of each sample's weight.
    pub(super) share: f32,
}

/// A row of classes and its targets.
#[derive(Clone, Copy)]
struct Row<'a> {
    prediction: &'a [f32],
    target: &'a [f32],
    /// Targets are multiplied by the first number, then the second is added.
    smoothing: [f64; 2],
}

impl<'a> Row<'a> {
    fn elements(self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        let [factor, addend] = self.smoothing;
        self.prediction.iter().zip(self.target).map(move |(&p, &t)| (p.into(), f64::from(t) * factor + addend))
    }

    /// The class that the target says, if it is one.
    fn class(self) -> Option<usize> {
        let whole = self.target[0].trunc();
        (0.0..self.prediction.len() as f32).contains(&whole).then_some(whole as usize)
    }

    /// The largest value, and the sum of `e^(x − largest)`.
    fn largest_and_sum(self) -> (f64, f64) {
        let largest = f64::from(self.prediction.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        (largest, self.prediction.iter().map(|&x| (f64::from(x) - largest).exp()).sum())
    }

    fn sum(self) -> f64 {
        self.prediction.iter().map(|&p| f64::from(p)).sum()
    }

    fn clipped_sum(self) -> f64 {
        self.prediction.iter().map(|&p| clipped(p.into())).sum()
    }
}

fn clipped(p: f64) -> f64 {
    p.clamp(EPSILON.into(), MOST.into())
}

/// The slope of [`clipped`].
fn is_within(p: f64) -> f64 {
    if p < EPSILON.into() || p > MOST.into() { 0.0 } else { 1.0 }
}

fn sign(off: f64) -> f64 {
    if off == 0.0 { 0.0 } else { off.signum() }
}

/// The loss at one element, for losses that are means over elements.
fn of_element(kind: LossKind, p: f64, t: f64) -> f64 {
    let (off, epsilon) = (p - t, f64::from(EPSILON));
    match kind {
        LossKind::MeanSquaredError => off * off,
        LossKind::MeanAbsoluteError => off.abs(),
        LossKind::Huber { delta } => {
            let delta = f64::from(delta);
            if off.abs() <= delta { 0.5 * off * off } else { delta * off.abs() - 0.5 * delta * delta }
        }
        LossKind::BinaryCrossentropy { from_logits: true, .. } => {
            // Not by `max`, which would turn NaN into 0.
            let positive = if p <= 0.0 { 0.0 } else { p };
            positive - p * t + (-p.abs()).exp().ln_1p()
        }
        _ => {
            let p = clipped(p);
            -(t * (p + epsilon).ln() + (1.0 - t) * (1.0 - p + epsilon).ln())
        }
    }
}

/// The derivative of that loss by `p`.
fn slope_of_element(kind: LossKind, p: f64, t: f64) -> f64 {
    let (off, epsilon) = (p - t, f64::from(EPSILON));
    match kind {
        LossKind::MeanSquaredError => 2.0 * off,
        LossKind::MeanAbsoluteError => sign(off),
        LossKind::Huber { delta } if off.abs() <= delta.into() => off,
        LossKind::Huber { delta } => f64::from(delta) * sign(off),
        LossKind::BinaryCrossentropy { from_logits: true, .. } => 1.0 / (1.0 + (-p).exp()) - t,
        _ => {
            let within = is_within(p);
            let p = clipped(p);
            within * ((1.0 - t) / (1.0 - p + epsilon) - t / (p + epsilon))
        }
    }
}

/// The loss of a row; for a mean over elements, still their sum.
fn of_row(kind: LossKind, row: Row<'_>) -> f64 {
    match kind {
        LossKind::CategoricalCrossentropy { from_logits: true, .. } => {
            let (largest, sum) = row.largest_and_sum();
            let logarithm = sum.ln();
            row.elements().map(|(p, t)| t * (logarithm - (p - largest))).sum()
        }
        LossKind::CategoricalCrossentropy { from_logits: false, .. } => {
            let sum = row.sum();
            -row.elements().map(|(p, t)| t * clipped(p / sum).ln()).sum::<f64>()
        }
        LossKind::SparseCategoricalCrossentropy { from_logits } => {
            let Some(class) = row.class() else { return f64::NAN };
            let p = f64::from(row.prediction[class]);
            if from_logits {
                let (largest, sum) = row.largest_and_sum();
                sum.ln() - (p - largest)
            } else {
                row.clipped_sum().ln() - clipped(p).ln()
            }
        }
        _ => row.elements().map(|(p, t)| of_element(kind, p, t)).sum(),
    }
}

/// The gradient of a row's loss times `factor`.
fn grad_of_row(kind: LossKind, row: Row<'_>, factor: f64, grad: &mut [f32]) {
    match kind {
        LossKind::CategoricalCrossentropy { from_logits: true, .. } => {
            let (largest, sum) = row.largest_and_sum();
            for (grad, (p, t)) in grad.iter_mut().zip(row.elements()) {
                *grad = (factor * ((p - largest).exp() / sum - t)) as f32;
            }
        }
        LossKind::CategoricalCrossentropy { from_logits: false, .. } => {
            let sum = row.sum();
            let slope = |p: f64, t: f64| -is_within(p / sum) * t / clipped(p / sum);
            let along: f64 = row.elements().map(|(p, t)| slope(p, t) * (p / sum)).sum();
            for (grad, (p, t)) in grad.iter_mut().zip(row.elements()) {
                *grad = (factor * ((slope(p, t) - along) / sum)) as f32;
            }
        }
        LossKind::SparseCategoricalCrossentropy { from_logits } => {
            let Some(class) = row.class() else { return grad.fill(f32::NAN) };
            let (largest, sum) = if from_logits { row.largest_and_sum() } else { (0.0, row.clipped_sum()) };
            for (i, (grad, &p)) in grad.iter_mut().zip(row.prediction).enumerate() {
                let (p, is_class) = (f64::from(p), if i == class { 1.0 } else { 0.0 });
                let slope = match from_logits {
                    true => (p - largest).exp() / sum - is_class,
                    false => is_within(p) * (1.0 / sum - is_class / clipped(p)),
                };
                *grad = (factor * slope) as f32;
            }
        }
        _ => {
            for (grad, (p, t)) in grad.iter_mut().zip(row.elements()) {
                *grad = (factor * slope_of_element(kind, p, t)) as f32;
            }
        }
    }
}

/// The first place of the largest value; NaN counts as smaller than all else.
fn place_of_largest(row: &[f32]) -> usize {
    let (mut place, mut largest) = (0, f32::NAN);
    for (&value, at) in row.iter().zip(0..) {
        if value > largest || largest.is_nan() && !value.is_nan() {
            (place, largest) = (at, value);
        }
    }
    place
}

/// 1 if a row is predicted rightly, else 0; for single elements how many are.
fn hits_of_row(kind: HitsKind, row: Row<'_>) -> f64 {
    let is = |hit: bool| if hit { 1.0 } else { 0.0 };
    match kind {
        HitsKind::Binary { threshold } => {
            let hit = |(p, t): (&f32, &f32)| is((if *p > threshold { 1.0 } else { 0.0 }) == *t);
            row.prediction.iter().zip(row.target).map(hit).sum()
        }
        HitsKind::Categorical => is(place_of_largest(row.prediction) == place_of_largest(row.target)),
        HitsKind::Sparse => is(place_of_largest(row.prediction) as f32 == row.target[0]),
    }
}

/// Samples, each of which is done row by row.
#[derive(Clone, Copy)]
struct Samples<'a> {
    of: Judged,
    targets: Targets,
    operands: Operands<'a>,
    smoothing: [f64; 2],
}

impl<'a> Samples<'a> {
    fn rows(self, sample: usize) -> impl Iterator<Item = Row<'a>> {
        let (classes, smoothing) = (self.of.classes as usize, self.smoothing);
        let of = |values: &'a [f32], elements: u64| &values[sample * elements as usize..][..elements as usize];
        let target = of(self.operands.target, self.of.targets(self.targets));
        let predictions = of(self.operands.prediction, self.of.elements()).chunks_exact(classes);
        let targets = target.chunks_exact(if self.targets == Targets::Classes { 1 } else { classes });
        predictions.zip(targets).map(move |(prediction, target)| Row { prediction, target, smoothing })
    }

    fn weight(self, sample: usize) -> f64 {
        self.operands.weight.map_or(1.0, |weight| f64::from(weight[sample])) * f64::from(self.operands.share)
    }

    /// What a row's result is divided by: a sum over elements becomes a mean.
    fn divisor(self, over_elements: bool) -> f64 {
        (if over_elements { self.of.elements() } else { self.of.rows }) as f64
    }
}

/// Whether a loss is a mean over elements.
fn over_elements(kind: LossKind) -> bool {
    !matches!(kind, LossKind::CategoricalCrossentropy { .. } | LossKind::SparseCategoricalCrossentropy { .. })
}

/// Each sample's loss.
pub(super) fn loss(team: &Team, o: &Loss, operands: Operands<'_>, output: &mut [f32]) {
    let smoothing = o.kind.smoothing(o.of.classes);
    let samples = Samples { of: o.of, targets: o.kind.targets(), operands, smoothing };
    let divisor = samples.divisor(over_elements(o.kind));
    team.pieces(output, of_sample(&o.of, 1), |sample, written| {
        let sum: f64 = samples.rows(sample).map(|row| of_row(o.kind, row)).sum();
        written[0] = (samples.weight(sample) * sum / divisor) as f32;
    });
}

/// The gradient of all samples' losses by the prediction.
pub(super) fn loss_grad(team: &Team, o: &LossGrad, operands: Operands<'_>, grad: &mut [f32]) {
    let smoothing = o.kind.smoothing(o.of.classes);
    let samples = Samples { of: o.of, targets: o.kind.targets(), operands, smoothing };
    let divisor = samples.divisor(over_elements(o.kind));
    let classes = o.of.classes as usize;
    team.pieces(grad, of_sample(&o.of, o.of.elements() as usize), |sample, written| {
        let factor = samples.weight(sample) / divisor;
        for (row, grad) in samples.rows(sample).zip(written.chunks_exact_mut(classes)) {
            grad_of_row(o.kind, row, factor, grad);
        }
    });
}

/// Each sample's share of right predictions.
pub(super) fn hits(team: &Team, o: &Hits, operands: Operands<'_>, output: &mut [f32]) {
    let samples = Samples { of: o.of, targets: o.kind.targets(), operands, smoothing: [1.0, 0.0] };
    let divisor = samples.divisor(matches!(o.kind, HitsKind::Binary { .. }));
    team.pieces(output, of_sample(&o.of, 1), |sample, written| {
        let sum: f64 = samples.rows(sample).map(|row| hits_of_row(o.kind, row)).sum();
        written[0] = (samples.weight(sample) * sum / divisor) as f32;
    });
}

/// How the output is divided among tasks: by samples.
fn of_sample(of: &Judged, elements: usize) -> Piece {
    Piece { elements, nanoseconds: EACH.saturating_mul(of.elements()) }
}
