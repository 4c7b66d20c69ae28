//! Runs programs on the CPU, with one plain function for each operation: the judge of all other executors.
//!
//! Everything is f64, and nothing is rounded between operations, so that a comparison shows the other executor's
//! rounding only.

mod activation;
mod combine;
mod constrain;
mod element;
mod local;
mod loss;
mod normalise;
mod passes;
mod penalty;
mod pool;
mod program;
mod random;
mod rearrange;
mod training;

pub use activation::{activate, activate_grad, activation, derivative, derivative_from_output};
pub use combine::{combine, combine_grad, sum, variance};
pub use constrain::{constrain, group_squares, non_negative, radial};
pub use element::{
    Elements, grad_bias_element, local_forward_element, local_grad_input_element, local_grad_weights_element,
};
pub use local::{grad_bias, local_forward, local_grad_input, local_grad_weights};
pub use loss::{JudgedValues, hits, loss, loss_grad};
pub use normalise::{GradStatistics, Statistics, layer_norm, layer_norm_grad, norm_factor, normalise, normalise_grad};
pub use passes::{PassOperands, Passes, passes};
pub use penalty::{clip_scale, orthogonal, orthogonal_grad, penalty_grad, total};
pub use pool::{pool, pool_grad, reduce, reduce_grad};
pub use program::{Values, run, transpose};
pub use random::{random, random_grad};
pub use rearrange::{concatenate, rearrange, rearrange_grad};
pub use training::{UpdateOperands, moving_average, update};
