//! Normalisations.

use super::activation::activation;
use crate::ops::{LayerNorm, LayerNormGrad, NormFactor, Normalise, NormaliseGrad};

/// `gamma / √(variance + epsilon)`.
#[must_use]
pub fn norm_factor(o: &NormFactor, variance: &[f64], gamma: Option<&[f64]>) -> Vec<f64> {
    let gamma = |i: usize| gamma.map_or(1.0, |gamma| gamma[i]);
    variance.iter().enumerate().map(|(i, variance)| gamma(i) / (variance + f64::from(o.epsilon)).sqrt()).collect()
}

/// The numbers that [`normalise`] uses, one for each channel.
#[derive(Debug, Clone, Copy)]
pub struct Statistics<'a> {
    /// Subtracted first.
    pub mean: &'a [f64],
    /// Then multiplied by.
    pub factor: &'a [f64],
    /// Added last; none counts as 0.
    pub beta: Option<&'a [f64]>,
}

/// `activation((input − mean) · factor + beta)`.
#[must_use]
pub fn normalise(o: &Normalise, input: &[f64], by: Statistics<'_>) -> Vec<f64> {
    let channel = |i: usize| i / o.inner as usize % o.channels as usize;
    let beta = |c: usize| by.beta.map_or(0.0, |beta| beta[c]);
    let normalised = |(i, x): (usize, &f64)| (x - by.mean[channel(i)]) * by.factor[channel(i)] + beta(channel(i));
    input.iter().enumerate().map(|value| activation(normalised(value), o.activation)).collect()
}

/// The numbers that [`normalise_grad`] uses, one for each channel.
#[derive(Debug, Clone, Copy)]
pub struct GradStatistics<'a> {
    /// The mean of the gradient by the output.
    pub mean: &'a [f64],
    /// The mean of the gradient by the output times the normalised value.
    pub slope: &'a [f64],
    /// The factor of the forward pass.
    pub factor: &'a [f64],
}

/// `(grad_output − mean − normalised · slope) · factor`.
#[must_use]
pub fn normalise_grad(o: &NormaliseGrad, normalised: &[f64], grad_output: &[f64], by: GradStatistics<'_>) -> Vec<f64> {
    let channel = |i: usize| i / o.inner as usize % o.channels as usize;
    let gradient = |((i, n), dy): ((usize, &f64), &f64)| {
        let c = channel(i);
        (dy - by.mean[c] - n * by.slope[c]) * by.factor[c]
    };
    normalised.iter().enumerate().zip(grad_output).map(gradient).collect()
}

/// A row, normalised, and the factor that it was multiplied by.
fn normalised(row: &[f64], epsilon: f32) -> (Vec<f64>, f64) {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / row.len() as f64;
    let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
    (row.iter().map(|x| (x - mean) * factor).collect(), factor)
}

/// Rows normalised by their own mean and variance, times gamma, plus beta.
#[must_use]
pub fn layer_norm(o: &LayerNorm, input: &[f64], gamma: Option<&[f64]>, beta: Option<&[f64]>) -> Vec<f64> {
    let gamma = |i: usize| gamma.map_or(1.0, |gamma| gamma[i]);
    let beta = |i: usize| beta.map_or(0.0, |beta| beta[i]);
    let rows = input.chunks_exact(o.row as usize);
    rows.flat_map(|row| normalised(row, o.epsilon).0.into_iter().enumerate())
        .map(|(i, n)| n * gamma(i) + beta(i))
        .collect()
}

/// The gradient by the input of [`layer_norm`].
#[must_use]
pub fn layer_norm_grad(o: &LayerNormGrad, input: &[f64], gamma: Option<&[f64]>, grad_output: &[f64]) -> Vec<f64> {
    let length = o.row as usize;
    let gradient = |(row, dy): (&[f64], &[f64])| {
        let (n, factor) = normalised(row, o.epsilon);
        let g: Vec<f64> = dy.iter().enumerate().map(|(i, dy)| dy * gamma.map_or(1.0, |gamma| gamma[i])).collect();
        let mean = g.iter().sum::<f64>() / length as f64;
        let slope = g.iter().zip(&n).map(|(g, n)| g * n).sum::<f64>() / length as f64;
        g.iter().zip(&n).map(|(g, n)| (g - mean - n * slope) * factor).collect::<Vec<f64>>()
    };
    input.chunks_exact(length).zip(grad_output.chunks_exact(length)).flat_map(gradient).collect()
}
