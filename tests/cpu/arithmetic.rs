//! The same bits for any number of threads, on every run, and from all instructions that fuse multiply-adds.

use super::{EXECUTORS, given, graph, passes, run};
use crate::common::{GRADIENT, Operands, assert_near, random};
use locally_connected::cpu::{Executor, Instructions, Threads};
use locally_connected::model::{Wanted, names};
use locally_connected::ops::Usage;
use locally_connected::{Activation, Config, DataFormat, Geometry, Padding, Pattern, WeightType};
use std::ops::Range;

/// Large enough to be shared among threads, and of every kind of kernel.
fn layers() -> Vec<(Geometry, u64)> {
    let geometry = |config: Config, shape: &[usize]| Geometry::new(&config, shape).expect("a layer");
    let convolution = |config: Config, shape: &[usize]| Geometry::convolution(&config, shape).expect("a layer");
    let same = Padding::Same;
    let pairs: Vec<(u32, u32)> = (0..9000u32).map(|i| (i * 7 % 500, i * 13 % 301)).collect();
    let (pattern, _) = Pattern::from_coo(500, 301, &pairs).expect("a pattern");
    vec![
        (geometry(Config::new(67, [3]).activation(Activation::Softmax), &[67, 3]), 5),
        (geometry(Config::new(24, [3, 3]).padding(same.clone()).activation(Activation::RELU), &[12, 11, 9]), 17),
        (geometry(Config::new(20, [2, 3]).data_format(DataFormat::ChannelsFirst), &[10, 9, 20]), 7),
        (geometry(Config::new(6, [2, 2, 2]).groups(2), &[4, 9, 8, 4]), 9),
        (geometry(Config::new(700, [40]), &[40, 3]), 9),
        (geometry(Config::new(13, [3, 2]), &[9, 9, 21]), 1),
        (convolution(Config::new(24, [3, 3]).padding(same.clone()), &[17, 16, 9]), 5),
        (convolution(Config::new(18, [5]).groups(3).strides([2]).activation(Activation::RELU), &[301, 6]), 3),
        (convolution(Config::new(34, [3, 3]).groups(17), &[14, 13, 17]), 3),
        (convolution(Config::new(300, [2, 2]), &[4, 4, 100]), 3),
        (geometry(Config::new(1, [3]), &[7001, 1]), 3),
        (geometry(Config::new(1, [7]).padding(same.clone()), &[3001, 1]), 5),
        (geometry(Config::new(1, [20]).strides([20]), &[9001, 1]), 3),
        (geometry(Config::new(1, [1]), &[5000, 3]), 5),
        (Geometry::from_pattern(pattern, 9, locally_connected::Bias::None, Activation::Linear).expect("a layer"), 6),
    ]
}

/// Values near 1 whose products have bits that one rounding keeps and two don't.
fn near_one(seed: u64, count: usize) -> Vec<f32> {
    let value = |v: &f32| (1.0 + (v * 8.0).round() / 4096.0) * if *v > 0.5 { -1.0 } else { 1.0 };
    random(seed, count as u64).iter().map(value).collect()
}

fn operands(layer: &Geometry, batch: u64) -> Operands {
    let mut operands = Operands::random(layer, batch, 4);
    let Operands { input, weights, bias, grad_output } = &mut operands;
    for (values, seed) in [input, weights, bias, grad_output].into_iter().zip(1..) {
        *values = near_one(seed, values.len());
    }
    operands
}

fn bits(results: &[Vec<f32>]) -> Vec<u32> {
    results.iter().flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn same_bits_whatever_the_threads_and_runs() {
    for (layer, batch) in layers() {
        let operands = operands(&layer, batch);
        for instructions in Instructions::available() {
            let alone = Executor::default().with_instructions(instructions);
            let first = bits(&passes(&alone, &layer, batch as u32, &operands));
            assert!(first.iter().any(|&bits| bits != 0), "all zero, so this shows nothing");
            let mut runs = 0;
            for (name, executor) in EXECUTORS.iter().filter(|(_, e)| e.instructions() == instructions) {
                for run in 0..2 {
                    let again = bits(&passes(executor, &layer, batch as u32, &operands));
                    let differs = again.iter().zip(&first).position(|(a, b)| a != b);
                    assert_eq!(differs, None, "run {run} by {name} of {:?}", layer.config());
                    runs += 1;
                }
            }
            assert!(runs > 0);
        }
    }
}

#[test]
fn same_bits_in_the_host_s_pool() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
    for (layer, batch) in layers() {
        let operands = operands(&layer, batch);
        let alone = passes(&Executor::default(), &layer, batch as u32, &operands);
        let executor = Executor::new(Threads::current_pool());
        assert_eq!(pool.install(|| executor.threads().count()), 3);
        let inside = pool.install(|| passes(&executor, &layer, batch as u32, &operands));
        assert!(
            bits(&inside) == bits(&alone) && bits(&passes(&executor, &layer, batch as u32, &operands)) == bits(&alone)
        );
    }
}

/// Samples of the whole batch, and how it is cut: into kernels for few samples and for many, and remainders of tiles.
const SAMPLES: usize = 17;
const CUTS: [&[usize]; 4] = [&[1, 1, 15], &[8, 9], &[16, 1], &[2, 5, 10]];
/// From this many samples on the gradients of inputs are summed in one order: docs/numbers.md.
const MANY: usize = 8;

/// Some samples of a batch of [`SAMPLES`].
fn part(values: &[f32], samples: Range<usize>) -> Vec<f32> {
    let one = values.len() / SAMPLES;
    values[one * samples.start..one * samples.end].to_vec()
}

/// What a sample's output is doesn't depend on the batch that it is in, nor the gradient of its input on which of many samples it is;
/// gradients of weights that are added up batch by batch are near those of all samples together.
#[test]
fn a_sample_has_the_same_bits_in_any_batch() {
    let mut layers = layers();
    for (filters, shape) in [(30, [9, 5]), (15, [70, 20])] {
        let gelu = Activation::Gelu { approximate: true };
        let config = Config::new(filters, [3]).activation(gelu).dtype(WeightType::F16);
        layers.push((Geometry::new(&config, &shape).expect("a layer"), 0));
    }
    layers.push((Geometry::dense(33, &[40], true, Activation::LogSoftmax).expect("a layer"), 0));
    layers.push((Geometry::convolution(&Config::new(7, [1]), &[21, 5]).expect("a layer"), 0));
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    for (layer, _) in layers {
        let operands = operands(&layer, SAMPLES as u64);
        let (graph, all) = (graph(&layer), given(&operands));
        let (forward, backward) = (graph.forward(), graph.backward(Wanted::All).accumulating());
        let gradients: Vec<String> = backward.used_as(Usage::Gradient).map(|buffer| buffer.name.clone()).collect();
        // More threads and fewer have the same bits, as the tests above show.
        for (name, executor) in EXECUTORS.iter().filter(|(_, executor)| executor.threads().count() == 2) {
            let whole = passes(executor, &layer, SAMPLES as u32, &operands);
            assert!(whole[0].iter().any(|&value| value != 0.0), "all zero, so this shows nothing");
            for cut in CUTS {
                let what = |result: &str| format!("{result} by {name} of {:?}, cut {cut:?}", layer.config());
                let (mut outputs, mut inputs, mut first) = (Vec::new(), Vec::new(), 0);
                let mut given = all.clone();
                given.extend(gradients.iter().map(|gradient| {
                    let count = backward.used_as(Usage::Gradient).find(|buffer| buffer.name == *gradient);
                    (gradient.clone(), vec![0.0; count.expect("it is there").shape.elements(0) as usize])
                }));
                for &samples in cut {
                    let samples = first..first + samples;
                    for (buffer, values) in
                        [(names::INPUT, &operands.input), (names::GRAD_OUTPUT, &operands.grad_output)]
                    {
                        given.insert(buffer.into(), part(values, samples.clone()));
                    }
                    let mut written = run(executor, &forward, samples.len() as u32, &given).expect("it runs");
                    outputs.extend(written.remove(names::OUTPUT).expect("it is written"));
                    let mut written = run(executor, &backward, samples.len() as u32, &given).expect("it runs");
                    inputs.extend(written.remove(names::GRAD_INPUT).expect("it is written"));
                    written.remove(names::OUTPUT);
                    given.extend(written);
                    first = samples.end;
                }
                assert!(bits(&[outputs]) == bits(&whole[..1]), "{}", what("output"));
                if cut.iter().all(|&samples| samples >= MANY) {
                    assert!(bits(&[inputs]) == bits(&whole[1..2]), "{}", what("gradient of the input"));
                } else {
                    assert_near(what("gradient of the input"), &inputs, &wide(&whole[1]), GRADIENT);
                }
                for (gradient, whole) in gradients.iter().zip(&whole[2..]) {
                    assert_near(what(gradient), &given[gradient], &wide(whole), GRADIENT);
                }
            }
        }
    }
}

/// All that fuse multiply-adds agree, and all that don't; these values tell the two apart.
#[test]
fn like_instructions_agree() {
    let mut agreed = 0;
    for (layer, batch) in layers() {
        let operands = operands(&layer, batch);
        let results = |fused: bool| {
            let rounds_twice = |i: &Instructions| matches!(i, Instructions::Portable | Instructions::Simd128);
            let like: Vec<_> = Instructions::available().into_iter().filter(|i| rounds_twice(i) != fused).collect();
            let run = |instructions: Instructions| {
                let executor = Executor::default().with_instructions(instructions);
                bits(&passes(&executor, &layer, batch as u32, &operands))
            };
            like.into_iter().map(|instructions| (instructions, run(instructions))).collect::<Vec<_>>()
        };
        let (fused, rounded) = (results(true), results(false));
        for like in [&fused, &rounded] {
            for pair in like.windows(2) {
                let differs = pair[0].1.iter().zip(&pair[1].1).position(|(a, b)| a != b);
                assert_eq!(differs, None, "{:?} and {:?} of {:?}", pair[0].0, pair[1].0, layer.config());
                agreed += 1;
            }
        }
        if layer.config().activation == Activation::Linear && layer.pattern().is_none() && layer.filters() > 1 {
            let outputs = operands.grad_output.len();
            assert!(bits(&[in_order(&layer, &operands, batch)]) == rounded[0].1[..outputs], "{:?}", layer.config());
            assert!(fused.iter().all(|(_, bits)| bits[..outputs] != rounded[0].1[..outputs]), "{:?}", layer.config());
        }
    }
    // Others have one kind of each, which has nobody to agree with.
    #[cfg(target_arch = "x86_64")]
    assert!(agreed > 0 || !is_x86_feature_detected!("avx512f"));
}

/// Instructions of another processor are the best of this one.
#[test]
fn instructions_that_are_not_there_are_the_best() {
    let every =
        [Instructions::Portable, Instructions::Avx2, Instructions::Avx512, Instructions::Neon, Instructions::Simd128];
    let absent: Vec<_> = every.into_iter().filter(|i| !Instructions::available().contains(i)).collect();
    assert!(!absent.is_empty(), "no processor has all");
    let (layer, batch) = &layers()[0];
    let operands = operands(layer, *batch);
    let run = |executor: Executor| bits(&passes(&executor, layer, *batch as u32, &operands));
    for instructions in absent {
        let found = run(Executor::default().with_instructions(instructions));
        assert!(found == run(Executor::default()), "{instructions:?}");
    }
}

/// The forward pass with each product rounded, in the order of the weights.
fn in_order(layer: &Geometry, operands: &Operands, batch: u64) -> Vec<f32> {
    let inputs = layer.inputs() as usize;
    let (groups, channels, filters) = (layer.groups(), layer.group_channels(), layer.group_filters());
    let mut output = vec![0.0; operands.grad_output.len()];
    for n in 0..batch as usize {
        for cell in 0..layer.cells() {
            let (p, g) = (cell / groups, cell % groups);
            for f in 0..filters {
                let at = layer.output_index(p, g * filters + f) as usize;
                let mut sum = operands.bias[at];
                for k in 0..layer.window() {
                    let Some(position) = layer.tap(p, k / channels) else { continue };
                    let x =
                        operands.input[n * inputs + layer.input_index(position, g * channels + k % channels) as usize];
                    sum +=
                        x * operands.weights[((layer.weight_cell(cell) * layer.window() + k) * filters + f) as usize];
                }
                output[n * layer.outputs() as usize + at] = sum;
            }
        }
    }
    output
}
