//! Passes bound to buffers: made once, recorded as often as the host likes.

use super::operands::{Operand, Operands};
use super::{KernelBuffers, LocallyConnected, buffer};
use crate::config::{Bias, Implementation, Saved};
use crate::gpu::{BufferRange, Pipeline, scoped};
use crate::plan::{Gradients, Plan, Role, Slice};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The operands of a forward pass: buffers or ranges of them, `B` being `&wgpu::Buffer`, [`wgpu::BufferSlice`] or, with
/// `.into()` for both at once, [`BufferRange`]. They hold f32 and need the usage `STORAGE`; what lies in the buffers beyond them stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct Forward<B> {
    /// Samples.
    pub batch: u32,
    /// `[batch][input shape]`.
    pub input: B,
    /// `[batch][output shape]`, overwritten.
    pub output: B,
    /// `[batch][output shape]`, overwritten with the values before the activation: wanted for a backward pass where
    /// [`crate::Activation::saved`] says so.
    pub pre_activation: Option<B>,
}

/// The operands of a backward pass, for the loss whose gradient by the output is `grad_output`: buffers or ranges of them,
/// as those of [`Forward`].
#[derive(Debug, Clone, Copy)]
pub struct Backward<'a, B = &'a wgpu::Buffer> {
    /// Samples.
    pub batch: u32,
    /// `[batch][input shape]`; needed for `grad_kernel`.
    pub input: Option<B>,
    /// What the forward pass wrote; needed where [`crate::Activation::saved`] says so.
    pub output: Option<B>,
    /// What the forward pass wrote; needed where [`crate::Activation::saved`] says so.
    pub pre_activation: Option<B>,
    /// `[batch][output shape]`.
    pub grad_output: B,
    /// `[batch][input shape]`, overwritten.
    pub grad_input: Option<B>,
    /// From [`LocallyConnected::create_kernel_gradient`] or [`LocallyConnected::kernel_gradient_in`], overwritten.
    pub grad_kernel: Option<&'a KernelBuffers>,
    /// In Keras's order of the bias, overwritten.
    pub grad_bias: Option<B>,
}

/// A pass ready to be recorded: bind groups, uniforms and scratch memory of its own.
///
/// Two recordings of the same `Bound` share its scratch memory; within one queue they run one after the other.
#[derive(Debug)]
pub struct Bound {
    steps: Vec<Step>,
    plan: Plan,
    bytes: u64,
}

#[derive(Debug)]
struct Step {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    params_offset: u32,
    workgroups: [u32; 3],
}

impl Bound {
    /// Records the dispatches into the host's pass.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for step in &self.steps {
            pass.set_pipeline(&step.pipeline.pipeline);
            pass.set_bind_group(0, &step.bind_group, &[step.params_offset]);
            let [x, y, z] = step.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// What was planned.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of the buffers made for this pass: uniforms and scratch.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl LocallyConnected {
    /// Compiles the pipelines of forward and backward passes of `batch` samples now rather than when bound.
    ///
    /// # Errors
    /// Those of the planner; [`Error::Device`] where a driver refuses a shader.
    pub async fn prepare(&self, batch: u32) -> Result<()> {
        let implementation = self.geometry.config().implementation;
        let saves = self.geometry.config().activation.saved() == Saved::PreActivation;
        let plans = [
            self.planner().forward(batch, implementation, saves)?,
            self.planner().backward(batch, implementation, Gradients::ALL)?,
        ];
        let dispatches = plans.iter().flat_map(|plan| &plan.dispatches);
        let variants: Vec<_> = dispatches.map(|dispatch| dispatch.variant).collect();
        self.context.compile(&variants).await
    }

    /// Binds a forward pass to buffers or ranges of them.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Range`], [`Error::Alignment`], [`Error::Usage`], [`Error::Aliased`] for unfit operands;
    /// those of the planner; [`Error::OutOfMemory`].
    pub async fn bind_forward<'a>(&self, operands: Forward<impl Into<BufferRange<'a>>>) -> Result<Bound> {
        let implementation = self.geometry.config().implementation;
        let Forward { batch, input, output, pre_activation } = operands;
        let plan = self.planner().forward(batch, implementation, pre_activation.is_some())?;
        let mut checked = Operands::default();
        checked.insert(Role::Input, self.of_inputs(batch, Operand::read("input", input))?);
        checked.insert(Role::Output, self.of_outputs(batch, Operand::written("output", output))?);
        if let Some(z) = pre_activation {
            checked.insert(Role::PreActivation, self.of_outputs(batch, Operand::written("pre_activation", z))?);
        }
        self.bind(plan, checked).await
    }

    /// Binds a backward pass to buffers or ranges of them; the gradients that have one are computed.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_forward`]; [`Error::Missing`] for an operand that the gradients need.
    pub async fn bind_backward<'a>(&self, operands: Backward<'_, impl Into<BufferRange<'a>>>) -> Result<Bound> {
        let config = self.geometry.config();
        if operands.grad_bias.is_some() && config.bias == Bias::None {
            return Err(Error::Missing { what: "a bias", why: "the layer was configured without one" });
        }
        let wanted = Gradients {
            input: operands.grad_input.is_some(),
            kernel: operands.grad_kernel.is_some(),
            bias: operands.grad_bias.is_some(),
        };
        let plan = self.planner().backward(operands.batch, config.implementation, wanted)?;
        let batch = operands.batch;
        let mut checked = Operands::default();
        let grad_output = Operand::read("grad_output", operands.grad_output);
        checked.insert(Role::GradOutput, self.of_outputs(batch, grad_output)?);
        if wanted.kernel {
            let why = "grad_kernel is a sum of products with the input";
            let input = operands.input.ok_or(Error::Missing { what: "input", why })?;
            checked.insert(Role::Input, self.of_inputs(batch, Operand::read("input", input))?);
        }
        let why = "the derivative of the activation is computed from it";
        match config.activation.saved() {
            Saved::Nothing => {}
            Saved::Output => {
                let output = operands.output.ok_or(Error::Missing { what: "output", why })?;
                checked.insert(Role::Output, self.of_outputs(batch, Operand::read("output", output))?);
            }
            Saved::PreActivation => {
                let z = operands.pre_activation.ok_or(Error::Missing { what: "pre_activation", why })?;
                checked.insert(Role::PreActivation, self.of_outputs(batch, Operand::read("pre_activation", z))?);
            }
        }
        if let Some(dx) = operands.grad_input {
            checked.insert(Role::GradInput, self.of_inputs(batch, Operand::written("grad_input", dx))?);
        }
        if let Some(kernel) = operands.grad_kernel {
            self.add_grad_kernel(&mut checked, kernel)?;
        }
        if let Some(db) = operands.grad_bias {
            let shape = || self.geometry.bias_shape().unwrap_or_default();
            let db =
                Operand::written("grad_bias", db).checked(self.geometry.biases(), self.offset_alignment(), shape)?;
            checked.insert(Role::GradBias, db);
        }
        self.bind(plan, checked).await
    }

    pub(super) fn add_grad_kernel<'a>(&self, operands: &mut Operands<'a>, kernel: &'a KernelBuffers) -> Result<()> {
        self.check_chunks("grad_kernel", kernel)?;
        for ((range, chunk), index) in kernel.ranges().into_iter().zip(&kernel.chunks).zip(0..) {
            operands.insert(Role::GradKernel(index), self.chunk_operand(chunk, range)?);
        }
        Ok(())
    }

    /// `operand` as `[batch][input shape]`.
    pub(super) fn of_inputs<'a>(&self, batch: u32, operand: Operand<'a>) -> Result<Operand<'a>> {
        let elements = self.geometry.inputs() * u64::from(batch);
        operand.checked(elements, self.offset_alignment(), || batched(batch, self.geometry.input_shape()))
    }

    /// `operand` as `[batch][output shape]`.
    pub(super) fn of_outputs<'a>(&self, batch: u32, operand: Operand<'a>) -> Result<Operand<'a>> {
        let elements = self.geometry.outputs() * u64::from(batch);
        operand.checked(elements, self.offset_alignment(), || batched(batch, &self.geometry.output_shape()))
    }

    pub(super) async fn bind<'a>(&'a self, plan: Plan, mut operands: Operands<'a>) -> Result<Bound> {
        for (range, index) in self.kernel.ranges().into_iter().zip(0..) {
            operands.insert(Role::Kernel(index), Operand::read("kernel", range));
        }
        if let Some(bias) = &self.bias {
            operands.insert(Role::Bias, Operand::read("bias", bias));
        }
        operands.insert(Role::Tables, Operand::read("the tap tables", &self.tables_buffer));
        if plan.implementation == Implementation::SparseGather {
            operands.insert(Role::SparseIndex, Operand::read("the sparse index", self.sparse_index().await?));
        }
        operands.check_overlaps(None)?;
        operands.check_dispatches(&plan)?;

        let device = self.context.device();
        let stride = self.context.profile().params_stride();
        let uniform_bytes = stride * plan.dispatches.len() as u64;
        let (made, caught) = scoped(device, || {
            let scratch: BTreeMap<Role, wgpu::Buffer> = plan
                .scratch
                .iter()
                .map(|&(role, bytes)| (role, buffer(device, "locally-connected scratch", bytes)))
                .collect();
            let uniform = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("locally-connected params"),
                // An empty plan has no uniform, but a buffer of no bytes can't be mapped.
                size: uniform_bytes.max(4),
                usage: wgpu::BufferUsages::UNIFORM,
                mapped_at_creation: true,
            });
            let mut view = uniform
                .get_mapped_range_mut(..)
                .map_err(|error| Error::OutOfMemory(format!("{uniform_bytes} bytes of uniforms: {error}")))?;
            let mut steps = Vec::with_capacity(plan.dispatches.len());
            for (dispatch, index) in plan.dispatches.iter().zip(0u64..) {
                let pipeline = self.context.pipelines().get(device, dispatch.variant)?;
                let params_offset = (stride * index) as u32;
                let held = pipeline.uniform.bytes(&dispatch.params);
                view.slice(params_offset as usize..params_offset as usize + held.len()).copy_from_slice(&held);
                let range = |slice: &Slice| {
                    let operand = operands.get(slice.role).map(|operand| operand.range);
                    let range = operand.or_else(|| scratch.get(&slice.role).map(BufferRange::from));
                    let range = range.ok_or(Error::Missing { what: "a buffer", why: "the plan refers to it" })?;
                    let size = if slice.size == 0 { range.size } else { slice.size };
                    Ok(wgpu::BufferBinding {
                        buffer: range.buffer,
                        // Both are multiples of the alignment.
                        offset: range.offset + slice.offset,
                        size: std::num::NonZeroU64::new(size),
                    })
                };
                let mut entries = vec![wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &uniform,
                        offset: 0,
                        size: std::num::NonZeroU64::new(pipeline.uniform.size()),
                    }),
                }];
                for (slice, binding) in dispatch.bindings.iter().zip(1..) {
                    let resource = wgpu::BindingResource::Buffer(range(slice)?);
                    entries.push(wgpu::BindGroupEntry { binding, resource });
                }
                let label = Some(dispatch.variant.info().name);
                let layout = &pipeline.layout;
                let bind_group =
                    device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
                steps.push(Step { pipeline, bind_group, params_offset, workgroups: dispatch.workgroups });
            }
            drop(view);
            uniform.unmap();
            Ok(steps)
        });
        if let Err(error) = caught.await {
            self.context.pipelines().forget(plan.dispatches.iter().map(|dispatch| dispatch.variant));
            return Err(error);
        }
        let bytes = uniform_bytes.max(4) + plan.scratch_bytes();
        Ok(Bound { steps: made?, plan, bytes })
    }
}

fn batched(batch: u32, shape: &[usize]) -> Vec<usize> {
    std::iter::once(batch as usize).chain(shape.iter().copied()).collect()
}
