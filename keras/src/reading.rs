//! How a file's layers are to be read, besides what they say themselves.

use std::collections::BTreeMap;

/// How a file's layers are to be read, besides what they say themselves.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The version of Keras that wrote it.
    pub keras_version: String,
    /// Whether that is Keras 1, which stored kernels of convolutions in other orders.
    pub is_keras1: bool,
    /// Whether kernels of convolutions are flipped in space, as Theano has them.
    pub flipped: bool,
    /// Which classes are read as which others.
    pub classes: BTreeMap<String, String>,
}
