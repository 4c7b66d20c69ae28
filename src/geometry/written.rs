//! A geometry as it is written down: what it was made from, without what follows from that.

use super::{Geometry, Pattern, Sharing};
use crate::config::Config;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What [`Geometry::new`] or [`Geometry::from_pattern`] is given.
#[derive(Serialize, Deserialize)]
pub(super) struct Written {
    config: Config,
    input_shape: Vec<usize>,
    /// Whether locations share their weights.
    shared: bool,
    connections: Option<Connections>,
}

/// Compressed rows of a [`Pattern`].
#[derive(Serialize, Deserialize)]
struct Connections {
    starts: Vec<u32>,
    columns: Vec<u32>,
}

impl From<Geometry> for Written {
    fn from(geometry: Geometry) -> Self {
        let connections = geometry
            .pattern()
            .map(|pattern| Connections { starts: pattern.starts().to_vec(), columns: pattern.columns().to_vec() });
        let shared = geometry.sharing != Sharing::Unshared;
        Self { config: geometry.config, input_shape: geometry.input_shape, shared, connections }
    }
}

impl TryFrom<Written> for Geometry {
    type Error = Error;

    fn try_from(Written { config, input_shape, shared, connections }: Written) -> Result<Self> {
        let Some(Connections { starts, columns }) = connections else {
            let sharing = Sharing::written(shared).ok_or_else(|| Error::Unsupported {
                what: "a layer whose locations share their weights".into(),
                with: "without the feature `models`".into(),
            })?;
            return Self::with_sharing(&config, &input_shape, sharing);
        };
        let inputs = input_shape.first().copied().unwrap_or(0);
        let pattern = Pattern::from_csr(inputs, starts, columns)?;
        let geometry = Self::from_pattern(pattern, config.filters, config.bias, config.activation)?;
        // Of the configuration of such a layer only this much isn't said by its connections.
        if geometry.config != config || geometry.input_shape != input_shape {
            return Err(Error::Unsupported {
                what: format!("{config:?}"),
                with: "with connections of the user's".into(),
            });
        }
        Ok(geometry)
    }
}
