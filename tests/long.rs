//! Long work in parts: dispatches cut by a cap of floating-point operations, recordings cut into parts that a host submits
//! one by one, shows and gives up. The bits are those of work that isn't cut.

use crate::common::{Arrays, GPU, Operands, Planned, ProgramRun, context, implementations, profile, random, runs};
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::ops::{Shape, Usage};
use locally_connected::plan::{Dispatch, Planner, ProgramPlan};
use locally_connected::program::Program;
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Error, Forward, Geometry, Gradients, Implementation,
    LocallyConnected, PlanOptions, Readback, wgpu,
};
use std::sync::Arc;

fn capped(max_dispatch_flops: u64) -> PlanOptions {
    PlanOptions { max_dispatch_flops: Some(max_dispatch_flops), ..PlanOptions::default() }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The first workgroup of a dispatch, how many it has, and how many all parts of it have.
fn workgroups(dispatch: &Dispatch) -> [u32; 3] {
    let [x, y, z] = dispatch.workgroups;
    let word = |name| dispatch.params.word(name).expect("a number of every dispatch");
    [word("first_workgroup"), x * y * z, word("workgroups")]
}

/// Most dispatches that a plan is cut into. Lavapipe of Mesa 26 maps a page for each while they wait, and ends the program beyond the
/// 65,530 that Linux lets a process map (docs/backends.md).
const MOST: usize = 20_000;

/// The plan that is cut by the least cap that there is, and the cap: as fine as it can be and no finer than that.
fn finest(program: &Program, batch: u32, planner: Planner<'_>) -> (PlanOptions, ProgramPlan) {
    let mut cap = 1;
    loop {
        let options = PlanOptions { max_dispatch_flops: Some(cap), ..planner.options };
        match planner.with_options(options).program(program, batch) {
            Ok(plan) if plan.dispatches().count() <= MOST => return (options, plan),
            Ok(_) => cap *= 2,
            Err(error) => {
                let Error::LongWorkgroup { needed, limit, .. } = error.cause() else { panic!("{error}") };
                assert!(*needed > cap && *limit == cap, "{error}");
                cap = *needed;
            }
        }
    }
}

/// Parts are of one kernel on one set of buffers, each begins where the one before ends, and all of them are the whole.
fn assert_cut(whole: &ProgramPlan, cut: &ProgramPlan, cap: u64) {
    let mut parts = cut.dispatches().peekable();
    for dispatch in whole.dispatches() {
        let ([zero, folded, all], mut next, mut flops) = (workgroups(dispatch), 0, 0);
        assert!(zero == 0 && folded >= all);
        while next < all {
            let part = parts.next().expect("parts are missing");
            let [first, own, of] = workgroups(part);
            assert_eq!((part.variant, &part.bindings, first, of), (dispatch.variant, &dispatch.bindings, next, all));
            assert!(part.flops() <= cap, "{} of {cap}", part.flops());
            assert!(own <= all - next || (first, own) == (0, folded), "a part reaches into the next one");
            (next, flops) = (next + own.min(all), flops + part.flops());
        }
        // Each share is rounded up.
        let surplus = flops - dispatch.flops();
        assert!(surplus <= u64::from(all), "{surplus} operations too many");
    }
    assert!(parts.next().is_none(), "there are parts of nothing");
}

fn layers() -> Vec<(Geometry, u32)> {
    let layer = |config: Config, shape: &[usize]| Geometry::new(&config, shape).expect("a layer");
    vec![
        (layer(Config::new(12, [3, 3]).activation(Activation::Swish), &[9, 8, 8]), 21),
        (
            layer(Config::new(5, [3]).activation(Activation::Softmax).data_format(DataFormat::ChannelsFirst), &[3, 40]),
            9,
        ),
        (layer(Config::new(6, [2, 2]).bias(Bias::PerFilter).groups(2).strides([2, 1]), &[10, 6, 4]), 3),
        (Geometry::convolution(&Config::new(8, [3, 3]).bias(Bias::PerFilter), &[12, 12, 4]).expect("a layer"), 5),
    ]
}

/// Layers by every kernel, as finely cut as can be.
#[test]
fn every_kernel_of_layers_gives_the_same_bits_in_parts() {
    let mut cut_kernels = std::collections::BTreeSet::new();
    for (geometry, batch) in layers() {
        let operands = Operands::random(&geometry, batch.into(), 3);
        for (by, profile) in runs(&implementations(&geometry, &profile()), &geometry, &profile()) {
            let geometry = geometry.with_implementation(by);
            let layer = Arc::new(geometry.clone());
            let (mut least, mut parts) = (0, 0);
            for program in [layer_forward(&layer, false), layer_backward(&layer, Gradients::ALL)] {
                let whole = Planned::new(program.clone(), batch, &Planner::new(&profile)).expect("planned").plan;
                let (options, cut) = finest(&program, batch, Planner::new(&profile));
                let cap = options.max_dispatch_flops.expect("set");
                assert_cut(&whole, &cut, cap);
                least = cap.max(least);
                parts += cut.dispatches().count() - whole.dispatches().count();
                let of_several = cut.dispatches().filter(|dispatch| workgroups(dispatch)[0] > 0);
                cut_kernels.extend(of_several.map(|dispatch| dispatch.variant.info().name));
            }
            assert!(parts > 3, "{parts} parts more of {:?} by {by:?}", geometry.config());
            let run = |options| {
                pollster::block_on(async {
                    let mut layer = operands.layer(&context(&profile), &geometry).await?;
                    layer.set_options(options);
                    let output = GPU.forward(&layer, &operands.input).await?;
                    let gradients = GPU.backward(&layer, &operands.input, &operands.grad_output).await?;
                    Ok::<_, Error>([output, gradients.input, gradients.weights, gradients.bias].map(|v| bits(&v)))
                })
                .expect("it runs")
            };
            assert!(run(capped(least)) == run(PlanOptions::default()), "other bits of {:?}", geometry.config());
        }
    }
    // Whatever sums products, and most of what is around it.
    for kernel in ["loop_forward", "loop_forward_tiled", "dense_forward", "sparse_forward", "loop_grad_weights_shared"]
    {
        assert!(cut_kernels.contains(kernel), "{kernel} was never cut: {cut_kernels:?}");
    }
    assert!(cut_kernels.len() > 20, "{cut_kernels:?}");
}

#[test]
fn every_operation_gives_the_same_bits_in_parts() {
    let programs = crate::operations::programs(5).into_iter().chain(crate::pool::programs());
    let mut cut_kernels = std::collections::BTreeSet::new();
    for program in programs.chain(crate::rearrange::programs()) {
        let batch = 70;
        let given: Arrays = program
            .buffers
            .iter()
            .zip(0..)
            .filter(|(buffer, _)| matches!(buffer.usage, Usage::Input | Usage::Parameter))
            .map(|(buffer, seed)| (buffer.name.clone(), random(seed, buffer.shape.elements(batch))))
            .collect();
        let profile = profile();
        let whole = Planner::new(&profile).program(&program, batch).expect("planned");
        let (options, cut) = finest(&program, batch, Planner::new(&profile));
        assert_cut(&whole, &cut, options.max_dispatch_flops.expect("set"));
        let run = |options| {
            let planner = Planner::new(&profile).with_options(options);
            let run = ProgramRun::planned_by(planner, &program, batch, &given).expect("it is bound");
            run.run().into_values().map(|values| bits(&values)).collect::<Vec<_>>()
        };
        assert!(run(options) == run(PlanOptions::default()), "other bits of {:?}", program.operations);
        let of_several = cut.dispatches().filter(|dispatch| workgroups(dispatch)[0] > 0);
        cut_kernels.extend(of_several.map(|dispatch| dispatch.variant.info().name));
    }
    assert!(cut_kernels.len() > 8, "{cut_kernels:?}");
}

/// A cap changes neither the implementation that is chosen nor the kernels; only what can't be cut is left out.
#[test]
fn a_cap_chooses_nothing_but_what_can_be_cut() {
    let profile = profile();
    let geometry = Geometry::new(&Config::new(16, [3, 3]), &[12, 12, 8]).expect("a layer");
    let program = layer_forward(&Arc::new(geometry.clone()), false);
    let planner = Planner::new(&profile);
    let whole = planner.program(&program, 64).expect("planned");
    let cap = whole.flops() / 7;
    let cut = planner.with_options(capped(cap)).program(&program, 64).expect("planned");
    assert!(cut.dispatches().count() >= 7);
    assert_cut(&whole, &cut, cap);
    assert_eq!(cut.plans[0].implementation, whole.plans[0].implementation);
    // What a program of parts costs is what the whole costs, and the dispatches.
    let [whole, cut] = [&whole, &cut].map(|plan| plan.estimate(&profile));
    assert!((cut.bytes / whole.bytes - 1.0).abs() < 1e-6, "{} and {} bytes", cut.bytes, whole.bytes);
    assert!((cut.operations / whole.operations - 1.0).abs() < 1e-6);
    // The tiles of the dense product are far longer than a workgroup of the others.
    let dense = Arc::new(geometry.with_implementation(Implementation::DenseMatmul));
    let refused = planner.with_options(capped(100_000)).program(&layer_forward(&dense, false), 64);
    let Err(error) = refused else { panic!("a tile of the dense product was cut") };
    let Error::LongWorkgroup { kernel, needed, limit } = error.cause() else { panic!("{error}") };
    assert!(kernel.starts_with("dense_forward") && *needed > 100_000 && *limit == 100_000, "{error}");
    assert!(error.to_string().contains("max_dispatch_flops"), "{error}");
    let free = Arc::new(geometry);
    let others =
        planner.with_options(capped(1 << 18)).program(&layer_forward(&free, false), 64).expect("another does it");
    assert!(others.dispatches().all(|dispatch| dispatch.flops() <= 1 << 18));
}

/// A dispatch that is folded over x and y, since the device takes few workgroups along each, is cut into rows of its own.
#[test]
fn folded_dispatches_are_cut_too() {
    let profile = DeviceProfile { max_workgroups: 7, ..profile() };
    let geometry = Geometry::new(&Config::new(4, [3]), &[160, 3]).expect("a layer");
    let operands = Operands::random(&geometry, 6, 1);
    let layer = Arc::new(geometry.clone());
    let program = layer_forward(&layer, false);
    let whole = Planner::new(&profile).program(&program, 6).expect("planned");
    assert!(whole.dispatches().any(|dispatch| dispatch.workgroups[1] > 1), "nothing is folded");
    let (options, cut) = finest(&program, 6, Planner::new(&profile));
    assert_cut(&whole, &cut, options.max_dispatch_flops.expect("set"));
    let run = |options| {
        pollster::block_on(async {
            let mut layer = operands.layer(&context(&profile), &geometry).await?;
            layer.set_options(options);
            GPU.forward(&layer, &operands.input).await
        })
        .expect("it runs")
    };
    assert_eq!(bits(&run(options)), bits(&run(PlanOptions::default())));
}

#[test]
fn no_samples_are_no_parts() {
    let layer =
        pollster::block_on(LocallyConnected::new(GPU.context(), &Config::new(2, [2]), &[5, 3])).expect("a layer");
    let (x, y) = (GPU.empty(1), GPU.empty(1));
    let bound = pollster::block_on(layer.bind_forward(Forward::new(0, &x, &y))).expect("bound");
    assert_eq!((bound.dispatches(), bound.flops(), bound.parts(1).count()), (0, 0, 0));
}

/// The layer of the issue: some 15 GFLOP, which keep two cores busy for seconds, in parts of a tenth of one.
#[test]
fn a_large_batch_is_shown_and_given_up_part_by_part() {
    const BATCH: u32 = 256;
    const CAP: u64 = 1_000_000_000;
    let geometry =
        Geometry::new(&Config::new(64, [3, 3]).activation(Activation::RELU), &[30, 30, 64]).expect("a layer");
    let (device, queue) = (GPU.context().device(), GPU.context().queue());
    let weights: Vec<f32> = (0..geometry.weights()).map(|i| ((i * 7919) % 251) as f32 / 2048.0 - 0.05).collect();
    let input: Vec<f32> =
        (0..u64::from(BATCH) * geometry.inputs()).map(|i| ((i * 31) % 127) as f32 / 64.0 - 1.0).collect();
    let mut layer = pollster::block_on(LocallyConnected::with_geometry(GPU.context(), geometry)).expect("a layer");
    pollster::block_on(layer.write_canonical(&weights)).expect("uploaded");
    queue.submit([]);
    let outputs = u64::from(BATCH) * layer.geometry().outputs();
    let (x, whole, cut) = (GPU.upload(&input), GPU.empty(outputs), GPU.empty(outputs));
    drop((weights, input));

    let bound = pollster::block_on(layer.bind_forward(Forward::new(BATCH, &x, &whole))).expect("bound");
    GPU.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&Default::default())));
    let total = bound.flops();
    assert!(total > 14 * CAP, "{total}");

    layer.set_options(capped(CAP));
    let bound = pollster::block_on(layer.bind_forward(Forward::new(BATCH, &x, &cut))).expect("bound");
    assert!(bound.plan().dispatches().all(|dispatch| dispatch.flops() <= CAP));
    let run = |part: &_| {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        bound.record_part(&mut encoder.begin_compute_pass(&Default::default()), part);
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
    };
    // Half of it, and then the host has changed its mind.
    let parts: Vec<_> = bound.parts(CAP).collect();
    assert!(parts.len() >= 15 && parts.iter().all(|part| part.flops <= CAP), "{parts:?}");
    assert_eq!(parts.iter().map(|part| part.flops).sum::<u64>(), bound.flops());
    let mut before = 0.0;
    for part in parts.iter().take_while(|part| part.progress() <= 0.5) {
        assert!(part.progress() > before && part.total == bound.flops(), "{part:?}");
        before = part.progress();
        run(part);
    }
    assert!(before > 0.4, "{before}");
    // Everything is usable: the layer, the pass, the buffers, another layer beside it.
    let other = Operands::random(&Geometry::new(&Config::new(3, [2]), &[6, 2]).expect("a layer"), 2, 1);
    let small = Geometry::new(&Config::new(3, [2]), &[6, 2]).expect("a layer");
    let (found, _) = other.device(&small, &profile()).expect("it runs");
    crate::common::assert_near("another layer", &found, &other.reference(&small).output, 1e-5);
    // And from the start.
    let mut done = 0;
    for part in bound.parts(CAP) {
        done += part.flops;
        assert_eq!(part.done, done);
        run(&part);
    }
    assert_eq!(done, bound.flops());
    let read = |buffer: &wgpu::Buffer| {
        let mut readback = pollster::block_on(Readback::new(device, buffer)).expect("a readback");
        GPU.submit(|encoder| readback.record(encoder)).expect("the first");
        pollster::block_on(GPU.drive(readback.values())).expect("values")
    };
    assert!(read(&whole) == read(&cut), "other bits in parts");
    GPU.check().expect("nothing went wrong");
}

/// Parts of several operations, as many as fit each.
#[test]
fn parts_hold_what_fits() {
    let program = {
        let geometry = Arc::new(
            Geometry::new(&Config::new(8, [3, 3]).activation(Activation::Swish), &[9, 9, 4]).expect("a layer"),
        );
        layer_backward(&geometry, Gradients::ALL)
    };
    let given: Arrays = program
        .buffers
        .iter()
        .filter(|buffer| matches!(buffer.usage, Usage::Input | Usage::Parameter))
        .map(|buffer| (buffer.name.clone(), random(1, buffer.shape.elements(4))))
        .collect();
    assert!(program.buffers.iter().any(|buffer| matches!(buffer.shape, Shape::Weights { .. })));
    let run = ProgramRun::new(&program, 4, &given, &profile()).expect("bound");
    let (bound, dispatches) = (&run.bound, run.bound.dispatches());
    assert!(dispatches >= 4, "{dispatches}");
    // All at once, each alone, and what lies between.
    let whole: Vec<_> = bound.parts(u64::MAX).collect();
    assert_eq!((whole.len(), &whole[0].dispatches, whole[0].progress()), (1, &(0..dispatches), 1.0));
    let each: Vec<_> = (0..dispatches).map(|number| number..number + 1).collect();
    assert_eq!(bound.parts(0).map(|part| part.dispatches).collect::<Vec<_>>(), each);
    let half = bound.flops() / 2;
    let mut next = 0;
    for part in bound.parts(half) {
        assert_eq!(part.dispatches.start, next);
        next = part.dispatches.end;
        assert!(part.flops <= half || part.dispatches.len() == 1, "{part:?}");
        // One more would not have fitted.
        let after = bound.plan().dispatches().nth(next).map_or(u64::MAX, Dispatch::flops);
        assert!(part.flops.saturating_add(after) > half, "{part:?}");
    }
    assert_eq!(next, dispatches);
    // Recorded in parts, in one pass or several, they give the same.
    let other = ProgramRun::new(&program, 4, &given, &profile()).expect("bound");
    GPU.submit(|encoder| {
        let parts: Vec<_> = other.bound.parts(half).collect();
        for two in parts.chunks(2) {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            two.iter().for_each(|part| other.bound.record_part(&mut pass, part));
        }
    });
    assert!(other.read() == run.run(), "other values in parts");
}
