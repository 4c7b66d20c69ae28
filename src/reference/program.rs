//! Runs a program: the judge of every other executor.

use super::{activate_rows, activate_rows_grad, grad_bias, grad_bias_shared, loops, sparse};
use crate::config::Bias;
use crate::geometry::{Geometry, SparseIndex};
use crate::ops::{
    Activate, ActivateGrad, BufferId, GradBias, LocalForward, LocalGradInput, LocalGradWeights, Operation, Transpose,
    Usage,
};
use crate::program::Program;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A program's values by the buffers' names.
pub type Values = BTreeMap<String, Vec<f64>>;

/// Runs `program` on `batch` samples and the inputs and parameters in `given`, with the gradients that it adds to; all
/// that it wrote, with what lies between its operations.
///
/// # Errors
/// Those of [`Program::check`]; [`Error::Length`] for given values of another length, [`Error::NotGiven`] for some that
/// aren't there.
pub fn run(program: &Program, batch: u32, given: &Values) -> Result<Values> {
    program.check()?;
    let mut memory = Memory { values: vec![Vec::new(); program.buffers.len()] };
    let needed = program.buffers.iter().zip(&mut memory.values).zip(program.given());
    for ((buffer, values), _) in needed.filter(|(_, given)| *given) {
        let found = given.get(&buffer.name).ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
        let (expected, length) = (buffer.shape.elements(batch), found.len() as u64);
        if length != expected {
            let what = match buffer.usage {
                Usage::Input => "input",
                Usage::Parameter => "parameter",
                Usage::Gradient | Usage::Output | Usage::Scratch => "gradient",
            };
            return Err(Error::Length { what, expected, found: length, shape: Vec::new() });
        }
        values.clone_from(found);
    }
    for operation in &program.operations {
        let written = match operation {
            Operation::LocalForward(o) => local_forward(o, &memory),
            Operation::LocalGradInput(o) => local_grad_input(o, &memory),
            Operation::LocalGradWeights(o) => local_grad_weights(o, &memory),
            Operation::GradBias(o) => bias_grad(o, &memory),
            Operation::Activate(o) => activate(o, &memory),
            Operation::ActivateGrad(o) => activate_grad(o, &memory),
            Operation::Transpose(o) => swap_axes(o, &memory),
        };
        let buffer = &mut memory.values[operation.writes().index()];
        if operation.accumulates() {
            buffer.iter_mut().zip(written).for_each(|(sum, more)| *sum += more);
        } else {
            *buffer = written;
        }
    }
    let written = program.buffers.iter().zip(memory.values);
    let written = written.filter(|(buffer, _)| !matches!(buffer.usage, Usage::Input | Usage::Parameter));
    Ok(written.map(|(buffer, values)| (buffer.name.clone(), values)).collect())
}

struct Memory {
    values: Vec<Vec<f64>>,
}

impl Memory {
    fn of(&self, id: BufferId) -> &[f64] {
        &self.values[id.index()]
    }
}

fn local_forward(o: &LocalForward, memory: &Memory) -> Vec<f64> {
    let (layer, input, weights) = (&o.layer, memory.of(o.input), memory.of(o.weights));
    let bias = o.bias.map_or(&[][..], |bias| memory.of(bias));
    let z = match layer.pattern() {
        Some(_) => {
            let mut z = sparse::sparse_forward(layer, &SparseIndex::new(layer), input, weights);
            loops::add_bias(layer, &mut z, bias);
            z
        }
        None => loops::loop_forward(layer, input, weights, bias),
    };
    super::activate(&z, o.activation)
}

fn local_grad_input(o: &LocalGradInput, memory: &Memory) -> Vec<f64> {
    let (layer, weights, dz) = (&o.layer, memory.of(o.weights), memory.of(o.grad_output));
    match layer.pattern() {
        Some(_) => sparse::sparse_grad_input(layer, &SparseIndex::new(layer), weights, dz),
        None => loops::loop_grad_input(layer, weights, dz),
    }
}

fn local_grad_weights(o: &LocalGradWeights, memory: &Memory) -> Vec<f64> {
    let (layer, input, dz) = (&o.layer, memory.of(o.input), memory.of(o.grad_output));
    match layer.pattern() {
        Some(_) => sparse::sparse_grad_kernel(layer, &SparseIndex::new(layer), input, dz),
        None => loops::loop_grad_kernel(layer, input, dz),
    }
}

fn bias_grad(o: &GradBias, memory: &Memory) -> Vec<f64> {
    let (layer, dz): (&Geometry, _) = (&o.layer, memory.of(o.grad_output));
    match layer.config().bias {
        Bias::None => Vec::new(),
        Bias::PerLocation => grad_bias(layer, dz),
        Bias::PerFilter => grad_bias_shared(layer, dz),
    }
}

fn activate(o: &Activate, memory: &Memory) -> Vec<f64> {
    activate_rows(memory.of(o.input), o.activation, o.row as usize)
}

fn activate_grad(o: &ActivateGrad, memory: &Memory) -> Vec<f64> {
    activate_rows_grad(memory.of(o.saved), memory.of(o.grad_output), o.activation, o.row as usize)
}

fn swap_axes(o: &Transpose, memory: &Memory) -> Vec<f64> {
    super::transpose(memory.of(o.input), o.rows as usize, o.columns as usize)
}
