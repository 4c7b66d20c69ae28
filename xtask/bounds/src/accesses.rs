//! Loads and stores.

use super::column::{Column, Mask, Word};
use super::machine::{Machine, Pointer, Root, Value};
use super::memory::{By, Stored};
use naga::{AddressSpace, Expression, Handle, TypeInner};

impl Machine<'_, '_> {
    /// The pointer, and who may use it.
    fn pointer_of(&mut self, handle: Handle<Expression>, verb: &str) -> (Pointer, Mask) {
        let Value::Pointer(pointer) = self.value(handle) else { panic!("this is no pointer") };
        let mut allowed = self.active;
        for (lanes, what) in &pointer.wrong {
            let lanes = lanes.and(self.active);
            if lanes.any() {
                allowed = allowed.without(lanes);
                self.fault(lanes, &format!("{verb}{what}"));
            }
        }
        (pointer, allowed)
    }

    pub(super) fn load(&mut self, handle: Handle<Expression>, length: u32) -> Vec<Column> {
        let (pointer, lanes) = self.pointer_of(handle, "reads ");
        match pointer.root {
            Root::Local(depth, local) => {
                let held = &self.frames[depth].locals[&local];
                (0..length).map(|scalar| gather(held, &pointer.at, scalar, self.count)).collect()
            }
            Root::Global(global) => match self.module.global_variables[global].space {
                AddressSpace::WorkGroup => self.load_shared(&pointer, lanes, length),
                _ => self.load_bound(&pointer, lanes, length),
            },
        }
    }

    fn load_shared(&mut self, pointer: &Pointer, lanes: Mask, length: u32) -> Vec<Column> {
        let Root::Global(global) = pointer.root else { return Vec::new() };
        let mut columns = Vec::with_capacity(length as usize);
        for scalar in 0..length {
            let mut words = vec![None; self.count];
            for lane in lanes.lanes() {
                let Some(at) = pointer.at.at(lane) else { continue };
                let shared = self.shared.get_mut(&global).expect("made as the workgroup began");
                match shared.read(at + scalar, By { invocation: lane as u32, now: self.barriers }) {
                    Ok(word) => words[lane] = word,
                    Err(fault) => {
                        let what = format!("{fault}: word {at} of {}", self.name(pointer.root));
                        self.fault(Mask::from_iter([lane]), &what);
                    }
                }
            }
            columns.push(of_lanes(words, lanes));
        }
        columns
    }

    fn load_bound(&mut self, pointer: &Pointer, lanes: Mask, length: u32) -> Vec<Column> {
        let Root::Global(global) = pointer.root else { return Vec::new() };
        let binding = self.bindings[&global];
        if let Column::Same(Some(at)) = pointer.at {
            let first = lanes.lanes().next().unwrap_or_default();
            return (0..length)
                .map(|scalar| {
                    let among = if binding.writes { lanes } else { Mask::from_iter([first]) };
                    let mut word = None;
                    for lane in among.lanes() {
                        word = self.read(global, at + scalar, lane);
                    }
                    Column::Same(word)
                })
                .collect();
        }
        if !self.device.looks_at(binding) {
            return vec![Column::UNKNOWN; length as usize];
        }
        let mut columns = Vec::with_capacity(length as usize);
        for scalar in 0..length {
            let mut words = vec![None; self.count];
            for lane in lanes.lanes() {
                let Some(at) = pointer.at.at(lane) else { continue };
                words[lane] = self.read(global, at + scalar, lane);
            }
            columns.push(of_lanes(words, lanes));
        }
        columns
    }

    fn read(&mut self, global: Handle<naga::GlobalVariable>, word: u32, lane: usize) -> Word {
        let binding = self.bindings[&global];
        match self.device.read(binding, word.into(), self.first + lane as u32) {
            Ok(word) => word,
            Err(fault) => {
                let what = format!("{fault}: word {word} of {}", self.name(Root::Global(global)));
                self.fault(Mask::from_iter([lane]), &what);
                None
            }
        }
    }

    pub(super) fn store(&mut self, handle: Handle<Expression>, value: Vec<Column>) {
        let (pointer, lanes) = self.pointer_of(handle, "writes ");
        let (global, is_shared) = match pointer.root {
            Root::Local(depth, local) => {
                let count = self.count;
                let held = self.frames[depth].locals.get_mut(&local).expect("made as the function was called");
                return scatter(held, &pointer.at, &value, lanes, count);
            }
            Root::Global(global) => (global, self.module.global_variables[global].space == AddressSpace::WorkGroup),
        };
        // Several may set a flag meanwhile, as long as nobody reads it.
        let atomic = matches!(self.module.types[self.module.global_variables[global].ty].inner, TypeInner::Atomic(_));
        for (value, scalar) in value.iter().zip(0..) {
            for lane in lanes.lanes() {
                let Some(at) = pointer.at.at(lane) else { continue };
                let word = at + scalar;
                let fault = if is_shared {
                    let stored = Stored { value: value.at(lane), in_doubt: self.in_doubt.has(lane) };
                    let shared = self.shared.get_mut(&global).expect("made as the workgroup began");
                    let invocation = if atomic { By::ATOMICALLY } else { lane as u32 };
                    shared.write(word, stored, By { invocation, now: self.barriers }).err()
                } else {
                    self.device.write(self.bindings[&global], word.into(), self.first + lane as u32)
                };
                if let Some(fault) = fault {
                    let what = format!("{fault}: word {word} of {}", self.name(pointer.root));
                    self.fault(Mask::from_iter([lane]), &what);
                }
            }
        }
    }
}

/// Of lanes that don't matter a column says what it says of the others, where they agree.
fn of_lanes(mut words: Vec<Word>, lanes: Mask) -> Column {
    let first = lanes.lanes().next().and_then(|lane| words[lane]);
    for (lane, word) in words.iter_mut().enumerate() {
        if !lanes.has(lane) {
            *word = first;
        }
    }
    Column::each(words)
}

fn gather(held: &[Column], at: &Column, scalar: u32, count: usize) -> Column {
    match at {
        Column::Same(at) => held[(at.unwrap_or(0) + scalar) as usize].clone(),
        Column::Each(_) => {
            let of = |lane| held[(at.at(lane).unwrap_or(0) + scalar) as usize].at(lane);
            Column::each((0..count).map(of).collect())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the operands of one instruction")]
fn scatter(held: &mut [Column], at: &Column, value: &[Column], lanes: Mask, count: usize) {
    if let Column::Same(at) = at {
        for (column, value) in held[at.unwrap_or(0) as usize..].iter_mut().zip(value) {
            *column = column.replaced(value, lanes, count);
        }
        return;
    }
    for lane in lanes.lanes() {
        let first = at.at(lane).unwrap_or(0) as usize;
        for (column, value) in held[first..].iter_mut().zip(value) {
            *column = column.replaced(value, Mask::from_iter([lane]), count);
        }
    }
}
