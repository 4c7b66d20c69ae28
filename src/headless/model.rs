//! Whole models on a device of one's own, batches beyond its memory in pieces.

use super::{Gpu, Temporary};
use crate::gpu::{Bindings, Bound, Loaded, Tensor};
use crate::model::{End, Graph, Model, Wanted, names};
use crate::ops::Usage;
use crate::program::Program;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of samples and of what is computed from them that are on the device at once by default.
pub(super) const SAMPLE_BUDGET: u64 = 1 << 30;

/// All gradients of a model of one input, as [`Gpu::gradients`] gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelGradients {
    /// `[batch][input shape]`.
    pub input: Vec<f32>,
    /// Those of all trainable layers, by [`names::gradient`]: weights of windows in canonical order, all else as Keras
    /// has it.
    pub parameters: BTreeMap<String, Vec<f32>>,
}

/// All gradients of a model, as [`Gpu::gradients_named`] gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedGradients {
    /// Of the inputs that an output depends on, by their names: `[batch][input shape]`.
    pub inputs: BTreeMap<String, Vec<f32>>,
    /// As [`ModelGradients::parameters`].
    pub parameters: BTreeMap<String, Vec<f32>>,
}

impl NamedGradients {
    /// Those of a model of one input.
    pub(super) fn of_one_input(self) -> ModelGradients {
        let Self { inputs, parameters } = self;
        ModelGradients { input: inputs.into_values().next().unwrap_or_default(), parameters }
    }
}

/// What goes into a program over a whole batch, and what comes out, by the buffers' names.
pub(super) struct Job<'a> {
    pub(super) batch: usize,
    /// `[batch][…]`.
    pub(super) inputs: Vec<(String, &'a [f32])>,
    /// For each: the buffer's name, the name of the graph's input or output, the elements of a sample.
    pub(super) outputs: Vec<(String, String, u64)>,
}

impl<'a> Job<'a> {
    /// A forward pass of these inputs, by their names.
    pub(super) fn forward(graph: &Graph, inputs: &[(&str, &'a [f32])]) -> Result<Self> {
        graph.check()?;
        let ends = graph.inputs();
        let mut batch = None;
        let side = Side { what: "input", ends: &ends, given: inputs };
        let inputs = side.take(&mut batch, |name| graph.input_buffer(names::INPUT, name))?;
        let outputs = graph.outputs().into_iter().map(|end| {
            let buffer = graph.output_buffer(names::OUTPUT, end.name);
            (end.name.to_owned(), buffer, end.elements())
        });
        Ok(Self { batch: batch.unwrap_or(0), inputs, outputs: outputs.collect() })
    }

    /// A forward and backward pass, as `program`.
    pub(super) fn backward(
        graph: &Graph,
        program: &Program,
        inputs: &[(&str, &'a [f32])],
        grad_outputs: &[(&str, &'a [f32])],
    ) -> Result<Self> {
        let mut job = Self::forward(graph, inputs)?;
        let side = Side { what: "grad_output", ends: &graph.outputs(), given: grad_outputs };
        let buffer = |name: &str| graph.output_buffer(names::GRAD_OUTPUT, name);
        job.inputs.extend(side.take(&mut Some(job.batch), buffer)?);
        let gradients = graph.inputs().into_iter().map(|end| {
            let buffer = graph.input_buffer(names::GRAD_INPUT, end.name);
            (end.name.to_owned(), buffer, end.elements())
        });
        job.outputs = gradients.filter(|(_, buffer, _)| program.find(buffer).is_some()).collect();
        Ok(job)
    }
}

/// A model's inputs or outputs, and arrays by their names.
struct Side<'s, 'a> {
    what: &'static str,
    ends: &'s [End<'s>],
    given: &'s [(&'s str, &'a [f32])],
}

impl<'a> Side<'_, 'a> {
    /// The arrays by their buffers' names, after a check that all have the batch of the first.
    fn take(&self, batch: &mut Option<usize>, buffer: impl Fn(&str) -> String) -> Result<Vec<(String, &'a [f32])>> {
        let &Self { what, ends, given } = self;
        if let Some((name, _)) = given.iter().find(|(name, _)| ends.iter().all(|end| end.name != *name)) {
            return Err(Error::NoBuffer { name: (*name).to_owned() });
        }
        let take = |end: &End<'_>| {
            let values = given.iter().find(|(name, _)| *name == end.name);
            let (_, values) = values.ok_or_else(|| Error::NotGiven { name: end.name.to_owned() })?;
            let (found, sample) = (values.len() as u64, end.elements().max(1));
            let expected = batch.map_or(found.next_multiple_of(sample), |batch| batch as u64 * sample);
            if found != expected {
                let error = Error::Length { what, expected, found, shape: end.shape.to_vec() };
                return Err(if ends.len() > 1 { error.in_layer(end.name) } else { error });
            }
            *batch = Some((found / sample) as usize);
            Ok((buffer(end.name), *values))
        };
        ends.iter().map(take).collect()
    }
}

/// The names of the one input and the one output of a model that has one of each.
pub(super) fn one_each(graph: &Graph) -> Result<[String; 2]> {
    match (&graph.inputs()[..], &graph.outputs()[..]) {
        ([input], [output]) => Ok([input.name.to_owned(), output.name.to_owned()]),
        (inputs, outputs) => {
            let ends = |ends: &[End<'_>]| ends.iter().map(|end| end.name).collect::<Vec<_>>().join(", ");
            let what = "one array without a name".to_owned();
            let with = format!("with the inputs {} and the outputs {}", ends(inputs), ends(outputs));
            Err(Error::Unsupported { what, with })
        }
    }
}

/// A program that runs over a batch piece by piece.
struct Pieces<'a> {
    gpu: &'a Gpu,
    model: &'a Loaded,
    program: &'a Program,
    /// Samples of each piece; the last may have fewer.
    at_once: usize,
    /// The buffers of inputs and outputs, by name.
    buffers: BTreeMap<&'a str, Temporary>,
    gradients: BTreeMap<&'a str, Tensor>,
}

impl Drop for Pieces<'_> {
    /// In a browser gradients that are only dropped keep their memory.
    fn drop(&mut self) {
        std::mem::take(&mut self.gradients).into_values().for_each(Tensor::destroy);
    }
}

impl<'a> Pieces<'a> {
    async fn new(gpu: &'a Gpu, model: &'a Loaded, program: &'a Program, batch: usize) -> Result<Self> {
        let at_once = gpu.samples_at_once(program)?.min(batch);
        let mut pieces = Self { gpu, model, program, at_once, buffers: BTreeMap::new(), gradients: BTreeMap::new() };
        for buffer in &program.buffers {
            match buffer.usage {
                Usage::Input | Usage::Output => {
                    let made = gpu.empty(buffer.shape.elements(at_once as u32));
                    pieces.buffers.insert(&buffer.name, Temporary(made));
                }
                Usage::Gradient => {
                    pieces.gradients.insert(&buffer.name, model.weights().create(buffer).await?);
                }
                Usage::Parameter | Usage::State | Usage::Scratch => {}
            }
        }
        gpu.check()?;
        Ok(pieces)
    }

    async fn bind(&self, program: &Program, samples: usize) -> Result<Bound> {
        let mut bindings = Bindings::default();
        for (name, buffer) in &self.buffers {
            bindings = bindings.with(name, &**buffer);
        }
        for (name, gradient) in &self.gradients {
            bindings = bindings.with(name, gradient);
        }
        self.model.weights().bind(program, samples as u32, &bindings).await
    }

    /// Runs over the batch: the outputs, by the names of the graph's own inputs and outputs.
    async fn run(&self, job: &Job<'_>) -> Result<BTreeMap<String, Vec<f32>>> {
        let batch = job.batch;
        let mut outputs: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (name, _, elements) in &job.outputs {
            outputs.insert(name.clone(), Vec::with_capacity(batch * *elements as usize));
        }
        let mut adding = None;
        let mut bound: Option<(usize, bool, Bound)> = None;
        for run in runs(batch, self.at_once) {
            let samples = run.len();
            // The gradients of the first piece overwrite what was there, those of the others add to it.
            let adds = run.start > 0 && !self.gradients.is_empty();
            if bound.as_ref().is_none_or(|(of, added, _)| (*of, *added) != (samples, adds)) {
                let program =
                    if adds { adding.get_or_insert_with(|| self.program.clone().accumulating()) } else { self.program };
                // The previous piece's memory is free before more is asked for.
                bound.take().into_iter().for_each(|(.., bound)| bound.destroy());
                bound = Some((samples, adds, self.bind(program, samples).await?));
            }
            for (name, values) in &job.inputs {
                let piece = &values[part(values.len(), batch, &run)];
                if let Some(buffer) = self.buffers.get(name.as_str()) {
                    self.gpu.write(buffer, piece);
                }
            }
            if let Some((_, _, bound)) = &bound {
                self.gpu.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
            }
            for (name, buffer, elements) in &job.outputs {
                if let Some((buffer, values)) = self.buffers.get(buffer.as_str()).zip(outputs.get_mut(name)) {
                    values.extend(self.gpu.read(&**buffer, elements * samples as u64).await?);
                }
            }
        }
        bound.into_iter().for_each(|(.., bound)| bound.destroy());
        self.gpu.check()?;
        Ok(outputs)
    }
}

/// A batch cut into runs of at most `at_once` samples. An empty batch has one empty run, since gradients of no samples
/// are zero.
pub(super) fn runs(batch: usize, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch.max(1)).step_by(at_once.max(1)).map(move |first| first..batch.min(first + at_once))
}

/// Which of the `length` values of a whole batch belong to a run of samples.
pub(super) fn part(length: usize, batch: usize, run: &Range<usize>) -> Range<usize> {
    let each = length / batch.max(1);
    run.start * each..run.end * each
}

impl Gpu {
    /// Uploads a model's parameters, as [`Model::upload`] does, each piece submitted before the next is written, so that
    /// host memory is never needed for all of them at once.
    ///
    /// # Errors
    /// Those of [`Model::upload`].
    pub async fn upload_model(&self, model: &Model) -> Result<Loaded> {
        let loaded = model.upload_by(self.context(), || self.flush()).await?;
        self.check()?;
        Ok(loaded)
    }

    /// The output for `[batch][input shape]` of a model of one input and one output.
    ///
    /// # Errors
    /// Those of [`Gpu::run_named`]; [`Error::Unsupported`] for a model of several inputs or outputs.
    pub async fn run(&self, model: &Loaded, input: &[f32]) -> Result<Vec<f32>> {
        let [name, _] = one_each(model.graph())?;
        let outputs = self.run_named(model, &[(&name, input)]).await?;
        Ok(outputs.into_values().next().unwrap_or_default())
    }

    /// The model's outputs, by name, for its inputs, by name: `[batch][input shape]` each.
    ///
    /// # Errors
    /// [`Error::NotGiven`], [`Error::NoBuffer`] and [`Error::Length`] for inputs; those of [`Loaded::bind_forward`];
    /// [`Error::OutOfMemory`]; [`Error::DeviceLost`].
    pub async fn run_named(&self, model: &Loaded, inputs: &[(&str, &[f32])]) -> Result<BTreeMap<String, Vec<f32>>> {
        let job = Job::forward(model.graph(), inputs)?;
        let program = model.graph().forward();
        let pieces = Pieces::new(self, model, &program, job.batch).await?;
        pieces.run(&job).await
    }

    /// All gradients of the loss `Σ output · grad_output` of a model of one input and one output.
    ///
    /// # Errors
    /// As [`Gpu::run`].
    pub async fn gradients(&self, model: &Loaded, input: &[f32], grad_output: &[f32]) -> Result<ModelGradients> {
        let [from, to] = one_each(model.graph())?;
        let gradients = self.gradients_named(model, &[(&from, input)], &[(&to, grad_output)]).await?;
        Ok(gradients.of_one_input())
    }

    /// All gradients of the loss `Σ output · grad_output`, the sum over all outputs; inputs and outputs are by name.
    ///
    /// # Errors
    /// As [`Gpu::run_named`].
    pub async fn gradients_named(
        &self,
        model: &Loaded,
        inputs: &[(&str, &[f32])],
        grad_outputs: &[(&str, &[f32])],
    ) -> Result<NamedGradients> {
        let program = model.graph().backward(Wanted::All);
        let job = Job::backward(model.graph(), &program, inputs, grad_outputs)?;
        let pieces = Pieces::new(self, model, &program, job.batch).await?;
        let inputs = pieces.run(&job).await?;
        let mut parameters = BTreeMap::new();
        for (name, gradient) in &pieces.gradients {
            parameters.insert((*name).to_owned(), self.read_tensor(gradient).await?);
        }
        Ok(NamedGradients { inputs, parameters })
    }

    /// Samples that run at once within the budget and the device's limits.
    pub(super) fn samples_at_once(&self, program: &Program) -> Result<usize> {
        self.context().profile().samples_at_once(program, self.sample_budget.unwrap_or(SAMPLE_BUDGET))
    }
}
