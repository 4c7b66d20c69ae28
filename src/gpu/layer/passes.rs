//! The passes of a layer: programs of one layer, bound to what the host gives.

use super::LocallyConnected;
use crate::config::{Bias, Saved};
use crate::gpu::{Bindings, Bound, BufferRange, Tensor};
use crate::model::layer_names as names;
use crate::model::{Gradients, layer_backward, layer_forward};
use crate::{Error, Result};

/// The operands of a forward pass, each a buffer or a range of one: `B` is `&wgpu::Buffer`, [`wgpu::BufferSlice`] or,
/// to mix both, [`BufferRange`] by `.into()`. They hold f32 and need the usage `STORAGE`. Bytes of a buffer outside its
/// operand stay as they are.
#[derive(Debug, Clone, Copy)]
pub struct Forward<B> {
    /// Samples of a pass.
    pub batch: u32,
    /// `[batch][input shape]`.
    pub input: B,
    /// `[batch][output shape]`, overwritten.
    pub output: B,
    /// `[batch][output shape]`, overwritten with the values before the activation. A backward pass needs them where
    /// [`crate::Activation::saved`] says so.
    pub pre_activation: Option<B>,
}

/// The operands of a backward pass, each a buffer or a range of one as in [`Forward`]. `grad_output` is the gradient of
/// the loss by the output.
#[derive(Debug, Clone, Copy)]
pub struct Backward<'a, B = &'a wgpu::Buffer> {
    /// Samples of a pass.
    pub batch: u32,
    /// `[batch][input shape]`; needed for `grad_weights`.
    pub input: Option<B>,
    /// What the forward pass wrote; needed where [`crate::Activation::saved`] says so.
    pub output: Option<B>,
    /// What the forward pass wrote; needed where [`crate::Activation::saved`] says so.
    pub pre_activation: Option<B>,
    /// `[batch][output shape]`.
    pub grad_output: B,
    /// `[batch][input shape]`, overwritten.
    pub grad_input: Option<B>,
    /// From [`LocallyConnected::create_weights_gradient`] or [`LocallyConnected::weights_gradient_in`], overwritten.
    pub grad_weights: Option<&'a Tensor>,
    /// In Keras's order of the bias, overwritten.
    pub grad_bias: Option<B>,
    /// Adds to the values of `grad_weights` and `grad_bias` instead of overwriting them, for a step of several batches:
    /// all batches after the first add. The sums of a batch are rounded before they are added.
    pub accumulate: bool,
}

impl<B> Forward<B> {
    /// A pass that keeps no values before the activation.
    #[must_use]
    pub fn new(batch: u32, input: B, output: B) -> Self {
        Self { batch, input, output, pre_activation: None }
    }

    /// Keeps the values before the activation, for a backward pass.
    #[must_use]
    pub fn pre_activation(self, to: B) -> Self {
        Self { pre_activation: Some(to), ..self }
    }
}

/// ```no_run
/// # use locally_connected::{Backward, LocallyConnected, Result, wgpu};
/// # async fn run(layer: &LocallyConnected, [x, y, dy, dx]: [&wgpu::Buffer; 4]) -> Result<()> {
/// let weights = layer.create_weights_gradient().await?;
/// let backward = Backward::new(8, dy).input(x).output(y).grad_input(dx).grad_weights(&weights);
/// let bound = layer.bind_backward(backward).await?;
/// # Ok(())
/// # }
/// ```
impl<'a, B> Backward<'a, B> {
    /// A pass that computes nothing yet: name the gradients that are wanted, and what they are computed from.
    #[must_use]
    pub fn new(batch: u32, grad_output: B) -> Self {
        let (input, output, pre_activation, grad_input, grad_bias) = (None, None, None, None, None);
        let (grad_weights, accumulate) = (None, false);
        Self { batch, input, output, pre_activation, grad_output, grad_input, grad_weights, grad_bias, accumulate }
    }

    /// The forward pass's input, for `grad_weights`.
    #[must_use]
    pub fn input(self, from: B) -> Self {
        Self { input: Some(from), ..self }
    }

    /// The forward pass's output, where [`crate::Activation::saved`] wants it.
    #[must_use]
    pub fn output(self, from: B) -> Self {
        Self { output: Some(from), ..self }
    }

    /// The values before the activation, where [`crate::Activation::saved`] wants them.
    #[must_use]
    pub fn pre_activation(self, from: B) -> Self {
        Self { pre_activation: Some(from), ..self }
    }

    /// Computes the gradient by the input.
    #[must_use]
    pub fn grad_input(self, to: B) -> Self {
        Self { grad_input: Some(to), ..self }
    }

    /// Computes the gradient by the weights.
    #[must_use]
    pub fn grad_weights(self, to: &'a Tensor) -> Self {
        Self { grad_weights: Some(to), ..self }
    }

    /// Computes the gradient by the bias.
    #[must_use]
    pub fn grad_bias(self, to: B) -> Self {
        Self { grad_bias: Some(to), ..self }
    }

    /// Adds to what the gradients of the weights and the bias hold.
    #[must_use]
    pub fn accumulating(self) -> Self {
        Self { accumulate: true, ..self }
    }
}

/// An operand that a pass needs.
pub(super) fn needed<B>(operand: Option<B>, what: &'static str, why: &'static str) -> Result<B> {
    operand.ok_or(Error::Missing { what, why })
}

/// Why `grad_weights` needs the input.
pub(super) const FOR_GRAD_WEIGHTS: &str = "grad_weights is a sum of products with the input";

impl LocallyConnected {
    /// Compiles the pipelines of a forward pass of `batch` samples now rather than when it is bound. With `keep` the
    /// pass also writes the values before the activation.
    ///
    /// # Errors
    /// Those of the planner; [`Error::Shader`] where a driver refuses a kernel.
    pub async fn prepare_forward(&self, batch: u32, keep: bool) -> Result<()> {
        self.parameters.prepare(&layer_forward(&self.layer, keep), batch).await
    }

    /// Compiles the pipelines of a backward pass of `batch` samples that computes the gradients that are `wanted`.
    ///
    /// # Errors
    /// Those of the planner; [`Error::Shader`] where a driver refuses a kernel.
    pub async fn prepare_backward(&self, batch: u32, wanted: Gradients) -> Result<()> {
        self.parameters.prepare(&layer_backward(&self.layer, wanted), batch).await
    }

    /// Binds a forward pass to buffers or ranges of them.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Range`], [`Error::Alignment`], [`Error::Usage`], [`Error::Aliased`] for unfit operands;
    /// those of the planner; [`Error::OutOfMemory`].
    pub async fn bind_forward<'a>(&self, operands: Forward<impl Into<BufferRange<'a>>>) -> Result<Bound> {
        let Forward { batch, input, output, pre_activation } = operands;
        let program = layer_forward(&self.layer, pre_activation.is_some());
        let bindings = Bindings::default()
            .with(names::INPUT, input)
            .with(names::OUTPUT, output)
            .with_some(names::PRE_ACTIVATION, pre_activation);
        self.bind(&program, batch, &bindings).await
    }

    /// Binds a backward pass to buffers or ranges of them. It computes the gradients that have a buffer.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_forward`]; [`Error::Missing`] for an operand that the gradients need.
    pub async fn bind_backward<'a>(&self, operands: Backward<'a, impl Into<BufferRange<'a>>>) -> Result<Bound> {
        let config = self.layer.config();
        let Backward { batch, input, output, pre_activation, grad_output, accumulate, .. } = operands;
        let Backward { grad_input, grad_weights, grad_bias, .. } = operands;
        if grad_bias.is_some() && config.bias == Bias::None {
            return Err(Error::Missing { what: "a bias", why: "the layer was configured without one" });
        }
        let wanted =
            Gradients { input: grad_input.is_some(), weights: grad_weights.is_some(), bias: grad_bias.is_some() };
        let mut bindings = Bindings::default()
            .with(names::GRAD_OUTPUT, grad_output)
            .with_some(names::GRAD_INPUT, grad_input)
            .with_some(names::GRAD_BIAS, grad_bias)
            .with_some(names::GRAD_WEIGHTS, grad_weights);
        if wanted.weights {
            bindings = bindings.with(names::INPUT, needed(input, "input", FOR_GRAD_WEIGHTS)?);
        }
        let why = "the derivative of the activation is computed from it";
        bindings = match config.activation.saved() {
            Saved::Nothing => bindings,
            Saved::Output => bindings.with(names::OUTPUT, needed(output, "output", why)?),
            Saved::PreActivation => {
                bindings.with(names::PRE_ACTIVATION, needed(pre_activation, "pre_activation", why)?)
            }
        };
        let program = layer_backward(&self.layer, wanted);
        self.bind(&if accumulate { program.accumulating() } else { program }, batch, &bindings).await
    }
}
