//! Training steps on the host's own threads: forward, loss, backward and Adam's update of a batch, everything held between steps.
//! `cargo bench --features cpu --bench train_step -- [MODEL…] [--batch N] [--seconds S] [--threads N] [--json]`; the peers beside it are
//! `benches/peers/train_step.py`, which takes turns with this program.

use locally_connected::cpu::{self, Executor, Threads};
use locally_connected::model::{ActivationLayer, Flatten, Graph, Sequential, names};
use locally_connected::train::{FanRule, Loss, Optimizer, Run, Runner, Training, initial_parameters};
use locally_connected::{Activation, Config, Result};
use pollster::block_on;
use std::num::NonZeroUsize;
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

/// What the command line asks for.
struct Asked {
    names: Vec<String>,
    batch: u32,
    seconds: f64,
    threads: Option<NonZeroUsize>,
    json: bool,
}

fn asked() -> std::result::Result<Asked, String> {
    let mut asked = Asked { names: Vec::new(), batch: 32, seconds: 1.0, threads: None, json: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|text| text.parse::<f64>().ok()).ok_or(format!("{word} needs a number"));
        match word.as_str() {
            "--batch" => asked.batch = number()? as u32,
            "--seconds" => asked.seconds = number()?,
            "--threads" => asked.threads = NonZeroUsize::new(number()? as usize),
            "--json" => asked.json = true,
            // What `cargo bench` itself adds.
            "--bench" => {}
            name => asked.names.push(name.to_owned()),
        }
    }
    Ok(asked)
}

/// Milliseconds of steps, one after the other.
fn times(case: &Case, asked: &Asked) -> Result<Vec<f64>> {
    let training = Training::new(&case.graph, Optimizer::adam(), case.loss)?;
    let mut runner = cpu::Runner::new(Executor::new(Threads::current_pool()));
    let parameters = initial_parameters(&case.graph, FanRule::Keras, 1)?;
    let program = Arc::new(training.step());
    block_on(runner.hold(&training.store()))?;
    for (name, values) in &parameters {
        block_on(runner.write(name, values))?;
    }
    let samples = asked.batch as usize;
    let inputs = samples * case.graph.inputs()[0].elements() as usize;
    let x: Vec<f32> = (0..inputs).map(|i| (i % 1013) as f32 / 1013.0 - 0.5).collect();
    let (each, classes) = case.targets;
    let target = |i: usize| classes.map_or((i % 1009) as f32 / 1009.0 - 0.5, |classes| (i % classes) as f32);
    let y: Vec<f32> = (0..samples * each).map(target).collect();
    let weights = vec![1.0; samples];
    let mut times = Vec::new();
    let began = Instant::now();
    for step in 0.. {
        let numbers = training.numbers(step, samples, step as u32).to_floats();
        let inputs: [(&str, &[f32]); 4] =
            [(names::INPUT, &x), (names::TARGET, &y), (names::SAMPLE_WEIGHT, &weights), (names::STEP, &numbers)];
        let start = Instant::now();
        block_on(runner.run(Run { program: &program, batch: asked.batch, inputs: &inputs }))?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if times.len() > 5 && began.elapsed() > Duration::from_secs_f64(asked.seconds) {
            break;
        }
    }
    // The first touches all memory.
    Ok(times.split_off(2))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let asked = asked()?;
    let threads = rayon::ThreadPoolBuilder::new().num_threads(asked.threads.map_or(0, NonZeroUsize::get)).build()?;
    for case in cases()? {
        if !asked.names.is_empty() && !asked.names.iter().any(|name| name == case.name) {
            continue;
        }
        let mut times = threads.install(|| times(&case, &asked))?;
        times.sort_by(f64::total_cmp);
        let (median, least, most) = (times[times.len() / 2], times[0], times[times.len() - 1]);
        if asked.json {
            let all: Vec<String> = times.iter().map(|time| format!("{time:.6}")).collect();
            println!("{{\"model\": \"{}\", \"batch\": {}, \"ms\": [{}]}}", case.name, asked.batch, all.join(", "));
        } else {
            let steps = times.len();
            println!("{:12} batch {}: {median:.4} ms ({least:.4} … {most:.4}, {steps} steps)", case.name, asked.batch);
        }
    }
    Ok(())
}
