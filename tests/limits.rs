//! Limits of devices, forced and real: weights cut into chunks, batches into slices, dispatches folded, and typed
//! errors with numbers where nothing can be cut further. What is planned is what is allocated.

use crate::common::{
    FORWARD, GRADIENT, Planned, STRATEGIES, Trial, assert_near, check, check_by, chunks, context, implementations,
    plans, profile, random,
};
use locally_connected::geometry::SparseIndex;
use locally_connected::headless::{self, Gpu, GpuOptions};
use locally_connected::kernels::tap_tables_length;
use locally_connected::model::{Convolution, Sequential, layer_backward};
use locally_connected::ops::Operation;
use locally_connected::plan::{Planner, Strategy};
use locally_connected::program::Program;
use locally_connected::{
    Activation, Backward, Bias, BufferRange, Config, Context, DataFormat, DeviceProfile, Error, Forward, Geometry,
    Gradients, Implementation, LocallyConnected, Padding, PlanOptions, Readback, WeightType, wgpu,
};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proptest::test_runner::RngSeed;
use std::sync::Arc;

fn geometry(config: &Config, input_shape: &[usize]) -> Geometry {
    Geometry::new(config, input_shape).expect("a layer")
}

/// The device's own profile with bindings of at most `bytes`, and the coarsest alignment that WebGPU allows.
fn binding(bytes: u64) -> DeviceProfile {
    DeviceProfile { max_binding: bytes, storage_alignment: 256, ..profile() }
}

/// Checks the plans against the limits and the results against the reference; gives the implementations that ran.
fn check_within(geometry: &Geometry, batch: u64, profile: &DeviceProfile) -> Vec<Implementation> {
    for implementation in implementations(geometry, profile) {
        let geometry = geometry.with_implementation(implementation);
        for plan in plans(&geometry, batch as u32, profile).expect("it fits when cut") {
            plan.assert_keeps_limits(profile);
        }
    }
    check(Trial { geometry, batch, seed: 5 }, profile)
}

/// The last case of each test is one that all three implementations can do under its limit: sparse needs filters enough
/// for weights to outweigh the index, dense a location's columns in one binding.
fn all(ran: &[Implementation]) -> bool {
    ran == Implementation::ALL
}

#[test]
fn weights_are_cut_by_cells() {
    let mut ran = Vec::new();
    for (config, shape, bytes) in [
        (Config::new(5, [3]).activation(Activation::Tanh), &[23, 3][..], 1000),
        (Config::new(8, [2, 3]).padding(Padding::Same), &[5, 6, 4], 4000),
        (Config::new(6, [3, 2]).groups(2).data_format(DataFormat::ChannelsFirst), &[4, 6, 5], 1300),
        (Config::new(3, [2, 2, 2]).activation(Activation::Softmax).strides([1, 2, 1]), &[3, 5, 4, 3], 1000),
        (Config::new(33, [5]).activation(Activation::Sigmoid), &[80, 2], 21_500),
    ] {
        let (layer, profile) = (geometry(&config, shape), binding(bytes));
        let chunks = chunks(&layer, &profile).expect("a cell fits");
        assert!(chunks.len() > 3 && chunks.iter().all(|chunk| chunk.filters == layer.group_filters()), "{chunks:?}");
        assert!(chunks.iter().any(|chunk| chunk.cells > 1), "{chunks:?}");
        ran = check_within(&layer, 3, &profile);
    }
    assert!(all(&ran), "{ran:?}");
}

#[test]
fn weights_of_one_cell_are_cut_by_filters() {
    let mut ran = Vec::new();
    for (config, shape, bytes) in [
        (Config::new(13, [5]).activation(Activation::Mish), &[8, 9][..], 1100),
        (Config::new(20, [3, 3]).padding(Padding::Same), &[4, 3, 8], 1300),
        (Config::new(24, [3, 3]).activation(Activation::RELU), &[4, 4, 4], 1300),
        (Config::new(14, [4, 3]).groups(2).data_format(DataFormat::ChannelsFirst), &[6, 5, 4], 900),
        (Config::new(13, [8]).activation(Activation::Swish), &[8, 9], 1200),
    ] {
        let (layer, profile) = (geometry(&config, shape), binding(bytes));
        let chunks = chunks(&layer, &profile).expect("a filter fits");
        assert!(chunks.iter().all(|chunk| chunk.cells == 1 && chunk.filters < layer.group_filters()), "{chunks:?}");
        assert!(chunks.iter().any(|chunk| chunk.first_filter > 0), "{chunks:?}");
        ran = check_within(&layer, 2, &profile);
    }
    assert!(all(&ran), "{ran:?}");
}

/// Slices of samples begin wherever a sample does, bindings only at multiples of 256 bytes.
#[test]
fn batches_are_cut_at_unaligned_samples() {
    let mut ran = Vec::new();
    for (config, shape, batch, bytes) in [
        (
            Config::new(3, [2, 2]).activation(Activation::Softmax).data_format(DataFormat::ChannelsFirst),
            &[4, 5, 5][..],
            23,
            1500,
        ),
        (Config::new(4, [2, 2]).activation(Activation::Sigmoid).padding(Padding::Circular), &[5, 5, 4], 23, 1500),
        (Config::new(5, [1]).bias(Bias::PerFilter), &[17, 3], 31, 1500),
        (Config::new(3, [3]).activation(Activation::Swish), &[13, 5], 33, 2400),
    ] {
        let (layer, profile) = (geometry(&config, shape), binding(bytes));
        for implementation in implementations(&layer, &profile) {
            let layer = layer.with_implementation(implementation);
            let plans = plans(&layer, batch as u32, &profile).expect("a sample fits");
            let mut bases = plans
                .iter()
                .flat_map(|planned| planned.plan.dispatches())
                .map(|dispatch| dispatch.params.word("y_base"));
            assert!(
                bases.any(|base| base.expect("a field") % 64 != 0),
                "every slice is aligned, so this shows nothing: {config:?}"
            );
        }
        ran = check_within(&layer, batch, &profile);
    }
    assert!(all(&ran), "{ran:?}");
}

#[test]
fn dispatches_are_folded() {
    let loop_and_sparse = &[Implementation::Loop, Implementation::SparseGather][..];
    for (config, shape, batch, by) in [
        (Config::new(3, [3]).activation(Activation::Selu), &[1601, 2][..], 2, loop_and_sparse),
        (Config::new(4, [2, 2]).padding(Padding::Same), &[41, 40, 4], 2, &[Implementation::Loop]),
        (Config::new(2, [3]).activation(Activation::Softmax), &[42, 1], 2, &Implementation::ALL),
        (Config::new(3, [3]), &[64, 1], 70, &Implementation::ALL),
    ] {
        let layer = geometry(&config, shape);
        // Split sums take more workgroups than a limit allows that folds the others.
        for (strategy, max_workgroups) in [(Strategy::CPU, 15), (Strategy::GPU, 25)] {
            let profile = DeviceProfile { max_workgroups, strategy, ..binding(1 << 18) };
            for &implementation in by {
                let layer = layer.with_implementation(implementation);
                let plans = plans(&layer, batch as u32, &profile).expect("it folds");
                let dispatches = plans.iter().flat_map(|planned| planned.plan.dispatches());
                let folded = dispatches.filter(|dispatch| dispatch.workgroups[1] > 1);
                assert!(folded.count() > 0, "nothing is folded: {implementation:?}, {config:?}, {strategy:?}");
                plans.iter().for_each(|planned| planned.assert_keeps_limits(&profile));
            }
            check_by(by, Trial { geometry: &layer, batch, seed: 5 }, &profile);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Whatever the layer and the limits: a plan that keeps them, or a typed error that names one of them.
    #[test]
    fn plans_keep_any_limits(
        (n, k, s, padding) in (1..60usize, 1..9usize, 1..3usize, 0..2u8),
        (channels, filters, groups) in (1..9usize, 1..20usize, 1..3usize),
        (first, softmax) in (any::<bool>(), any::<bool>()),
        batch in 0..70u32,
        (max_binding, max_buffer) in (64..20_000u64, 64..40_000u64),
        (max_workgroups, alignment) in (0..40u32, 4..9u32),
        (max_storage_buffers, strategy) in (0..9u32, 0..4usize),
        (threads, width, max_workgroup_memory) in (0..10u32, 0..10u32, 0..20_000u32),
        whole in any::<bool>(),
    ) {
        let config = Config::new(filters * groups, [k])
            .strides([s])
            .groups(groups)
            .padding(if padding == 0 { Padding::Same } else { Padding::Circular })
            .data_format(if first { DataFormat::ChannelsFirst } else { DataFormat::ChannelsLast })
            .activation(if softmax { Activation::Softmax } else { Activation::Swish });
        let features = channels * groups;
        let layer = geometry(&config, &if first { [features, n] } else { [n, features] });
        let storage_alignment = 1 << alignment;
        let (max_binding, max_buffer) = (max_binding & !3, max_buffer & !3);
        let limits = DeviceProfile { max_binding, max_buffer, max_workgroups, storage_alignment, ..profile() };
        // Half of the devices run every kernel, so that these limits don't refuse all that the others could.
        let limits = if whole { limits } else {
            let strategy = [Strategy::CPU, Strategy::GPU, STRATEGIES[0], STRATEGIES[1]][strategy];
            let (max_workgroup_size, max_workgroup_width) = (1 << threads, 1 << width);
            DeviceProfile {
                max_storage_buffers, max_workgroup_size, max_workgroup_width, max_workgroup_memory, strategy, ..limits
            }
        };
        for implementation in Implementation::ALL {
            let layer = layer.with_implementation(implementation);
            match plans(&layer, batch, &limits) {
                Ok(plans) => plans.iter().for_each(|planned| planned.assert_keeps_limits(&limits)),
                Err(Error::Limit { needed, limit, .. }) => prop_assert!(needed > limit),
                Err(Error::OverBudget { needed, budget, .. }) => prop_assert!(needed > budget),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// More bytes than a binding may have.
fn over_binding(what: &str, needed: u64, limit: u64) -> Error {
    let (unit, name) = ("bytes", "max_storage_buffer_binding_size");
    Error::Limit { what: what.into(), needed, unit, limit, name }
}

/// Where nothing can be cut further, an error with the numbers, before anything is allocated.
#[test]
fn what_can_t_be_cut_is_refused_with_the_numbers() {
    let build = |config: &Config, shape: &[usize], profile: &DeviceProfile| {
        pollster::block_on(LocallyConnected::new(&context(profile), config, shape)).map(drop)
    };
    // A filter of 30 taps by 10 channels is 1,200 bytes.
    let wide = Config::new(2, [30]);
    let refused = build(&wide, &[31, 10], &binding(1000)).expect_err("too small");
    assert_eq!(refused, over_binding("one filter at one location", 1200, 1000));
    assert_eq!(
        refused.to_string(),
        "one filter at one location needs 1200 bytes, over the device's 1000 (max_storage_buffer_binding_size)"
    );
    // A buffer is no larger than a binding may be.
    let refused = build(&wide, &[31, 10], &DeviceProfile { max_buffer: 500, ..profile() }).expect_err("too small");
    assert!(matches!(refused, Error::Limit { needed: 1200, limit: 500, .. }), "{refused:?}");

    // 400 locations of 1 tap: the bias has 1,600 bytes, the tables more.
    let long = Config::new(1, [1]);
    let tables = 4 * tap_tables_length(&geometry(&long, &[400, 1]));
    assert_eq!(build(&long, &[400, 1], &binding(1596)), Err(over_binding("the tap tables", tables, 1596)));
    let many = Config::new(300, [1]).data_format(DataFormat::ChannelsFirst);
    assert_eq!(build(&many, &[1, 2], &binding(2000)), Err(over_binding("the bias", 2400, 2000)));

    // 2 samples of 300 elements don't fit 2,000 bytes, and a slice that begins between two multiples of 256 bytes
    // needs up to 256 more than its samples.
    let layer = geometry(&Config::new(299, [1]).bias(Bias::None).implementation(Implementation::Loop), &[1, 300]);
    let refused = plans(&layer, 2, &binding(1400)).expect_err("too small");
    assert_eq!(refused, over_binding("one sample", 1456, 1400));
    assert!(plans(&layer, 1, &binding(1400)).is_ok(), "a single sample begins at its buffer's first byte");

    // 100 locations of 4 filters in 64 threads, by far more than 2 x 2 workgroups.
    let few = DeviceProfile { max_workgroups: 1, ..profile() };
    let forced = Config::new(4, [2]).implementation(Implementation::Loop);
    let refused = plans(&geometry(&forced, &[101, 1]), 9, &few).expect_err("too few");
    let Error::Limit { needed: 2.., unit: "workgroups", limit: 1, name, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(name, "max_compute_workgroups_per_dimension");
}

/// Scratch memory over a buffer or over the caller's budget is refused with the bytes.
#[test]
fn scratch_memory_is_known_before_it_is_allocated() {
    let layer = geometry(&Config::new(3, [2]).activation(Activation::Tanh), &[11, 2]);
    let layer = Arc::new(layer.with_implementation(Implementation::Loop));
    let batch = 7;
    let bytes = 4 * u64::from(batch) * layer.outputs();
    let plan = |profile: &DeviceProfile, memory_budget| {
        let options = PlanOptions { memory_budget, ..PlanOptions::default() };
        let planner = Planner::new(profile).with_options(options);
        Planned::new(layer_backward(&layer, Gradients::ALL), batch, &planner).map(|planned| planned.plan.memory.scratch)
    };
    assert_eq!(plan(&profile(), None).expect("no limit"), bytes);
    assert_eq!(plan(&profile(), Some(bytes)).expect("enough"), bytes);
    let refused = plan(&profile(), Some(bytes - 1)).expect_err("a byte too few");
    assert!(matches!(refused, Error::OverBudget { needed, budget, .. } if needed == bytes && budget == bytes - 1));
    assert!(refused.to_string().contains(&format!("needs {bytes} bytes")), "{refused}");
    let refused = plan(&DeviceProfile { max_buffer: bytes - 4, ..profile() }, None).expect_err("a buffer too small");
    assert!(matches!(refused, Error::Limit { needed, name: "max_buffer_size", .. } if needed == bytes), "{refused:?}");
}

/// DeepFace's L4: 251 MB of weights on a device that has no more than WebGPU's default limits, a binding of 128 MiB.
/// The weights repeat a pattern, so that the reference at a few places needs no large arrays.
#[test]
fn deepface_l4_runs_within_webgpu_s_default_limits() {
    let options = GpuOptions { limits: Some(wgpu::Limits::default()), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::with_options(&options)).expect("tests need an adapter");
    assert_eq!(gpu.context().profile().max_binding, 128 << 20);
    let config = Config::new(16, [9, 9]).implementation(Implementation::Loop);
    let layer = geometry(&config, &[63, 63, 16]);
    assert_eq!(layer.weights(), 62_726_400);
    let pattern = random(1, 65_521);
    let weight = |cell: u32, k: u32, f: u32| {
        let index = (u64::from(cell) * u64::from(layer.window()) + u64::from(k)) * u64::from(layer.filters());
        f64::from(pattern[((index + u64::from(f)) % pattern.len() as u64) as usize])
    };
    let (x, dy) = (random(2, layer.inputs()), random(3, layer.outputs()));
    let bias = random(4, layer.biases());
    let channels = layer.channels();
    // Locations from the first to the last, both sides of every cut among them.
    let cuts = chunks(&layer, gpu.context().profile()).expect("a cell fits");
    assert_eq!(cuts.len(), 2, "251 MB in bindings of 128 MiB");
    let places = [0, 1, 700, cuts[1].first_cell - 1, cuts[1].first_cell, 2000, layer.locations() - 1];

    let (output, dx, rows) = pollster::block_on(async {
        let device = LocallyConnected::with_geometry(gpu.context(), layer.clone()).await?;
        assert!(device.bytes() > 250_000_000);
        let mut kernel = Vec::with_capacity(layer.weights() as usize);
        while kernel.len() < layer.weights() as usize {
            kernel.extend_from_slice(&pattern[..pattern.len().min(layer.weights() as usize - kernel.len())]);
        }
        device.write_canonical(&kernel).await?;
        drop(kernel);
        device.write_bias(&bias).await?;
        let output = gpu.forward(&device, &x).await?;

        let (input, grad_output, dx) = (gpu.upload(&x), gpu.upload(&dy), gpu.empty(layer.inputs()));
        let dw = device.create_weights_gradient().await?;
        let bound = device
            .bind_backward(Backward {
                batch: 1,
                input: Some(&input),
                output: None,
                pre_activation: None,
                grad_output: &grad_output,
                grad_input: Some(&dx),
                grad_weights: Some(&dw),
                grad_bias: None,
                accumulate: false,
            })
            .await?;
        // Of the kernel's gradient only the cells at `places` come back.
        let cell = 4 * u64::from(layer.window() * layer.filters());
        let mut readbacks = Vec::new();
        for p in places {
            let index = dw.chunks().iter().rposition(|chunk| chunk.first_cell <= p).expect("in a chunk");
            let first = u64::from(p - dw.chunks()[index].first_cell) * cell;
            let chunk = dw.ranges()[index];
            let source = BufferRange { offset: chunk.offset + first, size: cell, ..chunk };
            readbacks.push(Readback::new(gpu.context().device(), source).await?);
        }
        gpu.submit(|encoder| {
            bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
            readbacks.iter_mut().try_for_each(|readback| readback.record(encoder))
        })?;
        let mut rows = Vec::new();
        for readback in &mut readbacks {
            rows.push(gpu.drive(readback.values()).await?);
        }
        Ok::<_, Error>((output, gpu.read(&dx, layer.inputs()).await?, rows))
    })
    .expect("it runs");

    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for (&p, row) in places.iter().zip(&rows) {
        let mut dw = Vec::new();
        for f in 0..layer.filters() {
            let taps = (0..layer.window()).map(|k| {
                let position = layer.tap(p, k / channels).expect("valid padding clips nothing");
                f64::from(x[(position * channels + k % channels) as usize]) * weight(p, k, f)
            });
            found.push(output[(p * layer.filters() + f) as usize]);
            expected.push(taps.sum::<f64>() + f64::from(bias[(p * layer.filters() + f) as usize]));
        }
        for (k, f) in (0..layer.window()).flat_map(|k| (0..layer.filters()).map(move |f| (k, f))) {
            let position = layer.tap(p, k / channels).expect("valid padding clips nothing");
            let x = f64::from(x[(position * channels + k % channels) as usize]);
            dw.push(x * f64::from(dy[(p * layer.filters() + f) as usize]));
        }
        assert_near(format_args!("grad_weights at location {p}"), row, &dw, GRADIENT);
    }
    assert_near("output", &found, &expected, FORWARD);

    let (mut found, mut expected) = (Vec::new(), Vec::new());
    let [_, rows, columns] = layer.axes().expect("windows");
    for (i, j, c) in [(0, 0, 0), (31, 31, 7), (40, 12, 15), (62, 62, 3)] {
        let mut sum = 0.0;
        for ([oy, ty], [ox, tx]) in rows.readers(i).flat_map(|y| columns.readers(j).map(move |x| (y, x))) {
            let (p, k) = (oy * columns.output + ox, (ty * columns.taps + tx) * channels + c);
            for f in 0..layer.filters() {
                sum += weight(p, k, f) * f64::from(dy[(p * layer.filters() + f) as usize]);
            }
        }
        found.push(dx[((i * columns.input + j) * channels + c) as usize]);
        expected.push(sum);
    }
    assert_near("grad_input", &found, &expected, GRADIENT);
}

/// Every buffer of a layer and of its passes, counted by wgpu and its allocator on a device of the test's own.
#[test]
fn bytes_of_plans_are_what_is_allocated() {
    let instance = headless::instance().expect("a backend");
    pollster::block_on(async {
        let mut adapters = headless::adapters(&instance).await;
        let wanted = std::env::var("WGPU_ADAPTER_NAME").ok();
        let adapter =
            adapters.swap_remove(headless::pick(&adapters, wanted.as_deref()).expect("tests need an adapter"));
        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await.expect("a device");
        // Number of buffers, and, where the backend has wgpu's allocator, their memory; drivers round each up, to 64 bytes
        // or 256.
        let allocated = || {
            queue.submit([]);
            device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is there");
            let report = instance.generate_report().expect("native");
            let memory = device.generate_allocator_report().map(|report| {
                let ours = report.allocations.iter().filter(|a| a.name.starts_with("locally-connected"));
                ours.map(|allocation| allocation.size).sum::<u64>()
            });
            (report.hub_report().buffers.num_kept_from_user as u64, memory)
        };
        let expect = |what: &str, buffers: u64, bytes: u64| {
            let (count, memory) = allocated();
            assert_eq!(count, buffers, "buffers of {what}");
            let rounded = memory.unwrap_or(bytes);
            assert!((bytes..=bytes + 256 * (count + 4)).contains(&rounded), "{what}: {rounded} bytes for {bytes}");
        };
        assert_eq!(allocated().1.unwrap_or(0), 0);

        let limits = DeviceProfile { max_binding: 30_000, ..DeviceProfile::new(&adapter.get_info(), &device.limits()) };
        let context = Context::with_profile(&device, &queue, limits);
        let dtypes = [WeightType::F32, WeightType::F16];
        for (implementation, dtype) in Implementation::ALL.into_iter().flat_map(|i| dtypes.map(|dtype| (i, dtype))) {
            let config = Config::new(7, [3, 3]).activation(Activation::Gelu { approximate: false }).dtype(dtype);
            let layer = geometry(&config.implementation(implementation), &[9, 8, 5]);
            let batch = 4;
            let layer = LocallyConnected::with_geometry(&context, layer).await.expect("it fits");
            let chunks = layer.weights().chunks().len() as u64;
            assert!(chunks > 1);
            let gradient = 4 * layer.geometry().weights();
            let weights: u64 = layer.weights().chunks().iter().map(|chunk| chunk.bytes(dtype)).sum();
            // Halves of a chunk fill whole words.
            let exact = if dtype == WeightType::F16 { gradient / 2 } else { gradient };
            assert!((exact..=exact + 2 * chunks).contains(&weights), "{weights} bytes of {gradient} as {dtype:?}");
            let parameters = weights + 4 * layer.geometry().biases();
            assert_eq!(layer.bytes(), parameters);
            expect("a layer", chunks + 1, layer.bytes());

            let dw = layer.create_weights_gradient().await.expect("it fits");
            expect("with a gradient", 2 * chunks + 1, layer.bytes() + gradient);

            // The host's own buffers; in front of the layer's labels, so that they don't count as memory of ours.
            let own = |elements: u64| {
                let usage = wgpu::BufferUsages::STORAGE;
                let size = 4 * elements * u64::from(batch);
                device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
            };
            let (inputs, outputs) = (layer.geometry().inputs(), layer.geometry().outputs());
            let [x, dx] = [own(inputs), own(inputs)];
            let [y, z, dy] = [own(outputs), own(outputs), own(outputs)];
            let db = own(layer.geometry().biases());
            let forward = Forward { batch, input: &x, output: &y, pre_activation: Some(&z) };
            let forward = layer.bind_forward(forward).await.expect("it fits");
            let backward = Backward {
                batch,
                input: Some(&x),
                output: Some(&y),
                pre_activation: Some(&z),
                grad_output: &dy,
                grad_input: Some(&dx),
                grad_weights: Some(&dw),
                grad_bias: Some(&db),
                accumulate: false,
            };
            let backward = layer.bind_backward(backward).await.expect("it fits");
            for bound in [&forward, &backward] {
                let memory = bound.plan().memory;
                let uniforms = context.profile().params_stride() * bound.plan().dispatches().count() as u64;
                assert_eq!([bound.bytes(), memory.uniforms], [memory.bound(), uniforms]);
            }
            assert!(backward.plan().memory.scratch > 0, "nothing is planned, so this shows nothing");
            assert_eq!(forward.plan().memory.parameters, parameters);
            // A pass holds its uniforms and its scratch, so that a host can have them destroyed.
            let own = |bound: &locally_connected::Bound| 1 + bound.plan().scratch_buffers().len() as u64;
            let constant = match implementation {
                Implementation::SparseGather => 4 * SparseIndex::len_of(layer.geometry()),
                _ => 4 * tap_tables_length(layer.geometry()),
            };
            assert_eq!(layer.bytes(), parameters + constant);
            assert_eq!(forward.plan().memory.constants, constant);
            expect(
                "with passes",
                2 * chunks + 1 + 6 + 1 + own(&forward) + own(&backward),
                layer.bytes() + gradient + forward.bytes() + backward.bytes(),
            );
            let planned = plans(layer.geometry(), batch, context.profile()).expect("planned before");
            assert_eq!([&planned[1].plan, &planned[2].plan], [forward.plan(), backward.plan()], "without a device");
        }
        let (count, memory) = allocated();
        assert_eq!((count, memory.unwrap_or(0)), (0, 0), "all dropped");
    });
}

/// A driver that ends loops early: sums at a location longer than that are divided among threads or cut into several
/// dispatches, by every implementation, with bias and activation once.
#[test]
fn sums_longer_than_a_driver_s_loops_are_cut() {
    let profile = DeviceProfile { max_iterations: 3600, ..profile() };
    let layers = [
        (Config::new(3, [2000]).activation(Activation::Tanh), vec![2001, 1]),
        (Config::new(4, [700]).activation(Activation::RELU), vec![701, 3]),
        (Config::new(132, [3]).activation(Activation::Softmax), vec![3, 900]),
        (Config::new(2, [800]).padding(Padding::Circular).bias(Bias::PerFilter), vec![900, 2]),
        (Config::new(2, [40, 40]).data_format(DataFormat::ChannelsFirst).bias(Bias::None), vec![2, 40, 41]),
    ];
    for (config, shape) in layers {
        let geometry = geometry(&config, &shape);
        let uncut = DeviceProfile { max_iterations: u64::MAX, ..profile.clone() };
        let dispatches = |implementation, profile| {
            let plans = plans(&geometry.with_implementation(implementation), 3, profile).expect("planned");
            plans.iter().map(|planned| planned.plan.dispatches().count()).sum::<usize>()
        };
        for implementation in [Implementation::DenseMatmul, Implementation::SparseGather] {
            assert!(dispatches(implementation, &profile) > dispatches(implementation, &uncut), "nothing is cut");
        }
        check_by(&Implementation::ALL, Trial { geometry: &geometry, batch: 3, seed: 11 }, &profile);
    }
}

/// A downlevel device, which binds 4 storage buffers: loop's and sparse's forward passes bind 5 and say so; dense's 4 are
/// enough, so `Auto` takes it, and all of the layer runs.
#[test]
fn few_storage_buffers() {
    let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgpu::Limits::default() };
    let options = GpuOptions { limits: Some(limits), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::with_options(&options)).expect("tests need an adapter");
    let profile = gpu.context().profile();
    assert_eq!(profile.max_storage_buffers, 4);
    let layer = geometry(&Config::new(6, [3]).activation(Activation::Tanh), &[17, 4]);
    let planner = Planner::new(profile);
    let error = |what: &str| {
        let (unit, name) = ("storage buffers", "max_storage_buffers_per_shader_stage");
        Err(Error::Limit { what: what.into(), needed: 5, unit, limit: 4, name })
    };
    assert_eq!(planner.possible(&layer, Implementation::Loop), error("loop_forward"));
    assert_eq!(planner.possible(&layer, Implementation::SparseGather), error("sparse_forward"));
    assert_eq!(planner.possible(&layer, Implementation::DenseMatmul), Ok(()));
    pollster::block_on(async {
        let operands = crate::common::Operands::random(&layer, 3, 9);
        let built = operands.layer(gpu.context(), &layer).await.expect("a layer");
        let plan = built.plan_forward(3, false).expect("possible");
        assert_eq!(plan.plans[0].implementation, Some(Implementation::DenseMatmul));
        let expected = operands.reference(&layer);
        assert_near("output", &gpu.forward(&built, &operands.input).await.expect("runs"), &expected.output, FORWARD);
        let found = gpu.backward(&built, &operands.input, &operands.grad_output).await.expect("runs");
        assert_near("grad_input", &found.input, &expected.grad_input, GRADIENT);
        assert_near("grad_weights", &found.weights, &expected.grad_weights, GRADIENT);
        assert_near("grad_bias", &found.bias, &expected.grad_bias, GRADIENT);
        let forced = layer.with_implementation(Implementation::Loop);
        let forced = LocallyConnected::with_geometry(gpu.context(), forced).await.expect("weights fit");
        let refused = gpu.forward(&forced, &operands.input).await;
        assert!(matches!(&refused, Err(Error::Limit { needed: 5, limit: 4, .. })), "{refused:?}");
        assert_eq!(gpu.check(), Ok(()));
    });
}

/// A few lines name axes of any length; the tables of many such layers are refused before any is made.
#[test]
fn tap_tables_of_many_long_layers_are_refused() {
    let profile = DeviceProfile::webgpu_defaults();
    let program = |count: usize| {
        let layer = |number| Convolution(Config::new(1, [3]).dilation_rate([1 + number]).padding(Padding::Same));
        let layers = (0..count).fold(Sequential::new([3_000_000, 1]), |layers, number| layers.add(layer(number)));
        layers.graph().expect("convolutions").forward()
    };
    let tables = |program: &Program| {
        program.operations.iter().filter_map(Operation::layer).map(|layer| 4 * tap_tables_length(layer)).sum::<u64>()
    };
    let (few, many) = (program(8), program(20));
    let plan = Planner::new(&profile).program(&few, 1).expect("under a GiB");
    assert_eq!(plan.memory.constants, tables(&few));
    let refused = Planner::new(&profile).program(&many, 1).expect_err("2.3 GiB");
    let what = "the tap tables of all layers".to_owned();
    assert_eq!(refused, Error::OverBudget { what, needed: tables(&many), budget: 1 << 30 });
}
