//! The library's loop of a training ([`Trainer`](locally_connected::train::Trainer)) around what the TypeScript runs: one loop for
//! natives and pages.

use crate::error::{Result, of_library};
use crate::program::Program;
use js_sys::{Array, Float32Array};
use locally_connected::ops::Usage;
use locally_connected::program as library;
use locally_connected::train::{self, Callback, Data, FitOptions, Logs, Record, Run, Runner, Step};
use locally_connected::{Error, Result as Found};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

#[wasm_bindgen]
extern "C" {
    /// Where programs run and who is told: `web/src/fitting.ts`. All of it may throw, and what it throws is what a training fails with.
    #[wasm_bindgen(typescript_type = "object")]
    pub type TrainingHost;

    #[wasm_bindgen(method, catch)]
    async fn run(
        this: &TrainingHost,
        program: &JsValue,
        batch: u32,
        names: Array,
        values: Array,
        outputs: Array,
    ) -> Result<JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn write(this: &TrainingHost, name: &str, values: Float32Array) -> Result<JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn read(this: &TrainingHost, name: &str) -> Result<JsValue>;

    #[wasm_bindgen(method, catch, js_name = samplesAtOnce)]
    fn samples_at_once(this: &TrainingHost, program: &JsValue) -> Result<f64>;

    /// Whether training goes on.
    #[wasm_bindgen(method, catch)]
    fn epoch(this: &TrainingHost, number: u32, rate: f32, names: Array, values: Vec<f64>) -> Result<bool>;

    #[wasm_bindgen(method, catch)]
    fn batch(this: &TrainingHost, epoch: u32, number: u32, batches: u32, loss: f64) -> Result<()>;

    #[wasm_bindgen(method, getter, js_name = wantsBatches)]
    fn wants_batches(this: &TrainingHost) -> bool;
}

/// A model's training, before it has a host.
#[wasm_bindgen]
pub struct Training {
    training: train::Training,
}

#[wasm_bindgen]
impl Training {
    /// A program without operations that has all parameters, states and gradients: what the host is to have room for.
    #[must_use]
    pub fn store(&self) -> Program {
        self.training.store().into()
    }
}

impl From<train::Training> for Training {
    fn from(training: train::Training) -> Self {
        Self { training }
    }
}

/// What the host threw, which the library has no error for.
type Thrown = Rc<RefCell<Option<JsValue>>>;

/// The host as the library's runner.
struct Hosted {
    host: Rc<TrainingHost>,
    known: RefCell<Vec<Known>>,
    thrown: Thrown,
}

/// A program, and what the host knows of it.
struct Known {
    program: Arc<library::Program>,
    /// Always the same.
    object: JsValue,
    samples_at_once: Option<usize>,
}

impl Hosted {
    /// Keeps what was thrown for whoever waits for the training; the library only has to stop.
    fn keep(&self, thrown: JsValue) -> Error {
        *self.thrown.borrow_mut() = Some(thrown);
        Error::Missing { what: "a run", why: "the host threw" }
    }

    fn known(&self, program: &Arc<library::Program>) -> RefMut<'_, Known> {
        RefMut::map(self.known.borrow_mut(), |all| {
            let at = all.iter().position(|known| Arc::ptr_eq(&known.program, program)).unwrap_or_else(|| {
                let object = JsValue::from(Program { program: program.clone() });
                all.push(Known { program: program.clone(), object, samples_at_once: None });
                all.len() - 1
            });
            &mut all[at]
        })
    }
}

impl Runner for Hosted {
    /// The host made room before there was a trainer.
    async fn hold(&mut self, _: &library::Program) -> Found<()> {
        Ok(())
    }

    async fn write(&mut self, name: &str, values: &[f32]) -> Found<()> {
        let written = self.host.write(name, Float32Array::from(values)).await;
        written.map(drop).map_err(|error| self.keep(error))
    }

    async fn read(&mut self, name: &str) -> Found<Vec<f32>> {
        let read = self.host.read(name).await.map_err(|error| self.keep(error))?;
        Ok(read.unchecked_into::<Float32Array>().to_vec())
    }

    async fn run(&mut self, run: Run<'_>) -> Found<BTreeMap<String, Vec<f32>>> {
        let Run { program, batch, inputs } = run;
        let object = self.known(program).object.clone();
        // A step's numbers are given to evaluations, too, which read none.
        let read = || inputs.iter().filter(|(name, _)| program.find(name).is_some());
        let names = strings(read().map(|(name, _)| *name));
        let values = read().map(|(_, values)| Float32Array::from(*values)).collect::<Array>();
        let outputs = strings(program.used_as(Usage::Output).map(|buffer| buffer.name.as_str()));
        let given = self.host.run(&object, batch, names, values, outputs).await.map_err(|error| self.keep(error))?;
        let arrays = given.unchecked_into::<Array>();
        let named = program.used_as(Usage::Output).zip(arrays.iter());
        let mut outputs = BTreeMap::new();
        // One by one: what collects them sorts them first.
        for (buffer, array) in named {
            outputs.insert(buffer.name.clone(), array.unchecked_into::<Float32Array>().to_vec());
        }
        Ok(outputs)
    }

    fn samples_at_once(&self, program: &Arc<library::Program>) -> Found<usize> {
        let mut known = self.known(program);
        if let Some(at_once) = known.samples_at_once {
            return Ok(at_once);
        }
        let at_once = self.host.samples_at_once(&known.object).map_err(|error| self.keep(error))? as usize;
        known.samples_at_once = Some(at_once);
        Ok(at_once)
    }
}

fn strings<'a>(texts: impl Iterator<Item = &'a str>) -> Array {
    texts.map(JsValue::from_str).collect()
}

/// Names and numbers as JavaScript takes them.
fn numbers(logs: &Logs) -> (Array, Vec<f64>) {
    (strings(logs.iter().map(|(name, _)| name)), logs.iter().map(|(_, value)| value).collect())
}

/// The host as who is told.
struct Told {
    host: Rc<TrainingHost>,
    thrown: Thrown,
}

impl Told {
    /// Goes on where the host says so; it doesn't where it threw.
    fn flow(&self, goes_on: Result<bool>) -> ControlFlow<()> {
        match goes_on {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => ControlFlow::Break(()),
            Err(thrown) => {
                *self.thrown.borrow_mut() = Some(thrown);
                ControlFlow::Break(())
            }
        }
    }
}

impl Callback for Told {
    fn on_step(&mut self, step: &Step) {
        if !self.host.wants_batches() {
            return;
        }
        let &Step { epoch, done, steps, loss, .. } = step;
        // The host runs nothing any more once it threw.
        let told = self.host.batch(epoch as u32, (done - 1) as u32, steps as u32, loss);
        if let Err(thrown) = told {
            *self.thrown.borrow_mut() = Some(thrown);
        }
    }

    fn on_epoch(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        let epoch = record.epoch;
        let (names, values) = numbers(&epoch.logs);
        self.flow(self.host.epoch(epoch.number as u32, epoch.learning_rate, names, values))
    }
}

/// Samples with their targets and weights, by the names of inputs and outputs.
#[wasm_bindgen]
#[derive(Default)]
pub struct TrainingData {
    inputs: Vec<(String, Vec<f32>)>,
    targets: Vec<(String, Vec<f32>)>,
    weights: Vec<(String, Vec<f32>)>,
}

#[wasm_bindgen]
impl TrainingData {
    /// None yet.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input's samples.
    pub fn input(&mut self, name: String, values: Vec<f32>) {
        self.inputs.push((name, values));
    }

    /// Adds what is wanted of an output.
    pub fn target(&mut self, name: String, values: Vec<f32>) {
        self.targets.push((name, values));
    }

    /// Adds how much each sample of an output counts; without a name of all.
    pub fn weight(&mut self, name: String, values: Vec<f32>) {
        self.weights.push((name, values));
    }
}

impl TrainingData {
    fn data(&self) -> Data<'_> {
        let data = self.inputs.iter().fold(Data::default(), |data, (name, values)| data.input(name, values));
        let data = self.targets.iter().fold(data, |data, (name, values)| data.target(name, values));
        self.weights.iter().fold(data, |data, (name, values)| data.sample_weight_of(name, values))
    }
}

/// What a `fit` is told besides.
#[wasm_bindgen]
pub struct FitSettings {
    /// Samples of a step.
    pub batch_size: u32,
    /// The number of the epoch before which training ends.
    pub epochs: u32,
    /// The number of the first epoch.
    pub initial_epoch: u32,
    /// Whether each epoch takes the samples in an order of its own.
    pub shuffle: bool,
    /// What part of the samples is for validation.
    pub validation_split: Option<f64>,
    class_weight: Option<Vec<f32>>,
}

#[wasm_bindgen]
impl FitSettings {
    /// Batches of 32, shuffled, and no epoch.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        let (batch_size, epochs, initial_epoch, shuffle) = (32, 0, 0, true);
        Self { batch_size, epochs, initial_epoch, shuffle, validation_split: None, class_weight: None }
    }

    /// Sets what each class's samples count.
    #[wasm_bindgen(js_name = weighClasses)]
    pub fn weigh_classes(&mut self, weights: Vec<f32>) {
        self.class_weight = Some(weights);
    }
}

impl Default for FitSettings {
    fn default() -> Self {
        Self::new()
    }
}

/// A training on a host.
#[wasm_bindgen]
pub struct Trainer {
    trainer: train::Trainer<Hosted>,
    host: Rc<TrainingHost>,
    thrown: Thrown,
}

#[wasm_bindgen]
impl Trainer {
    /// Of parameters that the host holds, with room for the training's [store](Training::store).
    ///
    /// # Errors
    /// What the host throws.
    pub async fn start(training: Training, host: TrainingHost) -> Result<Trainer> {
        let (host, thrown) = (Rc::new(host), Thrown::default());
        let hosted = Hosted { host: host.clone(), known: RefCell::default(), thrown: thrown.clone() };
        let trainer = train::Trainer::of_held(hosted, training.training).await;
        let trainer = trainer.map_err(|error| failed(&thrown, error))?;
        Ok(Self { trainer, host, thrown })
    }

    /// Trains for some epochs, each of which the host is told.
    ///
    /// # Errors
    /// The library's for data and options, and for a loss that isn't finite; what the host throws.
    pub async fn fit(
        &mut self,
        data: TrainingData,
        validation: Option<TrainingData>,
        settings: FitSettings,
    ) -> Result<()> {
        let mut options = FitOptions::new()
            .batch_size(settings.batch_size as usize)
            .epochs(settings.epochs as usize)
            .initial_epoch(settings.initial_epoch as usize)
            .shuffle(settings.shuffle);
        options.validation_split = settings.validation_split;
        options.validation = validation.as_ref().map(TrainingData::data);
        options.class_weight = settings.class_weight.as_deref();
        let mut told = Told { host: self.host.clone(), thrown: self.thrown.clone() };
        let trained = self.trainer.fit(&data.data(), &options, &mut [&mut told]).await;
        trained.map_err(|error| failed(&self.thrown, error))?;
        // It ended a training that went well otherwise.
        self.thrown.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// Means over samples, which the host is told as those of no epoch: their names and their values.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub async fn evaluate(&mut self, data: TrainingData, batch: u32) -> Result<Array> {
        let logs = self.trainer.evaluate(&data.data(), batch as usize).await;
        let (names, values) = numbers(&logs.map_err(|error| failed(&self.thrown, error))?);
        Ok([JsValue::from(names), values.into()].into_iter().collect())
    }

    /// Epochs done.
    #[must_use]
    pub fn epochs(&self) -> u32 {
        self.trainer.epochs() as u32
    }
}

/// What the host threw, or else the library's error.
fn failed(thrown: &Thrown, error: Error) -> JsValue {
    thrown.borrow_mut().take().unwrap_or_else(|| of_library(error))
}
