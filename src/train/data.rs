//! Samples with their targets and weights, and the batches of an epoch.

use super::Training;
use super::stream::Stream;
use crate::model::names;
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;

/// Samples, their targets, and how much each sample counts. Arrays are `[samples][…]`.
///
/// Targets of a sparse crossentropy are class numbers, one for each row of the output.
#[derive(Debug, Clone, Default)]
pub struct Data<'a> {
    inputs: Vec<(String, &'a [f32])>,
    targets: Vec<(String, &'a [f32])>,
    weights: Vec<(String, &'a [f32])>,
}

impl<'a> Data<'a> {
    /// The samples and targets of a model of one input and one output.
    #[must_use]
    pub fn new(input: &'a [f32], target: &'a [f32]) -> Self {
        Self::default().input("", input).target("", target)
    }

    /// Adds an input by its name. An empty name is the model's only input.
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, values: &'a [f32]) -> Self {
        self.inputs.push((name.into(), values));
        self
    }

    /// Adds an output's target by the output's name. An empty name is the model's only output.
    #[must_use]
    pub fn target(mut self, name: impl Into<String>, values: &'a [f32]) -> Self {
        self.targets.push((name.into(), values));
        self
    }

    /// Multiplies each sample's losses, those of all outputs, by its weight.
    #[must_use]
    pub fn sample_weight(self, values: &'a [f32]) -> Self {
        self.sample_weight_of("", values)
    }

    /// Multiplies each sample's loss of the output of that name by its weight.
    #[must_use]
    pub fn sample_weight_of(mut self, output: impl Into<String>, values: &'a [f32]) -> Self {
        self.weights.push((output.into(), values));
        self
    }

    /// The array of that name. With `only`, the model has one such array, and one without a name is it, too.
    fn find(list: &[(String, &'a [f32])], name: &str, only: bool) -> Option<&'a [f32]> {
        let found = list.iter().find(|(of, _)| of == name || only && of.is_empty());
        found.map(|(_, values)| *values)
    }
}

/// An array as a program's input.
#[derive(Debug, Clone)]
struct Array<'a> {
    /// What the program calls it.
    buffer: String,
    /// Elements of a sample.
    each: usize,
    values: Cow<'a, [f32]>,
}

/// Data that was checked against a training.
#[derive(Debug, Clone)]
pub(super) struct Samples<'a> {
    pub(super) count: usize,
    arrays: Vec<Array<'a>>,
    /// The name of each output with a goal, and of the buffer of its samples' weights.
    pub(super) weights: Vec<(String, String)>,
}

/// What a batch gives a program: arrays by the names of inputs.
pub(super) type Batch = Vec<(String, Vec<f32>)>;

impl<'a> Samples<'a> {
    /// Checks data: every input, every target, all of as many samples.
    pub(super) fn new(training: &Training, data: &Data<'a>) -> Result<Self> {
        let graph = training.graph();
        let mut samples = Self::inputs(training, &data.inputs)?;
        let outputs = graph.outputs();
        let judged: Vec<_> = training.aims.iter().filter(|aim| aim.is_judged()).collect();
        let known = |name: &String| name.is_empty() || judged.iter().any(|aim| aim.name == *name);
        for (name, _) in data.targets.iter().chain(&data.weights) {
            if !known(name) {
                return Err(Error::NoBuffer { name: name.clone() });
            }
        }
        for aim in judged {
            let shape = outputs.iter().find(|output| output.name == aim.name).map_or(&[][..], |output| output.shape);
            let blamed = |error: Error| if outputs.len() > 1 { error.in_layer(&aim.name) } else { error };
            let buffer = graph.output_buffer(names::TARGET, &aim.name);
            let values =
                Data::find(&data.targets, &aim.name, training.aims.iter().filter(|a| a.is_judged()).count() == 1);
            let values = values.ok_or_else(|| Error::NotGiven { name: buffer.clone() })?;
            let (sparse, classes) = aim.classes();
            let shape = if sparse { &shape[..shape.len().saturating_sub(1)] } else { shape };
            let array = Array { buffer, each: aim.targets() as usize, values: values.into() };
            samples.push("target", shape, array).map_err(blamed)?;
            if sparse
                && let Some(wrong) =
                    values.iter().find(|class| !(**class >= 0.0 && f64::from(**class) < classes as f64))
            {
                let (argument, expected) = ("target", "class numbers from 0 to below the number of classes");
                let value = format!("{wrong} of {classes} classes");
                return Err(blamed(Error::UnknownValue { argument, expected, value }));
            }
            let buffer = graph.output_buffer(names::SAMPLE_WEIGHT, &aim.name);
            samples.weights.push((aim.name.clone(), buffer.clone()));
            let values = match Data::find(&data.weights, &aim.name, true) {
                Some(values) => Cow::Borrowed(values),
                None => Cow::Owned(vec![1.0; samples.count]),
            };
            samples.push("sample_weight", &[], Array { buffer, each: 1, values }).map_err(blamed)?;
        }
        Ok(samples)
    }

    /// Checks inputs alone.
    pub(super) fn inputs(training: &Training, given: &[(String, &'a [f32])]) -> Result<Self> {
        let graph = training.graph();
        let ends = graph.inputs();
        if let Some((name, _)) = given
            .iter()
            .find(|(name, _)| ends.iter().all(|end| end.name != name) && !(name.is_empty() && ends.len() == 1))
        {
            return Err(Error::NoBuffer { name: name.clone() });
        }
        let mut samples = Self { count: 0, arrays: Vec::new(), weights: Vec::new() };
        for end in &ends {
            let values = Data::find(given, end.name, ends.len() == 1);
            let values = values.ok_or_else(|| Error::NotGiven { name: end.name.to_owned() })?;
            if samples.arrays.is_empty() {
                samples.count = values.len() / end.elements().max(1) as usize;
            }
            let blamed = |error: Error| if ends.len() > 1 { error.in_layer(end.name) } else { error };
            let buffer = graph.input_buffer(names::INPUT, end.name);
            samples
                .push("input", end.shape, Array { buffer, each: end.elements() as usize, values: values.into() })
                .map_err(blamed)?;
        }
        if samples.count == 0 {
            return Err(Error::Missing { what: "a sample", why: "there are none" });
        }
        Ok(samples)
    }

    /// Adds an array whose samples have the given shape.
    fn push(&mut self, what: &'static str, shape: &[usize], array: Array<'a>) -> Result<()> {
        let (expected, found) = (self.count.saturating_mul(array.each), array.values.len());
        if expected != found {
            let shape = std::iter::once(self.count).chain(shape.iter().copied()).collect();
            return Err(Error::Length { what, expected: expected as u64, found: found as u64, shape });
        }
        self.arrays.push(array);
        Ok(())
    }

    /// Multiplies the samples' weights by their classes' weights. As in Keras, a sample's class is its class number, or
    /// the place of the largest target of its row.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for several outputs or targets of several rows, which Keras refuses, too; [`Error::UnknownValue`] for a
    /// class that has no weight.
    pub(super) fn weigh_classes(&mut self, training: &Training, class_weights: &[f32]) -> Result<()> {
        let refused = |with: &str| Err(Error::Unsupported { what: "class_weight".into(), with: with.into() });
        let [(output, weights)] = &self.weights[..] else { return refused("with several outputs") };
        let target = training.graph().output_buffer(names::TARGET, output);
        let shape = training.graph().outputs().iter().find(|end| end.name == output).map_or(1, |end| end.shape.len());
        let find = |name: &str| self.arrays.iter().position(|array| array.buffer == name);
        let Some((target, weights)) = find(&target).zip(find(weights)) else { return refused("without a target") };
        let each = self.arrays[target].each;
        if each > 1 && shape > 1 {
            return refused("with targets of several rows");
        }
        let class = |values: &[f32]| match values {
            [class] => *class as usize,
            values => {
                let largest = |best: usize, at: usize| if values[at] > values[best] { at } else { best };
                (0..values.len()).fold(0, largest)
            }
        };
        let classes: Vec<usize> = self.arrays[target].values.chunks_exact(each.max(1)).map(class).collect();
        if let Some(class) = classes.iter().find(|class| **class >= class_weights.len()) {
            let (argument, expected) = ("class_weight", "a weight of each class that a target has");
            let value = format!("{} weights, and class {class}", class_weights.len());
            return Err(Error::UnknownValue { argument, expected, value });
        }
        for (weight, class) in self.arrays[weights].values.to_mut().iter_mut().zip(classes) {
            *weight *= class_weights[class];
        }
        Ok(())
    }

    /// Cuts the samples in two as Keras does for a `validation_split` of `part`: those before ⌊samples · (1 − part)⌋
    /// are trained on, the rest is for validation.
    ///
    /// # Errors
    /// [`Error::UnknownValue`] where one of the two would be empty.
    pub(super) fn split(mut self, part: f64) -> Result<(Self, Self)> {
        let at = (self.count as f64 * (1.0 - part)).floor();
        if !(at > 0.0 && at < self.count as f64) {
            let (argument, expected) =
                ("validation_split", "a part that leaves samples to train on and to validate by");
            return Err(Error::UnknownValue { argument, expected, value: format!("{part} of {} samples", self.count) });
        }
        let at = at as usize;
        let mut rest = self.clone();
        rest.count = self.count - at;
        self.count = at;
        for (first, rest) in self.arrays.iter_mut().zip(&mut rest.arrays) {
            let cut = at * first.each;
            let part = |values: &Cow<'a, [f32]>, range: Range<usize>| match values {
                Cow::Borrowed(values) => Cow::Borrowed(&values[range]),
                Cow::Owned(values) => Cow::Owned(values[range].to_vec()),
            };
            rest.values = part(&rest.values, cut..rest.values.len());
            first.values = part(&first.values, 0..cut);
        }
        Ok((self, rest))
    }

    /// Samples by their numbers.
    pub(super) fn batch(&self, of: &[u32]) -> Batch {
        let gathered = |array: &Array<'_>| {
            let mut values = Vec::with_capacity(of.len() * array.each);
            for &sample in of {
                values.extend_from_slice(&array.values[sample as usize * array.each..][..array.each]);
            }
            (array.buffer.clone(), values)
        };
        self.arrays.iter().map(gathered).collect()
    }
}

/// Some samples of a batch, by their places in it.
pub(super) fn part(batch: &[(String, Vec<f32>)], samples: usize, range: Range<usize>) -> Batch {
    let part = |(name, values): &(String, Vec<f32>)| {
        let each = values.len() / samples.max(1);
        (name.clone(), values[range.start * each..range.end * each].to_vec())
    };
    batch.iter().map(part).collect()
}

/// The order of an epoch's samples: as given, or drawn from the seed and the epoch's number alone.
pub(super) fn order(samples: usize, shuffle: Option<u64>, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..samples as u32).collect();
    if let Some(seed) = shuffle {
        // Another stream than the one that draws weights from the same seed.
        let stream = Stream(seed ^ 0x5348_5546_464c_4521);
        for last in (1..order.len()).rev() {
            let [u, ..] = stream.uniform(last as u64, epoch as u32);
            order.swap(last, (u * (last + 1) as f64) as usize);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn orders_are_permutations_by_seed_and_epoch() {
        assert_eq!(order(5, None, 3), [0, 1, 2, 3, 4]);
        let drawn = order(1000, Some(7), 0);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, order(1000, None, 0));
        assert_eq!(drawn, order(1000, Some(7), 0));
        for other in [order(1000, Some(8), 0), order(1000, Some(7), 1)] {
            let same = drawn.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 12, "{same} of 1000 stand where they stood");
        }
        // Each of the samples comes first about equally often.
        let mut first = [0; 8];
        (0..8000).for_each(|epoch| first[order(8, Some(1), epoch)[0] as usize] += 1);
        assert!(first.iter().all(|&times| (850..1150).contains(&times)), "{first:?}");
    }
}
