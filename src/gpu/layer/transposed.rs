//! The transposed layer: the adjoint of a locally connected layer as a layer of its own.

use super::operands::{Operand, Operands};
use super::{Bound, KernelBuffers, LocallyConnected};
use crate::config::{Activation, Bias, Config};
use crate::gpu::{BufferRange, Context};
use crate::plan::{Gradients, Role};
use crate::{Error, Result};

/// A layer whose forward pass is the input gradient of a [`LocallyConnected`] layer with the same weights, as transposed
/// convolution is to convolution: it maps that layer's outputs to its inputs.
#[derive(Debug)]
pub struct TransposedLocallyConnected {
    adjoint: LocallyConnected,
}

/// The operands of a transposed backward pass, buffers or ranges of them as those of [`crate::Forward`]; gradients that
/// have one are computed.
#[derive(Debug, Clone, Copy)]
pub struct TransposedBackward<'a, B = &'a wgpu::Buffer> {
    /// Samples.
    pub batch: u32,
    /// The forward pass's input; needed for `grad_kernel`.
    pub input: Option<B>,
    /// Gradient of the forward pass's output.
    pub grad_output: B,
    /// Of the size of the input, overwritten.
    pub grad_input: Option<B>,
    /// From [`LocallyConnected::create_kernel_gradient`] or [`LocallyConnected::kernel_gradient_in`], overwritten.
    pub grad_kernel: Option<&'a KernelBuffers>,
}

impl TransposedLocallyConnected {
    /// The adjoint of the layer that `config` describes for inputs of `output_shape`: what this layer gives.
    ///
    /// # Errors
    /// Those of [`LocallyConnected::new`]; [`Error::Unsupported`] with a bias or an activation, which would come before
    /// the adjoint.
    pub async fn new(context: &Context, config: &Config, output_shape: &[usize]) -> Result<Self> {
        if config.bias != Bias::None || config.activation != Activation::Linear {
            let (what, with) = ("a bias or an activation".into(), "by the transposed layer".into());
            return Err(Error::Unsupported { what, with });
        }
        Ok(Self { adjoint: LocallyConnected::new(context, config, output_shape).await? })
    }

    /// The layer this one is the adjoint of; its weights are this layer's.
    #[must_use]
    pub fn adjoint(&self) -> &LocallyConnected {
        &self.adjoint
    }

    /// Binds a forward pass: `input` is `[batch]` of the adjoint's output shape, `output` `[batch]` of its input shape.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_forward`].
    pub async fn bind_forward<'a, B: Into<BufferRange<'a>>>(&self, batch: u32, input: B, output: B) -> Result<Bound> {
        let layer = &self.adjoint;
        let wanted = Gradients { input: true, kernel: false, bias: false };
        let plan = layer.planner().backward(batch, layer.geometry.config().implementation, wanted)?;
        let mut operands = Operands::default();
        operands.insert(Role::GradOutput, layer.of_outputs(batch, Operand::read("input", input))?);
        operands.insert(Role::GradInput, layer.of_inputs(batch, Operand::written("output", output))?);
        layer.bind(plan, operands).await
    }

    /// Binds a backward pass: two passes to be recorded one after the other, of the input's and the kernel's gradient.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_backward`].
    pub async fn bind_backward<'a>(
        &self,
        operands: TransposedBackward<'_, impl Into<BufferRange<'a>>>,
    ) -> Result<Vec<Bound>> {
        let layer = &self.adjoint;
        let (batch, implementation) = (operands.batch, layer.geometry.config().implementation);
        let grad_output = layer.of_inputs(batch, Operand::read("grad_output", operands.grad_output))?;
        let mut passes = Vec::new();
        if let Some(grad_input) = operands.grad_input {
            let mut checked = Operands::default();
            checked.insert(Role::Input, grad_output);
            checked.insert(Role::Output, layer.of_outputs(batch, Operand::written("grad_input", grad_input))?);
            passes.push((layer.planner().forward(batch, implementation, false)?, checked));
        }
        if let Some(grad_kernel) = operands.grad_kernel {
            let why = "grad_kernel is a sum of products with the input";
            let input = operands.input.ok_or(Error::Missing { what: "input", why })?;
            let wanted = Gradients { input: false, kernel: true, bias: false };
            let mut checked = Operands::default();
            // The sum of products is the adjoint's, with the two operands in each other's place.
            checked.insert(Role::Input, grad_output);
            checked.insert(Role::GradOutput, layer.of_outputs(batch, Operand::read("input", input))?);
            layer.add_grad_kernel(&mut checked, grad_kernel)?;
            passes.push((layer.planner().backward(batch, implementation, wanted)?, checked));
        }
        if let [(_, first), (_, second)] = &passes[..] {
            first.check_overlaps(Some(second))?;
        }
        let mut bound = Vec::new();
        for (plan, operands) in passes {
            bound.push(layer.bind(plan, operands).await?);
        }
        Ok(bound)
    }
}
