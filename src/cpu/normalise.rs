//! `NormFactor`, `Normalise`, `NormaliseGrad`, `LayerNorm` and `LayerNormGrad`.

use super::functions;
use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{LayerNorm, LayerNormGrad, NormFactor, Normalise, NormaliseGrad};
use pulp::{Simd, WithSimd};

/// `gamma / √(variance + epsilon)`: a few values, on the calling thread.
pub(super) fn norm_factor(o: &NormFactor, variance: &[f32], gamma: Option<&[f32]>, factor: &mut [f32]) {
    for (i, (factor, variance)) in factor.iter_mut().zip(variance).enumerate() {
        *factor = gamma.map_or(1.0, |gamma| gamma[i]) / (variance + o.epsilon).sqrt();
    }
}

/// Statistics of channels.
#[derive(Clone, Copy)]
pub(super) struct Channels<'a> {
    pub(super) mean: &'a [f32],
    pub(super) factor: &'a [f32],
    pub(super) beta: Option<&'a [f32]>,
}

/// `activation((input − mean) · factor + beta)`.
pub(super) fn normalise(team: &Team, o: &Normalise, input: &[f32], by: Channels<'_>, output: &mut [f32]) {
    let (channels, inner) = (o.channels as usize, o.inner as usize);
    let one = |c: usize, x: f32| (x - by.mean[c]) * by.factor[c] + by.beta.map_or(0.0, |beta| beta[c]);
    // A row is all channels of a place, or all places of a channel.
    if inner == 1 {
        return each_row(team, channels, output, |index, to: &mut [f32]| {
            let row = &input[index * channels..][..channels];
            let statistics = by.mean.iter().zip(by.factor);
            for (to, (x, (mean, factor))) in to.iter_mut().zip(row.iter().zip(statistics)) {
                *to = (x - mean) * factor;
            }
            if let Some(beta) = by.beta {
                to.iter_mut().zip(beta).for_each(|(to, beta)| *to += beta);
            }
            functions::activate(to, o.activation);
        });
    }
    each_row(team, inner, output, |index, to: &mut [f32]| {
        let row = &input[index * inner..][..inner];
        to.iter_mut().zip(row).for_each(|(to, x)| *to = one(index % channels, *x));
        functions::activate(to, o.activation);
    });
}

/// Means over a batch, and what it was multiplied by, of channels.
#[derive(Clone, Copy)]
pub(super) struct GradStatistics<'a> {
    pub(super) mean: &'a [f32],
    pub(super) slope: &'a [f32],
    pub(super) factor: &'a [f32],
}

/// `(grad_output − mean − normalised · slope) · factor`.
pub(super) fn normalise_grad(
    team: &Team,
    o: &NormaliseGrad,
    [normalised, grad_output]: [&[f32]; 2],
    by: GradStatistics<'_>,
    grad_input: &mut [f32],
) {
    let (channels, inner) = (o.channels as usize, o.inner as usize);
    let one = |c: usize, n: f32, dy: f32| (dy - by.mean[c] - n * by.slope[c]) * by.factor[c];
    // A row is all channels of a place, or all places of a channel.
    let row = if inner == 1 { channels } else { inner };
    each_row(team, row, grad_input, |index, to: &mut [f32]| {
        let both = normalised[index * row..].iter().zip(&grad_output[index * row..]);
        if inner > 1 {
            let c = index % channels;
            return to.iter_mut().zip(both).for_each(|(to, (n, dy))| *to = one(c, *n, *dy));
        }
        to.iter_mut().zip(both).enumerate().for_each(|(c, (to, (n, dy)))| *to = one(c, *n, *dy));
    });
}

/// A row's mean and 1 / √(variance + epsilon), the variance of what the mean leaves.
fn statistics(row: &[f32], epsilon: f32) -> (f64, f64) {
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
    let squares: f64 = row.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum();
    (mean, 1.0 / (squares / row.len() as f64 + f64::from(epsilon)).sqrt())
}

/// Rows normalised by their own mean and variance, times gamma, plus beta.
pub(super) fn layer_norm(
    team: &Team,
    o: &LayerNorm,
    input: &[f32],
    (gamma, beta): (Option<&[f32]>, Option<&[f32]>),
    output: &mut [f32],
) {
    let length = o.row as usize;
    each_row(team, length, output, |index, to: &mut [f32]| {
        let row = &input[index * length..][..length];
        let (mean, factor) = statistics(row, o.epsilon);
        for (to, x) in to.iter_mut().zip(row) {
            *to = ((f64::from(*x) - mean) * factor) as f32;
        }
        if let Some(gamma) = gamma {
            to.iter_mut().zip(gamma).for_each(|(to, gamma)| *to *= gamma);
        }
        if let Some(beta) = beta {
            to.iter_mut().zip(beta).for_each(|(to, beta)| *to += beta);
        }
    });
}

/// The gradient of the input of [`layer_norm`].
pub(super) fn layer_norm_grad(
    team: &Team,
    o: &LayerNormGrad,
    (input, grad_output): (&[f32], &[f32]),
    gamma: Option<&[f32]>,
    grad_input: &mut [f32],
) {
    let length = o.row as usize;
    each_row(team, length, grad_input, |index, to: &mut [f32]| {
        let row = &input[index * length..][..length];
        let dy = &grad_output[index * length..][..length];
        let (mean, factor) = statistics(row, o.epsilon);
        let gradient = |i: usize| f64::from(dy[i]) * gamma.map_or(1.0, |gamma| f64::from(gamma[i]));
        let normalised = |i: usize| (f64::from(row[i]) - mean) * factor;
        let sum: f64 = (0..length).map(gradient).sum();
        let along: f64 = (0..length).map(|i| gradient(i) * normalised(i)).sum();
        let (mean, slope) = (sum / length as f64, along / length as f64);
        for (i, to) in to.iter_mut().enumerate() {
            *to = ((gradient(i) - mean - normalised(i) * slope) * factor) as f32;
        }
    });
}

/// Calls `work` with each row of what is written.
fn each_row(team: &Team, row: usize, written: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = written.len() / row;
    let (written, work) = (Shared::new(written), &work);
    team.each(rows, 2 * row as u64, |span| Rows { span, row, written, work });
}

struct Rows<'a, W> {
    span: Span,
    row: usize,
    written: Shared<'a>,
    work: &'a W,
}

impl<W: Fn(usize, &mut [f32])> WithSimd for Rows<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for index in self.span.first..self.span.end {
            // SAFETY: rows are apart.
            (self.work)(index, unsafe { self.written.part(index * self.row, self.row) });
        }
    }
}
