//! Values moved, cut off, padded with zeroes and repeated.

use crate::ops::AxisMap;

/// For each element of an output sample, the element of the input sample that it reads.
fn reads(axes: &[AxisMap]) -> Vec<Option<usize>> {
    let stride = |axis: &AxisMap| {
        axes.iter().filter(|other| other.of > axis.of).map(|other| other.input as usize).product::<usize>()
    };
    axes.iter().fold(vec![Some(0)], |all, axis| {
        let along = |o: u32| {
            let at = (i64::from(o) - i64::from(axis.before)).div_euclid(axis.repeat.into());
            (0..i64::from(axis.input)).contains(&at).then(|| at as usize * stride(axis))
        };
        let further = |before: Option<usize>| (0..axis.output).map(move |o| Some(before? + along(o)?));
        all.into_iter().flat_map(further).collect()
    })
}

fn inputs(axes: &[AxisMap]) -> usize {
    axes.iter().map(|axis| axis.input as usize).product()
}

/// Each output element is the input element that it reads, or 0.
#[must_use]
pub fn rearrange(axes: &[AxisMap], input: &[f64]) -> Vec<f64> {
    let reads = reads(axes);
    let samples = input.chunks_exact(inputs(axes));
    samples.flat_map(|sample| reads.iter().map(|at| at.map_or(0.0, |at| sample[at]))).collect()
}

/// The gradient by each input element: the sum over the output elements that read it.
#[must_use]
pub fn rearrange_grad(axes: &[AxisMap], grad_output: &[f64]) -> Vec<f64> {
    let (reads, inputs) = (reads(axes), inputs(axes));
    let mut grad_input = Vec::new();
    for sample in grad_output.chunks_exact(reads.len()) {
        let mut sums = vec![0.0; inputs];
        for (at, dy) in reads.iter().zip(sample) {
            at.iter().for_each(|&at| sums[at] += dy);
        }
        grad_input.extend(sums);
    }
    grad_input
}

/// Rows of several inputs, each with its own number of columns, joined.
#[must_use]
pub fn concatenate(inputs: &[(&[f64], usize)]) -> Vec<f64> {
    let rows = inputs.first().map_or(0, |(values, columns)| values.len() / columns);
    let row = |row: usize| inputs.iter().flat_map(move |(values, columns)| &values[row * columns..][..*columns]);
    (0..rows).flat_map(row).copied().collect()
}
