//! How Keras stores a layer's parameters.

use super::graph::Graph;
use super::layers::Kind;
use crate::config::KerasLayout;
use crate::geometry::{Geometry, SharedLayout, Sharing};
use crate::ops::Shape;
use crate::{Error, Result};
use std::sync::Arc;

/// How Keras stores a parameter, which decides what its axes are.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// As in programs, with this shape.
    Plain(Vec<usize>),
    /// Weights of windows that no locations share.
    Local(Arc<Geometry>, KerasLayout),
    /// Weights of windows that all locations share.
    Shared(Arc<Geometry>, SharedLayout),
    /// Weights of a user's connectivity, which Keras doesn't have: `[connections][filters]`.
    Connections(Arc<Geometry>),
}

impl Stored {
    /// Shape of Keras's variable.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Plain(shape) => shape.clone(),
            Self::Local(geometry, layout) => layout.shape(geometry),
            Self::Shared(geometry, layout) => layout.shape(geometry),
            Self::Connections(geometry) => Shape::of_weights(geometry).sizes(),
        }
    }

    /// From the values of Keras's variable to the parameter's values in programs.
    ///
    /// # Errors
    /// [`Error::Length`]; those of [`KerasLayout::to_canonical`].
    pub fn to_canonical(&self, values: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Local(geometry, layout) => layout.to_canonical(geometry, values),
            Self::Shared(geometry, layout) => layout.to_canonical(geometry, values),
            Self::Plain(_) | Self::Connections(_) => self.checked(values),
        }
    }

    /// From the parameter's values in programs to those of Keras's variable.
    ///
    /// # Errors
    /// As [`Stored::to_canonical`].
    pub fn from_canonical(&self, values: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Local(geometry, layout) => layout.from_canonical(geometry, values),
            Self::Shared(geometry, layout) => layout.from_canonical(geometry, values),
            Self::Plain(_) | Self::Connections(_) => self.checked(values),
        }
    }

    fn checked(&self, values: &[f32]) -> Result<Vec<f32>> {
        let shape = self.shape();
        let (expected, found) = (shape.iter().map(|&size| size as u64).product(), values.len() as u64);
        if expected == found {
            return Ok(values.to_vec());
        }
        Err(Error::Length { what: "parameter", expected, found, shape })
    }
}

impl Graph {
    /// How Keras stores the parameters of the layer of that name, in their order; none if there is no such layer.
    /// Layers of windows are stored as their own configuration says, whatever [`Graph::with_implementation`] executes
    /// them by.
    #[must_use]
    pub fn stored(&self, layer: &str) -> Option<Vec<Stored>> {
        let at = self.layers.iter().position(|known| known.name() == layer)?;
        let known = &self.layers[at];
        let built = &self.steps.iter().find(|step| step.layer == Some(at))?.built;
        let of = |(parameter, at): (&super::Parameter, usize)| {
            // Parameters without a shape are weights of windows; they are in the order of the windows.
            let Some(geometry) = built.geometries.get(at).filter(|_| parameter.stored.is_empty()) else {
                return Stored::Plain(parameter.stored.clone());
            };
            let layout = match (parameter.name, known.kind()) {
                ("depthwise_kernel", _) => SharedLayout::Depthwise,
                (_, Kind::Dense(_)) => SharedLayout::Dense,
                _ => SharedLayout::Convolution,
            };
            if geometry.pattern().is_some() {
                Stored::Connections(geometry.clone())
            } else if geometry.sharing() == Sharing::Unshared {
                let config = known.kind().config().map_or(geometry.config(), |(config, _)| config);
                Stored::Local(geometry.clone(), known.stored_in.unwrap_or_else(|| KerasLayout::of(config)))
            } else {
                Stored::Shared(geometry.clone(), layout)
            }
        };
        Some(known.parameters().iter().zip(0..).map(of).collect())
    }
}
