//! Programs bound to buffers: made once, recorded as often as the host likes.

use super::operands::{Binding, Bindings, Called, Operand, Operands};
use super::tensor::buffer;
use super::{BufferRange, Context, Making, Pipeline, Weights, scoped};
use crate::kernels::Access;
use crate::ops::{Buffer, BufferId, Operation, Shape, Usage};
use crate::plan::{ProgramPlan, Resource, Slice, cut};
use crate::program::Program;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

/// A program ready to be recorded: bind groups, uniforms and scratch memory of its own.
///
/// Two recordings of the same `Bound` share its scratch memory; within one queue they run one after the other.
#[derive(Debug)]
pub struct Bound {
    operations: Vec<Recorded>,
    plan: ProgramPlan,
    bytes: u64,
}

/// The dispatches of an operation.
#[derive(Debug)]
struct Recorded {
    /// Of the debug group that they are recorded in: whose they are, and what they do.
    label: String,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    params_offset: u32,
    workgroups: [u32; 3],
}

impl Bound {
    /// Records the dispatches into the host's pass, those of an operation in a debug group.
    ///
    /// It leaves behind the pipeline and bind group 0 of its last dispatch, so that the host sets both before a dispatch of
    /// its own; bind groups from 1 on stay as the host set them, and the debug groups are closed. Nothing need be set
    /// before. The host needs no barrier on either side: wgpu puts one before each dispatch that reads what was written.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for operation in &self.operations {
            pass.push_debug_group(&operation.label);
            for step in &operation.steps {
                pass.set_pipeline(&step.pipeline.pipeline);
                pass.set_bind_group(0, &step.bind_group, &[step.params_offset]);
                let [x, y, z] = step.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
            pass.pop_debug_group();
        }
    }

    /// What was planned.
    #[must_use]
    pub fn plan(&self) -> &ProgramPlan {
        &self.plan
    }

    /// Bytes of the buffers made for it: uniforms and scratch.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Everything that the dispatches of a program refer to.
struct Resources<'a> {
    operands: Operands<'a>,
    /// Of operations, by their place in the program.
    constants: BTreeMap<(usize, Resource), wgpu::Buffer>,
    /// Where a program's scratch buffer lies among `pieces`.
    scratch: Vec<Option<usize>>,
    pieces: Vec<wgpu::Buffer>,
    own: BTreeMap<Resource, wgpu::Buffer>,
}

impl Resources<'_> {
    fn range(&self, operation: usize, resource: Resource) -> Option<BufferRange<'_>> {
        if let Some(operand) = self.operands.get(resource) {
            return Some(operand.range);
        }
        match resource {
            Resource::Buffer(id) => self.scratch.get(id.index())?.and_then(|piece| self.pieces.get(piece)),
            Resource::Tables | Resource::SparseIndex | Resource::Data(_) => self.constants.get(&(operation, resource)),
            Resource::DenseMatrix | Resource::SampleSums | Resource::Between(_) | Resource::Parts => {
                self.own.get(&resource)
            }
            Resource::Chunk(..) => None,
        }
        .map(BufferRange::from)
    }

    /// A range of a dispatch as a bind group takes it.
    fn bind(&self, operation: usize, slice: &Slice) -> Result<wgpu::BindingResource<'_>> {
        let range = self.range(operation, slice.resource);
        let range = range.ok_or(Error::Missing { what: "a buffer", why: "the plan refers to it" })?;
        Ok(wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: range.buffer,
            // Both are multiples of the alignment.
            offset: range.offset + slice.offset,
            size: slice.size.or(NonZeroU64::new(range.size)),
        }))
    }
}

impl Weights {
    /// Compiles the pipelines of a program for `batch` samples now rather than when it is bound.
    ///
    /// # Errors
    /// Those of the planner; [`Error::Shader`] where a driver refuses a kernel.
    pub async fn prepare(&self, program: &Program, batch: u32) -> Result<()> {
        let plan = self.planner().program(program, batch)?;
        self.compile(&plan).await
    }

    async fn compile(&self, plan: &ProgramPlan) -> Result<()> {
        let variants = plan.dispatches().map(|dispatch| dispatch.variant);
        self.context.pipelines().compile(self.context.device(), variants).await
    }

    /// Binds a program for `batch` samples to these parameters and to the host's buffers: its inputs, its outputs and its
    /// gradients, by name.
    ///
    /// # Errors
    /// [`Error::NotGiven`] for a buffer or parameter that isn't there, [`Error::NoBuffer`] for a name that the program
    /// doesn't have, [`Error::Program`] for one that isn't the host's to bind; [`Error::Length`], [`Error::Range`], [`Error::Alignment`], [`Error::Usage`], [`Error::Aliased`] for
    /// unfit buffers; those of the planner; [`Error::OutOfMemory`].
    pub async fn bind(&self, program: &Program, batch: u32, bindings: &Bindings<'_>) -> Result<Bound> {
        for name in bindings.names() {
            let buffer = program.find(name).and_then(|id| program.buffer(id));
            let buffer = buffer.ok_or_else(|| Error::NoBuffer { name: name.to_owned() })?;
            if matches!(buffer.usage, Usage::Scratch | Usage::Parameter | Usage::State) {
                let what = format!("buffer {name:?}");
                return Err(Error::Program { what, why: "it is no input, output or gradient, so it can't be bound" });
            }
        }
        let plan = self.planner().program(program, batch)?;
        let operands = self.operands(program, batch, bindings)?;
        operands.check_overlaps(&self.idle(program))?;
        for plan in &plan.plans {
            operands.check_dispatches(plan)?;
        }
        self.compile(&plan).await?;
        let mut constants = BTreeMap::new();
        for (operation, plan, at) in program.operations.iter().zip(&plan.plans).zip(0..).map(|((o, p), at)| (o, p, at))
        {
            for (words, number) in plan.constants.iter().zip(0..) {
                let made = self.constants.words(&self.context, words).await?;
                constants.insert((at, Resource::Data(number)), made);
            }
            let Some(layer) = operation.layer() else { continue };
            for resource in [Resource::Tables, Resource::SparseIndex] {
                if plan.binds(resource) {
                    constants.insert((at, resource), self.constants.get(&self.context, layer, resource).await?);
                }
            }
        }
        let device = self.context.device();
        let (memory, caught) = scoped(device, Making::new("scratch", plan.memory.scratch), || {
            let scratch = |of: String, bytes| buffer(device, &format!("locally-connected scratch {of}"), bytes);
            let pieces: Vec<_> =
                plan.pieces().into_iter().zip(0..).map(|(bytes, piece)| scratch(format!("{piece}"), bytes)).collect();
            let own = plan.own_scratch().into_iter();
            let own = own.map(|(resource, bytes)| (resource, scratch(format!("{resource:?}"), bytes))).collect();
            (pieces, own)
        });
        caught.await?;
        let (pieces, own) = memory;
        let resources = Resources { operands, constants, scratch: plan.scratch.of_buffer.clone(), pieces, own };
        let making = Making::new("the uniforms of a pass", plan.memory.uniforms);
        let (made, caught) = scoped(device, making, || recorded(&self.context, program, &plan, &resources));
        if let Err(error) = caught.await {
            return Err(self.blame(error, &resources.operands).await);
        }
        let (operations, bytes) = made?;
        Ok(Bound { operations, plan, bytes })
    }

    /// What the device refuses, as the fault of an operand that it also refuses alone.
    async fn blame(&self, error: Error, operands: &Operands<'_>) -> Error {
        if !matches!(error, Error::Device(_)) {
            return error;
        }
        for operand in operands.all() {
            if let Err(refused) = operand.range.check_taken(self.context.device(), operand.called.what).await {
                return operand.called.blamed(refused);
            }
        }
        error
    }

    /// What the program's buffers are bound to, each checked for itself.
    fn operands<'a>(&'a self, program: &'a Program, batch: u32, bindings: &Bindings<'a>) -> Result<Operands<'a>> {
        let mut operands = Operands::default();
        let updated: BTreeSet<BufferId> = program.operations.iter().flat_map(Operation::updates).collect();
        for (buffer, id) in program.buffers.iter().zip((0..).map(BufferId)) {
            let called = Called::new(buffer);
            match buffer.usage {
                Usage::Scratch => {}
                Usage::Input | Usage::Output => {
                    let Binding::Range(range) = bindings.get(&buffer.name)? else {
                        return Err(Error::Program {
                            what: format!("buffer {:?}", buffer.name),
                            why: "it is one range, not cut as gradients of weights are",
                        });
                    };
                    let access = if buffer.usage == Usage::Input { Access::Read } else { Access::Write };
                    let operand = Operand::new(called, access, range);
                    operands.insert(Resource::Buffer(id), self.whole(operand, buffer, batch)?);
                }
                Usage::Parameter | Usage::State => {
                    let found = self.parameters.get(&buffer.name);
                    let parameter = found.ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
                    parameter.check_is(buffer)?;
                    let access = if updated.contains(&id) { Access::Write } else { Access::Read };
                    for (range, index) in parameter.values.ranges().into_iter().zip(0..) {
                        operands.insert(piece(buffer, id, index), Operand::new(called, access, range));
                    }
                }
                Usage::Gradient => match bindings.get(&buffer.name)? {
                    Binding::Range(range) => {
                        let [_] = cut(&buffer.shape, self.context.profile())?[..] else {
                            return Err(called.blamed(Error::Program {
                                what: format!("buffer {:?}", buffer.name),
                                why: "the device's limits cut it into chunks, and a range is one of them",
                            }));
                        };
                        let operand = self.whole(Operand::new(called, Access::Write, range), buffer, batch)?;
                        operands.insert(piece(buffer, id, 0), operand);
                    }
                    Binding::Gradient(values) => {
                        let chunks = cut(&buffer.shape, self.context.profile())?;
                        values.check_chunks(called.what, &chunks).map_err(|error| called.blamed(error))?;
                        for ((range, chunk), index) in values.ranges().into_iter().zip(&chunks).zip(0..) {
                            let elements = chunk.bytes(buffer.dtype) / 4;
                            let shape = [chunk.entries as usize, chunk.filters as usize];
                            let operand = Operand::new(called, Access::Write, range);
                            let operand = operand.checked(elements, self.offset_alignment(), &shape)?;
                            operands.insert(piece(buffer, id, index), operand);
                        }
                    }
                },
            }
        }
        Ok(operands)
    }

    /// The parameters that a program doesn't read.
    fn idle(&self, program: &Program) -> Vec<Operand<'_>> {
        let idle = self.parameters.values().filter(|parameter| program.find(&parameter.described.name).is_none());
        let operands = idle.flat_map(|parameter| {
            let called = Called::new(&parameter.described);
            let ranges = parameter.values.ranges().into_iter();
            ranges.map(move |range| Operand::new(called, Access::Read, range))
        });
        operands.collect()
    }

    /// An operand of one piece.
    fn whole<'a>(&self, operand: Operand<'a>, buffer: &Buffer, batch: u32) -> Result<Operand<'a>> {
        let elements = buffer.shape.elements(batch);
        let batched = matches!(buffer.shape, Shape::Samples(_)).then_some(batch as usize);
        let shape: Vec<usize> = batched.into_iter().chain(buffer.shape.sizes()).collect();
        operand.checked(elements, self.offset_alignment(), &shape)
    }

    /// What offsets of operands are multiples of, as the planner's are.
    pub(super) fn offset_alignment(&self) -> u64 {
        self.context.profile().storage_alignment.max(4).into()
    }
}

/// How plans refer to a chunk of a parameter or gradient: weights are cut, others are not.
fn piece(buffer: &Buffer, id: BufferId, index: u32) -> Resource {
    if buffer.shape.is_cut() { Resource::Chunk(id, index) } else { Resource::Buffer(id) }
}

/// The dispatches of a plan, operation by operation, and the bytes of the buffers made for it.
fn recorded(
    context: &Context,
    program: &Program,
    plan: &ProgramPlan,
    resources: &Resources<'_>,
) -> Result<(Vec<Recorded>, u64)> {
    let device = context.device();
    let stride = context.profile().params_stride();
    // Written rather than mapped: mapping throws in a browser whose device is lost.
    let uniform = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("locally-connected params"),
        size: plan.memory.uniforms,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut params = vec![0; plan.memory.uniforms as usize];
    let mut operations = Vec::new();
    let mut places = (0u64..).map(|index| stride * index);
    for ((operation, plan), at) in program.operations.iter().zip(&plan.plans).zip(0..) {
        let layer = program.layer_of(operation).map(|layer| format!("{layer} ")).unwrap_or_default();
        let label = format!("locally-connected {layer}{}", operation.name());
        let mut steps = Vec::new();
        for (dispatch, place) in plan.dispatches.iter().zip(&mut places) {
            let pipeline = context.pipelines().get(dispatch.variant);
            let pipeline = pipeline.ok_or_else(|| Error::NoKernel { kernel: dispatch.variant.info().name })?;
            let held = pipeline.uniform.bytes(&dispatch.params);
            params[place as usize..][..held.len()].copy_from_slice(&held);
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &uniform,
                    offset: 0,
                    size: NonZeroU64::new(pipeline.uniform.size()),
                }),
            }];
            for (slice, binding) in dispatch.bindings.iter().zip(1..) {
                entries.push(wgpu::BindGroupEntry { binding, resource: resources.bind(at, slice)? });
            }
            let (label, layout) = (Some(label.as_str()), &pipeline.layout);
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries: &entries });
            let params_offset = place as u32;
            steps.push(Step { pipeline, bind_group, params_offset, workgroups: dispatch.workgroups });
        }
        if !steps.is_empty() {
            operations.push(Recorded { label, steps });
        }
    }
    context.queue().write_buffer(&uniform, 0, &params);
    let scratch = resources.pieces.iter().chain(resources.own.values()).map(wgpu::Buffer::size).sum::<u64>();
    Ok((operations, scratch + uniform.size()))
}
