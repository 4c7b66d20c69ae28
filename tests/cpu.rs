//! The CPU executor: as the f64 reference and as Keras, with every set of instructions and any number of threads.

mod arithmetic;
mod chains;
pub(crate) mod executors;
mod goldens;
pub(crate) mod layers;
mod operands;

use crate::common::{Operands, RESULTS};
pub(crate) use executors::{EXECUTORS, Written, run, run_on};
use locally_connected::Geometry;
use locally_connected::cpu::Executor;
use locally_connected::model::{Graph, Layer, Sequential, Wanted, names};
use locally_connected::reference::Passes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A graph of one layer.
pub(crate) fn graph(geometry: &Geometry) -> Graph {
    let layer = Layer::new(Arc::new(geometry.clone())).named("local");
    Sequential::new(geometry.input_shape()).add(layer).graph().expect("a layer")
}

/// A layer's operands under the names of [`graph`]'s programs.
pub(crate) fn given(operands: &Operands) -> BTreeMap<String, Vec<f32>> {
    let Operands { input, weights, bias, grad_output } = operands.clone();
    let names = [
        names::INPUT.into(),
        names::parameter("local", "kernel"),
        names::parameter("local", "bias"),
        names::GRAD_OUTPUT.into(),
    ];
    names.into_iter().zip([input, weights, bias, grad_output]).collect()
}

/// Output and gradients of a layer, in the order of [`RESULTS`]; the output by both programs.
pub(crate) fn passes(executor: &Executor, geometry: &Geometry, batch: u32, operands: &Operands) -> [Vec<f32>; 4] {
    let (graph, given) = (graph(geometry), given(operands));
    let forward = run(executor, &graph.forward(), batch, &given).expect("it runs");
    let mut backward = run(executor, &graph.backward(Wanted::All), batch, &given).expect("it runs");
    let names = [
        names::OUTPUT.into(),
        names::GRAD_INPUT.into(),
        names::gradient("local", "kernel"),
        names::gradient("local", "bias"),
    ];
    let results = names.map(|name| backward.remove(&name).unwrap_or_default());
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(bits(&forward[names::OUTPUT]) == bits(&results[0]), "training computes another output");
    results
}

/// The reference's results, in the same order.
pub(crate) fn expected(passes: Passes) -> [(&'static str, Vec<f64>); 4] {
    let Passes { output, grad_input, grad_weights, grad_bias, .. } = passes;
    let [a, b, c, d] = RESULTS;
    [(a, output), (b, grad_input), (c, grad_weights), (d, grad_bias)]
}
