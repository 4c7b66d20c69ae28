//! Programs on the page's own thread.

use crate::error::{Result, of_library, thrown};
use crate::program;
use locally_connected::cpu::{Bound, Executor, Instructions, Weights};
use locally_connected::ops::Usage;
use locally_connected::program::Program;
use std::collections::BTreeMap;
use wasm_bindgen::prelude::wasm_bindgen;

/// The parameters of a model, by name, what an optimizer keeps of them, and their gradients between the programs of a training.
#[wasm_bindgen]
#[derive(Default)]
pub struct CpuWeights {
    weights: Weights<'static>,
    gradients: BTreeMap<String, Vec<f32>>,
}

#[wasm_bindgen]
impl CpuWeights {
    /// Those of a program, zero until they are set.
    ///
    /// # Errors
    /// Where they don't fit the memory.
    #[wasm_bindgen(constructor)]
    pub fn new(program: &[u8]) -> Result<Self> {
        let program = program::read(program)?;
        program.check().map_err(of_library)?;
        let mut weights = Weights::new();
        for buffer in program.used_as(Usage::Parameter).chain(program.used_as(Usage::State)) {
            let values = zeroes(buffer.shape.elements(0))?;
            weights.set(&program, &buffer.name, values).map_err(of_library)?;
        }
        Ok(Self { weights, gradients: BTreeMap::new() })
    }

    /// Makes room for a training's states, all zero, and none for gradients: parameters stay what they are.
    ///
    /// # Errors
    /// Where there is no memory.
    pub fn hold(&mut self, store: &[u8]) -> Result<()> {
        let (store, mut states) = (program::read(store)?, Vec::new());
        self.gradients.clear();
        for buffer in &store.buffers {
            if buffer.usage == Usage::State {
                states.push((buffer.name.clone(), zeroes(buffer.shape.elements(0))?));
            }
        }
        states.into_iter().for_each(|(name, values)| self.weights.insert(name, values));
        Ok(())
    }

    /// Sets one of `program`'s.
    ///
    /// # Errors
    /// For a name or a length that it doesn't have.
    pub fn set(&mut self, program: &[u8], name: &str, values: Vec<f32>) -> Result<()> {
        self.weights.set(&program::read(program)?, name, values).map_err(of_library)
    }

    /// What it holds.
    ///
    /// # Errors
    /// For a name that it doesn't have.
    pub fn get(&self, name: &str) -> Result<Vec<f32>> {
        let values = self.weights.get(name).map(|values| values.into_owned());
        let values = values.or_else(|| self.gradients.get(name).cloned());
        values.ok_or_else(|| thrown("internal", format!("there is no parameter {name}")))
    }
}

/// A program for a batch, with its memory.
#[wasm_bindgen]
pub struct CpuBound {
    bound: Bound,
    program: Program,
    /// Whether gradients are those that the weights hold.
    trains: bool,
    /// Inputs, outputs and gradients.
    arrays: BTreeMap<String, Vec<f32>>,
}

#[wasm_bindgen]
impl CpuBound {
    /// # Errors
    /// Where its memory can't be had.
    #[wasm_bindgen(constructor)]
    pub fn new(program: &[u8], batch: u32, trains: bool) -> Result<Self> {
        let program = program::read(program)?;
        let bound = Executor::default().bind(&program, batch).map_err(of_library)?;
        let mut arrays = BTreeMap::new();
        for buffer in &program.buffers {
            let kept = trains && buffer.usage == Usage::Gradient;
            if !kept && !matches!(buffer.usage, Usage::Parameter | Usage::State | Usage::Scratch) {
                arrays.insert(buffer.name.clone(), zeroes(buffer.shape.elements(batch))?);
            }
        }
        Ok(Self { bound, program, trains, arrays })
    }

    /// Gives an input its values.
    ///
    /// # Errors
    /// For a name or a length that the program doesn't have.
    pub fn write(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let array = self.arrays.get_mut(name).filter(|array| array.len() == values.len());
        let array = array.ok_or_else(|| thrown("internal", format!("no input {name} of {} values", values.len())))?;
        array.copy_from_slice(values);
        Ok(())
    }

    /// Runs it; a program that updates parameters changes `weights`.
    ///
    /// # Errors
    /// Where a parameter is missing.
    pub fn run(&mut self, weights: &mut CpuWeights) -> Result<()> {
        let is_input = |name: &str| {
            let buffer = self.program.find(name).and_then(|id| self.program.buffer(id));
            buffer.is_some_and(|buffer| buffer.usage == Usage::Input)
        };
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (name, array) in &mut self.arrays {
            match is_input(name) {
                true => inputs.push((name.as_str(), array.as_slice())),
                false => outputs.push((name.as_str(), array.as_mut_slice())),
            }
        }
        // Made by the first program that keeps any: most weights follow theirs where they are computed.
        for buffer in self.program.used_as(Usage::Gradient).filter(|_| self.trains) {
            if !weights.gradients.contains_key(&buffer.name) {
                weights.gradients.insert(buffer.name.clone(), zeroes(buffer.shape.elements(0))?);
            }
        }
        let gradients = weights.gradients.iter_mut().filter(|_| self.trains);
        outputs.extend(gradients.map(|(name, values)| (name.as_str(), values.as_mut_slice())));
        self.bound.run(&mut weights.weights, &inputs, &mut outputs).map_err(of_library)
    }

    /// What the last run wrote.
    ///
    /// # Errors
    /// For a name that the program doesn't have.
    pub fn read(&self, name: &str, weights: &CpuWeights) -> Result<Vec<f32>> {
        let found = self.arrays.get(name).or_else(|| weights.gradients.get(name));
        found.cloned().ok_or_else(|| thrown("internal", format!("no output {name}")))
    }
}

/// How many samples of a program fit about so many bytes at once.
///
/// # Errors
/// For a program of another build.
#[wasm_bindgen(js_name = samplesWithin)]
pub fn samples_within(program: &[u8], bytes: f64) -> Result<u32> {
    Ok(program::read(program)?.samples_within(bytes as u64) as u32)
}

/// Whether programs run with vector instructions.
#[wasm_bindgen(js_name = hasVectors)]
#[must_use]
pub fn has_vectors() -> bool {
    Instructions::best() == Instructions::Simd128
}

fn zeroes(elements: u64) -> Result<Vec<f32>> {
    let short = || thrown("out-of-memory", format!("no memory for {elements} values"));
    let elements = usize::try_from(elements).map_err(|_| short())?;
    let mut values = Vec::new();
    values.try_reserve_exact(elements).map_err(|_| short())?;
    values.resize(elements, 0.0);
    Ok(values)
}
