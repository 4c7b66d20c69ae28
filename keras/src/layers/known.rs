//! What a layer is to the library.

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

impl Known {
    /// One without weights.
    pub(super) fn plain(kind: impl Into<Kind>, inputs: &[&[usize]]) -> Result<Self, Problem> {
        Self::with_weights(kind, Vec::new(), inputs)
    }

    pub(super) fn with_weights(
        kind: impl Into<Kind>,
        weights: Vec<Expected>,
        inputs: &[&[usize]],
    ) -> Result<Self, Problem> {
        let kind = kind.into();
        let output = kind.output_shape(inputs)?;
        Ok(Self { kind, weights, output })
    }
}

/// The number of spatial axes that a class's name ends with.
pub(super) fn rank_of(class: &str) -> usize {
    match class.as_bytes() {
        [.., digit @ b'1'..=b'3', b'D'] => usize::from(digit - b'0'),
        _ => 2,
    }
}

/// The one input of a layer that has one.
pub(super) fn one<'a>(inputs: &[&'a [usize]]) -> Result<&'a [usize], Problem> {
    match inputs {
        [input] => Ok(input),
        _ => Err(locally_connected::Error::Inputs { expected: "1", found: inputs.len() }.into()),
    }
}
