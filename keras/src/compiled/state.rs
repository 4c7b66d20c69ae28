//! The optimizer's own variables, in the order in which Keras stores them.

use super::data::{AVERAGE, OptimizerState};
use crate::config::model_trainable;
use crate::error::Result;
use crate::model_file::{FileLayer, ModelFile};
use locally_connected::model::names;
use locally_connected::train::{Optimizer, Rule};

/// The prefix of the names of the optimizer's tensors in our `.safetensors`.
pub(crate) const OPTIMIZER: &str = "optimizer:";

/// An array of the optimizer: shape and values, as a file stores them.
pub(crate) type StateArray = (Vec<usize>, Vec<f32>);

/// A variable that the optimizer updates.
struct Variable<'a> {
    layer: &'a FileLayer,
    what: &'static str,
    shape: Vec<usize>,
    values: &'a [f32],
}

impl Variable<'_> {
    /// The parameter's name in programs.
    fn name(&self) -> String {
        names::parameter(&self.layer.name, self.what)
    }
}

/// The variables that are trained, in Keras's order.
fn variables(model: &ModelFile) -> Vec<Variable<'_>> {
    let around = model_trainable(&model.frame.config, &model.layers);
    let mut variables = Vec::new();
    for layer in &model.layers {
        let [trained, _] = layer.by_training(around);
        variables.extend(trained.into_iter().map(|(layer, (what, shape, values))| Variable {
            layer,
            what,
            shape,
            values,
        }));
    }
    variables
}

/// Keras's slots, in the order of the optimizer's variables after the number of steps: for each the number of the
/// variable that it belongs to, and its name.
fn order(optimizer: &Optimizer, count: usize) -> Vec<(usize, &'static str)> {
    let of_each = |slot: &'static str| (0..count).map(move |at| (at, slot));
    let mut order = Vec::new();
    if optimizer.ema.is_some() {
        order.extend(of_each(AVERAGE));
    }
    match optimizer.rule {
        Rule::Adam { amsgrad, .. } => {
            order.extend((0..count).flat_map(|at| [(at, "m"), (at, "v")]));
            if amsgrad {
                order.extend(of_each("vhat"));
            }
        }
        // Keras has this slot even if the momentum is 0.
        Rule::Sgd { .. } => order.extend(of_each("m")),
        Rule::RmsProp { .. } => optimizer.rule.slots().iter().for_each(|slot| order.extend(of_each(slot))),
    }
    order
}

/// The state in the arrays that follow the number of steps in a file, each with its shape. If they aren't those of this
/// optimizer, the error says why.
pub(crate) fn read_state(
    model: &ModelFile,
    optimizer: &Optimizer,
    iterations: u64,
    arrays: Vec<StateArray>,
) -> Result<OptimizerState, String> {
    let variables = variables(model);
    let order = order(optimizer, variables.len());
    if arrays.len() != order.len() {
        let (found, expected) = (arrays.len(), order.len());
        return Err(format!(
            "it has {found} arrays, {} of {} variables has {expected}",
            optimizer.keras_name(),
            variables.len()
        ));
    }
    let mut state = OptimizerState { iterations, ..OptimizerState::default() };
    for ((at, slot), (shape, values)) in order.into_iter().zip(arrays) {
        let Some(variable) = variables.get(at) else { continue };
        let name = variable.name();
        if shape != variable.shape {
            return Err(format!("its {slot} of {name} has shape {shape:?}, the variable {:?}", variable.shape));
        }
        // Keras keeps an `m` for SGD without momentum, too, which stays 0.
        if slot == AVERAGE || optimizer.rule.slots().contains(&slot) {
            let values = variable.layer.canonical_of(variable.what, values).map_err(|error| error.to_string())?;
            state.slots.insert(names::state(&variable.layer.name, variable.what, slot), values);
        }
    }
    Ok(state)
}

/// Keras's names of the arrays after the number of steps, without `:0`.
pub(crate) fn state_names(model: &ModelFile, optimizer: &Optimizer) -> Vec<String> {
    let names: Vec<_> = variables(model).iter().map(Variable::name).collect();
    let order = order(optimizer, names.len()).into_iter();
    order.filter_map(|(at, slot)| Some(format!("{slot}/{}", names.get(at)?))).collect()
}

/// An array of the optimizer, with Keras's name of it, without `:0`.
pub(crate) struct Slot {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The arrays after the number of steps, as Keras stores them. Those that the state lacks are as before the first step.
///
/// # Errors
/// [`locally_connected::Error::Length`] for a slot of another length than its parameter.
pub(crate) fn write_state(model: &ModelFile, optimizer: &Optimizer, state: &OptimizerState) -> Result<Vec<Slot>> {
    let variables = variables(model);
    let mut slots = Vec::new();
    for (at, slot) in order(optimizer, variables.len()) {
        let Some(variable) = variables.get(at) else { continue };
        let name = variable.name();
        let found = state.slots.get(&names::state(&variable.layer.name, variable.what, slot));
        let values = match found {
            Some(canonical) => variable.layer.stored_of(variable.what, canonical)?,
            None if slot == AVERAGE => variable.values.to_vec(),
            None => vec![0.0; variable.values.len()],
        };
        slots.push(Slot { name: format!("{slot}/{name}"), shape: variable.shape.clone(), values });
    }
    Ok(slots)
}
