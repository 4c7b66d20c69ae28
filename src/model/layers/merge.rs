//! Layers that combine values element by element.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Scope, Trace, Value};
use crate::ops::{BufferId, Combine, CombineGrad, How, Operation, Part, Sizes, Sum, broadcast};
use crate::{Error, Result};

/// Values combined element by element, one after another as Keras does. An axis of one element is repeated, and a shape
/// with fewer axes gets such axes in front. All but [`Merge::Subtract`] pass a single value on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Merge {
    /// Their sum.
    Add,
    /// The first minus the second; of exactly two.
    Subtract,
    /// Their product.
    Multiply,
    /// Their sum, divided by their number.
    Average,
    /// The largest of them.
    Maximum,
    /// The smallest of them.
    Minimum,
}

impl Merge {
    const fn how(self) -> How {
        match self {
            Self::Add | Self::Average => How::Add,
            Self::Subtract => How::Subtract,
            Self::Multiply => How::Multiply,
            Self::Maximum => How::Maximum,
            Self::Minimum => How::Minimum,
        }
    }
}

/// The shape of two values combined; none where they don't fit.
fn merged(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let both = (0..rank).map(|axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    });
    both.collect()
}

/// The axes of two values and of their result.
fn axes(a: &[usize], b: &[usize]) -> Option<([Sizes; 2], Sizes)> {
    let [a, b] = [a, b].map(|shape| shape.iter().map(|&size| size as u64).collect::<Vec<_>>());
    let (parts, whole) = broadcast(&[&a, &b])?;
    match parts[..] {
        [a, b] => Some(([a, b], whole)),
        _ => None,
    }
}

/// One step: the result so far, and the next input.
struct Pair {
    a: Part,
    b: Part,
    sizes: Sizes,
}

/// What is combined so far.
struct SoFar {
    buffer: BufferId,
    shape: Vec<usize>,
}

impl SoFar {
    fn of(first: &Value<'_>) -> Self {
        Self { buffer: first.buffer, shape: first.shape.to_vec() }
    }

    /// The step that takes `next`, whose result's shape this has then.
    fn with(&mut self, next: &Value<'_>) -> Option<Pair> {
        let ([a, b], sizes) = axes(&self.shape, next.shape)?;
        self.shape = merged(&self.shape, next.shape)?;
        Some(Pair { a: Part::samples(self.buffer, a), b: Part::samples(next.buffer, b), sizes })
    }
}

/// The steps for these values; `between` has the results before all steps but the first.
fn pairs(inputs: &[Value<'_>], between: &[BufferId]) -> Vec<Pair> {
    let Some((first, others)) = inputs.split_first() else { return Vec::new() };
    let mut so_far = SoFar::of(first);
    let step = |(at, next): (usize, &Value<'_>)| {
        let pair = so_far.with(next);
        so_far.buffer = between.get(at).copied().unwrap_or(so_far.buffer);
        pair
    };
    others.iter().enumerate().map_while(step).collect()
}

impl Computes for Merge {
    fn class(&self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Average => "average",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let fits = if *self == Self::Subtract { inputs.len() == 2 } else { !inputs.is_empty() };
        if !fits {
            let expected = if *self == Self::Subtract { "2" } else { "1 or more" };
            return Err(Error::Inputs { expected, found: inputs.len() });
        }
        let mut shape = inputs[0].to_vec();
        for other in &inputs[1..] {
            let expected = || format!("{shape:?}, or one that repeats to it");
            let misfit = || Error::Shape { what: "an input".into(), expected: expected(), found: other.to_vec() };
            if axes(&shape, other).is_none() {
                return Err(misfit());
            }
            shape = merged(&shape, other).ok_or_else(misfit)?;
        }
        Ok(Built::of_shape(shape))
    }

    fn forward(&self, mut call: ForwardCall<'_>) -> Trace {
        let last = call.inputs.len().saturating_sub(2);
        let mut saved: Vec<BufferId> = Vec::new();
        let mut so_far = SoFar::of(&call.inputs[0]);
        for (at, next) in call.inputs[1..].iter().enumerate() {
            let Some(Pair { a, b, sizes }) = so_far.with(next) else { break };
            let output = match at == last {
                true => call.scope.output(),
                false => call.scope.scratch(&format!("merged_{at}"), sizes.iter().product()),
            };
            let divisor = if at == last && *self == Self::Average { call.inputs.len() as f32 } else { 1.0 };
            call.scope.push(Operation::Combine(Combine { how: self.how(), sizes, a, b, divisor, output }));
            saved.push(output);
            so_far.buffer = output;
        }
        let output = saved.pop().unwrap_or(call.inputs[0].buffer);
        Trace { output, saved }
    }

    fn backward(&self, mut call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        if call.inputs.len() == 1 {
            return vec![Some(call.grad_output)];
        }
        let mut gradients = vec![None; call.inputs.len()];
        let mut grad_output = call.grad_output;
        let pairs = pairs(call.inputs, &call.trace.saved);
        let Some(last) = pairs.last() else { return gradients };
        if *self == Self::Average {
            let mean = Part::samples(grad_output, last.sizes);
            grad_output = divided(&mut call.scope, "grad_average", mean, call.inputs.len() as f32);
        }
        let first_wanted = call.wanted.iter().position(|&wanted| wanted).unwrap_or(call.wanted.len());
        for (at, pair) in pairs.iter().enumerate().rev() {
            let names = [format!("grad_merged_{at}"), format!("grad_{}", at + 1)];
            let wanted = [first_wanted <= at, call.wanted[at + 1]];
            let mut own = [None, None];
            for second in [false, true] {
                let index = usize::from(second);
                if wanted[index] {
                    let of = Operand { pair, second, role: &names[index] };
                    let gradient = self.of_operand(&mut call.scope, &of, grad_output);
                    own[index] = Some(of.summed(&mut call.scope, gradient));
                }
            }
            gradients[at + 1] = own[1];
            match own[0] {
                Some(first) if at == 0 => gradients[0] = Some(first),
                Some(first) => grad_output = first,
                None => break,
            }
        }
        gradients
    }
}

/// One of two operands.
struct Operand<'a> {
    pair: &'a Pair,
    second: bool,
    /// What its gradient is called.
    role: &'a str,
}

impl Operand<'_> {
    /// Its gradient, summed along the axes along which it is repeated.
    fn summed(&self, scope: &mut Scope<'_>, gradient: BufferId) -> BufferId {
        let (part, sizes) = (if self.second { &self.pair.b } else { &self.pair.a }, self.pair.sizes);
        let along: [bool; 4] = std::array::from_fn(|axis| part.sizes[axis] == 1 && sizes[axis] > 1);
        if along == [false; 4] {
            return gradient;
        }
        let output = scope.scratch(&format!("{}_summed", self.role), part.elements());
        scope.push(Operation::Sum(Sum { along, ..Sum::of(sizes, gradient, output) }));
        output
    }
}

impl Merge {
    /// The gradient of an operand at each element of the result.
    fn of_operand(self, scope: &mut Scope<'_>, of: &Operand<'_>, grad_output: BufferId) -> BufferId {
        let &Operand { pair: &Pair { a, b, sizes }, second, role } = of;
        let dy = Part::samples(grad_output, sizes);
        match self {
            Self::Subtract if second => divided(scope, role, dy, -1.0),
            Self::Add | Self::Average | Self::Subtract => grad_output,
            Self::Multiply => {
                let (how, other, divisor) = (How::Multiply, if second { a } else { b }, 1.0);
                let output = scope.scratch(role, dy.elements());
                scope.push(Operation::Combine(Combine { how, sizes, a: dy, b: other, divisor, output }));
                output
            }
            Self::Maximum | Self::Minimum => {
                let (how, of_second, grad) = (self.how(), second, scope.scratch(role, dy.elements()));
                scope.push(Operation::CombineGrad(CombineGrad { how, of_second, sizes, a, b, grad_output, grad }));
                grad
            }
        }
    }
}

/// A value divided by a number.
fn divided(scope: &mut Scope<'_>, role: &str, value: Part, divisor: f32) -> BufferId {
    let output = scope.scratch(&format!("{role}_divided"), value.elements());
    scope.push(Operation::Sum(Sum { divisor, ..Sum::of(value.sizes, value.buffer, output) }));
    output
}
