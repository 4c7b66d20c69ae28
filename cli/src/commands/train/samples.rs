//! Reads the samples to train on.

use crate::args::{Named, Train};
use crate::arrays;
use crate::failure::Failure;
use locally_connected::model::End;
use locally_connected::train::{Data, Goal, Loss};
use locally_connected_keras::npy::NpyArray;
use std::path::PathBuf;

/// Arrays by the names of the model's inputs or outputs.
type Arrays = Vec<(String, NpyArray)>;

/// The samples to train on, with targets and weights.
pub(super) struct Samples {
    pub(super) count: usize,
    pub(super) inputs: Arrays,
    pub(super) targets: Arrays,
    pub(super) validation: Option<[Arrays; 2]>,
    /// The samples' weights by output; without a name for all outputs.
    pub(super) weights: Arrays,
}

impl Samples {
    /// Reads the samples, with the shapes that the model and its losses need.
    pub(super) fn read(
        args: &Train,
        inputs: &[End<'_>],
        outputs: &[End<'_>],
        goals: &[(String, Goal)],
    ) -> Result<Self, Failure> {
        // A class number stands for a row, with or without a last axis of one. An output without a loss has no target.
        let judged = outputs.iter().zip(goals).filter_map(|(end, (_, goal))| Some((end, is_sparse(&goal.loss?))));
        let shapes = |column: usize| {
            let rows = |end: &End<'_>| [&end.shape[..end.shape.len().saturating_sub(1)], &[1][..column]].concat();
            let shape = |(end, sparse): (&End<'_>, bool)| if sparse { rows(end) } else { end.shape.to_vec() };
            judged.clone().map(move |(end, sparse)| (end.name, shape((end, sparse)))).collect::<Vec<_>>()
        };
        let [without, with] = [0, 1].map(shapes);
        let pair = |x: &[Named], t: &[Named], what: [&str; 2]| {
            let x = arrays::read_ends(x, what[0], inputs, None)?;
            let count = x.first().and_then(|(_, array)| array.shape.first().copied()).unwrap_or(0);
            let read = |shapes: &[(&str, Vec<usize>)]| {
                let ends: Vec<End<'_>> = shapes.iter().map(|(name, shape)| End { name, shape }).collect();
                arrays::read_ends(t, what[1], &ends, Some(count))
            };
            let targets = read(&without).or_else(|failure| read(&with).map_err(|_| failure))?;
            Ok::<_, Failure>((targets, x, count))
        };
        let (targets, inputs_read, count) = pair(&args.input, &args.target, ["the input", "the target"])?;
        if count == 0 {
            return Err(Failure::request("the input has no samples"));
        }
        let validation = match &args.validation[..] {
            [x, t] => {
                let whole = |path: &PathBuf| [Named { name: None, path: path.clone(), whole: path.clone() }];
                let (targets, inputs, count) =
                    pair(&whole(x), &whole(t), ["the validation's input", "the validation's target"])?;
                if count == 0 {
                    return Err(Failure::request("the validation's input has no samples"));
                }
                Some([inputs, targets])
            }
            _ => None,
        };
        let weights = weights(&args.sample_weight, &without, count)?;
        Ok(Self { count, inputs: inputs_read, targets, validation, weights })
    }

    /// How many samples are trained on, without those that a split keeps for validation, as in Keras.
    pub(super) fn trained(&self, validation_split: Option<f64>) -> Result<usize, Failure> {
        let Some(part) = validation_split.filter(|part| *part != 0.0) else { return Ok(self.count) };
        let left = (self.count as f64 * (1.0 - part)).floor();
        if left > 0.0 && left < self.count as f64 {
            return Ok(left as usize);
        }
        let message = format!("--validation-split {part}: of {} samples {left} are left to train on", self.count);
        Err(Failure::request(message)
            .with_help("a part from 0 to 1 that leaves some to train on and some to measure by"))
    }

    /// The samples as a trainer takes them.
    pub(super) fn data(&self) -> Data<'_> {
        let data = data(&self.inputs, &self.targets);
        self.weights.iter().fold(data, |data, (output, array)| data.sample_weight_of(output.clone(), &array.values))
    }
}

/// The samples' weights, a number for each.
fn weights(given: &[Named], outputs: &[(&str, Vec<usize>)], count: usize) -> Result<Arrays, Failure> {
    let what = "the sample weight";
    let mut all = Arrays::new();
    for one in given {
        let of = one.name.as_deref().filter(|name| outputs.iter().any(|(output, _)| output == name));
        let path = if of.is_some() { &one.path } else { &one.whole };
        let given = [Named { name: None, path: path.clone(), whole: path.clone() }];
        let read =
            |shape: &[usize]| arrays::read_ends(&given, what, &[End { name: of.unwrap_or(""), shape }], Some(count));
        let read = read(&[]).or_else(|failure| read(&[1]).map_err(|_| failure))?;
        for (output, array) in read {
            if all.iter().any(|(other, _)| *other == output) {
                return Err(Failure::request(format!("--sample-weight {}: another is given for it", path.display())));
            }
            all.push((output, array));
        }
    }
    Ok(all)
}

pub(super) fn is_sparse(loss: &Loss) -> bool {
    matches!(loss, Loss::SparseCategoricalCrossentropy { .. })
}

/// Inputs and targets as a trainer takes them.
pub(super) fn data<'a>(inputs: &'a Arrays, targets: &'a Arrays) -> Data<'a> {
    let data = inputs.iter().fold(Data::default(), |data, (name, array)| data.input(name.clone(), &array.values));
    targets.iter().fold(data, |data, (name, array)| data.target(name.clone(), &array.values))
}
