//! Dropout and noise, which act in training only.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, one};
use crate::ops::{BufferId, Noise, Operation, Random, RandomGrad, RandomKind, Sizes, broadcast};
use crate::{Error, Result};

/// Keras's `Dropout`, `SpatialDropout1D` to `3D`, `GaussianDropout`, `GaussianNoise` and `AlphaDropout`: random in
/// [training](crate::model::Mode::Training), nothing at inference. As in Keras they also do nothing at a rate or
/// deviation of 0 and, except `Dropout`, at a rate of 1 or more.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NoiseLayer {
    /// How values are changed.
    pub kind: RandomKind,
    /// The seed of its numbers; none takes the training's.
    pub seed: Option<u64>,
    /// Axes along which all elements have the same number, counted without the batch, from 0.
    pub shared_axes: Vec<usize>,
    /// Whether all samples have the same numbers.
    pub shared_by_samples: bool,
}

impl NoiseLayer {
    /// A layer without a seed of its own, and with a number of its own for each element.
    #[must_use]
    pub fn new(kind: RandomKind) -> Self {
        Self { kind, seed: None, shared_axes: Vec::new(), shared_by_samples: false }
    }

    /// Sets a seed of its own.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Sets the axes along which all elements have the same number.
    #[must_use]
    pub fn shared_axes(self, axes: impl Into<Vec<usize>>) -> Self {
        Self { shared_axes: axes.into(), ..self }
    }

    fn does_nothing(&self) -> bool {
        match self.kind {
            RandomKind::Dropout { rate } => rate == 0.0,
            RandomKind::GaussianDropout { rate } | RandomKind::AlphaDropout { rate } => !(rate > 0.0 && rate < 1.0),
            RandomKind::GaussianNoise { stddev } => stddev == 0.0,
        }
    }

    /// The axes of the numbers and of the input.
    fn axes(&self, input: &[usize]) -> Option<[Sizes; 2]> {
        let whole: Vec<u64> = input.iter().map(|&size| size as u64).collect();
        let own = |(axis, &size): (usize, &u64)| if self.shared_axes.contains(&axis) { 1 } else { size };
        let noise: Vec<u64> = whole.iter().enumerate().map(own).collect();
        let (parts, whole) = broadcast(&[&noise, &whole])?;
        Some([*parts.first()?, whole])
    }

    fn noise(&self, input: &[usize], seed: Option<u64>) -> Option<Noise> {
        let (seed, [noise, sizes]) = seed.filter(|_| !self.does_nothing()).zip(self.axes(input))?;
        Some(Noise { kind: self.kind, seed, sizes, noise, batched: !self.shared_by_samples })
    }
}

impl Computes for NoiseLayer {
    fn class(&self) -> &'static str {
        match self.kind {
            RandomKind::Dropout { .. } => "dropout",
            RandomKind::GaussianDropout { .. } => "gaussian_dropout",
            RandomKind::GaussianNoise { .. } => "gaussian_noise",
            RandomKind::AlphaDropout { .. } => "alpha_dropout",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        if let Some(axis) = self.shared_axes.iter().find(|axis| **axis >= input.len()) {
            let value = axis.to_string();
            return Err(Error::UnknownValue { argument: "noise_shape", expected: "axes of the input", value });
        }
        if self.axes(input).is_none() {
            let with = format!("with noise that is shared along {:?}: more than four groups of axes", self.shared_axes);
            return Err(Error::Unsupported { what: format!("an input of shape {input:?}"), with });
        }
        let (argument, number) = match self.kind {
            RandomKind::Dropout { rate } => ("rate", rate),
            RandomKind::GaussianNoise { stddev } => ("stddev", stddev),
            RandomKind::GaussianDropout { .. } | RandomKind::AlphaDropout { .. } => return Ok(Built::of_shape(input)),
        };
        let most = if argument == "rate" { 1.0 } else { f32::MAX };
        if !(0.0..=most).contains(&number) {
            let expected = if argument == "rate" { "from 0 to 1" } else { "0 or a positive number" };
            return Err(Error::UnknownValue { argument, expected, value: number.to_string() });
        }
        Ok(Built::of_shape(input))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let value = call.inputs[0];
        let Some(noise) = self.noise(value.shape, call.scope.seed(self.seed)) else { return Trace::of(value.buffer) };
        let (step, input, output) = (call.scope.step(), value.buffer, call.scope.output());
        call.scope.push(Operation::Random(Random { noise, step, input, output }));
        Trace::of(output)
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let grad_output = call.grad_output;
        let added = matches!(self.kind, RandomKind::GaussianNoise { .. });
        let noise = self.noise(call.inputs[0].shape, call.scope.seed(self.seed)).filter(|_| !added);
        let Some(noise) = noise else { return vec![Some(grad_output)] };
        let grad_input = call.grad_input(0);
        if let Some(grad_input) = grad_input {
            let step = call.scope.step();
            call.scope.push(Operation::RandomGrad(RandomGrad { noise, step, grad_output, grad_input }));
        }
        vec![grad_input]
    }
}
