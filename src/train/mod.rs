//! Training: the values that new layers begin with, the programs of a step, and the loop around them.
//!
//! ```text
//! Optimizer, Goal (Loss, Metric)      in Keras's names
//!    └ Training::new(&graph, …)       checked; its programs: step (gradients, update), evaluation
//!         └ Trainer::new(runner, …)   on an executor: fit, evaluate, predict; State, to go on from
//! ```

mod constraints;
mod data;
mod fit;
mod goal;
mod history;
mod initializers;
mod loss;
mod optimizer;
mod orthogonal;
mod penalties;
#[cfg(any(feature = "cpu", feature = "headless"))]
mod recent;
mod runner;
mod schedule;
mod state;
mod step;
mod stream;
mod sums;
mod trainer;
mod training;

pub use data::Data;
pub use fit::FitOptions;
pub use goal::{Goal, Goals};
pub use history::{
    Better, Callback, Checkpoints, CsvLog, EarlyStopping, Epoch, History, Logs, RateByEpoch, Record, Step,
};
pub use initializers::{FanRule, Fans, draw, initial_bias, initial_parameters, initial_weights};
pub use loss::{Loss, Metric, MetricKind};
pub use optimizer::{Clipping, Ema, Optimizer, Rule};
pub use penalties::Penalty;
#[cfg(any(feature = "cpu", feature = "headless"))]
pub(crate) use recent::Recent;
pub use runner::{Run, Runner};
pub use schedule::Schedule;
pub use state::State;
pub use trainer::Trainer;
pub use training::Training;
