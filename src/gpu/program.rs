//! Programs bound to buffers: made once, recorded as often as the host likes.

use super::bound::{Made, Recorded, Step};
use super::called::Called;
use super::operands::{Binding, Bindings, Operand, Operands};
use super::tensor::buffer;
use super::write::write;
use super::{Bound, BufferRange, Context, Making, Weights, scoped};
use crate::kernels::Access;
use crate::ops::{Buffer, BufferId, Operation, Shape, Usage};
use crate::plan::{Dispatch, ProgramPlan, Resource, Slice, cut};
use crate::program::Program;
use crate::room::zeroes;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// Everything that the dispatches of a program refer to.
struct Resources<'a> {
    operands: Operands<'a>,
    /// By the operation's place in the program.
    constants: BTreeMap<(usize, Resource), wgpu::Buffer>,
    /// Where a program's scratch buffer lies among `pieces`.
    scratch: Vec<Option<usize>>,
    pieces: Vec<Piece>,
    own: BTreeMap<Resource, Piece>,
}

/// Scratch memory: the first bytes of a buffer, which may be a pool's and larger.
struct Piece {
    buffer: wgpu::Buffer,
    bytes: u64,
}

impl Piece {
    fn range(&self) -> BufferRange<'_> {
        BufferRange::from(&self.buffer).first(self.bytes)
    }
}

impl Resources<'_> {
    fn range(&self, operation: usize, resource: Resource) -> Option<BufferRange<'_>> {
        if let Some(operand) = self.operands.get(resource) {
            return Some(operand.range);
        }
        match resource {
            Resource::Buffer(id) => {
                let piece = self.scratch.get(id.index())?.and_then(|piece| self.pieces.get(piece));
                piece.map(Piece::range)
            }
            Resource::Tables | Resource::SparseIndex | Resource::Data(_) => {
                self.constants.get(&(operation, resource)).map(BufferRange::from)
            }
            Resource::DenseMatrix | Resource::SampleSums | Resource::Between(_) | Resource::Parts => {
                self.own.get(&resource).map(Piece::range)
            }
            Resource::Chunk(..) => None,
        }
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
    /// doesn't have, [`Error::Program`] for one that isn't the host's to bind; [`Error::Length`], [`Error::Range`],
    /// [`Error::Alignment`], [`Error::Usage`], [`Error::Aliased`] for unfit buffers; those of the planner;
    /// [`Error::OutOfMemory`].
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
        let buffers = plan.scratch_buffers();
        let scratch = match &self.scratch {
            Some(pool) => pool.take(&self.context, &buffers).await?,
            None => {
                let (made, caught) = scoped(device, Making::new("scratch", plan.memory.scratch), || {
                    let numbered = buffers.iter().zip(0..);
                    let made = numbered.map(|(&bytes, number)| {
                        buffer(device, &label(program, format_args!("scratch {number}")), bytes)
                    });
                    made.collect::<Vec<_>>()
                });
                caught.await?;
                made
            }
        };
        operands.check_scratch(&scratch)?;
        let own = if self.scratch.is_none() { scratch.clone() } else { Vec::new() };
        let pieces = scratch.into_iter().zip(&buffers).map(|(buffer, &bytes)| Piece { buffer, bytes });
        let mut pieces: Vec<_> = pieces.collect();
        let within = pieces.split_off(plan.scratch.pieces.len());
        let within = plan.own_scratch().into_iter().map(|(resource, _)| resource).zip(within).collect();
        let scratch = plan.scratch.of_buffer.clone();
        let resources = Resources { operands, constants, scratch, pieces, own: within };
        let making = Making::new("the uniforms of a pass", plan.memory.uniforms);
        let (made, caught) = scoped(device, making.clone(), || recorded(&self.context, program, &plan, &resources));
        if let Err(error) = caught.await {
            return Err(self.blame(error, &resources.operands).await);
        }
        let made = made?;
        write(&self.context, BufferRange::from(&made.uniforms), &made.params, making).await?;
        Ok(Bound::new(made, plan, device.features(), own))
    }

    /// The device's error, blamed on an operand where the device refuses that operand by itself, too.
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

    /// What the program's buffers are bound to, each checked by itself.
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
                    let parameter = self.described(buffer)?;
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

    /// An operand that lies in one range.
    fn whole<'a>(&self, operand: Operand<'a>, buffer: &Buffer, batch: u32) -> Result<Operand<'a>> {
        let elements = buffer.shape.elements(batch);
        let batched = matches!(buffer.shape, Shape::Samples(_)).then_some(batch as usize);
        let shape: Vec<usize> = batched.into_iter().chain(buffer.shape.sizes()).collect();
        operand.checked(elements, self.offset_alignment(), &shape)
    }

    /// Offsets of operands must be multiples of this; the planner's are multiples of it, too.
    pub(super) fn offset_alignment(&self) -> u64 {
        self.context.profile().storage_alignment.max(4).into()
    }
}

/// The label that a debugger shows for what belongs to a pass: its role, and the pass's first and last layer.
fn label(program: &Program, role: impl std::fmt::Display) -> String {
    let mut layers = program.operations.iter().filter_map(|operation| program.layer_of(operation));
    let first = layers.next();
    match (first, layers.next_back().filter(|&last| Some(last) != first)) {
        (Some(first), Some(last)) => format!("locally-connected {role} of {first} to {last}"),
        (Some(first), None) => format!("locally-connected {role} of {first}"),
        (None, _) => format!("locally-connected {role}"),
    }
}

/// How plans refer to a chunk of a parameter or gradient: only weights are cut.
fn piece(buffer: &Buffer, id: BufferId, index: u32) -> Resource {
    if buffer.shape.is_cut() { Resource::Chunk(id, index) } else { Resource::Buffer(id) }
}

/// The dispatches of a plan, and which of them each operation has.
fn recorded(context: &Context, program: &Program, plan: &ProgramPlan, resources: &Resources<'_>) -> Result<Made> {
    let device = context.device();
    let stride = context.profile().params_stride();
    // Written rather than mapped: mapping throws in a browser whose device is lost.
    let uniform = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(&label(program, "params")),
        size: plan.memory.uniforms,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut params = zeroes("the uniforms of a pass", plan.memory.uniforms)?;
    let (mut steps, mut operations) = (Vec::<Step>::new(), Vec::new());
    let mut places = (0u64..).map(|index| stride * index);
    for ((operation, plan), at) in program.operations.iter().zip(&plan.plans).zip(0..) {
        let layer = program.layer_of(operation).map(|layer| format!("{layer} ")).unwrap_or_default();
        let label = format!("locally-connected {layer}{}", operation.name());
        let first = steps.len();
        let mut before: Option<&Dispatch> = None;
        for (dispatch, place) in plan.dispatches.iter().zip(&mut places) {
            let pipeline = context.pipelines().get(dispatch.variant);
            let pipeline = pipeline.ok_or_else(|| Error::NoKernel { kernel: dispatch.variant.info().name })?;
            let held = pipeline.uniform.bytes(&dispatch.params);
            params[place as usize..][..held.len()].copy_from_slice(&held);
            // The parts of a long dispatch bind the same ranges.
            let same = before
                .replace(dispatch)
                .is_some_and(|before| before.variant == dispatch.variant && before.bindings == dispatch.bindings);
            let bind_group = match steps.last() {
                Some(step) if same => step.bind_group.clone(),
                _ => {
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
                    let (label, layout, entries) = (Some(label.as_str()), &pipeline.layout, &entries[..]);
                    device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries })
                }
            };
            let (params_offset, workgroups, flops) = (place as u32, dispatch.workgroups, dispatch.flops());
            steps.push(Step { pipeline, bind_group, params_offset, workgroups, flops });
        }
        if first < steps.len() {
            operations.push(Recorded { label, steps: first..steps.len() });
        }
    }
    Ok(Made { steps, operations, uniforms: uniform, params })
}
