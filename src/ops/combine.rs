//! Values combined element by element, and sums along axes: for merging layers, values that are used several times, and
//! normalisations.

use super::broadcast::product;
use super::describe::accumulates;
use super::{BufferId, Describe, Operand, Part, Shape, Sizes};
use crate::config::How;

/// `output = (a how b) / divisor`, element by element: Keras's `Add`, `Subtract`, `Multiply`, `Maximum`, `Minimum`,
/// `Average` (whose last step divides) and `PReLU`. More than two values are combined one after another, as in Keras.
///
/// The gradients of `Add` and `Subtract` are the output's gradient, those of `Multiply` are that times the other value:
/// a `Combine` again. The gradient of an operand that was repeated is [summed](Sum) along those axes.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Combine {
    /// How they are combined.
    pub how: How,
    /// The result's axes.
    pub sizes: Sizes,
    /// The first operand.
    pub a: Part,
    /// The second operand.
    pub b: Part,
    /// The divisor: 1, except for averages.
    pub divisor: f32,
    /// `[batch][sizes]`; `[sizes]` if neither operand has samples.
    pub output: BufferId,
}

/// The gradient of [`Combine`] by one operand, at each element of the output. If the operand was repeated, it must
/// still be [summed](Sum).
///
/// As in TensorFlow. For `Maximum` and `Minimum` it is the output's gradient where the operand is taken, else 0; the
/// first operand is taken where both are equal, the second where one is NaN. For `PRelu`'s input it is the output's
/// gradient times 1, times the slope or, at 0 and NaN, times 0. For its slopes it is the output's gradient times the
/// lesser of the input and 0.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CombineGrad {
    /// [`How::Maximum`], [`How::Minimum`] or [`How::PRelu`].
    pub how: How,
    /// Whether it is the gradient by `b`.
    pub of_second: bool,
    /// The axes of the output, and of the result.
    pub sizes: Sizes,
    /// The first operand.
    pub a: Part,
    /// The second operand.
    pub b: Part,
    /// `[batch][sizes]`.
    pub grad_output: BufferId,
    /// `[batch][sizes]`.
    pub grad: BufferId,
}

/// `output = sum of input along axes / divisor`: for means, and for gradients of values that were repeated.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sum {
    /// The input's axes.
    pub sizes: Sizes,
    /// The axes along which it sums.
    pub along: [bool; 4],
    /// Whether it also sums over the samples.
    pub over_batch: bool,
    /// The divisor: 1, or the number of terms for a mean; −1 changes the sign of a gradient.
    pub divisor: f32,
    /// Whether a sum over the samples is also divided by their number.
    pub by_batch: bool,
    /// `[batch][sizes]`.
    pub input: BufferId,
    /// `[batch][sizes that are left]`; `[sizes that are left]` if it sums over the samples.
    pub output: BufferId,
    /// Adds to the values in `output`, as for the pieces of a batch.
    pub accumulate: bool,
}

impl Sum {
    /// A sum along no axis, with a divisor of 1.
    pub(crate) fn of(sizes: Sizes, input: BufferId, output: BufferId) -> Self {
        let (along, over_batch, divisor, by_batch, accumulate) = ([false; 4], false, 1.0, false, false);
        Self { sizes, along, over_batch, divisor, by_batch, input, output, accumulate }
    }

    /// The axes of the result: 1 along those that were summed.
    #[must_use]
    pub fn left(&self) -> Sizes {
        std::array::from_fn(|axis| if self.along[axis] { 1 } else { self.sizes[axis] })
    }

    /// The axes of the terms of one element, without the samples.
    #[must_use]
    pub fn summed(&self) -> Sizes {
        std::array::from_fn(|axis| if self.along[axis] { self.sizes[axis] } else { 1 })
    }
}

/// `output = mean of (input − mean)²`, along axes and over all samples: the biased variance of a batch.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Variance {
    /// The input's axes.
    pub sizes: Sizes,
    /// The axes along which it is taken.
    pub along: [bool; 4],
    /// `[batch][sizes]`.
    pub input: BufferId,
    /// `[sizes that are left]`, as a [`Sum`] computes it.
    pub mean: BufferId,
    /// `[sizes that are left]`.
    pub output: BufferId,
}

impl Variance {
    /// The axes of the result: 1 along those it was taken along.
    #[must_use]
    pub fn left(&self) -> Sizes {
        std::array::from_fn(|axis| if self.along[axis] { 1 } else { self.sizes[axis] })
    }

    /// The axes of the values of one element, without the samples.
    #[must_use]
    pub fn taken(&self) -> Sizes {
        std::array::from_fn(|axis| if self.along[axis] { self.sizes[axis] } else { 1 })
    }

    /// How many elements of a sample one result is taken of.
    pub(crate) fn terms(&self) -> u64 {
        product(&self.taken())
    }
}

fn fault(sizes: &Sizes, parts: [&Part; 2]) -> Option<&'static str> {
    if sizes.contains(&0) || product(sizes) > u32::MAX.into() {
        return Some("an axis is empty, or a sample has more than 2³² elements");
    }
    let repeat = parts.into_iter().all(|part| part.repeats_to(sizes));
    (!repeat).then_some("an operand is along an axis neither as long as the result nor 1")
}

impl Describe for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.a.buffer, self.b.buffer]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let output = Part { buffer: self.output, sizes: self.sizes, batched: self.a.batched || self.b.batched };
        [self.a, self.b, output].iter().map(Part::operand).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        let nothing = (self.divisor == 0.0).then_some("it divides by 0");
        fault(&self.sizes, [&self.a, &self.b]).or(nothing)
    }
}

impl Describe for CombineGrad {
    fn name(&self) -> &'static str {
        "combine_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.a.buffer, self.b.buffer, self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad
    }

    fn operands(&self) -> Vec<Operand> {
        let [dy, grad] = [self.grad_output, self.grad].map(|buffer| Part::samples(buffer, self.sizes));
        [self.a, self.b, dy, grad].iter().map(Part::operand).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        let other = matches!(self.how, How::Add | How::Subtract | How::Multiply);
        fault(&self.sizes, [&self.a, &self.b]).or(other.then_some("its gradients are combinations themselves"))
    }
}

impl Describe for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let left = product(&self.left());
        let shape = if self.over_batch { Shape::Fixed(left) } else { Shape::Samples(left) };
        vec![Operand::samples(self.input, product(&self.sizes)), Operand::of(self.output, shape)]
    }

    fn fault(&self) -> Option<&'static str> {
        let nothing = (self.divisor == 0.0).then_some("it divides by 0");
        let alone = (self.by_batch && !self.over_batch).then_some("it divides by samples that it doesn't sum");
        fault(&self.sizes, [&Part::samples(self.input, self.sizes); 2]).or(nothing).or(alone)
    }

    accumulates!();
}

impl Describe for Variance {
    fn name(&self) -> &'static str {
        "variance"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input, self.mean]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let left = product(&self.left());
        let [mean, output] = [self.mean, self.output].map(|id| Operand::of(id, Shape::Fixed(left)));
        vec![Operand::samples(self.input, product(&self.sizes)), mean, output]
    }

    fn fault(&self) -> Option<&'static str> {
        fault(&self.sizes, [&Part::samples(self.input, self.sizes); 2])
    }
}
