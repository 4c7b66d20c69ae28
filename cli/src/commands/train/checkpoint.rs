//! `--checkpoint` and `--resume`: the model in our own format, together with the state of its training.

use super::samples::Samples;
use crate::args::Train;
use crate::failure::Failure;
use locally_connected::train::{Epoch, Logs, State};
use locally_connected_keras::compiled::{Compiled, OptimizerState};
use locally_connected_keras::npy::NpyArray;
use locally_connected_keras::{FileFormat, ModelFile, write_file};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The prefix of the names of the best epoch's parameters.
const BEST: &str = "best/";

/// Refuses other formats than our own, since a checkpoint holds more than Keras's can.
pub(super) fn check_name(path: &Path) -> Result<(), Failure> {
    match FileFormat::from_path(path) {
        Ok(FileFormat::Hdf5 | FileFormat::Keras | FileFormat::Npz) => {
            let message = format!("--checkpoint {}: that format can't hold a checkpoint", path.display());
            Err(Failure::request(message)
                .with_help("a checkpoint is a .safetensors; `locally convert` makes a Keras file of it"))
        }
        _ => Ok(()),
    }
}

/// All that decides the result of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// The optimizer, as Keras's `compile` has it.
    optimizer: Value,
    loss: Value,
    metrics: Value,
    batch_size: u32,
    /// The seed; none if samples aren't shuffled.
    shuffle: Option<u64>,
    patience: Option<u64>,
    samples: usize,
    /// A hash of all samples, targets and weights, and those of the validation.
    data: String,
    /// None if nothing is split off, and in older checkpoints.
    #[serde(default)]
    validation_split: Option<f64>,
    #[serde(default)]
    class_weight: Vec<f32>,
}

impl Terms {
    pub(super) fn new(args: &Train, compiled: &Compiled, samples: &Samples) -> Self {
        let part = |key: &str| compiled.config.get(key).cloned().unwrap_or(Value::Null);
        let validation = samples.validation.iter().flatten();
        let all = [&samples.inputs, &samples.targets, &samples.weights].into_iter().chain(validation).flatten();
        // FNV-1a of the bits, computed only if a checkpoint is asked for.
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let asked = args.checkpoint.is_some() || args.resume.is_some();
        for (name, array) in all.filter(|_| asked) {
            let bits = array.values.iter().flat_map(|value| value.to_bits().to_le_bytes());
            for byte in name.bytes().chain(bits) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Self {
            optimizer: part("optimizer"),
            loss: part("loss"),
            metrics: part("metrics"),
            batch_size: args.batch_size,
            shuffle: (!args.no_shuffle).then_some(args.shuffle),
            patience: args.patience,
            samples: samples.count,
            data: format!("{hash:016x}"),
            validation_split: args.validation_split,
            class_weight: args.class_weight.clone(),
        }
    }

    /// The number of samples.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }
}

/// What a checkpoint has besides arrays.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    terms: Terms,
    epochs: Vec<WrittenEpoch>,
    draws: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenEpoch {
    number: usize,
    steps: u64,
    learning_rate: f32,
    /// By name, as bits: JSON can't express numbers that aren't finite, and each number must stay exactly the same.
    logs: Vec<(String, u64)>,
}

/// A checkpoint that was read.
pub(super) struct Checkpoint {
    terms: Terms,
    parameters: BTreeMap<String, Vec<f32>>,
    pub(super) optimizer: OptimizerState,
    pub(super) epochs: Vec<Epoch>,
    pub(super) best: Option<BTreeMap<String, Vec<f32>>>,
    draws: u32,
}

impl Checkpoint {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let no_checkpoint = |why: &str| {
            let message = format!("--resume {}: {why}", path.display());
            Failure::request(message).with_help("--checkpoint F writes what --resume F goes on from")
        };
        let file = ModelFile::read(path)?;
        let written = file.beside.json.get("training").cloned().ok_or_else(|| no_checkpoint("is no checkpoint"))?;
        let written: Written = serde_json::from_value(written).map_err(|error| no_checkpoint(&error.to_string()))?;
        if written.version != 1 {
            return Err(no_checkpoint(&format!("is of version {}, which isn't known", written.version)));
        }
        // Every training begins with epoch 0, and a checkpoint has all of them.
        if let Some((at, epoch)) = written.epochs.iter().enumerate().find(|(at, epoch)| epoch.number != *at) {
            return Err(no_checkpoint(&format!("has epoch {} in the place of epoch {at}", epoch.number)));
        }
        let optimizer = file.compiled.as_ref().and_then(|compiled| compiled.state.clone());
        let best: BTreeMap<String, Vec<f32>> = file
            .beside
            .arrays
            .iter()
            .filter_map(|(name, array)| Some((name.strip_prefix(BEST)?.to_owned(), array.values.clone())))
            .collect();
        let epoch = |epoch: WrittenEpoch| Epoch {
            number: epoch.number,
            steps: epoch.steps,
            learning_rate: epoch.learning_rate,
            logs: epoch.logs.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect::<Logs>(),
        };
        Ok(Self {
            terms: written.terms,
            parameters: file.model(None)?.parameters,
            optimizer: optimizer.ok_or_else(|| no_checkpoint("has no optimizer's state"))?,
            epochs: written.epochs.into_iter().map(epoch).collect(),
            best: (!best.is_empty()).then_some(best),
            draws: written.draws,
        })
    }

    /// Checks that the training is the one that was interrupted.
    pub(super) fn check(&self, terms: &Terms, path: &Path) -> Result<(), Failure> {
        if self.terms == *terms {
            return Ok(());
        }
        let [there, here] = [&self.terms, terms].map(|terms| json!(terms));
        let differs = there.as_object().into_iter().flatten().find(|(key, value)| here.get(*key) != Some(*value));
        let (key, there) = differs.map_or(("", &Value::Null), |(key, value)| (key.as_str(), value));
        let here = here.get(key).unwrap_or(&Value::Null);
        let message = format!(
            "--resume {}: the checkpoint is of another training: its {key} is {there}, here {here}",
            path.display()
        );
        Err(Failure::request(message)
            .with_help("a training goes on with the same data and arguments; only --epochs may be larger"))
    }

    /// Puts all but the optimizer's state into the state of a training.
    pub(super) fn put_into(&self, state: &mut State) -> Result<(), Failure> {
        for (name, values) in &mut state.parameters {
            let Some(found) = self.parameters.get(name) else {
                return Err(Failure::request(format!(
                    "--resume: the checkpoint is of another model: it has no {name}"
                )));
            };
            values.clone_from(found);
        }
        state.epochs = self.epochs.len();
        state.draws = self.draws;
        Ok(())
    }
}

/// What is trained, and how.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) file: &'a ModelFile,
    pub(super) compiled: &'a Compiled,
    pub(super) terms: &'a Terms,
}

/// How far a training has come.
pub(super) struct SoFar<'a> {
    pub(super) state: &'a State,
    pub(super) epochs: &'a [Epoch],
    /// The parameters after the best epoch.
    pub(super) best: Option<&'a BTreeMap<String, Vec<f32>>>,
}

/// Writes a checkpoint, all of it or nothing.
pub(super) fn write(path: &Path, course: Course<'_>, so_far: &SoFar<'_>) -> Result<(), Failure> {
    let (Course { file, compiled, terms }, &SoFar { state, epochs, best }) = (course, so_far);
    let mut file = file.clone();
    file.set_parameters(&state.parameters)?;
    let slots = OptimizerState { iterations: state.steps, slots: state.optimizer.clone() };
    file.compiled = Some(Compiled { state: Some(slots), ..compiled.clone() });
    let epoch = |epoch: &Epoch| WrittenEpoch {
        number: epoch.number,
        steps: epoch.steps,
        learning_rate: epoch.learning_rate,
        logs: epoch.logs.iter().map(|(name, value)| (name.to_owned(), value.to_bits())).collect(),
    };
    let epochs = epochs.iter().map(epoch).collect();
    let written = Written { version: 1, terms: terms.clone(), epochs, draws: state.draws };
    file.beside.json = json!({"training": written});
    for (name, values) in best.into_iter().flatten() {
        let array = NpyArray { shape: vec![values.len()], values: values.clone() };
        file.beside.arrays.insert(format!("{BEST}{name}"), array);
    }
    Ok(write_file(path, &file.to_bytes(FileFormat::Safetensors)?)?)
}
