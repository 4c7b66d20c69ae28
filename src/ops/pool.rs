//! Pooling: over windows, and over an axis as a whole.

use super::{BufferId, Describe, Operand};
use crate::config::{DataFormat, Padding};
use crate::{Error, Result};

/// What is computed of a window's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PoolKind {
    /// The largest. For windows it is the largest of −3.4028235e38 and all values but NaN, as in TensorFlow on the CPU
    /// (whose pooling of three axes sometimes gives NaN, depending on where a NaN is in a vector). For a whole axis it
    /// is NaN if one value is.
    Max,
    /// The mean. Padding doesn't count.
    Average,
}

/// Which of several largest values of a window gets the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Ties {
    /// The first, in the order of the positions, as in TensorFlow's `MaxPoolGrad`, which Keras uses for one and two
    /// axes. If the first value is NaN it gets the gradient, since nothing is larger.
    First,
    /// Each of them gets all of it, as in TensorFlow's `MaxPool3DGrad`.
    Every,
}

impl Ties {
    /// Keras's rule for this number of spatial axes.
    #[must_use]
    pub const fn of_keras(axes: usize) -> Self {
        if axes == 3 { Self::Every } else { Self::First }
    }
}

/// Windows along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PoolAxis {
    /// Input positions.
    pub input: u32,
    /// Windows, which are the output's positions.
    pub output: u32,
    /// Positions of a window, including those outside the input.
    pub window: u32,
    /// Distance between neighbouring windows' first positions.
    pub stride: u32,
    /// How many positions the first window begins before the input.
    pub before: u32,
}

/// The windows of a pool, and how samples lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Windows {
    /// 1 to 3 spatial axes. Each window has at least one position within the input.
    pub axes: Vec<PoolAxis>,
    /// Channels, each of which is pooled by itself.
    pub channels: u32,
    /// `[positions][channels]` or `[channels][positions]`.
    pub data_format: DataFormat,
}

/// The arguments of [`Windows::new`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pooled<'a> {
    /// Positions along each axis, 1 to 3 of them.
    pub input: &'a [usize],
    /// Positions of a window along each axis.
    pub size: &'a [usize],
    /// Distance between neighbouring windows along each axis.
    pub strides: &'a [usize],
    /// [`Padding::Valid`] or [`Padding::SameUpper`].
    pub padding: &'a Padding,
    /// Channels, each of which is pooled by itself.
    pub channels: usize,
    /// Where the channels are.
    pub data_format: DataFormat,
}

impl<'a> Pooled<'a> {
    /// One channel in channels_last, with windows side by side and all within the input.
    #[must_use]
    pub const fn new(input: &'a [usize], size: &'a [usize]) -> Self {
        let (padding, data_format) = (&Padding::Valid, DataFormat::ChannelsLast);
        Self { input, size, strides: size, padding, channels: 1, data_format }
    }
}

impl Windows {
    /// The windows of Keras's pooling layers: `size` positions each, `strides` apart, over `input` positions along each
    /// axis. Keras's `same` is [`Padding::SameUpper`].
    ///
    /// # Errors
    /// [`Error::UnsupportedRank`] for other than 1 to 3 axes, [`Error::Rank`] for arguments of different lengths,
    /// [`Error::NotPositive`], [`Error::EmptyOutput`], [`Error::TooLarge`]; [`Error::Unsupported`] for other paddings than
    /// [`Padding::Valid`] and [`Padding::SameUpper`].
    pub fn new(asked: &Pooled<'_>) -> Result<Self> {
        let &Pooled { input, size, strides, padding, channels, data_format } = asked;
        if !(1..=3).contains(&input.len()) {
            return Err(Error::UnsupportedRank { found: input.len() });
        }
        let named = [("input", input), ("pool_size", size), ("strides", strides), ("channels", &[channels])];
        for (argument, values) in named {
            if values.len() != input.len() && argument != "channels" {
                return Err(Error::Rank { argument, expected: input.len(), found: values.len() });
            }
            if values.contains(&0) {
                return Err(Error::NotPositive { argument, value: 0 });
            }
            if let Some(&value) = values.iter().find(|&&value| value > i32::MAX as usize / 2) {
                return Err(Error::TooLarge { what: argument, value: value as u128, limit: i32::MAX as u64 / 2 });
            }
        }
        let axis = |((&input, &window), &stride): ((&usize, &usize), &usize)| {
            let output = match padding {
                Padding::Valid => input.checked_sub(window).map_or(0, |left| left / stride + 1),
                Padding::SameUpper => input.div_ceil(stride),
                Padding::Same | Padding::Explicit(_) | Padding::Circular => {
                    return Err(Error::Unsupported { what: format!("padding {padding}"), with: "in pooling".into() });
                }
            };
            // Valid windows are within the input, so this is 0 for them.
            let before = (output.saturating_sub(1) * stride + window).saturating_sub(input) / 2;
            let [input, output, window, stride, before] = [input, output, window, stride, before].map(|n| n as u32);
            Ok(PoolAxis { input, output, window, stride, before })
        };
        let axes = input.iter().zip(size).zip(strides).map(axis).collect::<Result<Vec<_>>>()?;
        if axes.iter().any(|axis| axis.output == 0) {
            let missing = |axis: &PoolAxis| i64::from(axis.input) - i64::from(axis.window) + 1;
            return Err(Error::EmptyOutput {
                input: input.into(),
                kernel: size.into(),
                strides: strides.into(),
                dilation: vec![1; input.len()].into(),
                output: axes
                    .iter()
                    .map(|axis| if axis.output == 0 { missing(axis) } else { axis.output.into() })
                    .collect(),
            });
        }
        Ok(Self { axes, channels: channels as u32, data_format })
    }

    /// Elements of an input sample.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        self.axes.iter().fold(self.channels.into(), |all: u64, axis| all.saturating_mul(axis.input.into()))
    }

    /// Elements of an output sample.
    #[must_use]
    pub fn outputs(&self) -> u64 {
        self.axes.iter().fold(self.channels.into(), |all: u64, axis| all.saturating_mul(axis.output.into()))
    }

    /// Elements of a position in `[outer][positions][inner]`, as which both data formats can be seen: in channels_first
    /// the channels are outer.
    #[must_use]
    pub(crate) const fn inner(&self) -> u32 {
        match self.data_format {
            DataFormat::ChannelsLast => self.channels,
            DataFormat::ChannelsFirst => 1,
        }
    }

    /// Three axes; missing ones come first and have one position.
    pub(crate) fn three_axes(&self) -> [PoolAxis; 3] {
        let one = PoolAxis { input: 1, output: 1, window: 1, stride: 1, before: 0 };
        let missing = 3usize.saturating_sub(self.axes.len());
        std::array::from_fn(|at| at.checked_sub(missing).and_then(|at| self.axes.get(at).copied()).unwrap_or(one))
    }

    fn fault(&self) -> Option<&'static str> {
        const MOST: u64 = i32::MAX as u64;
        let of = |n: u32| u64::from(n);
        if !(1..=3).contains(&self.axes.len()) {
            return Some("it has other than 1 to 3 axes");
        }
        if self.channels == 0 || self.axes.iter().any(|a| [a.input, a.output, a.window, a.stride].contains(&0)) {
            return Some("it has no channels, positions or windows, or windows without positions or strides");
        }
        if self.axes.iter().any(|a| (of(a.output) - 1) * of(a.stride) + of(a.window) + of(a.input) > MOST) {
            return Some("its windows can't be addressed");
        }
        let alone =
            |a: &PoolAxis| a.before >= a.window || (of(a.output) - 1) * of(a.stride) >= of(a.input) + of(a.before);
        self.axes.iter().any(alone).then_some("a window has no position of the input")
    }
}

/// `output`: the largest or the average value of each window.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Pool {
    /// What is computed of each window.
    pub kind: PoolKind,
    /// The windows, and how samples lie.
    pub windows: Windows,
    /// `[batch][windows.inputs()]`.
    pub input: BufferId,
    /// `[batch][windows.outputs()]`.
    pub output: BufferId,
}

/// `grad_input`: each input's gradient is a sum over the windows that contain it: of their gradient if it is the
/// largest value, or of their gradient divided by the number of their elements.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PoolGrad {
    /// What the pool computed of each window.
    pub kind: PoolKind,
    /// To which of several largest values the gradient goes.
    pub ties: Ties,
    /// The windows, and how samples lie.
    pub windows: Windows,
    /// `[batch][windows.inputs()]`, what was pooled; none for averages.
    pub input: Option<BufferId>,
    /// `[batch][windows.outputs()]`.
    pub grad_output: BufferId,
    /// `[batch][windows.inputs()]`.
    pub grad_input: BufferId,
}

/// A sample as `[outer][length][inner]`, of which the middle axis is reduced: to pool all positions, `outer` is 1 in
/// channels_last, and `inner` is 1 in channels_first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Along {
    /// Elements before the axis.
    pub outer: u64,
    /// Elements of the axis.
    pub length: u64,
    /// Elements after it.
    pub inner: u64,
}

impl Along {
    /// Elements of a sample.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        self.outputs().saturating_mul(self.length)
    }

    /// Elements of a sample without the axis.
    #[must_use]
    pub fn outputs(&self) -> u64 {
        self.outer.saturating_mul(self.inner)
    }

    fn fault(&self) -> Option<&'static str> {
        [self.outer, self.length, self.inner].contains(&0).then_some("it has an axis without elements")
    }
}

/// `output`: the largest or the average value along an axis of any length: Keras's global pooling.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reduce {
    /// What is computed along the axis.
    pub kind: PoolKind,
    /// The axis, and how samples lie.
    pub along: Along,
    /// `[batch][outer][length][inner]`.
    pub input: BufferId,
    /// `[batch][outer][inner]`.
    pub output: BufferId,
}

/// `grad_input`: for averages the gradient divided by the length. For the largest value the gradient divided by the
/// number of largest values, at each of them, as in TensorFlow; NaN along an axis that contains NaN.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReduceGrad {
    /// What was computed along the axis.
    pub kind: PoolKind,
    /// The axis, and how samples lie.
    pub along: Along,
    /// `[batch][outer][length][inner]`, what was reduced; none for averages.
    pub input: Option<BufferId>,
    /// `[batch][outer][inner]`.
    pub grad_output: BufferId,
    /// `[batch][outer][length][inner]`.
    pub grad_input: BufferId,
}

/// What is wrong if the gradient of a largest value has no input, or that of an average has one.
fn input_fault(kind: PoolKind, input: Option<BufferId>) -> Option<&'static str> {
    let wanted = kind == PoolKind::Max;
    (input.is_some() != wanted).then_some("the gradient of a maximum goes by its input, and that of an average doesn't")
}

impl Describe for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::samples(self.input, self.windows.inputs()), Operand::samples(self.output, self.windows.outputs())]
    }

    fn fault(&self) -> Option<&'static str> {
        self.windows.fault()
    }
}

impl Describe for PoolGrad {
    fn name(&self) -> &'static str {
        "pool_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        self.input.into_iter().chain([self.grad_output]).collect()
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        let (inputs, outputs) = (self.windows.inputs(), self.windows.outputs());
        let input = self.input.map(|input| Operand::samples(input, inputs));
        let gradients = [Operand::samples(self.grad_output, outputs), Operand::samples(self.grad_input, inputs)];
        input.into_iter().chain(gradients).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        self.windows.fault().or_else(|| input_fault(self.kind, self.input))
    }
}

impl Describe for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::samples(self.input, self.along.inputs()), Operand::samples(self.output, self.along.outputs())]
    }

    fn fault(&self) -> Option<&'static str> {
        self.along.fault()
    }
}

impl Describe for ReduceGrad {
    fn name(&self) -> &'static str {
        "reduce_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        self.input.into_iter().chain([self.grad_output]).collect()
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        let (inputs, outputs) = (self.along.inputs(), self.along.outputs());
        let input = self.input.map(|input| Operand::samples(input, inputs));
        let gradients = [Operand::samples(self.grad_output, outputs), Operand::samples(self.grad_input, inputs)];
        input.into_iter().chain(gradients).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        self.along.fault().or_else(|| input_fault(self.kind, self.input))
    }
}
