//! Training steps: forward, loss, backward and Adam's update of a batch, everything held between steps. Twice in turns: as a training has
//! them, with weights updated where their gradients are computed (`fused`), and with all gradients kept and the update apart (`apart`).
//!
//! `cargo bench --features cpu,headless --bench train_step -- [MODEL…] [--batch N] [--seconds S] [--threads N] [--gpu] [--json]`, on the host's
//! own threads or, with `--gpu` (which needs the feature `headless`), on the adapter; the peers beside it are `benches/peers/train_step.py`, which takes turns with this program.

#![forbid(unsafe_code)]

mod common;

use common::{Asked, Failure, median};
use locally_connected::cpu::{self, Executor, Threads};
use locally_connected::model::{ActivationLayer, Flatten, Graph, Sequential, names};
use locally_connected::program::Program;
use locally_connected::train::{FanRule, Loss, Optimizer, Run, Runner, Training, initial_parameters};
use locally_connected::{Activation, Config, Result};
use pollster::block_on;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A model and what it is trained for.
struct Case {
    name: &'static str,
    graph: Graph,
    loss: Loss,
    /// Numbers of a sample's target, and how many classes there are where they are classes.
    targets: (usize, Option<usize>),
}

fn cases() -> Result<Vec<Case>> {
    let layer = |name, input: [usize; 3], config: Config| -> Result<Case> {
        let graph = Sequential::new(input).add(config).graph()?;
        let targets = (graph.outputs()[0].elements() as usize, None);
        Ok(Case { name, graph, loss: Loss::MeanSquaredError, targets })
    };
    let relu = |config: Config| config.activation(Activation::RELU);
    let digits = Sequential::new([8, 8, 1])
        .add(relu(Config::local2d(8, 3)))
        .add(relu(Config::local2d(8, 3)))
        .add(Config::local2d(10, 4))
        .add(Flatten::default())
        .add(ActivationLayer(Activation::Softmax))
        .graph()?;
    Ok(vec![
        layer("deepface-l6", [25, 25, 16], Config::local2d(16, 5))?,
        layer("alltnn-5", [8, 8, 256], Config::local2d(256, 3))?,
        Case {
            name: "digits",
            graph: digits,
            loss: Loss::from_keras_name("sparse_categorical_crossentropy")?,
            targets: (1, Some(10)),
        },
    ])
}

/// A training on an executor of its own, and what one of its steps is.
struct Trained<R> {
    runner: R,
    program: Arc<Program>,
    steps: u64,
    /// In milliseconds.
    times: Vec<f64>,
}

/// Rounds in which the two take turns.
const ROUNDS: u32 = 5;
/// Steps of a round that don't count: the first touches all memory, and the other training's is in the caches.
const WARMING: u64 = 2;

impl<R: Runner> Trained<R> {
    fn new(case: &Case, training: &Training, mut runner: R, program: Program) -> Result<Self> {
        block_on(runner.hold(&training.store()))?;
        for (name, values) in &initial_parameters(&case.graph, FanRule::Keras, 1)? {
            block_on(runner.write(name, values))?;
        }
        Ok(Self { runner, program: Arc::new(program), steps: 0, times: Vec::new() })
    }

    /// Steps of a round on a batch of so many samples, one after the other.
    fn round(&mut self, training: &Training, (samples, batch): (&Samples, u32), seconds: f64) -> Result<()> {
        let began = Instant::now();
        for step in 0.. {
            let numbers = training.numbers(self.steps, batch as usize, self.steps as u32).to_floats();
            let Samples { x, y, weights } = samples;
            let inputs: [(&str, &[f32]); 4] =
                [(names::INPUT, x), (names::TARGET, y), (names::SAMPLE_WEIGHT, weights), (names::STEP, &numbers)];
            let start = Instant::now();
            block_on(self.runner.run(Run { program: &self.program, batch, inputs: &inputs }))?;
            self.steps += 1;
            if step >= WARMING {
                self.times.push(start.elapsed().as_secs_f64() * 1e3);
                if step > WARMING && began.elapsed() > Duration::from_secs_f64(seconds) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A batch.
struct Samples {
    x: Vec<f32>,
    y: Vec<f32>,
    weights: Vec<f32>,
}

impl Samples {
    fn new(case: &Case, batch: u32) -> Self {
        let samples = batch as usize;
        let inputs = samples * case.graph.inputs()[0].elements() as usize;
        let (each, classes) = case.targets;
        let target = |i: usize| classes.map_or((i % 1009) as f32 / 1009.0 - 0.5, |classes| (i % classes) as f32);
        Self {
            x: (0..inputs).map(|i| (i % 1013) as f32 / 1013.0 - 0.5).collect(),
            y: (0..samples * each).map(target).collect(),
            weights: vec![1.0; samples],
        }
    }
}

/// Milliseconds of steps of either kind, on executors of one kind.
fn times<R: Runner>(case: &Case, asked: &Asked, runner: impl Fn() -> R) -> Result<[(&'static str, Vec<f64>); 2]> {
    let training = Training::new(&case.graph, Optimizer::adam(), case.loss)?;
    let samples = Samples::new(case, asked.batch);
    let mut fused = Trained::new(case, &training, runner(), training.step())?;
    let mut apart = Trained::new(case, &training, runner(), training.step_with_gradients())?;
    let seconds = asked.seconds / f64::from(ROUNDS) / 2.0;
    for _ in 0..ROUNDS {
        for trained in [&mut fused, &mut apart] {
            trained.round(&training, (&samples, asked.batch), seconds)?;
        }
    }
    Ok([("fused", fused.times), ("apart", apart.times)])
}

#[cfg(feature = "headless")]
fn on_the_adapter(case: &Case, asked: &Asked) -> Result<[(&'static str, Vec<f64>); 2]> {
    use locally_connected::headless::{Gpu, GpuRunner};
    let gpu = block_on(Gpu::new())?;
    times(case, asked, || GpuRunner::new(&gpu))
}

#[cfg(not(feature = "headless"))]
fn on_the_adapter(_: &Case, _: &Asked) -> Result<[(&'static str, Vec<f64>); 2]> {
    Err(locally_connected::Error::Missing { what: "an adapter", why: "--gpu needs the feature headless" })
}

fn main() -> std::result::Result<(), Failure> {
    let asked = Asked::read(32, &["--gpu", "--json"])?;
    let pool = asked.pool()?;
    for case in cases()? {
        if !asked.names.is_empty() && !asked.names.iter().any(|name| name == case.name) {
            continue;
        }
        let measured = if asked.has("--gpu") {
            on_the_adapter(&case, &asked)?
        } else {
            let runner = || cpu::Runner::new(Executor::new(Threads::current_pool()));
            pool.install(|| times(&case, &asked, runner))?
        };
        for (update, mut times) in measured {
            let median = median(&mut times);
            let (least, most) = (times[0], times[times.len() - 1]);
            let (name, batch, steps) = (case.name, asked.batch, times.len());
            if asked.has("--json") {
                let all: Vec<String> = times.iter().map(|time| format!("{time:.6}")).collect();
                let all = all.join(", ");
                println!("{{\"model\": \"{name}\", \"update\": \"{update}\", \"batch\": {batch}, \"ms\": [{all}]}}");
            } else {
                println!("{name:12} {update} batch {batch}: {median:.4} ms ({least:.4} … {most:.4}, {steps} steps)");
            }
        }
    }
    Ok(())
}
