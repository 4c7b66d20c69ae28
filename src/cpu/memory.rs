//! Where a run's buffers lie: with the caller, in the store of weights, or in the bound program's own scratch.

use super::weights::{Store, View};
use crate::config::WeightType;
use crate::ops::{Buffer, BufferId, Operation, Usage};
use crate::program::Program;
use crate::room::zeroes;
use crate::{Error, Result};

/// Where a buffer lies.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// With the caller: the buffer's number among those that the caller gives to read or to write, looked for in each run where it was in
    /// the last one first.
    Caller(usize),
    /// In the store of parameters.
    Weights,
    /// In this piece of scratch.
    Scratch(usize),
}

/// A program's buffers: what is the same in all runs, and the scratch.
#[derive(Debug)]
pub(super) struct Layout {
    buffers: Vec<Buffer>,
    places: Vec<Place>,
    /// The buffers that runs change in place.
    updated: Vec<BufferId>,
    scratch: Vec<Vec<f32>>,
    batch: u32,
}

/// What a run borrows from its caller.
pub(super) struct Given<'r, 's, 'n, 'v> {
    pub(super) weights: Store<'r, 's>,
    pub(super) inputs: &'r [(&'r str, &'r [f32])],
    pub(super) outputs: &'r mut [(&'n str, &'v mut [f32])],
}

impl Layout {
    /// Allocates the scratch of a program for a batch.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::Unsupported`] where anything but parameters is stored in 16 bits.
    pub(super) fn new(program: &Program, batch: u32) -> Result<Self> {
        let half = |buffer: &&Buffer| buffer.dtype == WeightType::F16 && buffer.usage != Usage::Parameter;
        if let Some(buffer) = program.buffers.iter().find(half) {
            let what = format!("{:?} in 16 bits", buffer.name);
            return Err(Error::Unsupported { what, with: "here: only parameters may be".into() });
        }
        let scratch = program.scratch();
        // Callers mostly give what the program has in its order.
        let [mut inputs, mut outputs] = [0.., 0..];
        let places =
            program.buffers.iter().zip(&scratch.of_buffer).map(|(buffer, piece)| match (buffer.usage, *piece) {
                (Usage::Parameter | Usage::State, _) => Place::Weights,
                (Usage::Scratch, Some(piece)) => Place::Scratch(piece),
                (Usage::Input, _) => Place::Caller(inputs.next().unwrap_or_default()),
                (Usage::Scratch | Usage::Output | Usage::Gradient, _) => {
                    Place::Caller(outputs.next().unwrap_or_default())
                }
            });
        let places = places.collect();
        let scratch =
            scratch.pieces.iter().map(|shape| zeroes("scratch", shape.elements(batch))).collect::<Result<_>>()?;
        let mut updated: Vec<BufferId> = program.operations.iter().flat_map(Operation::updates).collect();
        updated.sort_unstable();
        updated.dedup();
        Ok(Self { buffers: program.buffers.clone(), places, updated, scratch, batch })
    }

    /// Bytes of the scratch.
    pub(super) fn bytes(&self) -> u64 {
        self.scratch.iter().map(|piece| 4 * piece.len() as u64).sum()
    }

    /// Finds what the caller gives by name, and checks it.
    pub(super) fn resolve(&mut self, given: &mut Given<'_, '_, '_, '_>) -> Result<()> {
        if let (Store::Shared(_), false) = (&given.weights, self.updated.is_empty()) {
            let what = format!("buffer {:?}", self.buffers[self.updated[0].index()].name);
            return Err(Error::Program { what, why: "it is updated: a run needs the store as `&mut`" });
        }
        let is_input = |buffer: &&Buffer| buffer.usage == Usage::Input;
        let is_written = |buffer: &&Buffer| matches!(buffer.usage, Usage::Output | Usage::Gradient);
        // Where no more is given than is looked for, and all of that is found, nothing is given twice.
        let more_inputs = given.inputs.len() > self.buffers.iter().filter(is_input).count();
        let more_outputs = given.outputs.len() > self.buffers.iter().filter(is_written).count();
        for (buffer, place) in self.buffers.iter().zip(&mut self.places) {
            let (found, is_twice) = match (buffer.usage, *place) {
                (Usage::State, Place::Weights) if matches!(given.weights, Store::Updated(_)) => continue,
                (_, Place::Weights) => {
                    given.weights.weights().view(buffer)?;
                    continue;
                }
                (Usage::Input, Place::Caller(last)) => {
                    let named = |at: &usize| given.inputs.get(*at).is_some_and(|(name, _)| *name == buffer.name);
                    let found = find(given.inputs.len(), last, &named);
                    let is_twice = more_inputs && (0..given.inputs.len()).filter(named).count() > 1;
                    (found.map(|at| (at, given.inputs[at].1.len())), is_twice)
                }
                (_, Place::Caller(last)) => {
                    let named = |at: &usize| given.outputs.get(*at).is_some_and(|(name, _)| *name == buffer.name);
                    let found = find(given.outputs.len(), last, &named);
                    let is_twice = more_outputs && (0..given.outputs.len()).filter(named).count() > 1;
                    (found.map(|at| (at, given.outputs[at].1.len())), is_twice)
                }
                (_, Place::Scratch(_)) => continue,
            };
            let (at, found) = found.ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
            if is_twice {
                return Err(Error::Program { what: format!("buffer {:?}", buffer.name), why: "it is given twice" });
            }
            if found as u64 != buffer.shape.elements(self.batch) {
                return Err(buffer.wrong_length(self.batch, found as u64));
            }
            *place = Place::Caller(at);
        }
        if let Store::Updated(weights) = &mut given.weights {
            let kept = self.buffers.iter().filter(|buffer| buffer.usage == Usage::State);
            let updated = self.updated.iter().map(|id| &self.buffers[id.index()]);
            kept.chain(updated).try_for_each(|buffer| weights.own(buffer))?;
        }
        Ok(())
    }

    /// The memory of a run, after `resolve`.
    pub(super) fn memory<'r, 's, 'n, 'v>(&'r mut self, given: Given<'r, 's, 'n, 'v>) -> Memory<'r, 's, 'n, 'v> {
        let Self { buffers, places, scratch, batch, .. } = self;
        Memory { buffers, places, scratch, batch: *batch, given }
    }
}

/// The place among so many that is the one: the last one, if it still is.
fn find(count: usize, last: usize, is_it: &impl Fn(&usize) -> bool) -> Option<usize> {
    Some(last).filter(is_it).or_else(|| (0..count).find(is_it))
}

/// A run's buffers.
pub(super) struct Memory<'r, 's, 'n, 'v> {
    buffers: &'r [Buffer],
    places: &'r [Place],
    scratch: &'r mut [Vec<f32>],
    batch: u32,
    given: Given<'r, 's, 'n, 'v>,
}

/// A buffer that an operation writes, taken out of the memory meanwhile.
pub(super) enum Taken<'v> {
    Caller(&'v mut [f32]),
    Scratch(Vec<f32>),
    Weights(Vec<f32>),
}

impl<'v> Memory<'_, '_, '_, 'v> {
    fn elements(&self, id: BufferId) -> usize {
        self.buffers[id.index()].shape.elements(self.batch) as usize
    }

    /// A buffer of 32-bit or 16-bit floats.
    pub(super) fn view(&self, id: BufferId) -> View<'_> {
        let buffer = &self.buffers[id.index()];
        View::F32(match self.places[id.index()] {
            Place::Caller(at) if buffer.usage == Usage::Input => self.given.inputs[at].1,
            Place::Caller(at) => &*self.given.outputs[at].1,
            Place::Scratch(piece) => &self.scratch[piece][..self.elements(id)],
            // The store had it when the run began.
            Place::Weights => return self.given.weights.weights().view(buffer).unwrap_or(View::F32(&[])),
        })
    }

    /// A buffer of 32-bit floats.
    pub(super) fn read(&self, id: BufferId) -> &[f32] {
        match self.view(id) {
            View::F32(values) => values,
            // Programs that read anything but weights in 16 bits were refused.
            View::F16(_) => &[],
        }
    }

    /// Takes a buffer to be written.
    pub(super) fn take(&mut self, id: BufferId) -> Taken<'v> {
        match self.places[id.index()] {
            Place::Caller(at) => Taken::Caller(std::mem::take(&mut self.given.outputs[at].1)),
            Place::Scratch(piece) => Taken::Scratch(std::mem::take(&mut self.scratch[piece])),
            Place::Weights => Taken::Weights(self.take_updated(id)),
        }
    }

    /// A taken buffer's elements.
    pub(super) fn written<'t>(&self, id: BufferId, taken: &'t mut Taken<'v>) -> &'t mut [f32] {
        match taken {
            Taken::Caller(values) => values,
            Taken::Scratch(values) => &mut values[..self.elements(id)],
            Taken::Weights(values) => values,
        }
    }

    /// Takes a buffer that an operation updates out of the store. Empty where the store may only be read; a program
    /// that updates refuses that.
    pub(super) fn take_updated(&mut self, id: BufferId) -> Vec<f32> {
        match &mut self.given.weights {
            Store::Updated(weights) => weights.take(&self.buffers[id.index()].name),
            Store::Shared(_) => Vec::new(),
        }
    }

    /// Puts an updated buffer back.
    pub(super) fn put_updated(&mut self, id: BufferId, values: Vec<f32>) {
        if let Store::Updated(weights) = &mut self.given.weights {
            weights.put(&self.buffers[id.index()].name, values);
        }
    }

    /// Puts a written buffer back.
    pub(super) fn put(&mut self, id: BufferId, taken: Taken<'v>) {
        match (self.places[id.index()], taken) {
            (Place::Caller(at), Taken::Caller(values)) => self.given.outputs[at].1 = values,
            (Place::Scratch(piece), Taken::Scratch(values)) => self.scratch[piece] = values,
            (Place::Weights, Taken::Weights(values)) => self.put_updated(id, values),
            _ => {}
        }
    }
}
