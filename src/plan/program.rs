//! Plans of whole programs, and the memory that a device needs for them.

use super::{Chunk, DeviceProfile, Dispatch, Estimate, Plan, PlanOptions, Planner, Resource, cut};
use crate::config::WeightType;
use crate::geometry::{Geometry, SparseIndex};
use crate::kernels::{tap_tables, tap_tables_length};
use crate::ops::{Operation, Usage};
use crate::program::{Program, Scratch};
use crate::{Error, Result};
use std::sync::Arc;

/// Most bytes of a program's tap tables. A few lines name axes of any length, and tables are of their length times their taps. A layer of
/// 196,608 positions and 15 taps, Enformer's longest, takes 36 MB.
const MOST_TABLES: u64 = 1 << 30;

/// How a device does a program on a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ProgramPlan {
    /// Samples of a run.
    pub batch: u32,
    /// The operations' plans, in the program's order.
    pub plans: Vec<Plan>,
    /// Where values between the operations lie.
    pub scratch: Scratch,
    /// How each buffer of the program is cut, if it holds weights; empty for others.
    pub cuts: Vec<Vec<Chunk>>,
    /// Bytes that a run takes.
    pub memory: Memory,
}

/// Bytes on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Memory {
    /// Inputs and outputs, the host's.
    pub operands: u64,
    /// Weights and biases, which programs share.
    pub parameters: u64,
    /// Optimizers' states, which programs share.
    pub state: u64,
    /// Gradients of parameters, the host's.
    pub gradients: u64,
    /// Tap tables and sparse indices, which programs of the same layers share.
    pub constants: u64,
    /// Values between operations, and within them.
    pub scratch: u64,
    /// The uniforms: numbers of the dispatches.
    pub uniforms: u64,
}

impl Memory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { operands, parameters, state, gradients, constants, scratch, uniforms } = *self;
        [operands, parameters, state, gradients, constants, scratch, uniforms].into_iter().fold(0, u64::saturating_add)
    }

    /// Bytes of what binding the program allocates: neither the host's buffers nor what programs share.
    #[must_use]
    pub fn bound(&self) -> u64 {
        self.scratch.saturating_add(self.uniforms)
    }
}

impl ProgramPlan {
    /// All dispatches in order.
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.plans.iter().flat_map(|plan| &plan.dispatches)
    }

    /// Bytes of the operations' scratch buffers, each as large as the largest of them needs it: operations use them in
    /// turn. In the resources' order.
    #[must_use]
    pub fn own_scratch(&self) -> Vec<(Resource, u64)> {
        own_scratch(&self.plans)
    }

    /// Floating-point operations of all dispatches, as [`Dispatch::flops`] counts them.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.plans.iter().map(Plan::flops).fold(0, u64::saturating_add)
    }

    /// What all plans together are expected to cost, one after another.
    #[must_use]
    pub fn estimate(&self, profile: &DeviceProfile) -> Estimate {
        let mut all = Estimate { scratch: self.memory.scratch, ..Estimate::default() };
        for one in self.plans.iter().map(|plan| Estimate::of(plan, profile)) {
            all.bytes += one.bytes;
            all.operations += one.operations;
            all.dispatches += one.dispatches;
            all.seconds += one.seconds;
        }
        all
    }

    /// Bytes of each buffer with values between operations.
    #[must_use]
    pub fn pieces(&self) -> Vec<u64> {
        pieces(&self.scratch, self.batch)
    }

    /// Bytes of each scratch buffer that binding it takes.
    #[must_use]
    pub fn scratch_buffers(&self) -> Vec<u64> {
        self.pieces().into_iter().chain(self.own_scratch().into_iter().map(|(_, bytes)| bytes)).collect()
    }

    /// The size in bytes of `resource` in the dispatches of operation number `operation` of `program`.
    ///
    /// # Errors
    /// [`Error::Program`] for a resource that the program or the plan doesn't have.
    pub fn bytes(&self, program: &Program, operation: usize, resource: Resource) -> Result<u64> {
        let missing =
            || Error::Program { what: format!("{resource:?} of operation {operation}"), why: "it isn't there" };
        match resource {
            Resource::Buffer(id) => match self.scratch.of_buffer.get(id.index()).copied().flatten() {
                Some(piece) => self.pieces().get(piece).copied().ok_or_else(missing),
                None => program.buffer(id).map(|buffer| buffer.bytes(self.batch)).ok_or_else(missing),
            },
            Resource::Chunk(id, index) => {
                let buffer = program.buffer(id).ok_or_else(missing)?;
                let chunk = self.cuts.get(id.index()).and_then(|chunks| chunks.get(index as usize));
                chunk.map(|chunk| chunk.bytes(buffer.dtype)).ok_or_else(missing)
            }
            Resource::Tables | Resource::SparseIndex => {
                let layer = program.operations.get(operation).and_then(Operation::layer);
                layer.map(|layer| constant_bytes(layer, resource)).ok_or_else(missing)
            }
            Resource::Data(number) => {
                let constants = self.plans.get(operation).map(|plan| &plan.constants);
                let words = constants.and_then(|constants| constants.get(number as usize));
                words.map(|words| 4 * words.len() as u64).ok_or_else(missing)
            }
            Resource::DenseMatrix | Resource::SampleSums | Resource::Between(_) | Resource::Parts => {
                let own = self.own_scratch().into_iter().find(|(own, _)| *own == resource);
                own.map(|(_, bytes)| bytes).ok_or_else(missing)
            }
        }
    }
}

fn total(own_scratch: &[(Resource, u64)]) -> u64 {
    own_scratch.iter().fold(0, |all, (_, bytes)| all.saturating_add(*bytes))
}

fn own_scratch(plans: &[Plan]) -> Vec<(Resource, u64)> {
    let mut most: Vec<(Resource, u64)> = Vec::new();
    for &(resource, bytes) in plans.iter().flat_map(|plan| &plan.scratch) {
        match most.binary_search_by_key(&resource, |(resource, _)| *resource) {
            Ok(at) => most[at].1 = bytes.max(most[at].1),
            Err(at) => most.insert(at, (resource, bytes)),
        }
    }
    most
}

fn pieces(scratch: &Scratch, batch: u32) -> Vec<u64> {
    scratch.pieces.iter().map(|shape| WeightType::F32.bytes(shape.elements(batch))).collect()
}

/// The tap tables and sparse indices that plans bind, each with its layer, each once.
pub(super) fn constants<'p>(program: &'p Program, plans: &[Plan]) -> Vec<(&'p Arc<Geometry>, Resource)> {
    let mut read: Vec<(&Arc<Geometry>, Resource)> = Vec::new();
    for (operation, plan) in program.operations.iter().zip(plans) {
        let Some(layer) = operation.layer() else { continue };
        for resource in [Resource::Tables, Resource::SparseIndex] {
            if plan.binds(resource) && !read.iter().any(|(other, held)| *held == resource && other.connects_as(layer)) {
                read.push((layer, resource));
            }
        }
    }
    read
}

/// The constants of operations of no layer, each once.
pub(super) fn own_constants(plans: &[Plan]) -> Vec<&Arc<[u32]>> {
    let mut all: Vec<&Arc<[u32]>> = Vec::new();
    for words in plans.iter().flat_map(|plan| &plan.constants) {
        if !all.contains(&words) {
            all.push(words);
        }
    }
    all
}

/// Bytes of a layer's tap tables or sparse index.
fn constant_bytes(layer: &Geometry, resource: Resource) -> u64 {
    let words = match resource {
        Resource::SparseIndex => SparseIndex::len_of(layer),
        _ => tap_tables_length(layer),
    };
    4 * words
}

/// The words in a layer's tap tables or sparse index.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn constant_words(layer: &Geometry, resource: Resource) -> Result<Vec<u32>> {
    match resource {
        Resource::SparseIndex => SparseIndex::new(layer)?.data(),
        _ => tap_tables(layer),
    }
}

impl Planner<'_> {
    /// How the device does a program for `batch` samples.
    ///
    /// # Errors
    /// Those of [`Program::check`] and of [`Planner::plan`]; [`Error::Limit`] and [`Error::OverBudget`] for its memory, of which the tap
    /// tables may take a GiB.
    pub fn program(&self, program: &Program, batch: u32) -> Result<ProgramPlan> {
        program.check()?;
        let all = program.buffers.iter().map(|buffer| u128::from(buffer.shape.elements(batch)) * 4).max().unwrap_or(0);
        if all > i64::MAX as u128 {
            return Err(Error::TooLarge { what: "the bytes of a batch", value: all, limit: i64::MAX as u64 });
        }
        let (profile, scratch) = (self.profile, program.scratch());
        let between = pieces(&scratch, batch);
        for &bytes in &between {
            profile.check_buffer("the values between two operations", bytes)?;
        }
        let between = between.into_iter().fold(0, u64::saturating_add);
        self.check_budget("the values between operations", between)?;
        let plan = |operation: &Operation, taken: u64| {
            // Operations may use for their own scratch what is left of the budget.
            let memory_budget = self.options.memory_budget.map(|budget| budget.saturating_sub(taken));
            let within = self.with_options(PlanOptions { memory_budget, ..self.options });
            within.plan(operation, batch).map_err(|error| {
                let error = self.whole(error, taken);
                match program.layer_of(operation) {
                    Some(layer) => error.in_layer(layer),
                    None => error,
                }
            })
        };
        // Operations that can be done in one way only are planned first. The others may still take an implementation
        // that needs less scratch.
        let chooses = |operation: &Operation| operation.choosable().is_some();
        let one_way = program.operations.iter().filter(|operation| !chooses(operation));
        let one_way = one_way.map(|operation| plan(operation, between)).collect::<Result<Vec<_>>>()?;
        let taken = between.saturating_add(total(&own_scratch(&one_way)));
        let mut one_way = one_way.into_iter();
        let mut plans = Vec::with_capacity(program.operations.len());
        for operation in &program.operations {
            let planned = if chooses(operation) { None } else { one_way.next() };
            plans.push(planned.map_or_else(|| plan(operation, taken), Ok)?);
        }

        let (mut memory, mut cuts) = (Memory::default(), Vec::with_capacity(program.buffers.len()));
        for buffer in &program.buffers {
            let (chunks, all) = match buffer.usage {
                Usage::Parameter | Usage::State | Usage::Gradient => {
                    let chunks = cut(&buffer.shape, profile)?;
                    let all = chunks.iter().map(|chunk| chunk.bytes(buffer.dtype)).sum();
                    (chunks, all)
                }
                Usage::Input | Usage::Output | Usage::Scratch => (Vec::new(), buffer.bytes(batch)),
            };
            cuts.push(if buffer.shape.is_cut() { chunks } else { Vec::new() });
            let bytes = match buffer.usage {
                Usage::Input | Usage::Output => &mut memory.operands,
                Usage::Parameter => &mut memory.parameters,
                Usage::State => &mut memory.state,
                Usage::Gradient => &mut memory.gradients,
                Usage::Scratch => continue,
            };
            *bytes = bytes.saturating_add(all);
        }
        let own = total(&own_scratch(&plans));
        memory.scratch = between.saturating_add(own);
        self.check_budget("the scratch of all operations", memory.scratch)?;
        let read = constants(program, &plans);
        let tables = read.iter().filter(|(_, resource)| *resource == Resource::Tables);
        let needed = tables.fold(0, |all: u64, (layer, resource)| all.saturating_add(constant_bytes(layer, *resource)));
        if needed > MOST_TABLES {
            return Err(Error::OverBudget { what: "the tap tables of all layers".into(), needed, budget: MOST_TABLES });
        }
        memory.constants = read.into_iter().map(|(layer, resource)| constant_bytes(layer, resource)).sum();
        memory.constants += own_constants(&plans).into_iter().map(|words| 4 * words.len() as u64).sum::<u64>();
        let dispatches = plans.iter().map(|plan| plan.dispatches.len() as u64).sum::<u64>();
        // An empty plan has no uniforms, but a buffer of no bytes can't be mapped.
        memory.uniforms = (profile.params_stride() * dispatches).max(4);
        profile.check_buffer("the uniforms of a program", memory.uniforms)?;
        Ok(ProgramPlan { batch, plans, scratch, cuts, memory })
    }

    /// Turns an error about the rest of a budget into one about the whole budget.
    fn whole(&self, error: Error, between: u64) -> Error {
        match (error, self.options.memory_budget) {
            (Error::OverBudget { what, needed, .. }, Some(budget)) => {
                Error::OverBudget { what, needed: needed.saturating_add(between), budget }
            }
            (error, _) => error,
        }
    }
}
