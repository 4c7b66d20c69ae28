//! Training: the values that new layers begin with, the programs of a step, and the loop around them.
//!
//! ```text
//! Optimizer, Goal (Loss, Metric)      in Keras's names
//!    └ Training::new(&graph, …)       checked; its programs: step (gradients, update), evaluation
//! ```

mod constraints;
mod data;
mod goal;
mod initializers;
mod loss;
mod optimizer;
mod orthogonal;
mod penalties;
mod runner;
mod schedule;
mod stream;
mod training;

pub use data::Data;
pub use goal::{Goal, Goals};
pub use initializers::{FanRule, Fans, draw, initial_bias, initial_parameters, initial_weights};
pub use loss::{Loss, Metric, MetricKind};
pub use optimizer::{Clipping, Ema, Optimizer, Rule};
pub use penalties::Penalty;
pub use runner::{Run, Runner};
pub use schedule::Schedule;
pub use training::Training;
