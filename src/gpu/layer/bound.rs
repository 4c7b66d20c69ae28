//! Passes bound to buffers: made once, recorded as often as the host likes.

use super::{KernelBuffers, LocallyConnected, buffer};
use crate::config::{Bias, Implementation, Saved};
use crate::gpu::{Pipeline, scoped};
use crate::kernel::{Access, Params};
use crate::plan::{Chunk, Gradients, Plan, Role, Slice};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The operands of a forward pass. Buffers hold f32 and need the usage `STORAGE`.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'a> {
    /// Samples.
    pub batch: u32,
    /// `[batch][input shape]`.
    pub input: &'a wgpu::Buffer,
    /// `[batch][output shape]`, overwritten.
    pub output: &'a wgpu::Buffer,
    /// `[batch][output shape]`, overwritten with the values before the activation: wanted for a backward pass where
    /// [`crate::Activation::saved`] says so.
    pub pre_activation: Option<&'a wgpu::Buffer>,
}

/// The operands of a backward pass, for the loss whose gradient by the output is `grad_output`.
#[derive(Debug, Clone, Copy)]
pub struct Backward<'a> {
    /// Samples.
    pub batch: u32,
    /// `[batch][input shape]`; needed for `grad_kernel`.
    pub input: Option<&'a wgpu::Buffer>,
    /// What the forward pass wrote; needed where [`crate::Activation::saved`] says so.
    pub output: Option<&'a wgpu::Buffer>,
    /// What the forward pass wrote; needed where [`crate::Activation::saved`] says so.
    pub pre_activation: Option<&'a wgpu::Buffer>,
    /// `[batch][output shape]`.
    pub grad_output: &'a wgpu::Buffer,
    /// `[batch][input shape]`, overwritten.
    pub grad_input: Option<&'a wgpu::Buffer>,
    /// From [`LocallyConnected::create_kernel_gradient`], overwritten.
    pub grad_kernel: Option<&'a KernelBuffers>,
    /// In Keras's order of the bias, overwritten.
    pub grad_bias: Option<&'a wgpu::Buffer>,
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

/// The host's buffers of a pass by role, checked.
#[derive(Default)]
pub(super) struct Operands<'a> {
    buffers: BTreeMap<Role, &'a wgpu::Buffer>,
    read: Vec<(&'static str, &'a wgpu::Buffer)>,
    written: Vec<(&'static str, &'a wgpu::Buffer)>,
}

impl<'a> Operands<'a> {
    fn add(
        &mut self,
        role: Role,
        what: &'static str,
        access: Access,
        buffer: &'a wgpu::Buffer,
        elements: u64,
        shape: impl Fn() -> Vec<usize>,
    ) -> Result<()> {
        if buffer.size() < 4 * elements {
            return Err(Error::Length { what, expected: elements, found: buffer.size() / 4, shape: shape() });
        }
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::Usage { what });
        }
        match access {
            Access::Read => self.read.push((what, buffer)),
            Access::Write => self.written.push((what, buffer)),
        }
        self.buffers.insert(role, buffer);
        Ok(())
    }

    fn check_aliases(&self) -> Result<()> {
        for (i, (written, buffer)) in self.written.iter().enumerate() {
            let others = self.read.iter().chain(&self.written[..i]);
            if let Some((read, _)) = others.into_iter().find(|(_, other)| other == buffer) {
                return Err(Error::Aliased { read, written });
            }
        }
        Ok(())
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

    /// Binds a forward pass to buffers.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Usage`], [`Error::Aliased`] for unfit buffers; those of the planner;
    /// [`Error::OutOfMemory`].
    pub async fn bind_forward(&self, operands: Forward<'_>) -> Result<Bound> {
        let implementation = self.geometry.config().implementation;
        let plan = self.planner().forward(operands.batch, implementation, operands.pre_activation.is_some())?;
        let mut checked = Operands::default();
        let batch = operands.batch;
        self.add_input(&mut checked, Role::Input, "input", Access::Read, operands.input, batch)?;
        self.add_output(&mut checked, Role::Output, "output", Access::Write, operands.output, batch)?;
        if let Some(buffer) = operands.pre_activation {
            self.add_output(&mut checked, Role::PreActivation, "pre_activation", Access::Write, buffer, batch)?;
        }
        self.bind(plan, checked).await
    }

    /// Binds a backward pass to buffers; the gradients that have a buffer are computed.
    ///
    /// # Errors
    /// As [`LocallyConnected::bind_forward`]; [`Error::Missing`] for an operand that the gradients need.
    pub async fn bind_backward(&self, operands: Backward<'_>) -> Result<Bound> {
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
        self.add_output(&mut checked, Role::GradOutput, "grad_output", Access::Read, operands.grad_output, batch)?;
        if wanted.kernel {
            let why = "grad_kernel is a sum of products with the input";
            let input = operands.input.ok_or(Error::Missing { what: "input", why })?;
            self.add_input(&mut checked, Role::Input, "input", Access::Read, input, batch)?;
        }
        let why = "the derivative of the activation is computed from it";
        match config.activation.saved() {
            Saved::Nothing => {}
            Saved::Output => {
                let output = operands.output.ok_or(Error::Missing { what: "output", why })?;
                self.add_output(&mut checked, Role::Output, "output", Access::Read, output, batch)?;
            }
            Saved::PreActivation => {
                let z = operands.pre_activation.ok_or(Error::Missing { what: "pre_activation", why })?;
                self.add_output(&mut checked, Role::PreActivation, "pre_activation", Access::Read, z, batch)?;
            }
        }
        if let Some(buffer) = operands.grad_input {
            self.add_input(&mut checked, Role::GradInput, "grad_input", Access::Write, buffer, batch)?;
        }
        if let Some(kernel) = operands.grad_kernel {
            self.add_grad_kernel(&mut checked, kernel)?;
        }
        if let Some(buffer) = operands.grad_bias {
            let shape = || self.geometry.bias_shape().unwrap_or_default();
            checked.add(Role::GradBias, "grad_bias", Access::Write, buffer, self.geometry.biases(), shape)?;
        }
        self.bind(plan, checked).await
    }

    pub(super) fn add_grad_kernel<'a>(&self, operands: &mut Operands<'a>, kernel: &'a KernelBuffers) -> Result<()> {
        if kernel.chunks != self.kernel.chunks {
            let expected = self.geometry.weights();
            let found = kernel.chunks.iter().map(Chunk::len).sum();
            return Err(Error::Length { what: "grad_kernel", expected, found, shape: Vec::new() });
        }
        for ((buffer, chunk), index) in kernel.buffers.iter().zip(&kernel.chunks).zip(0..) {
            let role = Role::GradKernel(index);
            operands.add(role, "grad_kernel", Access::Write, buffer, chunk.len(), Vec::new)?;
        }
        Ok(())
    }

    pub(super) fn add_input<'a>(
        &self,
        operands: &mut Operands<'a>,
        role: Role,
        what: &'static str,
        access: Access,
        buffer: &'a wgpu::Buffer,
        batch: u32,
    ) -> Result<()> {
        let elements = self.geometry.inputs() * u64::from(batch);
        operands.add(role, what, access, buffer, elements, || batched(batch, self.geometry.input_shape()))
    }

    pub(super) fn add_output<'a>(
        &self,
        operands: &mut Operands<'a>,
        role: Role,
        what: &'static str,
        access: Access,
        buffer: &'a wgpu::Buffer,
        batch: u32,
    ) -> Result<()> {
        let elements = self.geometry.outputs() * u64::from(batch);
        operands.add(role, what, access, buffer, elements, || batched(batch, &self.geometry.output_shape()))
    }

    pub(super) async fn bind<'a>(&'a self, plan: Plan, mut operands: Operands<'a>) -> Result<Bound> {
        for (buffer, index) in self.kernel.buffers.iter().zip(0..) {
            operands.buffers.insert(Role::Kernel(index), buffer);
            operands.read.push(("kernel", buffer));
        }
        if let Some(bias) = &self.bias {
            operands.buffers.insert(Role::Bias, bias);
            operands.read.push(("bias", bias));
        }
        operands.buffers.insert(Role::Tables, &self.tables_buffer);
        if plan.implementation == Implementation::SparseGather {
            operands.buffers.insert(Role::SparseIndex, self.sparse_index().await?);
        }
        operands.check_aliases()?;

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
            {
                let mut view = uniform
                    .get_mapped_range_mut(..)
                    .map_err(|error| Error::OutOfMemory(format!("{uniform_bytes} bytes of uniforms: {error}")))?;
                for (dispatch, at) in plan.dispatches.iter().zip((0..).step_by(stride as usize)) {
                    view.slice(at..at + size_of::<Params>()).copy_from_slice(bytemuck::bytes_of(&dispatch.params));
                }
            }
            uniform.unmap();
            let mut steps = Vec::with_capacity(plan.dispatches.len());
            for (dispatch, index) in plan.dispatches.iter().zip(0u64..) {
                let pipeline = self.context.pipelines().get(device, dispatch.variant)?;
                let range = |slice: &Slice| {
                    let buffer = operands.buffers.get(&slice.role).copied().or_else(|| scratch.get(&slice.role));
                    let buffer = buffer.ok_or(Error::Missing { what: "a buffer", why: "the plan refers to it" })?;
                    Ok(wgpu::BufferBinding {
                        buffer,
                        offset: slice.offset,
                        size: std::num::NonZeroU64::new(slice.size),
                    })
                };
                let mut entries = vec![wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &uniform,
                        offset: 0,
                        size: std::num::NonZeroU64::new(size_of::<Params>() as u64),
                    }),
                }];
                for (slice, binding) in dispatch.bindings.iter().zip(1..) {
                    let resource = wgpu::BindingResource::Buffer(range(slice)?);
                    entries.push(wgpu::BindGroupEntry { binding, resource });
                }
                let label = Some(dispatch.variant.kernel.info().name);
                let layout = &pipeline.layout;
                let bind_group =
                    device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
                let params_offset = (stride * index) as u32;
                steps.push(Step { pipeline, bind_group, params_offset, workgroups: dispatch.workgroups });
            }
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
