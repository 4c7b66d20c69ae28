//! The transposed layer: the adjoint of a locally connected layer as a layer of its own.

use super::LocallyConnected;
use super::passes::{FOR_GRAD_WEIGHTS, needed};
use crate::config::{Activation, Bias, Config};
use crate::gpu::{Bindings, Bound, BufferRange, Context, Tensor};
use crate::model::layer_names as names;
use crate::model::{Gradients, transposed_backward, transposed_forward};
use crate::{Error, Result};

/// A layer whose forward pass is the input gradient of a [`LocallyConnected`] layer with the same weights, as transposed
/// convolution is to convolution: it maps that layer's outputs to its inputs.
#[derive(Debug)]
pub struct TransposedLocallyConnected {
    adjoint: LocallyConnected,
}

/// Refuses a bias and an activation, which would come before the adjoint.
fn plain(config: &Config) -> Result<()> {
    if config.bias == Bias::None && config.activation == Activation::Linear {
        return Ok(());
    }
    let (what, with) = ("a bias or an activation".into(), "by the transposed layer".into());
    Err(Error::Unsupported { what, with })
}

/// The operands of a transposed backward pass, buffers or ranges of them as in [`crate::Forward`]. It computes the
/// gradients that have a buffer.
#[derive(Debug, Clone, Copy)]
pub struct TransposedBackward<'a, B = &'a wgpu::Buffer> {
    /// Samples of a pass.
    pub batch: u32,
    /// The forward pass's input; needed for `grad_weights`.
    pub input: Option<B>,
    /// Gradient of the forward pass's output.
    pub grad_output: B,
    /// Of the size of the input, overwritten.
    pub grad_input: Option<B>,
    /// From [`LocallyConnected::create_weights_gradient`] or [`LocallyConnected::weights_gradient_in`], overwritten.
    pub grad_weights: Option<&'a Tensor>,
    /// Adds to what `grad_weights` holds in place of overwriting it.
    pub accumulate: bool,
}

impl TransposedLocallyConnected {
    /// The adjoint of the layer that `config` describes for inputs of `output_shape`, which is thus the shape of this
    /// layer's output.
    ///
    /// # Errors
    /// Those of [`LocallyConnected::new`]; [`Error::Unsupported`] with a bias or an activation, which would come before
    /// the adjoint.
    pub async fn new(context: &Context, config: &Config, output_shape: &[usize]) -> Result<Self> {
        plain(config)?;
        Ok(Self { adjoint: LocallyConnected::new(context, config, output_shape).await? })
    }

    /// The adjoint of an existing layer, with the same weights, as a decoder that shares its encoder's. Where that
    /// layer has a bias or an activation, [`LocallyConnected::with_weights`] makes one without them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for one with a bias or an activation.
    pub fn of(adjoint: LocallyConnected) -> Result<Self> {
        plain(adjoint.geometry().config())?;
        Ok(Self { adjoint })
    }

    /// The layer this one is the adjoint of; its weights are this layer's.
    #[must_use]
    pub fn adjoint(&self) -> &LocallyConnected {
        &self.adjoint
    }

    /// Frees the adjoint's own buffers at once, as [`LocallyConnected::destroy`] does.
    pub fn destroy(self) {
        self.adjoint.destroy();
    }

    /// Binds a forward pass: `input` is `[batch][output shape of the adjoint]`, `output` is `[batch][input shape of the
    /// adjoint]`.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_forward`].
    pub async fn bind_forward<'a, B: Into<BufferRange<'a>>>(&self, batch: u32, input: B, output: B) -> Result<Bound> {
        let program = transposed_forward(&self.adjoint.layer);
        let bindings = Bindings::default().with(names::INPUT, input).with(names::OUTPUT, output);
        self.adjoint.bind(&program, batch, &bindings).await
    }

    /// Binds a backward pass.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_backward`].
    pub async fn bind_backward<'a>(
        &self,
        operands: TransposedBackward<'a, impl Into<BufferRange<'a>>>,
    ) -> Result<Bound> {
        let TransposedBackward { batch, input, grad_output, grad_input, grad_weights, accumulate } = operands;
        let wanted = Gradients { input: grad_input.is_some(), weights: grad_weights.is_some(), bias: false };
        let mut bindings = Bindings::default()
            .with(names::GRAD_OUTPUT, grad_output)
            .with_some(names::GRAD_INPUT, grad_input)
            .with_some(names::GRAD_WEIGHTS, grad_weights);
        if wanted.weights {
            bindings = bindings.with(names::INPUT, needed(input, "input", FOR_GRAD_WEIGHTS)?);
        }
        let program = transposed_backward(&self.adjoint.layer, wanted);
        self.adjoint.bind(&if accumulate { program.accumulating() } else { program }, batch, &bindings).await
    }
}
