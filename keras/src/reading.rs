//! What a file's layers are read by, besides the file.

use std::collections::BTreeMap;

/// What a file's layers are read by, besides the file.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The version of Keras that wrote it.
    pub keras_version: String,
    /// Whether that is Keras 1, which stored convolutions' kernels in other orders.
    pub is_keras1: bool,
    /// Whether convolutions' kernels lie flipped in space, as Theano has them.
    pub flipped: bool,
    /// Which classes are read as which others.
    pub classes: BTreeMap<String, String>,
}
