//! What a layer of Keras's is in the library.

use crate::error::Problem;
use crate::weight::Expected;
use locally_connected::model::Kind;

/// What a layer of Keras's is in the library.
pub(crate) struct Known {
    pub(crate) kind: Kind,
    /// Its weights, in Keras's order.
    pub(crate) weights: Vec<Expected>,
    /// Shape of one sample.
    pub(crate) output: Vec<usize>,
}

impl Known {
    /// A layer without weights.
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

/// The number of spatial axes, with which the class's name ends.
pub(super) fn rank_of(class: &str) -> usize {
    match class.as_bytes() {
        [.., digit @ b'1'..=b'3', b'D'] => usize::from(digit - b'0'),
        _ => 2,
    }
}

/// The shape of the only input.
pub(super) fn one<'a>(inputs: &[&'a [usize]]) -> Result<&'a [usize], Problem> {
    match inputs {
        [input] => Ok(input),
        _ => Err(locally_connected::Error::Inputs { expected: "1", found: inputs.len() }.into()),
    }
}
