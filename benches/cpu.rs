//! Times the CPU executor on the workloads of `locally bench`, and on convolutions and dense layers, to be set beside other
//! libraries.
//!
//! `cargo bench --bench cpu --features cpu -- [--threads N] [--batch 1,8,32] [--time SECONDS] [--instructions avx2] [--streams NUMBERS|none] [--pass NAME] [--dtype f16] [NAME…]`
//!
//! `--streams`: from how many numbers on results are written past the caches. `--pass`: forward, weights or input, alone. `--dtype`:
//! that of the weights as they are stored.
//!
//! Columns: milliseconds of the forward pass, of the gradients by weights and bias, and of the gradient by the input, medians of as
//! many runs as fit the time, six at least, with warm caches; and the rates at which the products of each went by. `cargo xtask audit` counts
//! the instructions of six runs.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use locally_connected::cpu::{Bound, Executor, Instructions, Threads, Weights};
use locally_connected::ops::{GradBias, LocalForward, LocalGradInput, LocalGradWeights, Operation, Shape, Usage};
use locally_connected::program::Program;
use locally_connected::{Activation, Bias, Config, Geometry, Padding, WeightType};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Name, input shape, window, stride, whether padded, filters: the table of docs/cli.md.
type Workload = (&'static str, &'static [usize], &'static [usize], usize, bool, usize);

const WORKLOADS: [Workload; 15] = [
    ("keras-doc-1", &[32, 32, 3], &[3, 3], 1, false, 64),
    ("keras-doc-2", &[30, 30, 64], &[3, 3], 1, false, 32),
    ("keras-doc-1d", &[10, 32], &[3], 1, false, 64),
    ("cifar-local3", &[6, 6, 64], &[3, 3], 1, true, 64),
    ("cifar-local4", &[6, 6, 64], &[3, 3], 1, true, 32),
    ("deepface-l4", &[63, 63, 16], &[9, 9], 1, false, 16),
    ("deepface-l5", &[55, 55, 16], &[7, 7], 2, false, 16),
    ("deepface-l6", &[25, 25, 16], &[5, 5], 1, false, 16),
    ("yolov1-local", &[7, 7, 1024], &[3, 3], 1, true, 256),
    ("alltnn-1", &[150, 150, 3], &[7, 7], 3, false, 64),
    ("alltnn-5", &[8, 8, 256], &[3, 3], 1, false, 256),
    ("signal-1d", &[2048, 1], &[3], 1, false, 1),
    ("snp-onehot", &[500_000, 3], &[1], 1, false, 1),
    ("snp-blocks", &[100_000, 1], &[20], 20, false, 1),
    ("nt3-1d", &[60_483, 1], &[20], 1, false, 128),
];

/// Layers whose locations share their weights: DeepFace's at full size, and some of each kind.
const SHARED: [Workload; 7] = [
    ("deepface-c1", &[152, 152, 3], &[11, 11], 1, false, 32),
    ("deepface-c3", &[71, 71, 32], &[9, 9], 1, false, 16),
    ("conv-3x3-64", &[32, 32, 64], &[3, 3], 1, true, 64),
    ("conv-3x3-512", &[7, 7, 512], &[3, 3], 1, true, 512),
    ("pointwise", &[28, 28, 128], &[1, 1], 1, false, 256),
    ("depthwise", &[56, 56, 128], &[3, 3], 1, true, 0),
    ("deepface-f7", &[1, 7056], &[1], 1, false, 4096),
];

fn layers(dtype: WeightType) -> Vec<(&'static str, Geometry)> {
    let config = |(_, input, taps, stride, padded, filters): Workload, padding: Padding| {
        // No filters: one for each channel.
        let channels = input[input.len() - 1];
        let (filters, groups) = if filters == 0 { (channels, channels) } else { (filters, 1) };
        let padding = if padded { padding } else { Padding::Valid };
        Config::new(filters, taps).strides(vec![stride; taps.len()]).padding(padding).groups(groups).dtype(dtype)
    };
    let unshared = WORKLOADS.map(|w| (w.0, Geometry::new(&config(w, Padding::Same), w.1).expect("a layer")));
    let shared = SHARED.map(|w| {
        let config = config(w, Padding::SameUpper).bias(Bias::PerFilter);
        (w.0, Geometry::convolution(&config, w.1).expect("a layer"))
    });
    unshared.into_iter().chain(shared).collect()
}

struct Options {
    threads: NonZeroUsize,
    batches: Vec<u32>,
    time: Duration,
    instructions: Instructions,
    /// Another number than the executor's own, or none.
    streams: Option<Option<u64>>,
    dtype: WeightType,
    /// One of [`PASSES`], or all.
    pass: Option<usize>,
    names: Vec<String>,
}

fn options() -> Options {
    let mut options = Options {
        threads: std::thread::available_parallelism().unwrap(),
        batches: vec![1, 8, 32],
        time: Duration::from_millis(300),
        instructions: Instructions::best(),
        streams: None,
        dtype: WeightType::F32,
        pass: None,
        names: Vec::new(),
    };
    let given: Vec<String> = std::env::args().skip(1).collect();
    let is = |name: &'static str| move |argument: &String| argument == name;
    if !given.iter().any(is("--bench")) || given.iter().any(is("--test")) {
        // Not to measure but to see that it runs, as criterion's benchmarks do: `cargo test --bench cpu`.
        options.batches = vec![1];
        options.time = Duration::ZERO;
        options.names = vec!["keras-doc-1d".into(), "cifar-local4".into(), "signal-1d".into()];
        return options;
    }
    let mut arguments = given.into_iter().filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value");
        match argument.as_str() {
            "--threads" => options.threads = value().parse().unwrap(),
            "--batch" => options.batches = value().split(',').map(|batch| batch.parse().unwrap()).collect(),
            "--time" => options.time = Duration::from_secs_f64(value().parse().unwrap()),
            "--instructions" => {
                let wanted = value();
                let found =
                    Instructions::available().into_iter().find(|i| format!("{i:?}").eq_ignore_ascii_case(&wanted));
                options.instructions = found.expect("instructions of this processor");
            }
            "--streams" => {
                let wanted = value();
                options.streams = Some((wanted != "none").then(|| wanted.parse().expect("a number, or none")));
            }
            "--dtype" => {
                let wanted = value();
                let known = [("f16", WeightType::F16), ("f32", WeightType::F32)];
                let found = known.into_iter().find(|(name, _)| *name == wanted);
                options.dtype = found.expect("f16 or f32").1;
            }
            "--pass" => {
                let wanted = value();
                let found = PASSES.iter().position(|pass| *pass == wanted);
                options.pass = Some(found.expect("forward, weights or input"));
            }
            _ => options.names.push(argument),
        }
    }
    options
}

const PASSES: [&str; 3] = ["forward", "weights", "input"];

/// The forward pass, and from a given gradient of the output those by weights and bias, and by the input.
fn programs(layer: &Arc<Geometry>) -> [Program; 3] {
    let [mut forward, mut of_weights, mut of_input] = std::array::from_fn(|_| Program::default());
    let (inputs, outputs) = (Shape::Samples(layer.inputs()), Shape::Samples(layer.outputs()));
    let (weights, biases) = (Shape::of_weights(layer), Shape::Fixed(layer.biases()));
    let (layer, implementation, dtype) = (layer.clone(), None, layer.config().dtype);
    let operation = LocalForward {
        layer: layer.clone(),
        implementation,
        activation: Activation::Linear,
        input: forward.add("x", Usage::Input, inputs.clone()),
        weights: forward.add("w", Usage::Parameter, weights.clone()),
        bias: Some(forward.add("b", Usage::Parameter, biases.clone())),
        output: forward.add("y", Usage::Output, outputs.clone()),
    };
    forward.buffers[operation.weights.index()].dtype = dtype;
    forward.operations.push(Operation::LocalForward(operation));
    let given = |program: &mut Program| program.add("dy", Usage::Input, outputs.clone());
    let (input, grad_output) = (of_weights.add("x", Usage::Input, inputs.clone()), given(&mut of_weights));
    let grad_weights = of_weights.add("dw", Usage::Gradient, weights.clone());
    let grad_bias = of_weights.add("db", Usage::Gradient, biases);
    of_weights.operations = vec![
        Operation::LocalGradWeights(LocalGradWeights {
            layer: layer.clone(),
            implementation,
            input,
            grad_output,
            grad_weights,
            accumulate: false,
        }),
        Operation::GradBias(GradBias { layer: layer.clone(), grad_output, grad_bias, accumulate: false }),
    ];
    let grad_output = given(&mut of_input);
    let held = of_input.add("w", Usage::Parameter, weights);
    of_input.buffers[held.index()].dtype = dtype;
    let grad_input = of_input.add("dx", Usage::Output, inputs);
    let operation = LocalGradInput { layer, implementation, weights: held, grad_output, grad_input };
    of_input.operations.push(Operation::LocalGradInput(operation));
    [forward, of_weights, of_input]
}

/// Values that no processor is slow with.
fn values(count: u64) -> Vec<f32> {
    (0..count).map(|i| (i.wrapping_mul(2_654_435_761) % 2001) as f32 / 1000.0 - 1.0).collect()
}

/// The median of a pass's times, in milliseconds: of so many at least as take `time`.
fn median(bound: &mut Bound, program: &Program, weights: &Weights<'_>, time: Duration) -> f64 {
    let batch = bound.batch();
    let arrays = |usage: Usage| {
        let named = |b: &locally_connected::ops::Buffer| (b.name.clone(), values(b.shape.elements(batch)));
        program.used_as(usage).map(named).collect::<Vec<_>>()
    };
    let given = arrays(Usage::Input);
    let mut written = [arrays(Usage::Output), arrays(Usage::Gradient)].concat();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 6 || start.elapsed() < time && times.len() < 10_000 {
        let inputs: Vec<_> = given.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
        let mut outputs: Vec<_> = written.iter_mut().map(|(name, v)| (name.as_str(), v.as_mut_slice())).collect();
        let begin = Instant::now();
        collected_by_callgrind(&mut || bound.run(weights, &inputs, &mut outputs).expect("it runs"));
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let mut times = times.split_off(1);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What `xtask/src/tiles.rs` counts the instructions of.
#[inline(never)]
fn collected_by_callgrind(run: &mut dyn FnMut()) {
    run();
}

fn main() {
    let options = options();
    let threads = Threads::own(options.threads).expect("threads");
    let mut executor = Executor::new(threads).with_instructions(options.instructions);
    if let Some(streams) = options.streams {
        executor = executor.with_streaming_stores(streams);
    }
    println!("{:?}, {} threads", executor.instructions(), executor.threads().count());
    let passes: Vec<usize> = (0..PASSES.len()).filter(|pass| options.pass.is_none_or(|only| only == *pass)).collect();
    let named = passes.iter().map(|&pass| PASSES[pass]).collect::<Vec<_>>().join(", ");
    println!("{:14} {:>5}   milliseconds: {named}   GFLOP/s of each", "", "batch");
    for (name, layer) in layers(options.dtype) {
        if !options.names.is_empty() && !options.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let layer = Arc::new(layer);
        let programs = programs(&layer);
        let mut weights = Weights::new();
        weights.set(&programs[0], "w", values(layer.weights())).expect("the layer's weights");
        weights.insert("b", values(layer.biases()));
        for &batch in &options.batches {
            let took = passes.iter().map(|&pass| {
                let mut bound = executor.bind(&programs[pass], batch).expect("a program");
                median(&mut bound, &programs[pass], &weights, options.time)
            });
            let took: Vec<f64> = took.collect();
            let flops = 2.0 * layer.connected_weights() as f64 * f64::from(batch);
            print!("{name:14} {batch:>5} ");
            took.iter().for_each(|ms| print!(" {ms:>9.4}"));
            took.iter().for_each(|ms| print!(" {:>7.1}", flops / ms * 1e-6));
            println!();
        }
    }
}
