//! Runs the committed Keras model on the host's own threads and, where there is one, on the best adapter, and compares with
//! Keras's own predictions.
//!
//! `cargo run --release --package locally-connected-keras --example digits`

#![forbid(unsafe_code)]

use locally_connected::headless::{Cpu, Device, DeviceOptions, Gpu};
use locally_connected::model::Model;
use locally_connected_keras::{Error, ModelFile, npy};
use std::path::Path;
use std::process::ExitCode;

/// Predictions are probabilities; they may differ by this much.
const TOLERANCE: f32 = 1e-5;

/// Samples whose most probable class is their label.
fn correct(predictions: &[f32], labels: &[f32]) -> usize {
    let classes = predictions.len() / labels.len().max(1);
    let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class as f32);
    predictions.chunks(classes.max(1)).zip(labels).filter(|(row, label)| best(row) == Some(**label)).count()
}

/// How far off a device's predictions are, in a line; whether they are Keras's.
async fn compare(device: &Device, name: &str, model: &Model, given: &Given) -> Result<bool, Error> {
    let ours = device.upload(model).await?.run(&given.images).await?;
    let difference = ours
        .iter()
        .zip(&given.keras)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |a: f32, b| if b > a || b.is_nan() { b } else { a });
    let (hits, samples) = (correct(&ours, &given.labels), given.labels.len());
    println!(
        "{name}:\n  {hits} of {samples} digits right, {:.2} %; largest difference to Keras's predictions {difference:.1e} \
         (at most {TOLERANCE:e})",
        percent(hits, samples)
    );
    Ok(ours.len() == given.keras.len() && hits == correct(&given.keras, &given.labels) && difference <= TOLERANCE)
}

fn percent(hits: usize, samples: usize) -> f64 {
    100.0 * hits as f64 / samples.max(1) as f64
}

/// What the model is given, and what Keras made of it.
struct Given {
    images: Vec<f32>,
    labels: Vec<f32>,
    keras: Vec<f32>,
}

async fn digits() -> Result<bool, Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/digits");
    let read = |name: &str| Ok::<_, Error>(npy::read_npy(folder.join(name))?.values);
    let file = ModelFile::read(folder.join("digits.h5"))?;
    let given = Given { images: read("x_test.npy")?, labels: read("y_test.npy")?, keras: read("predictions.npy")? };
    let (hits, samples) = (correct(&given.keras, &given.labels), given.labels.len());
    println!("digits.h5, {} layers, trained and saved by Keras {}", file.layers.len(), file.keras_version());
    println!("Keras itself:\n  {hits} of {samples} digits right, {:.2} %", percent(hits, samples));

    let model = file.model(None)?;
    let cpu = Cpu::new(&DeviceOptions::default())?;
    let name = format!("the CPU executor ({} threads, {:?})", cpu.executor().threads().count(), cpu.instructions());
    let mut same = compare(&Device::Cpu(cpu), &name, &model, &given).await?;
    match Gpu::new().await {
        Ok(gpu) => {
            let info = gpu.adapter().get_info();
            let name = format!("{} ({}, {} {})", info.name, info.backend, info.driver, info.driver_info);
            same &= compare(&Device::Gpu(Box::new(gpu)), &name, &model, &given).await?;
        }
        Err(error) => println!("no GPU: {error}"),
    }
    Ok(same)
}

fn main() -> ExitCode {
    match pollster::block_on(digits()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("error: not the same as Keras");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
