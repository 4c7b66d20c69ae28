//! Normalisation of groups of channels by their own statistics.

use super::call::{
    BackwardCall, Built, Computes, ForwardCall, Gradient, Parameter, Scope, Trace, Value, elements, one,
};
use super::normalisation::{channels, multiplied};
use super::order::Order;
use crate::ops::{BufferId, Combine, How, LayerNorm, LayerNormGrad, Operation, Part, Sizes, Sum};
use crate::{Error, Result};

/// Keras's `GroupNormalization`: the channels are divided into groups of neighbours, and each group of a sample is
/// normalised by its own mean and biased variance, over all of its positions. With as many groups as channels it is
/// instance normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupNormalization {
    /// How many groups; Keras's is 32, and Keras's −1 is the number of channels.
    pub groups: usize,
    /// The axis of the channels, counted without the batch, from 0.
    pub axis: usize,
    /// Added to the variance; Keras's is 0.001.
    pub epsilon: f32,
    /// Whether there is a beta, with an element for each channel.
    pub center: bool,
    /// Whether there is a gamma, with an element for each channel.
    pub scale: bool,
}

/// A sample as `[outer][groups][rest]`, where `rest` is channels of a group and all axes after them.
struct Grouped {
    shape: [usize; 3],
    /// The sample as `[1][outer][channels][inner]`.
    sizes: Sizes,
    epsilon: f32,
}

/// All axes of [`Grouped::sizes`] but the channels.
const ALONG: [bool; 4] = [true, true, false, true];

impl Grouped {
    fn channels(&self) -> Sizes {
        [1, 1, self.sizes[2], 1]
    }

    fn elements(&self) -> u64 {
        elements(&self.shape)
    }

    /// Elements that are normalised together.
    fn row(&self) -> u64 {
        (self.shape[0] as u64).saturating_mul(self.shape[2] as u64)
    }

    /// The order in which each group's elements lie together; none if they do already.
    fn order(&self) -> Option<Order> {
        let apart = self.shape[0] > 1 && self.shape[1] > 1;
        Order::with_last(3, &[0, 2]).filter(|_| apart)
    }

    /// A value with each group's elements together.
    fn rows(&self, scope: &mut Scope<'_>, role: &str, buffer: BufferId) -> BufferId {
        self.order().map_or(buffer, |order| order.moved(scope, role, Value { buffer, shape: &self.shape }))
    }

    /// Where an operation on such rows writes them, of which [`Grouped::restore`] makes `output`.
    fn written(&self, scope: &mut Scope<'_>, role: &str, output: BufferId) -> BufferId {
        self.order().map_or(output, |_| scope.scratch(role, self.elements()))
    }

    /// Puts rows back into the sample's own order.
    fn restore(&self, scope: &mut Scope<'_>, rows: BufferId, output: BufferId) {
        if let Some(order) = self.order() {
            scope.push(order.back(&self.shape, rows, output));
        }
    }

    /// Normalises each row without gamma and beta.
    fn norm(&self, input: BufferId, output: BufferId) -> Operation {
        let (elements, row, epsilon) = (self.elements(), self.row(), self.epsilon);
        Operation::LayerNorm(LayerNorm { elements, row, epsilon, input, gamma: None, beta: None, output })
    }

    /// A value combined with a parameter that has an element for each channel.
    fn by_channel(&self, how: How, [value, parameter]: [BufferId; 2], output: BufferId) -> Operation {
        let (a, b) = (Part::samples(value, self.sizes), Part::fixed(parameter, self.channels()));
        Operation::Combine(Combine { how, sizes: self.sizes, a, b, divisor: 1.0, output })
    }
}

impl GroupNormalization {
    fn grouped(&self, input: &[usize]) -> Grouped {
        let (outer, inner) = (elements(&input[..self.axis]), elements(&input[self.axis + 1..]));
        let channels = input[self.axis];
        let rest = (channels / self.groups.max(1)) as u64 * inner;
        let shape = [outer as usize, self.groups, rest as usize];
        Grouped { shape, sizes: [1, outer, channels as u64, inner], epsilon: self.epsilon }
    }

    fn gamma(&self, parameters: &[BufferId]) -> Option<BufferId> {
        parameters.first().copied().filter(|_| self.scale)
    }

    fn beta(&self, parameters: &[BufferId]) -> Option<BufferId> {
        parameters.get(usize::from(self.scale)).copied().filter(|_| self.center)
    }
}

impl Computes for GroupNormalization {
    fn class(&self) -> &'static str {
        "group_normalization"
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let channels = channels(input, self.axis)?;
        if self.groups == 0 {
            return Err(Error::NotPositive { argument: "groups", value: 0 });
        }
        if channels % self.groups != 0 {
            let (argument, expected) = ("groups", "the numbers that divide the channels");
            let value = format!("{} of {channels} channels", self.groups);
            return Err(Error::UnknownValue { argument, expected, value });
        }
        let gamma = self.scale.then(|| Parameter::fixed("gamma", channels as u64));
        let beta = self.center.then(|| Parameter::fixed("beta", channels as u64));
        Ok(Built { parameters: gamma.into_iter().chain(beta).collect(), ..Built::of_shape(input) })
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let value = call.inputs[0];
        let grouped = self.grouped(value.shape);
        let (gamma, beta) = (self.gamma(call.parameters), self.beta(call.parameters));
        let scope = &mut call.scope;
        let rows = grouped.rows(scope, "groups", value.buffer);
        let mut result = match gamma.or(beta) {
            None => scope.output(),
            Some(_) => scope.scratch("normalised", grouped.elements()),
        };
        let written = grouped.written(scope, "normalised_groups", result);
        scope.push(grouped.norm(rows, written));
        grouped.restore(scope, written, result);
        let normalised = result;
        if let Some(gamma) = gamma {
            let output = if beta.is_some() { scope.scratch("scaled", grouped.elements()) } else { scope.output() };
            scope.push(grouped.by_channel(How::Multiply, [result, gamma], output));
            result = output;
        }
        if let Some(beta) = beta {
            let output = scope.output();
            scope.push(grouped.by_channel(How::Add, [result, beta], output));
            result = output;
        }
        Trace { output: result, saved: vec![rows, normalised] }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        let (value, dy) = (call.inputs[0], call.grad_output);
        let grouped = self.grouped(value.shape);
        let [rows, normalised] = call.trace.saved[..] else { return vec![None] };
        let sizes = grouped.sizes;
        let sum = |input, Gradient { buffer: output, accumulate }: Gradient| {
            Operation::Sum(Sum { along: ALONG, over_batch: true, accumulate, ..Sum::of(sizes, input, output) })
        };
        if let Some(gradient) = call.gradient(0).filter(|_| self.scale) {
            let product = multiplied(&mut call.scope, "grad_gamma_parts", sizes, [dy, normalised]);
            call.scope.push(sum(product, gradient));
        }
        if let Some(gradient) = call.gradient(usize::from(self.scale)).filter(|_| self.center) {
            call.scope.push(sum(dy, gradient));
        }
        let result = call.grad_input(0);
        if let Some(grad_input) = result {
            let scope = &mut call.scope;
            let mut of_normalised = dy;
            if let Some(gamma) = self.gamma(call.parameters) {
                of_normalised = scope.scratch("grad_normalised", grouped.elements());
                scope.push(grouped.by_channel(How::Multiply, [dy, gamma], of_normalised));
            }
            let grad_output = grouped.rows(scope, "grad_groups", of_normalised);
            let (elements, row, epsilon) = (grouped.elements(), grouped.row(), grouped.epsilon);
            let written = grouped.written(scope, "grad_input_groups", grad_input);
            let (gamma, input) = (None, rows);
            let grad = LayerNormGrad { elements, row, epsilon, input, gamma, grad_output, grad_input: written };
            scope.push(Operation::LayerNormGrad(grad));
            grouped.restore(scope, written, grad_input);
        }
        vec![result]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_divide_the_channels() {
        let layer = |groups, axis| GroupNormalization { groups, axis, epsilon: 1e-3, center: true, scale: true };
        let built = layer(3, 1).build(&[&[4, 6, 5]]).expect("3 divides 6");
        assert_eq!((built.shape, built.parameters.len()), (vec![4, 6, 5], 2));
        assert!(built.parameters.iter().all(|parameter| parameter.stored == [6]));
        let refused = |layer: GroupNormalization| layer.build(&[&[4, 6, 5]]).expect_err("it doesn't fit").to_string();
        assert!(refused(layer(4, 1)).contains("4 of 6 channels"));
        assert!(refused(layer(7, 1)).contains("7 of 6 channels"));
        assert!(refused(layer(0, 1)).contains("`groups` must be positive"));
        assert!(refused(layer(1, 3)).contains("`axis`"));
        assert!(layer(1, 0).build(&[&[4], &[4]]).is_err());
    }

    #[test]
    fn only_what_is_apart_is_moved() {
        let grouped = |groups, axis| {
            let layer = GroupNormalization { groups, axis, epsilon: 1e-3, center: true, scale: true };
            layer.grouped(&[4, 6, 5])
        };
        for (groups, axis, shape, moved) in
            [(3, 1, [4, 3, 10], true), (5, 2, [24, 5, 1], true), (1, 1, [4, 1, 30], false), (2, 0, [1, 2, 60], false)]
        {
            let grouped = grouped(groups, axis);
            assert_eq!((grouped.shape, grouped.order().is_some()), (shape, moved));
            assert_eq!((grouped.elements(), grouped.row()), (120, 120 / groups as u64));
        }
    }
}
