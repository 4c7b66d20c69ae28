//! Trains and predicts on the host's threads for so many minutes, at constant memory: `soak [MINUTES]`, for `cargo xtask soak`.
//!
//! What the process holds is read each second. From the first minute on, or a fifth of a shorter run, it may grow by 2 MiB, which is
//! what an allocator's own pages come and go by; a leak of 100 bytes a step would be tens of them.

#![forbid(unsafe_code)]

use locally_connected::headless::{Cpu, Device, DeviceOptions};
use locally_connected::model::{Convolution, Dense, Flatten, Graph, Model, NoiseLayer, Sequential};
use locally_connected::ops::RandomKind;
use locally_connected::train::{
    Data, FanRule, FitOptions, Goal, Loss, Metric, Optimizer, Trainer, Training, initial_parameters,
};
use locally_connected::{Activation, Bias, Config, Padding, WeightType};
use std::error::Error;
use std::time::{Duration, Instant};

const MOST_GROWTH: u64 = 2 << 20;
const SAMPLES: usize = 96;

/// Bytes that are resident, as Linux counts them.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: u64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(1024 * kilobytes)
}

/// Layers of every kind of kernel, one of them with weights of this type.
fn layers(dtype: WeightType) -> Result<Graph, Box<dyn Error>> {
    let convolution = Config::new(4, [3, 3]).padding(Padding::Same).bias(Bias::PerFilter);
    let layers = Sequential::new([8, 8, 1])
        .add(Convolution(convolution.activation(Activation::RELU)))
        .add(Config::local2d(8, 3).activation(Activation::RELU))
        .add(NoiseLayer::new(RandomKind::Dropout { rate: 0.2 }))
        .add(Config::local2d(8, 3).activation(Activation::Tanh).dtype(dtype))
        .add(Flatten::default())
        .add(Dense::new(10).activation(Activation::Softmax));
    Ok(layers.graph()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let minutes: f64 = std::env::args().nth(1).unwrap_or_else(|| "60".into()).parse()?;
    let whole = Duration::from_secs_f64(60.0 * minutes);
    let settled = Duration::from_secs(60).min(whole / 5);
    // Weights in 16 bits aren't trained: predictions round those of one layer.
    let (graph, rounded) = (layers(WeightType::F32)?, layers(WeightType::F16)?);
    let (x, y): (Vec<f32>, Vec<f32>) = (
        (0..SAMPLES * 64).map(|i| (i * 31 % 97) as f32 / 97.0).collect(),
        (0..SAMPLES).map(|i| (i * 7 % 10) as f32).collect(),
    );
    let device = Device::Cpu(Cpu::new(&DeviceOptions::default())?);
    let goal = Goal::new(Loss::from_keras_name("sparse_categorical_crossentropy")?).metric(Metric::accuracy());
    let training = || Training::new(&graph, Optimizer::adam(), goal.clone());
    let parameters = initial_parameters(&graph, FanRule::Keras, 1)?;
    let (start, mut told) = (Instant::now(), Duration::ZERO);
    let (mut fits, mut predictions, mut resumed) = (0u64, 0u64, 0u64);
    // Bytes once it is settled, and the most after that.
    let (mut settled_at, mut most) = (None, 0);
    pollster::block_on(async {
        let mut trainer = Trainer::new(device.runner(), training()?, &parameters).await?;
        while start.elapsed() < whole {
            let epochs = trainer.epochs();
            let options = FitOptions::new().batch_size(32).initial_epoch(epochs).epochs(epochs + 1);
            trainer.fit(&Data::new(&x, &y), &options, &mut []).await?;
            trainer.evaluate(&Data::new(&x, &y), 32).await?;
            fits += 1;
            if fits.is_multiple_of(10) {
                let model = Model { graph: rounded.clone(), parameters: trainer.parameters().await? };
                let loaded = device.upload(&model).await?;
                // Batches of other sizes, as hosts have them.
                for samples in [1, 5, 32, SAMPLES] {
                    loaded.run(&x[..64 * samples]).await?;
                    trainer.predict(&[("input", &x[..64 * samples])], 32).await?;
                    predictions += 2;
                }
            }
            if fits.is_multiple_of(50) {
                // As a host that ended and starts again from what it has written.
                let state = trainer.state().await?;
                trainer = Trainer::new(device.runner(), training()?, &parameters).await?;
                trainer.restore(&state).await?;
                resumed += 1;
            }
            let now = resident()?;
            if start.elapsed() >= settled {
                settled_at.get_or_insert(now);
                most = most.max(now);
            }
            if start.elapsed() >= told {
                told += (whole / 10).max(Duration::from_secs(10));
                println!(
                    "{:6.1} min: {fits} fits, {predictions} predictions, {now} bytes",
                    start.elapsed().as_secs_f64() / 60.0
                );
            }
        }
        Ok::<(), Box<dyn Error>>(())
    })?;
    let settled_at = settled_at.ok_or("the run was too short")?;
    let growth = most.saturating_sub(settled_at);
    println!(
        "{minutes} min: {fits} fits of 3 steps and as many evaluations, {predictions} predictions, resumed {resumed} times; {settled_at} bytes after \
         {settled:?}, at most {growth} more after that"
    );
    if growth > MOST_GROWTH {
        return Err(format!("memory grew by {growth} bytes").into());
    }
    Ok(())
}
