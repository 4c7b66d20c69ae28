//! Reads arrays from the user's files, and checks them against the model.

use crate::args::Named;
use crate::failure::Failure;
use locally_connected::Error;
use locally_connected::model::End;
use locally_connected_keras::npy::{NpyArray, read_npy, read_npz};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A shape as Python prints it.
pub(crate) fn tuple(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// The shape of `batch` samples of shape `sample`.
pub(crate) fn batched(batch: usize, sample: &[usize]) -> Vec<usize> {
    std::iter::once(batch).chain(sample.iter().copied()).collect()
}

/// The arrays of a model's inputs or outputs, in its order, from the files given for them. All must have as many
/// samples: `batch`, if that is known.
pub(crate) fn read_ends(
    given: &[Named],
    what: &str,
    ends: &[End<'_>],
    batch: Option<usize>,
) -> Result<Vec<(String, NpyArray)>, Failure> {
    if let ([end], [one]) = (ends, given) {
        // If a name isn't the input's or output's, it is a part of the file's name.
        let path = if one.name.as_deref() == Some(end.name) { &one.path } else { &one.whole };
        return Ok(vec![(
            end.name.to_owned(),
            samples(read_npy(path)?, path, Wanted { what, sample: end.shape, batch })?,
        )]);
    }
    let names = || ends.iter().map(|end| end.name).collect::<Vec<_>>().join(", ");
    let wrong = |message: String| {
        let help =
            format!("one for each of {}: in that order, as NAME=X.npy, or an .npz with an array of each name", names());
        Err(Failure::request(message).with_help(help))
    };
    let known: BTreeSet<&str> = ends.iter().map(|end| end.name).collect();
    // By the name of the input or output: the file, and the array in it.
    let mut found: BTreeMap<String, (&Path, NpyArray)> = BTreeMap::new();
    let mut unnamed = ends.iter();
    for Named { name, path, .. } in given {
        let is_npz = path.extension().is_some_and(|extension| extension == "npz");
        let arrays = match (name, is_npz && ends.len() > 1) {
            (None, true) => read_npz(path)?,
            (Some(name), _) => vec![(name.clone(), read_npy(path)?)],
            (None, false) => match unnamed.next() {
                Some(end) => vec![(end.name.to_owned(), read_npy(path)?)],
                None => return wrong(format!("{} are too many files for {what}s of {}", given.len(), ends.len())),
            },
        };
        for (name, array) in arrays {
            if !known.contains(name.as_str()) {
                return wrong(format!("{}: the model has no {name:?}", path.display()));
            }
            if found.insert(name.clone(), (path, array)).is_some() {
                return wrong(format!("{}: {name:?} is given twice", path.display()));
            }
        }
    }
    let mut batch = batch;
    let mut all = Vec::with_capacity(ends.len());
    for end in ends {
        let Some((path, array)) = found.remove(end.name) else {
            return wrong(format!("no file is given for {:?}", end.name));
        };
        let what = format!("{what} {:?}", end.name);
        let array = samples(array, path, Wanted { what: &what, sample: end.shape, batch })?;
        batch = array.shape.first().copied();
        all.push((end.name.to_owned(), array));
    }
    Ok(all)
}

/// The arrays' values, by name.
pub(crate) fn values(arrays: &[(String, NpyArray)]) -> Vec<(&str, &[f32])> {
    arrays.iter().map(|(name, array)| (name.as_str(), array.values.as_slice())).collect()
}

/// A file's array, with samples of that shape.
pub(crate) fn read_samples(path: &Path, what: &str, sample: &[usize]) -> Result<NpyArray, Failure> {
    samples(read_npy(path)?, path, Wanted { what, sample, batch: None })
}

/// What a file's array must be.
struct Wanted<'a> {
    what: &'a str,
    /// Shape of one sample.
    sample: &'a [usize],
    /// The number of samples, if that is known.
    batch: Option<usize>,
}

/// Checks an array of samples. As in Keras's `predict`, a last axis of one may be left out.
fn samples(mut array: NpyArray, path: &Path, wanted: Wanted<'_>) -> Result<NpyArray, Failure> {
    let Wanted { what, sample, batch } = wanted;
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

/// An order of axes in which the shape would fit, for a hint. Orders in which the batch stays first are tried first.
fn transpose(shape: &[usize], fits: &dyn Fn(&[usize]) -> bool) -> Option<Vec<usize>> {
    // No model here has more axes than that.
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
