//! Finds the value before a softmax or sigmoid that gives an output: Keras's crossentropies are computed from it.

use super::graph::{Graph, GraphLayer, Node, Step};
use super::layers::{ActivationLayer, Built, Kind};
use super::rules::Rules;
use crate::config::Activation;
use std::sync::Arc;

/// What gives an output, if Keras's crossentropies look behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Last {
    /// A layer with this activation, or this activation by itself.
    Activation(Activation),
    /// Keras's layer `Softmax` over the last axis.
    SoftmaxLayer,
}

impl Graph {
    /// For each output, what gives it.
    pub(crate) fn last_activations(&self) -> Vec<Option<Last>> {
        let of = |node: Node| {
            let step = self.steps.get(node.index())?;
            match self.layers.get(step.layer?)?.kind() {
                Kind::Activation(ActivationLayer(activation)) => Some(Last::Activation(*activation)),
                // Keras computes softmax over other axes with other operations.
                Kind::Softmax(softmax) => {
                    (softmax.axes[..] == [step.built.shape.len().saturating_sub(1)]).then_some(Last::SoftmaxLayer)
                }
                _ => step.built.geometries.last().map(|geometry| Last::Activation(geometry.config().activation)),
            }
        };
        self.outputs.iter().map(|output| of(output.node)).collect()
    }

    /// The same graph, in which the activations of the layers that give these outputs are steps of their own; and for
    /// each of these outputs the value before that step. Parameters keep their names.
    pub(crate) fn with_activations_apart(&self, outputs: &[bool]) -> (Self, Vec<Option<Node>>) {
        let mut graph = self.clone();
        for (output, _) in outputs.iter().enumerate().filter(|(_, apart)| **apart) {
            graph.set_apart(output);
        }
        let before = graph.outputs.iter().zip(outputs).map(|(output, &apart)| {
            let step = graph.steps.get(output.node.index()).filter(|_| apart)?;
            step.inputs.first().copied()
        });
        let before = before.collect();
        (graph, before)
    }

    /// Makes the activation of the layer that gives an output a layer of its own, after each call of that layer.
    fn set_apart(&mut self, output: usize) {
        let step = self.outputs.get(output).and_then(|output| self.steps.get(output.node.index()));
        let Some((layer, geometry)) = step.and_then(|step| Some((step.layer?, step.built.geometries.last()?))) else {
            return;
        };
        let activation = geometry.config().activation;
        let name = self.names.free(&format!("{}/activation", self.layers[layer].name()));
        // The activity is that of the activated output, so its penalty goes to the new layer.
        let activity_regularizer = self.layers[layer].rules_mut().activity_regularizer.take();
        let rules = Rules { activity_regularizer, ..Rules::default() };
        let apart = self.layers.len();
        self.layers.push(GraphLayer::new(name.clone(), Kind::from(activation), rules, Vec::new()));
        let (steps, mut places) = (std::mem::take(&mut self.steps), Vec::new());
        for mut step in steps {
            step.inputs.iter_mut().for_each(|input| *input = places[input.index()]);
            let of_layer = step.layer == Some(layer);
            let shape = step.built.shape.clone();
            if let Some(geometry) = step.built.geometries.last_mut().filter(|_| of_layer) {
                *geometry = Arc::new(geometry.with_activation(Activation::Linear));
            }
            let mut node = self.push(step);
            if of_layer {
                let name = if self.names.has(&name) { self.names.numbered(&format!("{name}:")) } else { name.clone() };
                let (layer, inputs, built) = (Some(apart), vec![node], Built::of_shape(shape));
                node = self.push(Step { name, layer, inputs, built });
            }
            places.push(node);
        }
        self.inputs.iter_mut().for_each(|node| *node = places[node.index()]);
        self.outputs.iter_mut().filter(|output| output.node.index() < places.len()).for_each(|output| {
            output.node = places[output.node.index()];
        });
    }
}
