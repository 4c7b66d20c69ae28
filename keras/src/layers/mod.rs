//! Keras's layers that aren't locally connected: what each is to the library, and which weights a file has of it.

mod arguments;

pub(crate) use arguments::Arguments;

use crate::error::Problem;
use crate::weight::Expected;
use locally_connected::model::Kind;

/// What a layer is to the library.
pub(crate) struct Known {
    pub(crate) kind: Kind,
    /// In Keras's order.
    pub(crate) weights: Vec<Expected>,
    /// Shape of one sample.
    pub(crate) output: Vec<usize>,
}

/// What a layer of that class is for inputs of these shapes; none where the class isn't known.
pub(crate) fn known(class: &str, _: &Arguments<'_>, _: &[&[usize]]) -> Option<Result<Known, Problem>> {
    let _ = class;
    None
}

/// Whether layers of that class are known, for inputs of some shapes.
pub(crate) fn is_known(class: &str) -> bool {
    let _ = class;
    false
}
