//! Runs the committed Keras model on the best adapter and compares with Keras's own predictions.
//!
//! `cargo run --release --package locally-connected-keras --example digits`

use locally_connected::headless::Gpu;
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

async fn digits() -> Result<bool, Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/digits");
    let read = |name: &str| npy::read_npy(folder.join(name));
    let file = ModelFile::read(folder.join("digits.h5"))?;
    let (images, labels, keras) = (read("x_test.npy")?, read("y_test.npy")?.values, read("predictions.npy")?.values);

    let gpu = Gpu::new().await?;
    let info = gpu.adapter().get_info();
    println!("adapter: {} ({}, {} {})", info.name, info.backend, info.driver, info.driver_info);
    println!("model:   digits.h5, {} layers, trained and saved by Keras {}", file.layers.len(), file.keras_version());

    let model = file.model(None)?.upload(gpu.context()).await?;
    let ours = gpu.run(&model, &images.values).await?;
    let difference = ours
        .iter()
        .zip(&keras)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |a: f32, b| if b > a || b.is_nan() { b } else { a });
    let (our_hits, keras_hits, samples) = (correct(&ours, &labels), correct(&keras, &labels), labels.len());
    let percent = |hits: usize| 100.0 * hits as f64 / samples.max(1) as f64;
    println!("ours:    {our_hits} of {samples} digits right, {:.2} %", percent(our_hits));
    println!("Keras's: {keras_hits} of {samples} digits right, {:.2} %", percent(keras_hits));
    println!("largest difference between the predictions: {difference:.1e} (at most {TOLERANCE:e})");
    Ok(ours.len() == keras.len() && our_hits == keras_hits && difference <= TOLERANCE)
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
