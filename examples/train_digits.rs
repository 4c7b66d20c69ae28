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
//! `--seeds N` trains with each of the seeds from 0 to N - 1 and gives the mean test accuracy, which docs/training.md compares with
//! Keras's; `--device NAME` trains on the first adapter of that name, or with `cpu` on the host's threads, which is the default;
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

/// What the command line asks for.
struct Asked {
    seeds: u64,
    epochs: usize,
    device: String,
    csv: Option<String>,
}

fn asked() -> Result<Asked, Box<dyn Error>> {
    let mut asked = Asked { seeds: 1, epochs: 30, device: "cpu".into(), csv: None };
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
    let count = accuracies.len() as f64;
    let mean = accuracies.iter().sum::<f64>() / count;
    let variance = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    println!("mean test accuracy of {count} seeds: {mean:.4} ± {:.4}", (variance / count).sqrt());
    Ok(())
}
