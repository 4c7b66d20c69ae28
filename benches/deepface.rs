//! DeepFace at full size on the host's own threads, whole and in parts: its convolutions and pooling, its locally connected layers, its dense
//! ones. `cargo bench --features cpu --bench deepface -- [PART…] [--batch N] [--seconds S] [--threads N]` prints milliseconds of forward passes.
//! With `--turns` it is a worker of `benches/peers/deepface.py`: it says `ready`, and for each line that it reads times one turn.

#![forbid(unsafe_code)]

mod common;

use common::{Asked, Failure, median};
use locally_connected::cpu::{Executor, Threads, Weights};
use locally_connected::model::{Convolution, Dense, Flatten, Pooling, Sequential, names};
use locally_connected::ops::{PoolKind, Usage};
use locally_connected::program::Program;
use locally_connected::{Activation, Bias, Config, Padding};
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

/// What can be measured.
const PARTS: [&str; 4] = ["convolutions", "local", "dense", "whole"];

/// The forward pass of a part, or of all three. Sizes are github.com/swghosh/DeepFace's.
fn part(name: &str) -> Result<Program, Failure> {
    let relu = |config: Config| config.activation(Activation::RELU);
    let convolution =
        |filters, size: usize| Convolution(relu(Config::new(filters, [size, size])).bias(Bias::PerFilter));
    let local = |filters, size: usize| relu(Config::local2d(filters, size));
    let pool = Pooling { strides: vec![2, 2], padding: Padding::SameUpper, ..Pooling::new(PoolKind::Max, [3, 3]) };
    let convolutions = |model: Sequential| model.add(convolution(32, 11)).add(pool).add(convolution(16, 9));
    let locals = |model: Sequential| model.add(local(16, 9)).add(local(16, 7).strides(2)).add(local(16, 5));
    let dense = |model: Sequential| {
        let hidden = Dense::new(4096).activation(Activation::RELU);
        model.add(Flatten::default()).add(hidden).add(Dense::new(8631).activation(Activation::Softmax))
    };
    let image = || Sequential::new([152, 152, 3]);
    let model = match name {
        "convolutions" => convolutions(image()),
        "local" => locals(Sequential::new([63, 63, 16])),
        "dense" => dense(Sequential::new([21, 21, 16])),
        "whole" => dense(locals(convolutions(image()))),
        other => return Err(format!("{other} is no part; {} are", PARTS.join(", ")).into()),
    };
    Ok(model.graph()?.forward())
}

/// Times one turn of at least that long, after one pass that warms up: milliseconds of each pass.
fn turn(seconds: f64, mut pass: impl FnMut() -> locally_connected::Result<()>) -> locally_connected::Result<Vec<f64>> {
    pass()?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || began.elapsed() < Duration::from_secs_f64(seconds) {
        let start = Instant::now();
        pass()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// The most memory that this process held at once, in MB, where the system says.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1000)
}

fn main() -> Result<(), Failure> {
    let asked = Asked::read(1, &["--turns"])?;
    let pool = asked.pool()?;
    let all = PARTS.map(str::to_owned);
    for name in if asked.names.is_empty() { &all[..] } else { &asked.names[..] } {
        let program = part(name)?;
        let mut weights = Weights::new();
        let mut values = 0x9e37_79b9_u32;
        let mut next = || {
            values = values.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Sums over thousands of terms stay of the order of one.
            (values >> 8) as f32 / (1 << 24) as f32 * 0.06 - 0.03
        };
        let elements = |usage| {
            let buffers =
                program.used_as(usage).map(|buffer| (buffer.name.clone(), buffer.shape.elements(asked.batch)));
            buffers.collect::<Vec<_>>()
        };
        for (name, elements) in elements(Usage::Parameter) {
            weights.insert(name, (0..elements).map(|_| next()).collect::<Vec<f32>>());
        }
        let [(input, inputs)] = &elements(Usage::Input)[..] else { return Err("a model of one input".into()) };
        let [(output, outputs)] = &elements(Usage::Output)[..] else { return Err("a model of one output".into()) };
        assert_eq!(input, names::INPUT);
        let x: Vec<f32> = (0..*inputs).map(|_| 30.0 * next()).collect();
        let mut y = vec![0.0; *outputs as usize];
        pool.install(|| -> Result<(), Failure> {
            let mut bound = Executor::new(Threads::current_pool()).bind(&program, asked.batch)?;
            let mut time = || turn(asked.seconds, || bound.run(&weights, &[(input, &x)], &mut [(output, &mut y)]));
            if !asked.has("--turns") {
                println!("{name:12} batch {:3}: {:.3} ms", asked.batch, median(&mut time()?));
                return Ok(());
            }
            println!("ready");
            for line in std::io::stdin().lock().lines() {
                line?;
                let times: Vec<String> = time()?.iter().map(|time| format!("{time:.4}")).collect();
                println!("{{\"ms\": [{}], \"peak_mb\": {}}}", times.join(", "), peak_megabytes().unwrap_or(0));
                std::io::stdout().flush()?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
