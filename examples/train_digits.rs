//! Trains the network of 8×8 handwritten digits from nothing: `cargo run --release --features cpu,headless --example train_digits`.
//!
//! Two locally connected layers and one that is a dense layer in disguise, as Keras would be told:
//!
//! ```python
//! model = Sequential([LocallyConnected2D(8, 3, activation="relu"), LocallyConnected2D(8, 3, activation="relu"),
//!                     LocallyConnected2D(10, 4), Flatten(), Activation("softmax")])
//! model.compile(Adam(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
//! model.fit(x, y, batch_size=32, epochs=30)
//! ```
//!
//! `--seeds N` trains with each of the seeds from 0 to N - 1 and gives the mean test accuracy, which must be
//! within two standard errors of Keras's own (docs/training.md); `--device NAME` trains on the first adapter of that name, or with `cpu` on the host's threads, which is the default;
//! `--epochs N`; `--csv FILE` writes the numbers of each epoch.

#![forbid(unsafe_code)]

use locally_connected::headless::{Device, DeviceOptions};
use locally_connected::model::{Flatten, Graph, Sequential};
use locally_connected::train::{
    Data, FanRule, FitOptions, Goal, Loss, Metric, Optimizer, Record, Trainer, Training, initial_parameters,
};
use locally_connected::{Activation, Config};
use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;

const TRAIN: &[u8] = include_bytes!("../tests/fixtures/digits/train.bin");
const TEST: &[u8] = include_bytes!("../tests/fixtures/digits/test.bin");

/// Brightnesses from 0 to 1 and digits, of rows of 64 pixels from 0 to 16 and a digit.
fn images(rows: &[u8]) -> (Vec<f32>, Vec<f32>) {
    let (mut pixels, mut digits) = (Vec::new(), Vec::new());
    for row in rows.chunks_exact(65) {
        pixels.extend(row[..64].iter().map(|&pixel| f32::from(pixel) / 16.0));
        digits.push(f32::from(row[64]));
    }
    (pixels, digits)
}

fn network() -> locally_connected::Result<Graph> {
    Sequential::new([8, 8, 1])
        .add(Config::local2d(8, 3).activation(Activation::RELU))
        .add(Config::local2d(8, 3).activation(Activation::RELU))
        .add(Config::local2d(10, 4))
        .add(Flatten::default())
        .add(Activation::Softmax)
        .graph()
}

/// Accuracies of some seeds.
struct Spread {
    count: f64,
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn of(accuracies: &[f64]) -> Self {
        let count = accuracies.len() as f64;
        let mean = accuracies.iter().sum::<f64>() / count;
        let squares: f64 = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
        Self { count, mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt() }
    }

    /// The standard error of the mean.
    fn error(&self) -> f64 {
        self.deviation / self.count.sqrt()
    }
}

/// Epochs that Keras trained.
const EPOCHS: usize = 30;

/// The test accuracies of Keras's own trainings of this network.
fn keras() -> Result<Spread, Box<dyn Error>> {
    let told: serde_json::Value = serde_json::from_str(include_str!("../tests/fixtures/digits/training.json"))?;
    let runs = told["runs"].as_array().ok_or("no runs")?;
    let accuracies: Option<Vec<f64>> = runs.iter().map(|run| run["test_accuracy"].as_f64()).collect();
    Ok(Spread::of(&accuracies.ok_or("a run without a test accuracy")?))
}

/// What the command line asks for.
struct Asked {
    seeds: u64,
    epochs: usize,
    device: String,
    csv: Option<String>,
}

fn asked() -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked { seeds: 1, epochs: EPOCHS, device: "cpu".into(), csv: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => asked.seeds = value()?.parse()?,
            "--epochs" => asked.epochs = value()?.parse()?,
            "--device" => asked.device = value()?,
            "--csv" => asked.csv = Some(value()?),
            _ => return Err(format!("{word}? There are --seeds, --epochs, --device and --csv").into()),
        }
    }
    Ok(asked)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Asked { seeds, epochs, device, csv } = asked()?;
    let options = DeviceOptions { adapter: Some(device), ..DeviceOptions::default() };
    let device = pollster::block_on(Device::open(&options))?;
    let ((x, y), (x_test, y_test)) = (images(TRAIN), images(TEST));
    let graph = network()?;
    let mut csv = csv.map(std::fs::File::create).transpose()?;
    if let Some(csv) = &mut csv {
        writeln!(csv, "seed,epoch,loss,accuracy")?;
    }
    let mut accuracies = Vec::new();
    for seed in 0..seeds {
        let goal = Goal::new(Loss::from_keras_name("sparse_categorical_crossentropy")?).metric(Metric::accuracy());
        let training = Training::new(&graph, Optimizer::adam(), goal)?.with_seed(seed);
        let parameters = initial_parameters(&graph, FanRule::Keras, seed)?;
        let mut told = |record: &Record<'_>| {
            let (epoch, log) = (record.epoch.number, |name: &str| record.epoch.logs.get(name).unwrap_or(f64::NAN));
            let (loss, accuracy) = (log("loss"), log("accuracy"));
            println!("seed {seed}, epoch {:2}: loss {loss:.4}, accuracy {accuracy:.4}", epoch + 1);
            match csv.as_mut().map(|csv| writeln!(csv, "{seed},{epoch},{loss},{accuracy}")) {
                Some(Err(_)) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let logs = pollster::block_on(async {
            let mut trainer = Trainer::new(device.runner(), training, &parameters).await?;
            trainer.fit(&Data::new(&x, &y), &FitOptions::new().epochs(epochs), &mut [&mut told]).await?;
            trainer.evaluate(&Data::new(&x_test, &y_test), 32).await
        })?;
        let accuracy = logs.get("accuracy").unwrap_or(f64::NAN);
        println!("seed {seed}: test accuracy {accuracy:.4}");
        accuracies.push(accuracy);
    }
    let (ours, keras) = (Spread::of(&accuracies), keras()?);
    println!("mean test accuracy of {} seeds: {:.4} ± {:.4}", accuracies.len(), ours.mean, ours.error());
    println!("Keras's {}: {:.4} ± {:.4}", keras.count, keras.mean, keras.error());
    // One seed says nothing of its spread; it is then taken to be Keras's.
    let (errors, error) = if ours.count > 1.0 { (2.0, ours.error()) } else { (3.0, keras.deviation) };
    let most = errors * error.hypot(keras.error());
    if epochs == EPOCHS && (ours.mean - keras.mean).abs() > most {
        return Err(format!("further than {errors} standard errors, {most:.4}, from Keras's").into());
    }
    Ok(())
}
