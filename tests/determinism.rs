//! The same bits on every run: nothing is added atomically, no order of summation depends on scheduling, and no kernel reads
//! what nobody wrote.

use crate::common::{
    Arrays, GPU, GRADIENT, Operands, ProgramRun, assert_near, context, implementations, plans, profile, random, runs,
};
use locally_connected::kernels::variants;
use locally_connected::model::{BatchNormalization, Flatten, LayerNormalization, Mode, Sequential, Wanted};
use locally_connected::ops::{Shape, Usage};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{
    Activation, Backward, Bias, Config, Context, DataFormat, DeviceProfile, Forward, Geometry, Implementation,
    LocallyConnected, Padding, wgpu,
};
use std::collections::BTreeSet;

const RUNS: usize = 100;
/// Each takes as long as several of those that aren't cut.
const RUNS_WHEN_CUT: usize = 30;

/// Layers that between them run every kernel with workgroup memory, with their batch.
fn layers() -> Vec<(Geometry, u64)> {
    let geometry = |config: Config, shape: &[usize]| Geometry::new(&config, shape).expect("a layer");
    let same = Padding::Same;
    vec![
        (geometry(Config::new(67, [3]).activation(Activation::Softmax), &[67, 3]), 5),
        (geometry(Config::new(8, [3, 3]).padding(same).activation(Activation::Tanh), &[6, 7, 4]), 17),
        (
            geometry(
                Config::new(5, [2, 3]).activation(Activation::Softmax).data_format(DataFormat::ChannelsFirst),
                &[3, 4, 20],
            ),
            3,
        ),
        (geometry(Config::new(6, [2, 2, 2]).groups(2).bias(Bias::PerFilter), &[4, 5, 6, 4]), 9),
        (Geometry::convolution(&Config::new(12, [3, 3]).bias(Bias::PerFilter), &[14, 15, 4]).expect("a layer"), 9),
        (geometry(Config::new(64, [17]).activation(Activation::Swish), &[17, 16]), 65),
        (geometry(Config::new(1, [3]).activation(Activation::RELU).padding(Padding::Circular), &[301, 1]), 1),
    ]
}

/// A layer with its passes bound once and all their results.
struct Run {
    layer: LocallyConnected,
    passes: [locally_connected::Bound; 2],
    results: Vec<wgpu::Buffer>,
    /// All of them one after the other, to be read at once.
    together: wgpu::Buffer,
    kernel: locally_connected::Tensor,
}

impl Run {
    async fn new(context: &Context, geometry: &Geometry, batch: u64, operands: &Operands) -> Self {
        let layer = operands.layer(context, geometry).await.expect("a layer");
        let kernel = layer.create_weights_gradient().await.expect("memory");
        let (x, dy) = (GPU.upload(&operands.input), GPU.upload(&operands.grad_output));
        let [y, z] = [(); 2].map(|()| GPU.empty(batch * geometry.outputs()));
        let (dx, db) = (GPU.empty(batch * geometry.inputs()), GPU.empty(geometry.biases()));
        let batch = batch as u32;
        let forward = Forward { batch, input: &x, output: &y, pre_activation: Some(&z) };
        let backward = Backward {
            batch,
            input: Some(&x),
            output: Some(&y),
            pre_activation: Some(&z),
            grad_output: &dy,
            grad_input: Some(&dx),
            grad_weights: Some(&kernel),
            grad_bias: Some(&db),
            accumulate: false,
        };
        let passes =
            [layer.bind_forward(forward).await.expect("a plan"), layer.bind_backward(backward).await.expect("a plan")];
        let results = vec![y, z, dx, db];
        let together = GPU.empty(results.iter().map(|result| result.size() / 4).sum());
        Self { layer, passes, results, together, kernel }
    }

    /// Runs both passes over results of before and gives all new ones, the gradient of the weights first.
    async fn values(&self) -> Vec<Vec<f32>> {
        GPU.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            self.passes.iter().for_each(|bound| bound.record(&mut pass));
            drop(pass);
            let mut offset = 0;
            for result in &self.results {
                encoder.copy_buffer_to_buffer(result, 0, &self.together, offset, result.size());
                offset += result.size();
            }
        });
        let weights = GPU.read_weights(&self.layer, &self.kernel).await.expect("the device is there");
        let together = GPU.read(&self.together, self.together.size() / 4).await.expect("the device is there");
        let mut rest = together.as_slice();
        let others = self.results.iter().map(|result| {
            let (values, after) = rest.split_at(result.size() as usize / 4);
            rest = after;
            values.to_vec()
        });
        std::iter::once(weights).chain(others).collect()
    }

    /// The bits of all results of another run.
    async fn bits(&self) -> Vec<u32> {
        self.values().await.into_iter().flatten().map(f32::to_bits).collect()
    }
}

#[test]
fn same_bits_in_100_runs() {
    pollster::block_on(async {
        for (geometry, batch) in layers() {
            for (implementation, profile) in runs(&Implementation::ALL, &geometry, &profile()) {
                let geometry = geometry.with_implementation(implementation);
                let operands = Operands::random(&geometry, batch, 8);
                let run = Run::new(&context(&profile), &geometry, batch, &operands).await;
                let first = run.bits().await;
                assert!(first.iter().any(|&bits| bits != 0), "all zero, so this shows nothing");
                for number in 1..RUNS {
                    assert!(run.bits().await == first, "run {number} of {:?}", geometry.config());
                }
            }
        }
    });
}

/// Programs that between them run every other kernel with workgroup memory, with their batch: one that transposes, training's
/// one of what normalises rows by their own mean, whose gamma's gradient is a sum, one of what normalises by the batch, one of losses, and
/// one of sums over whole buffers.
fn programs() -> [(Program, u32); 5] {
    let flatten = Flatten { data_format: DataFormat::ChannelsFirst };
    let transposing = Sequential::new([19, 35]).add(flatten).add(Activation::Softmax);
    let normalisation = LayerNormalization { axes: vec![1], epsilon: 1e-3, center: true, scale: true };
    let normalising = Sequential::new([19, 35]).add(normalisation);
    let by_batch = BatchNormalization { axis: 1, epsilon: 1e-3, momentum: 0.9, center: true, scale: true };
    let by_batch = Sequential::new([19, 35]).add(by_batch);
    let graph = |layers: Sequential| layers.graph().expect("layers");
    [
        (graph(transposing).forward(), 7),
        (graph(normalising).backward(Wanted::All), 7),
        (graph(by_batch).backward_in(Mode::Training { seed: 1 }, Wanted::All), 7),
        (crate::losses::every_kernel(), 7),
        (crate::updates::totals(9000), 7),
    ]
}

#[test]
fn same_bits_of_programs_in_100_runs() {
    for (program, batch) in programs() {
        let given = program.buffers.iter().zip(program.given()).zip(3..).filter(|((_, given), _)| *given);
        let values = |shape: &Shape, seed| random(seed, shape.elements(batch));
        let given: Arrays =
            given.map(|((buffer, _), seed)| (buffer.name.clone(), values(&buffer.shape, seed))).collect();
        let run = ProgramRun::new(&program, batch, &given, &profile()).expect("it runs");
        let averages: BTreeSet<&String> = program.used_as(Usage::Parameter).map(|buffer| &buffer.name).collect();
        let bits = || {
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            // Averages go on from run to run.
            let written = run.run().into_iter().filter(|(name, _)| !averages.contains(name));
            written.map(|(name, values)| (name, bits(values))).collect::<Vec<_>>()
        };
        let first = bits();
        for (name, values) in &first {
            assert!(values.iter().any(|&bits| bits != 0), "{name} is all zero, so this shows nothing");
        }
        for number in 1..RUNS {
            let again = bits();
            let other = again.iter().zip(&first).find(|(again, first)| again != first).map(|((name, _), _)| name);
            assert_eq!(other, None, "run {number}");
        }
    }
}

/// Another layer, other buffers, pipelines compiled anew, and other work on the device between: still the same bits.
#[test]
fn same_bits_in_other_layers_and_contexts() {
    pollster::block_on(async {
        let shared = GPU.context();
        let other = Context::with_profile(shared.device(), shared.queue(), profile());
        for (geometry, batch) in layers() {
            for implementation in Implementation::ALL {
                let geometry = geometry.with_implementation(implementation);
                let operands = Operands::random(&geometry, batch, 9);
                let first = Run::new(shared, &geometry, batch, &operands).await;
                let bits = first.bits().await;
                let unlike = Operands::random(&geometry, batch, 10);
                let between = Run::new(shared, &geometry, batch, &unlike).await.bits().await;
                assert!(between != bits, "other operands give the same, so this shows nothing");
                for context in [shared, &other, &context(&profile())] {
                    let again = Run::new(context, &geometry, batch, &operands).await;
                    assert!(again.bits().await == bits, "{:?}", geometry.config());
                }
                assert!(first.bits().await == bits, "{:?}", geometry.config());
            }
        }
    });
}

/// Cutting weights and batches changes how sums are cut, so that only closeness to what is not cut is promised; but each cut gives the
/// same bits each time.
#[test]
fn same_bits_when_cut() {
    let limits = DeviceProfile { max_binding: 60_000, max_workgroups: 100, ..profile() };
    let dispatches = |geometry: &Geometry, batch: u64, profile: &DeviceProfile| -> usize {
        let plans = plans(geometry, batch as u32, profile).expect("possible");
        plans.iter().map(|planned| planned.plan.dispatches().count()).sum()
    };
    let (cut, whole) = (context(&limits), context(&profile()));
    let mut cuts = 0;
    pollster::block_on(async {
        for (geometry, batch) in layers() {
            for implementation in implementations(&geometry, &limits) {
                let geometry = geometry.with_implementation(implementation);
                cuts += usize::from(dispatches(&geometry, batch, &limits) > dispatches(&geometry, batch, &profile()));
                let operands = Operands::random(&geometry, batch, 11);
                let run = Run::new(&cut, &geometry, batch, &operands).await;
                let first = run.values().await;
                let uncut = Run::new(&whole, &geometry, batch, &operands).await.values().await;
                for (number, (found, expected)) in first.iter().zip(&uncut).enumerate() {
                    let expected: Vec<f64> = expected.iter().map(|&value| value.into()).collect();
                    assert_near(format_args!("result {number} of {:?}", geometry.config()), found, &expected, GRADIENT);
                }
                let first: Vec<u32> = first.into_iter().flatten().map(f32::to_bits).collect();
                for number in 1..RUNS_WHEN_CUT {
                    assert!(run.bits().await == first, "run {number} of {:?}", geometry.config());
                }
            }
        }
    });
    assert!(cuts >= 5, "{cuts} layers are cut");
}

/// Workgroup memory is not zeroed on start, so a kernel that reads what it didn't write is caught here, if anywhere:
/// every kernel that has such memory must be in the plans above.
#[test]
fn kernels_with_workgroup_memory_are_run() {
    let mut run = BTreeSet::new();
    for (program, batch) in programs() {
        let planned = Planner::new(&profile()).program(&program, batch).expect("run above");
        run.extend(planned.dispatches().map(|dispatch| dispatch.variant.info().name));
    }
    // Updates go on from what the run before left, so that they are run again elsewhere.
    for (program, batch, profile) in crate::fused::tiled() {
        let planned = Planner::new(&profile).program(&program, batch).expect("run there");
        run.extend(planned.dispatches().map(|dispatch| dispatch.variant.info().name));
    }
    for (geometry, batch) in layers() {
        for (implementation, profile) in runs(&Implementation::ALL, &geometry, &profile()) {
            let plans = plans(&geometry.with_implementation(implementation), batch as u32, &profile);
            let plans = plans.expect("run above");
            run.extend(
                plans.iter().flat_map(|planned| planned.plan.dispatches()).map(|dispatch| dispatch.variant.info().name),
            );
        }
    }
    let mut some = false;
    for variant in variants() {
        if variant.shader().expect("WGSL").wgsl.contains("var<workgroup>") {
            assert!(run.contains(variant.info().name), "{} is not run", variant.info().name);
            some = true;
        }
    }
    assert!(some, "no kernel has workgroup memory");
}
