//! The arguments that layers may have.

use crate::error::cut;
use crate::json::Object;
use locally_connected::{Error, Result};

/// All arguments that Keras 2.15 takes for a locally connected layer, and some of similar layers, which may only be 1.
pub(super) const LAYER: [&str; 28] = [
    "name",
    "trainable",
    "dtype",
    "batch_input_shape",
    "input_shape",
    "batch_size",
    "input_dim",
    "weights",
    "dynamic",
    "autocast",
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
    "implementation",
    "dilation_rate",
    "groups",
    // Keras 3's name of `batch_input_shape`.
    "batch_shape",
];

/// Refuses a key that is none of `known`.
///
/// # Errors
/// [`Error::UnknownArgument`], with the argument that may have been meant.
pub(crate) fn check(of: &str, config: &Object, known: &[&'static str]) -> Result<()> {
    match config.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Error::UnknownArgument {
            of: of.to_owned(),
            argument: cut(key.clone()),
            meant: known.iter().copied().find(|known| are_alike(known, key)),
        }),
    }
}

/// Whether a name differs from a known one, which is of ASCII, by two letters at most. One that is much longer isn't compared: it may be as
/// long as its file.
fn are_alike(known: &str, name: &str) -> bool {
    name.len() <= known.len() + 8 && distance(known, name) <= 2
}

/// How many letters must be inserted, removed or changed to turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let (mut before, mut last) = (index, index + 1);
        let mut next = vec![last];
        for (above, there) in row.iter().skip(1).zip(&other) {
            last = (before + usize::from(letter != *there)).min(above + 1).min(last + 1);
            next.push(last);
            before = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{are_alike, distance};

    #[test]
    fn distances() {
        let of = |a: &str, b: &str| distance(a, b);
        assert_eq!(
            [of("strides", "stride"), of("filters", "fitlers"), of("", "abc"), of("same", "same")],
            [1, 2, 3, 0]
        );
        assert_eq!([of("kernel_size", "kernel"), of("sitting", "kitten")], [5, 3]);
        let long = "k".repeat(20_000_000);
        for (name, alike) in [("stride", true), ("strides𝄞𝄞", true), ("strides123", false), (&long, false)] {
            assert_eq!(are_alike("strides", name), alike, "{name:.20}");
        }
    }
}
