//! The same bits for any number of threads, on every run, and from all instructions that fuse multiply-adds.

use super::{EXECUTORS, passes};
use crate::common::{Operands, random};
use locally_connected::cpu::{Executor, Instructions, Threads};
use locally_connected::{Activation, Config, DataFormat, Geometry, Padding, Pattern};

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
        (geometry(Config::new(20, [2, 3]).data_format(DataFormat::ChannelsFirst), &[13, 14, 20]), 7),
        (geometry(Config::new(6, [2, 2, 2]).groups(2), &[4, 9, 8, 4]), 9),
        (geometry(Config::new(700, [40]), &[40, 3]), 9),
        (convolution(Config::new(24, [3, 3]).padding(same.clone()), &[31, 30, 9]), 5),
        (convolution(Config::new(18, [5]).groups(3).strides([2]).activation(Activation::RELU), &[301, 6]), 3),
        (convolution(Config::new(34, [3, 3]).groups(17), &[20, 21, 17]), 3),
        (convolution(Config::new(300, [2, 2]), &[6, 6, 100]), 3),
        (geometry(Config::new(1, [3]), &[7001, 1]), 3),
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
                for run in 0..5 {
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
    assert!(agreed > 0);
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
