//! Layers of windows with weights of their own at each location.

use super::call::{BackwardCall, Built, Computes, ForwardCall, Trace, one};
use super::windows;
use crate::config::Config;
use crate::geometry::Geometry;
use crate::ops::BufferId;
use crate::{Error, Result};
use std::sync::Arc;

/// A locally connected layer, with its bias and activation.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[expect(clippy::large_enum_variant, reason = "a graph has few layers, and hosts write `Local::Config(config)`")]
pub enum Local {
    /// A configuration, for any input shape.
    Config(Config),
    /// A geometry, for one input shape: with a user's connectivity, for example.
    Geometry(Arc<Geometry>),
}

impl Computes for Local {
    fn class(&self) -> &'static str {
        match self {
            Self::Config(config) => ["locally_connected1d", "locally_connected2d", "locally_connected3d"]
                .get(config.rank().wrapping_sub(1))
                .unwrap_or(&"locally_connected"),
            Self::Geometry(_) => "locally_connected",
        }
    }

    fn build(&self, inputs: &[&[usize]]) -> Result<Built> {
        let input = one(inputs)?;
        let geometry = match self {
            Self::Config(config) => Arc::new(Geometry::new(config, input)?),
            Self::Geometry(geometry) if geometry.input_shape() == input => geometry.clone(),
            Self::Geometry(geometry) => {
                let (what, expected) = ("the input".to_owned(), format!("{:?}", geometry.input_shape()));
                return Err(Error::Shape { what, expected, found: input.to_vec() });
            }
        };
        Ok(windows::built(geometry, "kernel"))
    }

    fn forward(&self, call: ForwardCall<'_>) -> Trace {
        windows::forward(call)
    }

    fn backward(&self, call: BackwardCall<'_>) -> Vec<Option<BufferId>> {
        windows::backward(call)
    }
}
