//! `NormFactor`, `Normalise`, `NormaliseGrad`, `LayerNorm` and `LayerNormGrad`.

use super::functions;
use super::team::{Piece, Team};
use crate::ops::{LayerNorm, LayerNormGrad, NormFactor, Normalise, NormaliseGrad};

/// `gamma / √(variance + epsilon)`, on the calling thread since there are few values.
pub(super) fn norm_factor(o: &NormFactor, variance: &[f32], gamma: Option<&[f32]>, factor: &mut [f32]) {
    for (i, (factor, variance)) in factor.iter_mut().zip(variance).enumerate() {
        *factor = gamma.map_or(1.0, |gamma| gamma[i]) / (variance + o.epsilon).sqrt();
    }
}

/// What is normalised, and statistics of its channels.
#[derive(Clone, Copy)]
pub(super) struct Normalised<'a> {
    pub(super) input: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) factor: &'a [f32],
    pub(super) beta: Option<&'a [f32]>,
}

/// `activation((input − mean) · factor + beta)`.
pub(super) fn normalise(team: &Team, o: &Normalise, by: Normalised<'_>, output: &mut [f32]) {
    let (channels, inner) = (o.channels as usize, o.inner as usize);
    let one = |c: usize, x: f32| (x - by.mean[c]) * by.factor[c] + by.beta.map_or(0.0, |beta| beta[c]);
    // A row is all channels of a place, or all places of a channel.
    if inner == 1 {
        return team.pieces(output, row(channels), |index, to| {
            let row = &by.input[index * channels..][..channels];
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
    team.pieces(output, row(inner), |index, to| {
        let row = &by.input[index * inner..][..inner];
        to.iter_mut().zip(row).for_each(|(to, x)| *to = one(index % channels, *x));
        functions::activate(to, o.activation);
    });
}

/// What the gradient of a normalisation by the batch's own statistics is made of.
#[derive(Clone, Copy)]
pub(super) struct NormalisedGrads<'a> {
    pub(super) normalised: &'a [f32],
    pub(super) grad_output: &'a [f32],
    /// Means over the batch: of the gradient by the output, and of its products with the normalised values.
    pub(super) mean: &'a [f32],
    pub(super) slope: &'a [f32],
    pub(super) factor: &'a [f32],
}

/// `(grad_output − mean − normalised · slope) · factor`.
pub(super) fn normalise_grad(team: &Team, o: &NormaliseGrad, by: NormalisedGrads<'_>, grad_input: &mut [f32]) {
    let (channels, inner) = (o.channels as usize, o.inner as usize);
    let one = |c: usize, n: f32, dy: f32| (dy - by.mean[c] - n * by.slope[c]) * by.factor[c];
    // A row is all channels of a place, or all places of a channel.
    let length = if inner == 1 { channels } else { inner };
    team.pieces(grad_input, row(length), |index, to| {
        let both = by.normalised[index * length..].iter().zip(&by.grad_output[index * length..]);
        if inner > 1 {
            let c = index % channels;
            return to.iter_mut().zip(both).for_each(|(to, (n, dy))| *to = one(c, *n, *dy));
        }
        to.iter_mut().zip(both).enumerate().for_each(|(c, (to, (n, dy)))| *to = one(c, *n, *dy));
    });
}

/// A row's mean and 1 / √(variance + epsilon), where the variance is the mean of squared differences to the mean.
fn statistics(row: &[f32], epsilon: f32) -> (f64, f64) {
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
    let squares: f64 = row.iter().map(|&x| (f64::from(x) - mean) * (f64::from(x) - mean)).sum();
    (mean, 1.0 / (squares / row.len() as f64 + f64::from(epsilon)).sqrt())
}

/// What is normalised row by row, with the gamma and beta of each column.
#[derive(Clone, Copy)]
pub(super) struct LayerNormalised<'a> {
    pub(super) input: &'a [f32],
    pub(super) gamma: Option<&'a [f32]>,
    pub(super) beta: Option<&'a [f32]>,
}

/// Rows normalised by their own mean and variance, times gamma, plus beta.
pub(super) fn layer_norm(team: &Team, o: &LayerNorm, by: LayerNormalised<'_>, output: &mut [f32]) {
    let length = o.row as usize;
    team.pieces(output, row(length), |index, to| {
        let row = &by.input[index * length..][..length];
        let (mean, factor) = statistics(row, o.epsilon);
        for (to, x) in to.iter_mut().zip(row) {
            *to = ((f64::from(*x) - mean) * factor) as f32;
        }
        if let Some(gamma) = by.gamma {
            to.iter_mut().zip(gamma).for_each(|(to, gamma)| *to *= gamma);
        }
        if let Some(beta) = by.beta {
            to.iter_mut().zip(beta).for_each(|(to, beta)| *to += beta);
        }
    });
}

/// What a layer normalisation's gradient is made of.
#[derive(Clone, Copy)]
pub(super) struct LayerNormGrads<'a> {
    pub(super) input: &'a [f32],
    pub(super) gamma: Option<&'a [f32]>,
    pub(super) grad_output: &'a [f32],
}

/// The gradient by the input of [`layer_norm`].
pub(super) fn layer_norm_grad(team: &Team, o: &LayerNormGrad, by: LayerNormGrads<'_>, grad_input: &mut [f32]) {
    let length = o.row as usize;
    team.pieces(grad_input, row(length), |index, to| {
        let row = &by.input[index * length..][..length];
        let dy = &by.grad_output[index * length..][..length];
        let (mean, factor) = statistics(row, o.epsilon);
        let gradient = |i: usize| f64::from(dy[i]) * by.gamma.map_or(1.0, |gamma| f64::from(gamma[i]));
        let normalised = |i: usize| (f64::from(row[i]) - mean) * factor;
        let sum: f64 = (0..length).map(gradient).sum();
        let along: f64 = (0..length).map(|i| gradient(i) * normalised(i)).sum();
        let (mean, slope) = (sum / length as f64, along / length as f64);
        for (i, to) in to.iter_mut().enumerate() {
            *to = ((gradient(i) - mean - normalised(i) * slope) * factor) as f32;
        }
    });
}

/// How an array is divided among tasks: by rows of so many elements.
fn row(elements: usize) -> Piece {
    Piece { elements, nanoseconds: 2 * elements as u64 }
}
