//! Writes programs with their plans as data: [`WrittenPlan`].

use super::program::{constant_words, constants, own_constants};
use super::written::{
    WrittenBinding, WrittenBuffer, WrittenDispatch, WrittenPart, WrittenPlan, WrittenShader, WrittenType, WrittenUsage,
};
use super::{Chunk, Dispatch, Memory, ProgramPlan, Resource};
use crate::config::WeightType;
use crate::error::Quoted;
use crate::geometry::Geometry;
use crate::hash::fnv;
use crate::kernels::{Uniform, Variant};
use crate::ops::{Buffer, BufferId, Operation, Shape, Usage};
use crate::program::Program;
use crate::{Error, Result};
use std::sync::Arc;

/// Integers up to this are exact in JSON wherever its numbers are 64-bit floats, as in JavaScript.
const MOST_EXACT: u64 = (1 << 53) - 1;

impl ProgramPlan {
    /// This plan of `program` as data that can be written down and run elsewhere.
    ///
    /// # Errors
    /// [`Error::Program`] and [`Error::Range`] where this is no plan of that program; [`Error::Limit`] where a number is over
    /// 2⁵³, to which JSON's numbers are exact; [`Error::Shader`]; [`Error::OutOfMemory`] for the words of its constants.
    pub fn written(&self, program: &Program) -> Result<WrittenPlan> {
        let counts = |operations: usize, buffers: usize| format!("{operations} operations and {buffers} buffers");
        let (own, given) =
            (counts(self.plans.len(), self.cuts.len()), counts(program.operations.len(), program.buffers.len()));
        if own != given {
            return Err(Error::Program { what: given, why: "the plan is of another program" });
        }
        let written = WrittenPlan {
            version: WrittenPlan::VERSION,
            batch: self.batch,
            buffers: Vec::new(),
            shaders: Vec::new(),
            dispatches: Vec::new(),
        };
        let mut writer =
            Writer { written, places: Vec::new(), constants: Vec::new(), own: Vec::new(), shaders: Vec::new() };
        writer.buffers(self, program)?;
        writer.check_memory(self.memory)?;
        for (plan, operation) in self.plans.iter().zip(&program.operations) {
            for dispatch in &plan.dispatches {
                writer.dispatch(dispatch, operation.layer(), &plan.constants)?;
            }
        }
        Ok(writer.written)
    }
}

fn missing(what: String) -> Error {
    Error::Program { what, why: "it isn't there" }
}

/// Refuses a number that wouldn't be exact in JSON.
fn exact(name: &str, number: u64, unit: &'static str) -> Result<()> {
    if number <= MOST_EXACT {
        return Ok(());
    }
    let (what, limit) = (format!("buffer {} of a written plan", Quoted(name)), MOST_EXACT);
    Err(Error::Limit { what, needed: number, unit, limit, name: "what JSON's numbers are exact to" })
}

/// A hash of some words, which tells apart constants of the same name.
fn fingerprint(words: &[u32]) -> u64 {
    fnv(words.iter().flat_map(|word| word.to_le_bytes()))
}

/// A plan while it is written.
struct Writer<'p> {
    written: WrittenPlan,
    /// Places of bound resources among the buffers. Layers' constants aren't here, since several layers have them.
    places: Vec<(Resource, u32)>,
    constants: Vec<PlacedConstant<'p>>,
    /// Constants of operations of no layer, with their places among the buffers.
    own: Vec<(Arc<[u32]>, u32)>,
    shaders: Vec<PlacedShader>,
}

/// A constant of a layer, and its place among the buffers.
struct PlacedConstant<'p> {
    layer: &'p Arc<Geometry>,
    resource: Resource,
    place: u32,
}

/// A shader of the plan's, in their order, and the fields of the uniform that it reads.
struct PlacedShader {
    variant: Variant,
    uniform: Uniform,
}

impl<'p> Writer<'p> {
    /// All buffers, shared as executors share them: the program's own, those between operations, the operations'
    /// scratch, and the constants that are read.
    fn buffers(&mut self, plan: &ProgramPlan, program: &'p Program) -> Result<()> {
        for (buffer, id) in program.buffers.iter().zip((0..).map(BufferId)) {
            let usage = match buffer.usage {
                Usage::Input => WrittenUsage::Input,
                Usage::Output => WrittenUsage::Output,
                Usage::Parameter => WrittenUsage::Parameter,
                Usage::State => WrittenUsage::State,
                Usage::Gradient => WrittenUsage::Gradient,
                Usage::Scratch => continue,
            };
            let whole = self.whole(buffer, usage, plan.batch)?;
            self.of_program(buffer, whole, (id, &plan.cuts[id.index()]))?;
        }
        let mut pieces = Vec::new();
        for (bytes, index) in plan.pieces().into_iter().zip(0..) {
            pieces.push(self.scratch(format!("between_operations/{index}"), bytes)?);
        }
        for (piece, id) in plan.scratch.of_buffer.iter().zip((0..).map(BufferId)) {
            if let Some(&place) = piece.and_then(|piece| pieces.get(piece)) {
                self.places.push((Resource::Buffer(id), place));
            }
        }
        for (resource, bytes) in plan.own_scratch() {
            let name = match resource {
                Resource::DenseMatrix => "dense_matrix".to_owned(),
                Resource::Between(step) => format!("between_steps/{step}"),
                Resource::Parts => "parts".to_owned(),
                _ => "sample_sums".to_owned(),
            };
            let place = self.scratch(format!("within_operations/{name}"), bytes)?;
            self.places.push((resource, place));
        }
        for (layer, resource) in constants(program, &plan.plans) {
            let of_layer = |operation: &&Operation| operation.layer().is_some_and(|other| other.connects_as(layer));
            let operation = program.operations.iter().find(of_layer);
            let owner = operation.and_then(|operation| program.layer_of(operation));
            let name = if resource == Resource::SparseIndex { "sparse_index" } else { "tap_tables" };
            let words = constant_words(layer, resource)?;
            // One layer's constants differ from program to program if these use different windows of it.
            let name = format!("{name}/{:016x}", fingerprint(&words));
            let place = self.constant(owner.map_or(name.clone(), |owner| format!("{owner}/{name}")), words)?;
            self.constants.push(PlacedConstant { layer, resource, place });
        }
        for words in own_constants(&plan.plans) {
            let name = format!("groups_of_weights/{:016x}", fingerprint(words));
            let place = self.constant(name, words.to_vec())?;
            self.own.push((words.clone(), place));
        }
        Ok(())
    }

    /// A program's buffer before it is cut.
    fn whole(&self, buffer: &Buffer, usage: WrittenUsage, batch: u32) -> Result<WrittenBuffer> {
        let dtype = match buffer.dtype {
            WeightType::F32 => WrittenType::F32,
            WeightType::F16 => WrittenType::F16,
        };
        let (name, elements, bytes) = (buffer.name.clone(), buffer.shape.elements(batch), buffer.bytes(batch));
        exact(&name, elements, "elements")?;
        Ok(WrittenBuffer { name, usage, dtype, elements, bytes, part: None, words: Vec::new() })
    }

    /// Adds a program's buffer, or the chunks that weights are cut into.
    fn of_program(&mut self, buffer: &Buffer, whole: WrittenBuffer, (id, chunks): (BufferId, &[Chunk])) -> Result<()> {
        let (Shape::Weights { filters: all_filters, .. } | Shape::Connections { filters: all_filters, .. }) =
            buffer.shape
        else {
            let place = self.add(whole)?;
            self.places.push((Resource::Buffer(id), place));
            return Ok(());
        };
        for (chunk, index) in chunks.iter().zip(0..) {
            let (elements, bytes) = (chunk.len(), chunk.bytes(buffer.dtype));
            let &Chunk { first_entry, entries, first_filter, filters, .. } = chunk;
            let part = Some(WrittenPart { first_entry, entries, first_filter, filters, all_filters });
            let place = self.add(WrittenBuffer { elements, bytes, part, ..whole.clone() })?;
            self.places.push((Resource::Chunk(id, index), place));
        }
        Ok(())
    }

    /// Refuses a program whose memory differs from what was planned.
    fn check_memory(&self, planned: Memory) -> Result<()> {
        let bytes = |usage| {
            let buffers = self.written.buffers.iter().filter(|buffer| buffer.usage == usage);
            buffers.fold(0, |sum: u64, buffer| sum.saturating_add(buffer.bytes))
        };
        let found = Memory {
            operands: bytes(WrittenUsage::Input).saturating_add(bytes(WrittenUsage::Output)),
            parameters: bytes(WrittenUsage::Parameter),
            state: bytes(WrittenUsage::State),
            gradients: bytes(WrittenUsage::Gradient),
            constants: bytes(WrittenUsage::Constant),
            scratch: bytes(WrittenUsage::Scratch),
            uniforms: planned.uniforms,
        };
        if found == planned {
            return Ok(());
        }
        let what = format!("{} bytes instead of {}", found.total(), planned.total());
        Err(Error::Program { what, why: "the plan is of another program" })
    }

    fn scratch(&mut self, name: String, bytes: u64) -> Result<u32> {
        let (usage, dtype, elements) = (WrittenUsage::Scratch, WrittenType::F32, bytes / 4);
        self.add(WrittenBuffer { name, usage, dtype, elements, bytes, part: None, words: Vec::new() })
    }

    fn constant(&mut self, name: String, words: Vec<u32>) -> Result<u32> {
        let (usage, dtype, elements) = (WrittenUsage::Constant, WrittenType::U32, words.len() as u64);
        self.add(WrittenBuffer { name, usage, dtype, elements, bytes: 4 * elements, part: None, words })
    }

    fn add(&mut self, buffer: WrittenBuffer) -> Result<u32> {
        exact(&buffer.name, buffer.bytes, "bytes")?;
        self.written.buffers.push(buffer);
        Ok(self.written.buffers.len() as u32 - 1)
    }

    fn dispatch(&mut self, dispatch: &Dispatch, layer: Option<&Arc<Geometry>>, own: &[Arc<[u32]>]) -> Result<()> {
        let Dispatch { variant, bindings, params, workgroups } = dispatch;
        let mut bound = Vec::with_capacity(bindings.len());
        for slice in bindings {
            let place =
                self.place(slice.resource, layer, own).ok_or_else(|| missing(format!("{:?}", slice.resource)))?;
            let (whole, offset) = (self.written.buffers[place as usize].bytes, slice.offset);
            let size = slice.size.map_or(whole.saturating_sub(offset), |size| size.get());
            if offset.saturating_add(size) > whole {
                return Err(Error::Range { what: "a binding of the plan", offset, size, buffer: whole });
            }
            bound.push(WrittenBinding { buffer: place, offset, size });
        }
        let shader = self.shader(*variant)?;
        let uniform = self.shaders[shader].uniform.words(params);
        let written = WrittenDispatch { shader: shader as u32, uniform, bindings: bound, workgroups: *workgroups };
        self.written.dispatches.push(written);
        Ok(())
    }

    fn place(&self, resource: Resource, layer: Option<&Arc<Geometry>>, own: &[Arc<[u32]>]) -> Option<u32> {
        match resource {
            Resource::Data(number) => {
                let words = own.get(number as usize)?;
                self.own.iter().find(|(held, _)| held == words).map(|(_, place)| *place)
            }
            Resource::Tables | Resource::SparseIndex => {
                let layer = layer?;
                let mut constants = self.constants.iter();
                let found = constants.find(|other| other.resource == resource && other.layer.connects_as(layer));
                found.map(|constant| constant.place)
            }
            _ => self.places.iter().find(|(placed, _)| *placed == resource).map(|(_, place)| *place),
        }
    }

    /// The shader's place among the shaders.
    fn shader(&mut self, variant: Variant) -> Result<usize> {
        if let Some(known) = self.shaders.iter().position(|shader| shader.variant == variant) {
            return Ok(known);
        }
        let shader = variant.shader()?;
        self.written.shaders.push(WrittenShader {
            name: variant.name(),
            wgsl: shader.wgsl,
            entry_point: "main".to_owned(),
            bindings: variant.info().bindings.to_vec(),
        });
        self.shaders.push(PlacedShader { variant, uniform: shader.uniform });
        Ok(self.shaders.len() - 1)
    }
}
