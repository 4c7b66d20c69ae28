//! Training: so far the values that new layers begin with.

mod initializers;
mod orthogonal;
mod stream;

pub use initializers::{FanRule, Fans, draw, initial_bias, initial_parameters, initial_weights, keras_layout};
