//! What is measured: layers of the table or of the user's own, and models.

use super::models::ModelWorkload;
use super::workloads::{Dtype, Pass, Workload};
use locally_connected::Error;

/// What is measured: a layer, or a model.
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

    /// The fewest bytes that one of these passes must move in one direction, and the most in all.
    ///
    /// # Errors
    /// A layer that can't be.
    pub(crate) fn moves(&self, passes: &[Pass], batches: &[u32], dtypes: &[Dtype]) -> Result<(u64, u64), Error> {
        match self {
            Self::Layer(workload) => workload.moves(passes, batches, dtypes),
            Self::Model(model) => Ok(model.moves(passes, batches)),
        }
    }
}
