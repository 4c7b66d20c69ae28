//! What can be measured: layers of the table, a layer of the user's own, and models.

use super::models::ModelWorkload;
use super::workloads::{Dtype, Pass, Workload};
use locally_connected::Error;

/// A layer or a model that can be measured.
#[derive(Debug)]
pub(crate) enum Measurable {
    Layer(Workload),
    Model(Box<ModelWorkload>),
}

impl Measurable {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Layer(workload) => &workload.name,
            Self::Model(model) => &model.name,
        }
    }

    /// The least bytes that one of these passes moves in one direction, and the most that one moves in all.
    ///
    /// # Errors
    /// A layer with impossible sizes.
    pub(crate) fn moves(&self, passes: &[Pass], batches: &[u32], dtypes: &[Dtype]) -> Result<(u64, u64), Error> {
        match self {
            Self::Layer(workload) => workload.moves(passes, batches, dtypes),
            Self::Model(model) => Ok(model.moves(passes, batches)),
        }
    }
}
