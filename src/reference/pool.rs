//! Pooling. Positions of a window are taken in the order of their axes, windows likewise.

use crate::config::DataFormat;
use crate::ops::{Along, Pool, PoolAxis, PoolGrad, PoolKind, Reduce, ReduceGrad, Ties, Windows};
use std::ops::Range;

/// All combinations of numbers of these ranges, the last one fastest.
fn combinations(ranges: impl IntoIterator<Item = Range<u32>>) -> Vec<Vec<u32>> {
    ranges.into_iter().fold(vec![Vec::new()], |all, range| {
        let longer = |some: Vec<u32>| range.clone().map(move |next| some.iter().copied().chain([next]).collect());
        all.into_iter().flat_map(longer).collect()
    })
}

/// Where a position's channel is in a sample with these axes.
fn place(windows: &Windows, sizes: &[u32], position: &[u32], channel: u32) -> usize {
    let at = sizes.iter().zip(position).fold(0, |at, (&size, &p)| at * size as usize + p as usize);
    let positions: usize = sizes.iter().map(|&size| size as usize).product();
    match windows.data_format {
        DataFormat::ChannelsLast => at * windows.channels as usize + channel as usize,
        DataFormat::ChannelsFirst => channel as usize * positions + at,
    }
}

/// Gives `window` each window of a sample's channels: where its elements within the input are, and where its output is.
fn each_window(windows: &Windows, mut window: impl FnMut(&[usize], usize)) {
    let of = |size: fn(&PoolAxis) -> u32| windows.axes.iter().map(size).collect::<Vec<_>>();
    let (inputs, outputs) = (of(|axis| axis.input), of(|axis| axis.output));
    for location in combinations(outputs.iter().map(|&size| 0..size)) {
        let within = windows.axes.iter().zip(&location).map(|(axis, o)| {
            let first = o * axis.stride;
            first.saturating_sub(axis.before)..(first + axis.window).min(axis.before + axis.input) - axis.before
        });
        let positions = combinations(within);
        for channel in 0..windows.channels {
            let places: Vec<_> = positions.iter().map(|position| place(windows, &inputs, position, channel)).collect();
            window(&places, place(windows, &outputs, &location, channel));
        }
    }
}

/// The largest or the average value of each window; the largest of −3.4028235e38 and all values but NaN.
#[must_use]
pub fn pool(o: &Pool, input: &[f64]) -> Vec<f64> {
    pooled(o.kind, &o.windows, input)
}

fn pooled(kind: PoolKind, windows: &Windows, input: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (windows.inputs() as usize, windows.outputs() as usize);
    let mut output = vec![0.0; input.len() / inputs * outputs];
    each_window(windows, |places, at| {
        for (sample, output) in input.chunks_exact(inputs).zip(output.chunks_exact_mut(outputs)) {
            let values = places.iter().map(|&at| sample[at]);
            output[at] = match kind {
                PoolKind::Max => {
                    values.fold(f32::MIN.into(), |most: f64, value| if value > most { value } else { most })
                }
                PoolKind::Average => values.sum::<f64>() / places.len() as f64,
            };
        }
    });
    output
}

/// The gradient by the input of [`pool`]; an average doesn't need the input.
#[must_use]
pub fn pool_grad(o: &PoolGrad, input: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let (kind, windows) = (o.kind, &o.windows);
    let (inputs, outputs) = (windows.inputs() as usize, windows.outputs() as usize);
    let largest = if kind == PoolKind::Max { pooled(kind, windows, input) } else { Vec::new() };
    let mut grad_input = vec![0.0; grad_output.len() / outputs * inputs];
    each_window(windows, |places, at| {
        let samples = grad_output.chunks_exact(outputs).zip(grad_input.chunks_exact_mut(inputs));
        for (n, (grad, sums)) in samples.enumerate() {
            let dy = grad[at];
            let value = |at: usize| input[n * inputs + at];
            let each = places.iter().copied();
            match (kind, o.ties) {
                (PoolKind::Average, _) => each.for_each(|at| sums[at] += dy / places.len() as f64),
                (PoolKind::Max, Ties::First) => {
                    let first = each.reduce(|first, at| if value(first) < value(at) { at } else { first });
                    first.into_iter().for_each(|at| sums[at] += dy);
                }
                (PoolKind::Max, Ties::Every) => {
                    let largest = largest[n * outputs + at];
                    each.filter(|&at| value(at) == largest).for_each(|at| sums[at] += dy);
                }
            }
        }
    });
    grad_input
}

/// The places along the axis, for each element of `[outer][inner]`.
fn places(along: Along) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> {
    let Along { outer, length, inner } = along;
    let [outer, length, inner] = [outer, length, inner].map(|size| size as usize);
    let one = move |o: usize, i: usize| (0..length).map(move |p| (o * length + p) * inner + i);
    (0..outer).flat_map(move |o| (0..inner).map(move |i| one(o, i)))
}

/// The largest or the average value along an axis; NaN if one value is.
#[must_use]
pub fn reduce(o: &Reduce, input: &[f64]) -> Vec<f64> {
    reduced(o.kind, o.along, input)
}

fn reduced(kind: PoolKind, along: Along, input: &[f64]) -> Vec<f64> {
    let samples = input.chunks_exact(along.inputs() as usize);
    let larger = |most: f64, value: f64| if value > most || value.is_nan() { value } else { most };
    let one = |values: Vec<f64>| match kind {
        PoolKind::Max => values.into_iter().fold(f64::NEG_INFINITY, larger),
        PoolKind::Average => values.iter().sum::<f64>() / values.len() as f64,
    };
    samples.flat_map(|sample| places(along).map(move |places| one(places.map(|at| sample[at]).collect()))).collect()
}

/// The gradient by the input of [`reduce`]; an average doesn't need the input.
#[must_use]
pub fn reduce_grad(o: &ReduceGrad, input: &[f64], grad_output: &[f64]) -> Vec<f64> {
    let (kind, along) = (o.kind, o.along);
    let inputs = along.inputs() as usize;
    let largest = if kind == PoolKind::Max { reduced(kind, along, input) } else { Vec::new() };
    let outputs = along.outputs() as usize;
    let mut grad_input = vec![0.0; grad_output.len() / outputs * inputs];
    for (sample, n) in grad_input.chunks_exact_mut(inputs).zip(0..) {
        for (places, at) in places(along).zip(n * outputs..) {
            let share = |place: usize| match kind {
                PoolKind::Average => 1.0,
                PoolKind::Max => f64::from(u8::from(input[n * inputs + place] == largest[at])),
            };
            let shares: f64 = places.clone().map(share).sum();
            places.for_each(|place| sample[place] = share(place) / shares * grad_output[at]);
        }
    }
    grad_input
}
