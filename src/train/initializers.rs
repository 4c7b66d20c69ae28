//! Values of new layers: drawn on the host, the same bits on every platform.

use super::orthogonal::orthogonal;
use super::stream::Stream;
use crate::config::{Distribution, FanMode, Initializer, KerasLayout};
use crate::geometry::{Geometry, Sharing};
use crate::model::{Graph, Stored, names};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// How many inputs an output has, and how many outputs an input: what variance scalings divide by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fans {
    /// Inputs of an output.
    pub fan_in: f64,
    /// Outputs of an input.
    pub fan_out: f64,
}

impl Fans {
    /// Keras's fans of a variable of this shape. One axis: its length. Two: these. More: all axes but the last two
    /// count as a window's.
    #[must_use]
    pub fn of_shape(shape: &[usize]) -> Self {
        let size = |size: &usize| *size as f64;
        let (fan_in, fan_out) = match shape {
            [] => (1.0, 1.0),
            [n] => (size(n), size(n)),
            [window @ .., inputs, outputs] => {
                let window: f64 = window.iter().map(size).product();
                (window * size(inputs), window * size(outputs))
            }
        };
        Self { fan_in, fan_out }
    }

    /// The layer's real fans: connections of an output, and of an input, averaged over the layer's outputs and inputs.
    #[must_use]
    pub fn per_patch(geometry: &Geometry) -> Self {
        let connections = geometry.connected_weights() as f64;
        Self { fan_in: connections / geometry.outputs() as f64, fan_out: connections / geometry.inputs() as f64 }
    }
}

/// Which fans a new layer's weights are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FanRule {
    /// Keras's: [`Fans::of_shape`] of the variable as the layout stores it. In implementation 1 that counts the
    /// locations as a window, so that weights come out smaller by √locations.
    #[default]
    Keras,
    /// [`Fans::per_patch`].
    PerPatch,
}

/// The most bytes of a variable that is drawn: implementation 2's has a number for every pair of input and output.
const BUDGET: u64 = 8 << 30;

/// The values of a variable of `shape`, in its order. The initializer's own seed comes before `seed`.
///
/// # Errors
/// [`Error::Unsupported`] for [`Initializer::Custom`] and for a shape that Keras's initializer refuses;
/// [`Error::OverBudget`] over 8 GiB.
pub fn draw(initializer: &Initializer, shape: &[usize], fans: Fans, seed: u64) -> Result<Vec<f32>> {
    let count = shape.iter().fold(1u64, |a, &b| a.saturating_mul(b as u64));
    if count.saturating_mul(4) > BUDGET {
        let what = format!("a variable of shape {shape:?}");
        return Err(Error::OverBudget { what, needed: count.saturating_mul(4), budget: BUDGET });
    }
    let count = count as usize;
    let stream = Stream(initializer.seed().map_or(seed, |seed| seed as u64));
    let refused = |what: &str| {
        let with = format!("for a variable of {} axes, {shape:?}", shape.len());
        Err(Error::Unsupported { what: format!("the initializer {what}"), with })
    };
    if let Some((scale, mode, distribution)) = initializer.variance_scaling() {
        let fan = match mode {
            FanMode::In => fans.fan_in,
            FanMode::Out => fans.fan_out,
            FanMode::Average => (fans.fan_in + fans.fan_out) / 2.0,
        };
        let variance = f64::from(scale) / fan.max(1.0);
        return Ok(match distribution {
            Distribution::Uniform => {
                let limit = libm::sqrt(3.0 * variance);
                uniform(count, -limit, limit, stream)
            }
            Distribution::UntruncatedNormal => {
                Normal { mean: 0.0, stddev: libm::sqrt(variance), cut: f64::INFINITY }.values(count, stream)
            }
            // The standard deviation of a standard normal distribution that is cut at -2 and 2.
            Distribution::TruncatedNormal => {
                let stddev = libm::sqrt(variance) / 0.879_625_661_034_239_8;
                Normal { mean: 0.0, stddev, cut: 2.0 }.values(count, stream)
            }
        });
    }
    match *initializer {
        Initializer::Ones => Ok(vec![1.0; count]),
        Initializer::Constant { value } => Ok(vec![value; count]),
        Initializer::RandomNormal { mean, stddev, .. } => {
            Ok(Normal { mean: mean.into(), stddev: stddev.into(), cut: f64::INFINITY }.values(count, stream))
        }
        Initializer::TruncatedNormal { mean, stddev, .. } => {
            Ok(Normal { mean: mean.into(), stddev: stddev.into(), cut: 2.0 }.values(count, stream))
        }
        Initializer::RandomUniform { minval, maxval, .. } => Ok(uniform(count, minval.into(), maxval.into(), stream)),
        Initializer::Orthogonal { gain, .. } => match shape {
            [first @ .., columns] if !first.is_empty() => {
                let values = orthogonal(first.iter().product(), *columns, stream);
                Ok(values.into_iter().map(|value| gain * value).collect())
            }
            _ => refused("orthogonal"),
        },
        Initializer::Identity { gain } => match *shape {
            [rows, columns] => Ok((0..rows)
                .flat_map(|row| (0..columns).map(move |column| if row == column { gain } else { 0.0 }))
                .collect()),
            _ => refused("identity"),
        },
        Initializer::Custom(ref description) => {
            let what = format!("the initializer {description}");
            Err(Error::Unsupported { what, with: "here: it is none of Keras's, so its values must be given".into() })
        }
        // Initializers that scale by fans returned above.
        _ => Ok(vec![0.0; count]),
    }
}

fn uniform(count: usize, low: f64, high: f64, stream: Stream) -> Vec<f32> {
    let blocks = (0..).flat_map(|block| stream.uniform(block, 0));
    blocks.take(count).map(|u| (low + (high - low) * u) as f32).collect()
}

/// A normal distribution; numbers more than `cut` standard deviations away are drawn again.
struct Normal {
    mean: f64,
    stddev: f64,
    cut: f64,
}

impl Normal {
    fn values(self, count: usize, stream: Stream) -> Vec<f32> {
        let Self { mean, stddev, cut } = self;
        let blocks = (0..).flat_map(|block| {
            let mut values = stream.normal(block, 0);
            let mut attempt = 0;
            while values.iter().any(|z| z.abs() > cut) {
                attempt += 1;
                for (value, next) in values.iter_mut().zip(stream.normal(block, attempt)) {
                    if value.abs() > cut {
                        *value = next;
                    }
                }
            }
            values
        });
        blocks.take(count).map(|z| (mean + stddev * z) as f32).collect()
    }
}

/// The weights of a new layer in the canonical order, drawn as the variable that `layout` stores, so that an
/// initializer sees the shape that it would see in Keras. Layers that have no such variable (convolutions, a
/// connectivity of the user's, circular padding) draw the canonical one.
///
/// # Errors
/// Those of [`draw`], and [`Error::PaddingNeedsOtherLayout`].
pub fn initial_weights(geometry: &Geometry, layout: KerasLayout, rule: FanRule, seed: u64) -> Result<Vec<f32>> {
    let initializer = &geometry.config().kernel_initializer;
    match layout.check(geometry) {
        Ok(()) => {
            let shape = layout.shape(geometry);
            let fans = match rule {
                FanRule::Keras => Fans::of_shape(&shape),
                FanRule::PerPatch => Fans::per_patch(geometry),
            };
            layout.to_canonical(geometry, &draw(initializer, &shape, fans, seed)?)
        }
        Err(Error::Unsupported { .. }) => {
            let filters = geometry.group_filters() as usize;
            let shape = [geometry.weights() as usize / filters.max(1), filters];
            let (window, taps) = (f64::from(geometry.window()), f64::from(geometry.taps()));
            let fans = match (rule, geometry.sharing()) {
                // Keras's variable of a convolution is (window…, channels of a group, filters).
                (FanRule::Keras, Sharing::Shared) => {
                    Fans { fan_in: window, fan_out: taps * f64::from(geometry.filters()) }
                }
                _ => Fans::per_patch(geometry),
            };
            draw(initializer, &shape, fans, seed)
        }
        Err(error) => Err(error),
    }
}

/// The bias of a new layer in Keras's order; none where it has none.
///
/// # Errors
/// Those of [`draw`].
pub fn initial_bias(geometry: &Geometry, seed: u64) -> Result<Option<Vec<f32>>> {
    let initializer = &geometry.config().bias_initializer;
    let Some(shape) = geometry.bias_shape() else { return Ok(None) };
    draw(initializer, &shape, Fans::of_shape(&shape), seed).map(Some)
}

/// The parameters of all layers of a graph, as in [`crate::model::Model::parameters`]. Layers of windows draw as their
/// configuration says, in the layout of [`KerasLayout::of`]; all others begin with Keras's defaults. Layers of the same
/// initializer and seed get different values.
///
/// ```
/// use locally_connected::model::{Graph, Model};
/// use locally_connected::train::{FanRule, initial_parameters};
/// use locally_connected::Config;
/// # fn main() -> locally_connected::Result<()> {
/// let mut graph = Graph::new();
/// let signal = graph.input([64, 2])?;
/// let layer = graph.add(Config::new(8, [3]), &[signal])?;
/// graph.output(layer);
/// let parameters = initial_parameters(&graph, FanRule::Keras, 42)?;
/// let model = Model { graph, parameters };
/// model.check()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`initial_weights`] and [`initial_bias`], with the layer's name, and [`Error::Unsupported`] for a parameter
/// that Keras's layers don't have.
pub fn initial_parameters(graph: &Graph, rule: FanRule, seed: u64) -> Result<BTreeMap<String, Vec<f32>>> {
    let mut parameters = BTreeMap::new();
    for (index, layer) in graph.layers().iter().enumerate() {
        if let Some(weights) = &layer.initial {
            parameters.extend(graph.canonical_weights(layer.name(), weights)?);
            continue;
        }
        // A layer that is called several times has the weights of its first call.
        let of_layer: Vec<_> = graph.geometries().filter(|(of, _)| of.name() == layer.name()).collect();
        let mut geometries = of_layer.iter().map(|(_, geometry)| *geometry);
        let stored = graph.stored(layer.name()).unwrap_or_default();
        let mut last = None;
        for (at, parameter) in layer.parameters().iter().enumerate() {
            // Seeds of layers lie far apart, so that a user's seeds that differ by a small number don't meet.
            let place = 2 * (16 * index as u64 + at as u64) + 1;
            let seed = seed.wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let elements = parameter.shape.elements(0) as usize;
            let drawn = match (parameter.name, last) {
                ("kernel" | "depthwise_kernel" | "pointwise_kernel", _) => {
                    last = geometries.next();
                    let missing = Error::Missing { what: "the layer's windows", why: "its weights are theirs" };
                    let geometry = last.ok_or(missing);
                    geometry.and_then(|geometry| weights_of((geometry, stored.get(at)), parameter.name, rule, seed))
                }
                ("bias", Some(geometry)) => initial_bias(geometry, seed).map(Option::unwrap_or_default),
                ("gamma" | "moving_variance", _) => Ok(vec![1.0; elements]),
                ("bias" | "beta" | "moving_mean" | "alpha", _) => Ok(vec![0.0; elements]),
                (name, _) => {
                    let what = format!("the parameter \"{name}\"");
                    Err(Error::Unsupported { what, with: "by Keras's initializers: its values must be given".into() })
                }
            };
            let drawn = drawn.map_err(|error| error.in_layer(layer.name()))?;
            parameters.insert(names::parameter(layer.name(), parameter.name), drawn);
        }
    }
    Ok(parameters)
}

fn weights_of(
    (geometry, stored): (&Geometry, Option<&Stored>),
    name: &str,
    rule: FanRule,
    seed: u64,
) -> Result<Vec<f32>> {
    if (name, rule) == ("depthwise_kernel", FanRule::Keras) {
        // Keras's variable is (window…, channels, filters of a channel).
        let (taps, filters) = (geometry.taps() as usize, geometry.group_filters() as usize);
        let shape = [taps, geometry.channels() as usize, filters];
        return draw(&geometry.config().kernel_initializer, &shape, Fans::of_shape(&shape), seed);
    }
    let layout = match stored {
        Some(Stored::Local(_, layout)) => *layout,
        _ => KerasLayout::of(geometry.config()),
    };
    initial_weights(geometry, layout, rule, seed)
}
