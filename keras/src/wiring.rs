//! The calls of a model's layers.

use crate::error::Problem;
use std::collections::BTreeSet;

/// A value of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tensor {
    /// One of its inputs.
    Input(usize),
    /// An output of a call.
    Output {
        /// The call's number in [`Wiring::calls`].
        call: usize,
        /// The number of its output: a model inside the model may have several.
        index: usize,
    },
}

/// A call of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The layer's number in the model's list.
    pub layer: usize,
    pub inputs: Vec<Tensor>,
}

/// The calls of a model's layers, each after those whose results it takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wiring {
    pub calls: Vec<Call>,
    /// The names of the inputs: those of their layers or, in a chain without one, the first layer's name followed by
    /// `_input`.
    pub inputs: Vec<String>,
    pub outputs: Vec<Tensor>,
    /// The names of the layers that give the outputs.
    pub output_names: Vec<String>,
    /// For each layer the number of its first call: 1 for a model inside the model that counts the call that made it.
    pub first: Vec<usize>,
}

impl Wiring {
    /// A chain of `layers` layers, with the names of its input and of the layer that gives its output.
    pub(crate) fn chain(layers: usize, input: String, output: String) -> Self {
        let of = |call: Option<usize>| call.map_or(Tensor::Input(0), |call| Tensor::Output { call, index: 0 });
        let call = |layer: usize| Call { layer, inputs: vec![of(layer.checked_sub(1))] };
        Self {
            calls: (0..layers).map(call).collect(),
            inputs: vec![input],
            outputs: vec![of(layers.checked_sub(1))],
            output_names: vec![output],
            first: vec![0; layers],
        }
    }

    /// The same calls, each after those whose results it takes; otherwise in the order in which they are listed.
    pub(crate) fn sorted(self) -> Result<Self, Problem> {
        let feeding = |call: &Call| {
            let of = call.inputs.iter().filter_map(|tensor| match tensor {
                Tensor::Input(_) => None,
                Tensor::Output { call, .. } => Some(*call),
            });
            of.collect::<BTreeSet<usize>>()
        };
        let mut waiting: Vec<BTreeSet<usize>> = self.calls.iter().map(feeding).collect();
        let mut readers = vec![Vec::new(); waiting.len()];
        for (reader, feeding) in waiting.iter().enumerate() {
            for &from in feeding {
                readers.get_mut(from).into_iter().for_each(|list| list.push(reader));
            }
        }
        let mut ready: BTreeSet<usize> = (0..waiting.len()).filter(|&call| waiting[call].is_empty()).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(call) = ready.pop_first() {
            order.push(call);
            for &reader in readers.get(call).into_iter().flatten() {
                if let Some(feeding) = waiting.get_mut(reader) {
                    feeding.remove(&call);
                    if feeding.is_empty() {
                        ready.insert(reader);
                    }
                }
            }
        }
        if order.len() != self.calls.len() {
            return Err(Problem::Circle(self.calls.len() - order.len()));
        }
        let mut new = vec![0; order.len()];
        for (place, &call) in order.iter().enumerate() {
            new[call] = place;
        }
        let moved = |tensor: &Tensor| match *tensor {
            Tensor::Output { call, index } => Tensor::Output { call: new[call], index },
            input @ Tensor::Input(_) => input,
        };
        let call = |&at: &usize| {
            let Call { layer, inputs } = &self.calls[at];
            Call { layer: *layer, inputs: inputs.iter().map(moved).collect() }
        };
        let (calls, outputs) = (order.iter().map(call).collect(), self.outputs.iter().map(moved).collect());
        Ok(Self { calls, outputs, ..self })
    }
}
