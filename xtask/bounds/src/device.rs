//! A device that runs nothing: the buffers of a written plan, what is known of them, and who touched them.

use super::column::Word;
use super::memory::{By, Marks};

/// A range of a buffer, in words; the uniform is no buffer of the plan's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) buffer: Option<usize>,
    pub(super) first: u64,
    pub(super) words: u64,
    pub(super) writes: bool,
}

/// A buffer of the plan.
pub(super) struct Held {
    /// What it holds, if that is known.
    pub(super) contents: Option<Vec<Word>>,
    /// It holds something before the plan runs.
    pub(super) is_given: bool,
    pub(super) marks: Marks,
}

pub(super) struct Device {
    pub(super) buffers: Vec<Held>,
    pub(super) uniform: Vec<u32>,
    /// Dispatches so far.
    pub(super) dispatch: u32,
    pub(super) faults: Vec<String>,
}

impl Device {
    /// Whether a read says or shows anything.
    pub(super) fn looks_at(&self, binding: Binding) -> bool {
        binding.writes
            || binding.buffer.is_none_or(|buffer| {
                let held = &self.buffers[buffer];
                held.contents.is_some() || !held.is_given
            })
    }

    pub(super) fn read(&mut self, binding: Binding, word: u64, invocation: u32) -> Result<Word, &'static str> {
        let Some(buffer) = binding.buffer else { return Ok(self.uniform.get(word as usize).copied()) };
        let by = By { invocation, now: self.dispatch };
        let held = &mut self.buffers[buffer];
        let at = binding.first + word;
        if (binding.writes || !held.is_given)
            && let Some(fault) = held.marks.read(at, by, held.is_given)
        {
            return Err(fault);
        }
        Ok(held.contents.as_ref().and_then(|words| words.get(at as usize).copied().flatten()))
    }

    /// Values that kernels leave are unknown to the next: no address comes of them.
    pub(super) fn write(&mut self, binding: Binding, word: u64, invocation: u32) -> Option<&'static str> {
        let Some(buffer) = binding.buffer.filter(|_| binding.writes) else { return Some("writes what is only read") };
        let by = By { invocation, now: self.dispatch };
        self.buffers[buffer].marks.write(binding.first + word, by)
    }
}
