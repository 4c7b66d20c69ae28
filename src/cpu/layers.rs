//! The layers of a program, each once, whether or not its operations share it: a program that was read from a file has the same layer
//! once for each operation.

use super::local::Layer;
use crate::config::Config;
use crate::geometry::{Geometry, Pattern};
use crate::ops::Operation;
use crate::program::Program;
use crate::{Error, Result};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Most bytes of the tables of a program's windows. A few lines name axes of any length, so the sum is asked for before any is made. A layer of
/// 196,608 positions and 15 taps, Enformer's longest, takes 28 MB for both passes.
const MOST_BYTES: u64 = 1 << 30;

/// What each operation of a program looks up of its layer.
pub(super) struct Layers {
    made: Vec<Arc<Layer>>,
    /// For each operation the number of its layer.
    places: Vec<Option<usize>>,
}

impl Layers {
    /// # Errors
    /// [`Error::OverBudget`] where all together take more than a GiB; [`Error::OutOfMemory`].
    pub(super) fn of(program: &Program) -> Result<Self> {
        let mut found = Found::default();
        let places = program.operations.iter().map(|operation| {
            let place = found.place(operation.layer()?);
            found.layers[place].reads |= matches!(operation, Operation::LocalGradInput(_));
            Some(place)
        });
        let places = places.collect();
        let bytes = found.layers.iter().map(|layer| Layer::bytes(layer.geometry, layer.reads));
        let needed = bytes.fold(0, u64::saturating_add);
        if needed > MOST_BYTES {
            return Err(Error::OverBudget {
                what: "what the windows of all layers read".into(),
                needed,
                budget: MOST_BYTES,
            });
        }
        let made = found.layers.iter().map(|layer| Ok(Arc::new(Layer::new(layer.geometry, layer.reads)?)));
        Ok(Self { made: made.collect::<Result<_>>()?, places })
    }

    /// The layer of an operation, by the operation's number.
    pub(super) fn of_operation(&self, place: usize) -> Option<Arc<Layer>> {
        self.made.get((*self.places.get(place)?)?).cloned()
    }
}

/// A layer that is looked up.
struct Looked<'p> {
    geometry: &'p Arc<Geometry>,
    /// Whether it is asked who reads an input.
    reads: bool,
}

/// Layers as they are found, each once.
#[derive(Default)]
struct Found<'p> {
    layers: Vec<Looked<'p>>,
    by_address: HashMap<*const Geometry, usize>,
    /// Layers with the same [`numbers`].
    by_numbers: HashMap<u64, Vec<usize>>,
}

impl<'p> Found<'p> {
    /// The number of a layer among those found.
    fn place(&mut self, geometry: &'p Arc<Geometry>) -> usize {
        let Self { layers, by_address, by_numbers } = self;
        *by_address.entry(Arc::as_ptr(geometry)).or_insert_with(|| {
            let alike = by_numbers.entry(numbers(geometry)).or_default();
            let equal = alike.iter().copied().find(|&other| layers[other].geometry == geometry);
            equal.unwrap_or_else(|| {
                layers.push(Looked { geometry, reads: false });
                alike.push(layers.len() - 1);
                layers.len() - 1
            })
        })
    }
}

/// A hash that tells most layers apart.
fn numbers(geometry: &Geometry) -> u64 {
    let Config { filters, kernel_size, strides, padding, dilation_rate, groups, data_format, bias, dtype, .. } =
        geometry.config();
    let connections = geometry.pattern().map(Pattern::connections);
    let windows = (filters, kernel_size, strides, padding, dilation_rate, groups);
    let mut hasher = DefaultHasher::new();
    (windows, data_format, bias, dtype, geometry.input_shape(), connections, geometry.shares_weights())
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gradients;
    use crate::config::{Activation, Padding};
    use crate::model::{Convolution, Sequential, Wanted, layer_backward, layer_forward};

    #[test]
    fn equal_layers_are_one() -> Result<()> {
        let dense = |filters| Geometry::dense(filters, &[5], true, Activation::Linear).map(Arc::new);
        let mut program = Program::default();
        // Each once more, as if it had been read.
        for filters in [3, 4, 3] {
            program.operations.extend(layer_forward(&dense(filters)?, false).operations);
            program.operations.extend(layer_backward(&dense(filters)?, Gradients::ALL).operations);
        }
        let layers = Layers::of(&program)?;
        assert_eq!(layers.made.len(), 2);
        let mut local = 0;
        for (operation, place) in program.operations.iter().zip(0..) {
            let found = layers.of_operation(place);
            assert_eq!(found.map(|layer| layer.geometry.clone()).as_ref(), operation.layer());
            local += usize::from(operation.layer().is_some());
        }
        assert!(local >= 9, "{local}");
        Ok(())
    }

    /// Twenty layers of the longest axes that are known fit; twenty of axes that only an attacker names don't.
    #[test]
    fn what_all_layers_look_up_is_bounded() -> Result<()> {
        let programs = |positions, config: fn(usize) -> Config| {
            let layer = |number| Convolution(config(number).padding(Padding::Same));
            let layers = (0..20).fold(Sequential::new([positions, 1]), |layers, number| layers.add(layer(number)));
            layers.graph().map(|graph| [graph.forward(), graph.backward(Wanted::All)])
        };
        let bytes = |program: &Program| -> u64 {
            let layers =
                program.operations.iter().filter_map(Operation::layer).map(|layer| (Arc::as_ptr(layer), layer));
            let layers: HashMap<_, _> = layers.collect();
            layers.values().map(|layer| Layer::bytes(layer, true)).sum()
        };
        let [_, backward] = programs(196_608, |number| Config::new(1, [5 + number]))?;
        assert!(bytes(&backward) < MOST_BYTES);
        for program in programs(2_000_000, |number| Config::new(1, [3]).dilation_rate([1 + number]))? {
            let needed = match Layers::of(&program) {
                Err(Error::OverBudget { needed, budget: MOST_BYTES, .. }) => needed,
                Err(other) => return Err(other),
                Ok(_) => 0,
            };
            assert!(needed > MOST_BYTES && needed <= bytes(&program), "{needed}");
        }
        Ok(())
    }
}
