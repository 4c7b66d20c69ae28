//! Arrays from the user's files, checked against the model.

use crate::failure::Failure;
use locally_connected::Error;
use locally_connected_keras::npy::{NpyArray, read_npy};
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

/// Reads an array of samples of that shape; `batch` is how many there must be, if that is known. A last axis of one is
/// put behind where it is left out, as Keras's `predict` does.
pub(crate) fn read_samples(
    path: &Path,
    what: &str,
    sample: &[usize],
    batch: Option<usize>,
) -> Result<NpyArray, Failure> {
    let mut array = read_npy(path)?;
    let fits =
        |shape: &[usize]| shape.split_first().is_some_and(|(&n, rest)| rest == sample && batch.is_none_or(|b| b == n));
    if sample.last() == Some(&1) && array.shape.len() == sample.len() {
        let expanded = [&array.shape[..], &[1]].concat();
        if fits(&expanded) {
            array.shape = expanded;
        }
    }
    if fits(&array.shape) {
        return Ok(array);
    }
    let expected = match batch {
        Some(batch) => tuple(&batched(batch, sample)),
        None => tuple(&batched(0, sample)).replacen('0', "batch", 1),
    };
    let help = if array.shape == sample {
        format!("one sample too needs the batch in front: {}", tuple(&batched(1, sample)))
    } else if let Some(axes) = transpose(&array.shape, &fits) {
        format!("{what} goes as {expected}; numpy.transpose(x, {}) has that shape", tuple(&axes))
    } else {
        format!("{what} goes as {expected}: the batch in front, then one sample")
    };
    let what = format!("{}: {what}", path.display());
    Err(Failure::from(Error::Shape { what, expected, found: array.shape }).with_help(help))
}

/// The first order of the axes in which the shape fits: those that leave the batch in front come first.
fn transpose(shape: &[usize], fits: &dyn Fn(&[usize]) -> bool) -> Option<Vec<usize>> {
    // No model here has as many axes.
    if shape.len() > 6 {
        return None;
    }
    let orders = (0..shape.len()).fold(vec![Vec::new()], |orders: Vec<Vec<usize>>, _| {
        let longer = |order: Vec<usize>| {
            let others = (0..shape.len()).filter(|axis| !order.contains(axis)).collect::<Vec<_>>();
            others.into_iter().map(move |axis| [&order[..], &[axis]].concat())
        };
        orders.into_iter().flat_map(longer).collect()
    });
    orders
        .into_iter()
        .find(|order| fits(&order.iter().filter_map(|&axis| shape.get(axis).copied()).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_that_fit() {
        let found =
            |shape: &[usize], sample: &[usize]| transpose(shape, &|s| s.split_first().is_some_and(|f| f.1 == sample));
        assert_eq!(found(&[4, 5, 8], &[8, 5]), Some(vec![0, 2, 1]));
        assert_eq!(found(&[8, 5, 4], &[8, 5]), Some(vec![2, 0, 1]));
        assert_eq!(found(&[4, 3, 32, 32], &[32, 32, 3]), Some(vec![0, 2, 3, 1]));
        assert_eq!(found(&[4, 5, 9], &[8, 5]), None);
        assert_eq!(found(&[4], &[8, 5]), None);
        assert_eq!(found(&[], &[8, 5]), None);
        assert_eq!(found(&[2; 9], &[2; 8]), None);
    }
}
