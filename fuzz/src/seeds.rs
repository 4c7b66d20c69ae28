//! Inputs to begin with: the repository's fixtures, small ones, and what is made of them.

use crate::asking;
use crate::configs::{self, KINDS, TUNED_BATCH};
use crate::files::ARCHITECTURE;
use locally_connected::cpu::Runner;
use locally_connected::model::Wanted;
use locally_connected::plan::{Form, Planner, TuneKey, TuneTable, TunedChoice};
use locally_connected::train::{Goal, Loss, Optimizer, Trainer, Training};
use locally_connected::{Activation, Config, DeviceProfile, Implementation, Padding};
use locally_connected_keras::{FileFormat, ModelFile, from_json};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Longest seed: libFuzzer tries more of short ones.
const LONGEST: u64 = 24 << 10;

/// The fixtures with this ending, in order.
fn fixtures(ending: &str) -> Vec<PathBuf> {
    let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn contents(ending: &str) -> Vec<Vec<u8>> {
    let short = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() <= LONGEST);
    fixtures(ending).into_iter().filter(short).filter_map(|path| std::fs::read(path).ok()).collect()
}

fn models() -> Vec<ModelFile> {
    let read = |bytes: &Vec<u8>| ModelFile::from_bytes("seed", bytes, FileFormat::Hdf5).ok();
    contents("model.h5").iter().chain(&contents(".keras")).filter_map(read).collect()
}

pub(crate) fn hdf5() -> Vec<Vec<u8>> {
    contents(".h5")
}

pub(crate) fn keras() -> Vec<Vec<u8>> {
    contents(".keras")
}

pub(crate) fn safetensors() -> Vec<Vec<u8>> {
    let fixtures = models();
    let fixtures = fixtures.iter().filter_map(|model| model.to_bytes(FileFormat::Safetensors).ok());
    fixtures.chain(asking::safetensors()).collect()
}

pub(crate) fn weights() -> Vec<Vec<u8>> {
    contents("weights.h5")
}

/// The descriptions that files hold.
pub(crate) fn architecture() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![ARCHITECTURE.into(), b"alltnn".to_vec()];
    for path in fixtures(".json") {
        let Some(value) = std::fs::read_to_string(path).ok().and_then(|text| from_json(&text).ok()) else { continue };
        if let Some(model) = value.get("model").filter(|model| model.is_object()) {
            all.push(model.to_string().into());
        }
    }
    all
}

pub(crate) fn arrays() -> Vec<Vec<u8>> {
    contents(".npy").into_iter().chain(contents(".npz")).chain(asking::arrays()).collect()
}

/// JSON of each kind, its letter in front.
pub(crate) fn config() -> Vec<Vec<u8>> {
    let of = |kind: u8, text: String| [&[kind][..], text.as_bytes()].concat();
    let layer = Config::new(3, [2, 2]).padding(Padding::Same).activation(Activation::Elu { alpha: 0.5 });
    let mut all: Vec<Vec<u8>> = serde_json::to_string(&layer).into_iter().map(|text| of(b'c', text)).collect();
    for path in fixtures(".json") {
        let Some(value) = std::fs::read_to_string(path).ok().and_then(|text| from_json(&text).ok()) else { continue };
        if let Some(compiled) = value.get("compile") {
            all.push(of(b'o', compiled.to_string()));
        }
        let layers = value.pointer("/config/layers").or_else(|| value.pointer("/model/config/layers"));
        for layer in layers.and_then(Value::as_array).into_iter().flatten() {
            all.extend(layer.get("config").map(|config| of(b'k', config.to_string())));
        }
    }
    for model in models().iter().take(3) {
        let Ok(model) = model.model(None) else { continue };
        all.extend(serde_json::to_string(&model.graph).ok().map(|text| of(b'g', text)));
        let program = model.graph.forward();
        let profile = DeviceProfile::webgpu_defaults();
        let plan = Planner::new(&profile).program(&program, 1).and_then(|plan| plan.written(&program));
        all.extend(plan.ok().and_then(|plan| serde_json::to_string(&plan).ok()).map(|text| of(b'w', text)));
    }
    all.extend(tables().iter().filter_map(|table| serde_json::to_string(table).ok()).map(|text| of(b't', text)));
    all.extend(state().map(|text| of(b's', text)));
    all.extend(KINDS.iter().map(|&kind| of(kind, "{}".into())));
    all
}

/// Choices for the layer that tables are tried on, of every implementation and form.
fn tables() -> Vec<TuneTable> {
    let profile = DeviceProfile::webgpu_defaults();
    let forms = Form::ALL.map(Some);
    let choices = Implementation::ALL
        .into_iter()
        .flat_map(|implementation| forms.map(|form| TunedChoice { implementation, form }));
    let table = |choice| {
        let mut table = TuneTable::default();
        for operation in configs::tunable().iter().flatten().flat_map(|program| &program.operations) {
            if let Some(key) = TuneKey::new(&profile, operation, TUNED_BATCH) {
                table.insert(key, choice);
            }
        }
        table
    };
    choices.map(table).collect()
}

/// The state of a training that has begun.
fn state() -> Option<String> {
    let (training, parameters) = configs::training()?;
    let state = pollster::block_on(async {
        Trainer::new(Runner::default(), training, &parameters).await.ok()?.state().await.ok()
    });
    serde_json::to_string(&state?).ok()
}

/// Any bytes are a layer.
pub(crate) fn layer() -> Vec<Vec<u8>> {
    let bytes = |seed: u32| (0..160u32).map(move |i| ((i + seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    (0..64).map(bytes).collect()
}

/// Programs of the fixtures' models, and of their trainings.
pub(crate) fn program() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for file in models() {
        let Ok(model) = file.model(None) else { continue };
        all.extend([model.graph.forward(), model.graph.backward(Wanted::All)]);
        let goal = Loss::from_keras_name("mse").map(Goal::new);
        if let Ok(training) = goal.and_then(|goal| Training::new(&model.graph, Optimizer::adam(), goal)) {
            all.extend([training.step(), training.evaluation()]);
        }
    }
    all.iter().filter_map(|program| postcard::to_allocvec(program).ok()).filter(|bytes| bytes.len() < 8192).collect()
}
