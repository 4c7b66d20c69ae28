//! Programs: operations in their order, and the memory between them.

use crate::config::WeightType;
use crate::error::Quoted;
use crate::ops::{Buffer, BufferId, Operand, Operation, STEP_NUMBERS, Shape, Usage};
use crate::{Error, Result};

/// Operations in the order in which they run, and their buffers; for any batch.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Program {
    /// The buffers, each with a name of its own.
    pub buffers: Vec<Buffer>,
    /// The operations. Each reads values that are given, or that operations before it wrote.
    pub operations: Vec<Operation>,
}

/// Where a program's scratch is: buffers that aren't needed at the same time share memory, each of them using all of
/// it. (It is several buffers rather than one because WebGPU refuses a dispatch that reads one range of a buffer and
/// writes another.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// For each of the program's buffers its number in `pieces`; none for what isn't scratch.
    pub of_buffer: Vec<Option<usize>>,
    /// The largest shape that each piece of memory is to hold.
    pub pieces: Vec<Shape>,
}

impl Program {
    /// The name of [`Program::step`].
    pub const STEP: &str = "step";

    /// Adds a buffer of 32-bit floats.
    pub fn add(&mut self, name: impl Into<String>, usage: Usage, shape: Shape) -> BufferId {
        self.add_buffer(Buffer { name: name.into(), layer: None, usage, shape, dtype: WeightType::F32 })
    }

    /// Adds a buffer.
    pub fn add_buffer(&mut self, buffer: Buffer) -> BufferId {
        let id = BufferId(self.buffers.len() as u32);
        self.buffers.push(buffer);
        id
    }

    /// The input with a training step's numbers ([`StepNumbers`](crate::ops::StepNumbers)), named `step`; made if it
    /// isn't there yet.
    pub fn step(&mut self) -> BufferId {
        self.find(Self::STEP).unwrap_or_else(|| self.add(Self::STEP, Usage::Input, Shape::Fixed(STEP_NUMBERS)))
    }

    /// The same program, but adding each parameter's gradient to the values in its buffer: for all pieces of a batch
    /// but the first.
    #[must_use]
    pub fn accumulating(mut self) -> Self {
        let buffers = &self.buffers;
        let is_gradient =
            |id: BufferId| buffers.get(id.index()).is_some_and(|buffer: &Buffer| buffer.usage == Usage::Gradient);
        for operation in &mut self.operations {
            if is_gradient(operation.writes()) {
                operation.accumulate();
            }
        }
        self
    }

    /// The buffer of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<BufferId> {
        self.buffers.iter().position(|buffer| buffer.name == name).map(|at| BufferId(at as u32))
    }

    /// A buffer; none if the program has no such buffer.
    #[must_use]
    pub fn buffer(&self, id: BufferId) -> Option<&Buffer> {
        self.buffers.get(id.index())
    }

    /// The name of the layer that an operation belongs to; none in a program of one layer.
    #[must_use]
    pub fn layer_of(&self, operation: &Operation) -> Option<&str> {
        self.buffer(operation.writes())?.layer.as_deref()
    }

    /// Checks what executors rely on. Each name is of one buffer, and shapes fit what buffers are for. Operands have
    /// the shapes that their operations need. Everything is written once before it is read, except what is added to.
    /// Nothing that is given is written, except gradients that are added to. Parameters and states are changed only by
    /// operations that say so ([`Operation::updates`]), and afterwards read only by such operations, so that all others
    /// read the values before the update.
    ///
    /// # Errors
    /// [`Error::Program`].
    pub fn check(&self) -> Result<()> {
        let mut names: Vec<&str> = self.buffers.iter().map(|buffer| buffer.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Program { what: format!("buffer {}", Quoted(twice[0])), why: "another has its name" });
        }
        for buffer in &self.buffers {
            if let Some(why) = buffer.fault() {
                return Err(Error::Program { what: format!("buffer {}", Quoted(&buffer.name)), why });
            }
        }
        let mut there = self.given();
        let mut updated = vec![false; self.buffers.len()];
        for (operation, at) in self.operations.iter().zip(0usize..) {
            let wrong = |why| Err(Error::Program { what: format!("operation {at}"), why });
            let output = operation.writes();
            let Some(written) = self.buffer(output) else { return wrong("it writes a buffer that isn't there") };
            if let Some(why) = operation.fault() {
                return wrong(why);
            }
            for input in operation.reads() {
                if there.get(input.index()) != Some(&true) {
                    return wrong("it reads what nothing wrote before it");
                }
                if updated[input.index()] && !operation.is_of_update() {
                    return wrong("it reads a parameter after its update");
                }
            }
            let updates = operation.updates();
            if let Some(why) = self.update_fault(operation, &updates) {
                return wrong(why);
            }
            let adds = operation.accumulates();
            if adds && written.usage != Usage::Gradient && !there[output.index()] {
                return wrong("it adds to what is no gradient and nothing wrote before it");
            }
            let given = matches!(written.usage, Usage::Input | Usage::Parameter | Usage::State);
            if there[output.index()] && updates.is_empty() && (given || !adds) {
                return wrong("it writes what is there already");
            }
            for Operand { id, shape, dtype } in operation.operands() {
                let Some(buffer) = self.buffer(id) else { return wrong("an operand isn't there") };
                let wrong =
                    |why| Err(Error::Program { what: format!("operation {at}, buffer {}", Quoted(&buffer.name)), why });
                if buffer.shape != shape {
                    return wrong("it needs another shape");
                }
                if buffer.dtype != dtype {
                    return wrong("it needs to be stored otherwise");
                }
            }
            there[output.index()] = true;
            updates.iter().for_each(|id| updated[id.index()] = true);
        }
        match self.buffers.iter().zip(there).find(|(_, there)| !there) {
            Some((buffer, _)) => {
                Err(Error::Program { what: format!("buffer {}", Quoted(&buffer.name)), why: "nothing writes it" })
            }
            None => Ok(()),
        }
    }

    /// What is wrong with the buffers that an operation changes in place, if anything is.
    fn update_fault(&self, operation: &Operation, updates: &[BufferId]) -> Option<&'static str> {
        let reads = operation.reads();
        for (id, at) in updates.iter().zip(0..) {
            let Some(buffer) = self.buffer(*id) else { return Some("it updates a buffer that isn't there") };
            if !matches!(buffer.usage, Usage::Parameter | Usage::State) {
                return Some("it updates what is no parameter and no state");
            }
            if buffer.dtype != WeightType::F32 {
                return Some("it updates weights that are stored in 16 bits: only those in 32 bits are trained");
            }
            if reads.contains(id) || updates[..at].contains(id) {
                return Some("it updates what it also reads, or the same twice");
            }
        }
        None
    }

    /// Whether it updates parameters or states.
    #[must_use]
    pub fn updates(&self) -> bool {
        self.operations.iter().any(|operation| !operation.updates().is_empty())
    }

    /// For each buffer, whether its values are given: those of inputs, parameters and states, and of gradients that the
    /// first writer adds to or that have no writer.
    #[must_use]
    pub fn given(&self) -> Vec<bool> {
        let given = |buffer: &Buffer| matches!(buffer.usage, Usage::Input | Usage::Parameter | Usage::State);
        let mut there: Vec<bool> = self.buffers.iter().map(given).collect();
        let mut written = vec![false; self.buffers.len()];
        for operation in &self.operations {
            let id = operation.writes();
            let Some(buffer) = self.buffer(id) else { continue };
            if !std::mem::replace(&mut written[id.index()], true) {
                there[id.index()] |= operation.accumulates() && buffer.usage == Usage::Gradient;
            }
        }
        for ((buffer, there), written) in self.buffers.iter().zip(&mut there).zip(written) {
            *there |= buffer.usage == Usage::Gradient && !written;
        }
        there
    }

    /// The buffers used so, in order.
    pub fn used_as(&self, usage: Usage) -> impl Iterator<Item = &Buffer> {
        self.buffers.iter().filter(move |buffer| buffer.usage == usage)
    }

    /// Where its scratch is: each buffer, when it is written, takes the free piece that fits it best.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        // The last operation of each buffer.
        let mut last = vec![0; self.buffers.len()];
        for (operation, at) in self.operations.iter().zip(0usize..) {
            for id in operation.reads().into_iter().chain([operation.writes()]) {
                if let Some(last) = last.get_mut(id.index()) {
                    *last = at;
                }
            }
        }
        let mut scratch = Scratch { of_buffer: vec![None; self.buffers.len()], pieces: Vec::new() };
        let mut free = Vec::new();
        for (operation, at) in self.operations.iter().zip(0..) {
            let written = operation.writes();
            if let Some(Buffer { usage: Usage::Scratch, shape, .. }) = self.buffer(written)
                && scratch.of_buffer[written.index()].is_none()
            {
                scratch.of_buffer[written.index()] = Some(scratch.place(shape, &mut free));
            }
            // Freed only now, since an operation must not write into what it reads.
            for id in operation.reads().into_iter().chain([written]) {
                if let Some(&Some(piece)) = scratch.of_buffer.get(id.index())
                    && last.get(id.index()) == Some(&at)
                    && let Some(&Shape::Samples(elements)) = scratch.pieces.get(piece)
                {
                    let held = (elements, piece);
                    let at = place_of(&free, held);
                    if free.get(at) != Some(&held) {
                        free.insert(at, held);
                    }
                }
            }
        }
        scratch
    }

    /// Bytes for one sample of each buffer that grows with the batch, with scratch shared.
    pub fn sample_sizes(&self) -> impl Iterator<Item = u64> {
        let kept =
            self.buffers.iter().filter(|buffer| buffer.usage != Usage::Scratch).map(|buffer| buffer.shape.clone());
        kept.chain(self.scratch().pieces).filter_map(|shape| match shape {
            Shape::Samples(elements) => Some(elements.saturating_mul(4)),
            Shape::Fixed(_) | Shape::Weights { .. } | Shape::Connections { .. } => None,
        })
    }

    /// How many samples' values take about so many bytes; at least one.
    #[must_use]
    pub fn samples_within(&self, budget: u64) -> usize {
        let all = self.sample_sizes().fold(0, u64::saturating_add);
        // A batch is a u32, and one sample must do.
        (budget / all.max(1)).clamp(1, 1 << 30) as usize
    }

    /// Bytes of all its buffers for a batch, including parameters and gradients.
    #[must_use]
    pub fn bytes(&self, batch: u32) -> u64 {
        let kept =
            self.buffers.iter().filter(|buffer| buffer.usage != Usage::Scratch).map(|buffer| buffer.bytes(batch));
        let pieces = self.scratch().pieces.into_iter().map(|shape| WeightType::F32.bytes(shape.elements(batch)));
        kept.chain(pieces).fold(0, u64::saturating_add)
    }
}

/// Where a piece is among those that are free, or would be.
fn place_of(free: &[(u64, usize)], held: (u64, usize)) -> usize {
    free.partition_point(|&other| other < held)
}

impl Scratch {
    /// A piece of memory for `shape`: the smallest `free` one that holds it, else the largest, which grows. What is free is in order, each
    /// piece behind its elements.
    fn place(&mut self, shape: &Shape, free: &mut Vec<(u64, usize)>) -> usize {
        // What doesn't grow with the batch shares no memory with what does.
        if let Shape::Samples(needed) = *shape
            && let Some(largest) = free.len().checked_sub(1)
        {
            let (elements, piece) = free.remove(place_of(free, (needed, 0)).min(largest));
            self.pieces[piece] = Shape::Samples(elements.max(needed));
            return piece;
        }
        self.pieces.push(shape.clone());
        self.pieces.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Transpose;

    /// A chain of transposes, the first from an input and the last to an output.
    fn chain(sizes: &[u64]) -> Program {
        let mut program = Program::default();
        let mut input = program.add("input", Usage::Input, Shape::Samples(1));
        for (index, &size) in sizes.iter().enumerate() {
            let usage = if index + 1 == sizes.len() { Usage::Output } else { Usage::Scratch };
            let output = program.add(format!("{index}"), usage, Shape::Samples(size));
            program.operations.push(Operation::Transpose(Transpose { rows: 1, columns: size, input, output }));
            input = output;
        }
        program
    }

    #[test]
    fn scratch_is_shared_by_what_is_not_alive_together() {
        let program = chain(&[8, 4, 6, 2, 1]);
        let Scratch { of_buffer, pieces } = program.scratch();
        // 8 and 4 are alive together; 6 takes the place of 8, and 2 that of 4.
        assert_eq!(of_buffer, [None, Some(0), Some(1), Some(0), Some(1), None]);
        assert_eq!(pieces, [Shape::Samples(8), Shape::Samples(4)]);
        assert_eq!(program.bytes(3), 4 * 3 * (1 + 8 + 4 + 1));
    }

    #[test]
    fn scratch_grows_where_nothing_free_holds_it() {
        assert_eq!(chain(&[2, 3, 9, 1]).scratch().pieces, [Shape::Samples(9), Shape::Samples(3)]);
        assert_eq!(chain(&[5]).scratch().pieces, []);
    }

    #[test]
    fn what_is_read_later_keeps_its_memory() {
        let mut program = chain(&[5, 5, 5, 5]);
        let (input, output) = (program.find("0").expect("there"), program.add("end", Usage::Output, Shape::Samples(5)));
        program.operations.push(Operation::Transpose(Transpose { rows: 1, columns: 5, input, output }));
        assert_eq!(program.scratch().of_buffer[1..4], [Some(0), Some(1), Some(2)]);
    }
}
