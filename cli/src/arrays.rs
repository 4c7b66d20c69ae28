//! Arrays from the user's files, checked against the model.

use crate::failure::Failure;
use locally_connected::Error;
use locally_connected::keras::npy::{NpyArray, read_npy};
use std::path::Path;

/// A shape as Python shows it.
pub(crate) fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// `sample` with the batch in front.
pub(crate) fn batched(batch: usize, sample: &[usize]) -> Vec<usize> {
    std::iter::once(batch).chain(sample.iter().copied()).collect()
}

/// Reads an array of samples of that shape; `batch` is how many there must be, if that is known.
pub(crate) fn read_samples(
    path: &Path,
    what: &str,
    sample: &[usize],
    batch: Option<usize>,
) -> Result<NpyArray, Failure> {
    let array = read_npy(path)?;
    let fits = array.shape.split_first().is_some_and(|(&n, rest)| rest == sample && batch.is_none_or(|b| b == n));
    if fits {
        return Ok(array);
    }
    let expected = match batch {
        Some(batch) => tuple(&batched(batch, sample)),
        None => tuple(&batched(0, sample)).replacen('0', "batch", 1),
    };
    let help = (array.shape == sample)
        .then(|| format!("one sample too needs the batch in front: {}", tuple(&batched(1, sample))));
    let failure =
        Failure::from(Error::Shape { what: format!("{}: {what}", path.display()), expected, found: array.shape });
    Err(match help {
        Some(help) => failure.with_help(help),
        None => failure,
    })
}
