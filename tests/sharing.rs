//! What layers and passes have in common: weights that are another's, or lie on the device already, or are written in part;
//! gradients of several batches; two sets of weights in turns; scratch memory.

use crate::common::{FORWARD, GPU, Operands, assert_near, chunks, context, implementations, profile, random};
use half::f16;
use locally_connected::model::{Layer, Model, Sequential, layer_forward, layer_names};
use locally_connected::ops::Usage;
use locally_connected::{
    Activation, Backward, Bias, Bindings, Bound, BufferRange, Config, Context, DeviceProfile, Elements, Error, Forward,
    Geometry, Gradients, Implementation, Loaded, LocallyConnected, Padding, Result, ScratchPool, Tensor,
    TransposedBackward, TransposedLocallyConnected, WeightType, Weights, wgpu,
};
use std::collections::BTreeMap;
use std::sync::Arc;

fn on<T>(future: impl Future<Output = Result<T>>) -> T {
    pollster::block_on(future).expect("it works")
}

/// A context that no other test compiles in.
fn fresh() -> Context {
    Context::new(GPU.context().device(), GPU.context().queue())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn record(passes: &[&Bound]) {
    GPU.submit(|encoder| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        passes.iter().for_each(|bound| bound.record(&mut pass));
    });
}

fn read(buffer: &wgpu::Buffer) -> Vec<f32> {
    on(GPU.read(buffer, buffer.size() / 4))
}

fn read_tensor(tensor: &Tensor) -> Vec<f32> {
    let mut readback = on(tensor.readback(GPU.context().device()));
    GPU.submit(|encoder| readback.record(encoder)).expect("not recorded before");
    on(GPU.drive(readback.canonical()))
}

fn geometry(config: &Config, shape: &[usize]) -> Geometry {
    Geometry::new(config, shape).expect("a layer")
}

/// The usage of a host's buffer of weights.
const HOST_S: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

fn buffer(device: &wgpu::Device, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

/// Gradients of one batch added to those of another, by every implementation: exactly twice as much where both are the same.
#[test]
fn a_backward_pass_adds_to_gradients() {
    for bias in [Bias::PerLocation, Bias::PerFilter] {
        let layer = geometry(&Config::new(6, [3, 2]).padding(Padding::Same).bias(bias), &[7, 5, 4]);
        let operands = Operands::random(&layer, 5, 2);
        for implementation in implementations(&layer, &profile()) {
            let context = fresh();
            let layer = on(operands.layer(&context, &layer.with_implementation(implementation)));
            let (x, dy) = (GPU.upload(&operands.input), GPU.upload(&operands.grad_output));
            // What is overwritten had better not be read.
            let nan = |count: u64| GPU.upload(&vec![f32::NAN; count as usize]);
            let (dx, db) = (nan(operands.input.len() as u64), nan(layer.geometry().biases()));
            let dw = on(layer.create_weights_gradient());
            let first = Backward::new(5, &dy).input(&x).grad_input(&dx).grad_weights(&dw).grad_bias(&db);
            on(layer.prepare_backward(5, Gradients::ALL));
            let compiled = context.pipelines().compiled();
            let (first, second) = (on(layer.bind_backward(first)), on(layer.bind_backward(first.accumulating())));
            assert_eq!(context.pipelines().compiled(), compiled, "what adds is what overwrites");
            record(&[&first]);
            let once = [read_tensor(&dw), read(&db), read(&dx)];
            record(&[&second]);
            let twice = [read_tensor(&dw), read(&db), read(&dx)];
            for (once, twice) in once[..2].iter().zip(&twice) {
                let doubled: Vec<f32> = once.iter().map(|value| 2.0 * value).collect();
                assert!(bits(twice) == bits(&doubled), "{implementation:?}");
            }
            assert!(bits(&once[2]) == bits(&twice[2]), "the input's gradient is overwritten");
            let expected = operands.reference(layer.geometry());
            assert_near("grad_weights", &once[0], &expected.grad_weights, FORWARD);
            assert_near("grad_bias", &once[1], &expected.grad_bias, FORWARD);
        }
    }
}

#[test]
fn a_transposed_layer_s_backward_pass_adds_too() {
    let layer = on(TransposedLocallyConnected::new(GPU.context(), &Config::new(3, [2]).bias(Bias::None), &[6, 2]));
    let geometry = layer.adjoint().geometry();
    let (x, dy) = (GPU.upload(&random(1, 4 * geometry.outputs())), GPU.upload(&random(2, 4 * geometry.inputs())));
    let dw = on(layer.adjoint().create_weights_gradient());
    let bound = |accumulate| {
        let (input, grad_weights) = (Some(&x), Some(&dw));
        let operands =
            TransposedBackward { batch: 4, input, grad_output: &dy, grad_input: None, grad_weights, accumulate };
        on(layer.bind_backward(operands))
    };
    record(&[&bound(false)]);
    let once = read_tensor(&dw);
    record(&[&bound(true)]);
    let doubled: Vec<f32> = once.iter().map(|value| 2.0 * value).collect();
    assert!(once.iter().any(|value| *value != 0.0) && bits(&read_tensor(&dw)) == bits(&doubled));
}

/// Two layers of other activations and batches on one set of weights: whoever writes them, both compute with them.
#[test]
fn layers_share_weights() {
    let config = Config::new(4, [3, 3]);
    let (first, second) =
        (geometry(&config, &[6, 5, 3]), geometry(&config.clone().activation(Activation::RELU), &[6, 5, 3]));
    let operands = Operands::random(&first, 3, 4);
    let one = on(operands.layer(GPU.context(), &first));
    let other = LocallyConnected::with_weights(second.clone(), one.parameters()).expect("the same shapes");
    assert_eq!(other.weights().ranges()[0].buffer, one.weights().ranges()[0].buffer);
    let check = |operands: &Operands| {
        for layer in [&one, &other] {
            let found = on(GPU.forward(layer, &operands.input));
            assert_near("output", &found, &operands.reference(layer.geometry()).output, FORWARD);
        }
    };
    check(&operands);
    let later = Operands { input: operands.input.clone(), ..Operands::random(&first, 3, 9) };
    on(other.write_canonical(&later.weights));
    on(other.write_bias(&later.bias));
    check(&later);
    // What has other shapes shares nothing, and needs its bias.
    let wider = LocallyConnected::with_weights(geometry(&config, &[6, 6, 3]), one.parameters()).map(drop);
    assert!(matches!(wider, Err(Error::Program { .. })), "{wider:?}");
    let bare = on(LocallyConnected::new(GPU.context(), &config.clone().bias(Bias::None), &[6, 5, 3]));
    let missing = LocallyConnected::with_weights(first.clone(), bare.parameters()).map(drop);
    assert_eq!(missing, Err(Error::NotGiven { name: "bias".into() }));
    // A decoder that is its encoder's adjoint.
    let plain = geometry(&config.clone().bias(Bias::None), &[6, 5, 3]);
    let adjoint = LocallyConnected::with_weights(plain, one.parameters()).expect("of the bias there is no need");
    let decoder = TransposedLocallyConnected::of(adjoint).expect("plain");
    let (code, image) = (GPU.upload(&operands.grad_output), GPU.empty(operands.input.len() as u64));
    record(&[&on(decoder.bind_forward(3, &code, &image))]);
    let linear = geometry(&config.bias(Bias::None), &[6, 5, 3]);
    let adjoint = Operands { grad_output: operands.grad_output, bias: Vec::new(), ..later };
    assert_near("a decoder", &read(&image), &adjoint.reference(&linear).grad_input, FORWARD);
    let refused = TransposedLocallyConnected::of(other).map(drop);
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}

/// A model's weights in another model under another name, and a second graph on a first one's.
#[test]
fn models_share_weights() {
    let graph = |names: [&str; 2], activation| {
        let add = |graph: Sequential, name: &str| {
            graph.add(Layer::new(Config::new(3, [2]).activation(activation)).named(name))
        };
        names.into_iter().fold(Sequential::new([7, 2]), add).graph().expect("a graph")
    };
    let first = graph(["a", "b"], Activation::Linear);
    let parameters: BTreeMap<String, Vec<f32>> = first
        .forward()
        .used_as(Usage::Parameter)
        .zip(0..)
        .map(|(buffer, seed)| (buffer.name.clone(), random(seed, buffer.shape.elements(1))))
        .collect();
    let model = Model { graph: first, parameters };
    let loaded = on(GPU.upload_model(&model));
    let input = random(8, 7 * 2 * 3);
    let expected = on(GPU.run(&loaded, &input));
    // The same names: a graph of its own on the same parameters.
    let again = Loaded::with_weights(model.graph.clone(), loaded.weights()).expect("its own");
    assert_eq!(on(GPU.run(&again, &input)), expected);
    // Other names: the tensors of the one are the parameters of the other.
    let second = graph(["c", "d"], Activation::Linear);
    let missing = Loaded::with_weights(second.clone(), loaded.weights()).map(drop);
    assert!(matches!(missing, Err(Error::NotGiven { .. })), "{missing:?}");
    let program = second.forward();
    let mut given = Bindings::default();
    for buffer in program.used_as(Usage::Parameter) {
        let (layer, own) = buffer.name.split_once('/').expect("a layer's");
        let name = format!("{}/{own}", if layer == "c" { "a" } else { "b" });
        given = given.with(&buffer.name, loaded.weights().get(&name).expect("its counterpart"));
    }
    let weights = on(Weights::with_buffers(GPU.context(), &program, &given));
    let other = Loaded::with_weights(second, &weights).expect("all there");
    assert_eq!(on(GPU.run(&other, &input)), expected);
}

/// Weights and bias in ranges of one buffer of the host's, which nothing else touches.
#[test]
fn weights_on_the_device_are_used_where_they_lie() {
    let (device, queue) = (GPU.context().device(), GPU.context().queue());
    for dtype in [WeightType::F32, WeightType::F16] {
        let layer = geometry(&Config::new(3, [3, 3]).dtype(dtype), &[6, 5, 3]);
        let mut operands = Operands::random(&layer, 2, 6);
        operands.weights.iter_mut().for_each(|weight| *weight = f16::from_f32(*weight).to_f32());
        let step = u64::from(profile().storage_alignment);
        let (bytes, bias) = (dtype.bytes(layer.weights()), 4 * layer.biases());
        let at = [step, step + bytes.next_multiple_of(step)];
        let arena = buffer(device, at[1] + bias.next_multiple_of(step) + step, HOST_S);
        let mark = vec![7.5f32; arena.size() as usize / 4];
        queue.write_buffer(&arena, 0, bytemuck::cast_slice(&mark));
        let program = layer_forward(&Arc::new(layer.clone()), false);
        let given = Bindings::default()
            .with(layer_names::WEIGHTS, arena.slice(at[0]..at[0] + bytes))
            .with(layer_names::BIAS, arena.slice(at[1]..at[1] + bias));
        let weights = on(Weights::with_buffers(GPU.context(), &program, &given));
        let adopted = LocallyConnected::with_weights(layer.clone(), &weights).expect("it is all there");
        on(adopted.write_canonical(&operands.weights));
        on(adopted.write_bias(&operands.bias));
        let found = on(GPU.forward(&adopted, &operands.input));
        assert_near("output", &found, &operands.reference(&layer).output, FORWARD);
        let own = on(operands.layer(GPU.context(), &layer));
        assert_eq!(bits(&found), bits(&on(GPU.forward(&own, &operands.input))));
        assert_eq!(read_tensor(adopted.weights()), operands.weights);
        // And not only by this crate: the host writes, the layer computes.
        queue.write_buffer(&arena, at[1], bytemuck::cast_slice(&vec![0.25f32; layer.biases() as usize]));
        let other = Operands { bias: vec![0.25; layer.biases() as usize], ..operands };
        let found = on(GPU.forward(&adopted, &other.input));
        assert_near("output", &found, &other.reference(&layer).output, FORWARD);
        let all = read(&arena);
        let beside = |from: u64, to: u64| all[from as usize / 4..to as usize / 4].iter().all(|value| *value == 7.5);
        assert!(beside(0, at[0]) && beside(at[0] + bytes, at[1]) && beside(at[1] + bias, arena.size()));
    }
}

#[test]
fn what_can_t_be_weights_is_refused() {
    let device = GPU.context().device();
    let layer = geometry(&Config::new(3, [3]), &[6, 2]);
    let program = layer_forward(&Arc::new(layer.clone()), false);
    let with = |name, range: BufferRange<'_>| {
        let given = Bindings::default().with(name, range);
        pollster::block_on(Weights::with_buffers(GPU.context(), &program, &given)).map(drop)
    };
    let (needed, step) = (4 * layer.weights(), u64::from(profile().storage_alignment));
    let of = |size: u64, usage| buffer(device, size, usage);
    let good = of(needed + step, HOST_S);
    assert_eq!(with("weights", BufferRange::from(&good)), Ok(()));
    assert_eq!(with("weights", good.slice(step..).into()), Ok(()));
    assert_eq!(with("kernel", (&good).into()), Err(Error::NoBuffer { name: "kernel".into() }));
    assert_eq!(with("input", (&good).into()), Err(Error::NoBuffer { name: "input".into() }));
    let short = of(needed - 4, HOST_S);
    let (what, found) = ("weights", layer.weights() - 1);
    let shape = vec![layer.weights() as usize / 3, 3];
    assert_eq!(with("weights", (&short).into()), Err(Error::Length { what, expected: layer.weights(), found, shape }));
    let odd = BufferRange { buffer: &good, offset: 4, size: needed };
    assert!(matches!(with("weights", odd), Err(Error::Alignment { what: "weights", bytes: 4, .. })));
    let past = BufferRange { buffer: &good, offset: 2 * step, size: needed };
    assert!(matches!(with("weights", past), Err(Error::Range { what: "weights", .. })));
    let unusable = of(needed, wgpu::BufferUsages::COPY_DST);
    assert_eq!(with("weights", (&unusable).into()), Err(Error::Usage { what: "weights", lacks: "STORAGE" }));
    let gone = of(needed, HOST_S);
    gone.destroy();
    assert!(matches!(with("weights", (&gone).into()), Err(Error::Refused { what: "weights", .. })));
    // Of the same instance: wgpu takes another instance's for some of its own.
    let other =
        pollster::block_on(GPU.adapter().request_device(&wgpu::DeviceDescriptor::default())).expect("a device").0;
    let foreign = buffer(&other, needed, HOST_S);
    assert!(matches!(with("weights", (&foreign).into()), Err(Error::Refused { what: "weights", .. })));
    // One that can be read but not written is no place for uploads.
    let fixed = of(needed, wgpu::BufferUsages::STORAGE);
    let given = Bindings::default().with("weights", &fixed);
    let weights = on(Weights::with_buffers(GPU.context(), &program, &given));
    let refused = pollster::block_on(weights.write("weights", &vec![0.0; layer.weights() as usize]));
    assert_eq!(refused, Err(Error::Usage { what: "weights", lacks: "COPY_DST" }));
    // Of another number of bits.
    let halves = geometry(&Config::new(3, [3]).dtype(WeightType::F16), &[6, 2]);
    let other = on(LocallyConnected::with_geometry(GPU.context(), halves));
    let given = Bindings::default().with("weights", other.weights());
    let refused = pollster::block_on(Weights::with_buffers(GPU.context(), &program, &given)).map(drop);
    assert!(matches!(refused, Err(Error::Program { .. })), "{refused:?}");
    GPU.check().expect("nothing escaped");
}

/// Layers whose weights the limits cut, by cells and by filters.
fn in_chunks() -> Vec<(Geometry, DeviceProfile)> {
    let narrow = |bytes| DeviceProfile { max_binding: bytes, storage_alignment: 256, ..profile() };
    let halves = |config: Config| config.dtype(WeightType::F16);
    vec![
        (geometry(&Config::new(5, [3]), &[23, 3]), narrow(1000)),
        (geometry(&Config::new(13, [5]), &[8, 9]), narrow(1100)),
        (geometry(&halves(Config::new(5, [3])), &[23, 3]), narrow(1000)),
        (geometry(&halves(Config::new(13, [5])), &[8, 9]), narrow(1100)),
        (geometry(&Config::new(5, [3]), &[23, 3]), profile()),
        (geometry(&halves(Config::new(3, [3])), &[7, 3]), profile()),
    ]
}

#[test]
fn weights_in_several_buffers_are_used_where_they_lie() {
    let (layer, profile) = in_chunks().remove(0);
    let context = context(&profile);
    let operands = Operands::random(&layer, 2, 5);
    let program = layer_forward(&Arc::new(layer.clone()), false);
    let described = program.used_as(Usage::Parameter).find(|buffer| buffer.name == "weights").expect("they are there");
    let cut = chunks(&layer, &profile).expect("a cell fits");
    let buffers: Vec<_> =
        cut.iter().map(|chunk| buffer(context.device(), chunk.bytes(WeightType::F32), HOST_S)).collect();
    // One range can't hold what is cut.
    let given = Bindings::default().with("weights", &buffers[0]);
    let refused = pollster::block_on(Weights::with_buffers(&context, &program, &given)).map(drop);
    let (what, expected) = ("the ranges of a tensor", cut.len() as u64);
    assert_eq!(refused, Err(Error::Length { what, expected, found: 1, shape: vec![cut.len()] }));
    let tensor = Tensor::in_ranges(&context, described, &buffers).expect("as they are cut");
    let given = Bindings::default().with("weights", &tensor);
    let weights = on(Weights::with_buffers(&context, &program, &given));
    let layer = LocallyConnected::with_weights(layer, &weights).expect("all there");
    on(layer.write_canonical(&operands.weights));
    on(layer.write_bias(&operands.bias));
    let found = on(GPU.forward(&layer, &operands.input));
    assert_near("output", &found, &operands.reference(layer.geometry()).output, FORWARD);
    assert_eq!(read(&buffers[1])[0], operands.weights[(cut[1].first_entry * 5) as usize]);
}

/// Any run of elements, however the parameter is cut and stored: those and no others.
#[test]
fn some_elements_are_uploaded() {
    for (layer, profile) in in_chunks() {
        let (layer, all) = (on(LocallyConnected::with_geometry(&context(&profile), layer.clone())), layer.weights());
        let stored = layer.weights().dtype();
        let mut expected: Vec<f32> = random(1, all).iter().map(|value| f16::from_f32(*value).to_f32()).collect();
        on(layer.write_canonical(&expected));
        let (mut refused, mut written) = (0, 0);
        for (turn, draw) in random(2, 60).into_iter().zip(random(3, 60)).map(|(a, b)| [a, b]).enumerate() {
            let [first, length] = draw.map(|draw| (((draw + 1.0) / 2.0 * all as f32) as u64).min(all - 1));
            let length = if turn.is_multiple_of(3) { length.min(5) } else { length }.min(all - first);
            let values: Vec<f32> =
                random(9 + turn as u64, length).iter().map(|value| f16::from_f32(*value).to_f32()).collect();
            let halves: Vec<u16> = values.iter().map(|value| f16::from_f32(*value).to_bits()).collect();
            let elements = if turn.is_multiple_of(2) { Elements::F32(&values) } else { Elements::F16(&halves) };
            match pollster::block_on(layer.parameters().write_range("weights", first, elements)) {
                Ok(()) => {
                    expected[first as usize..][..values.len()].copy_from_slice(&values);
                    written += 1;
                }
                Err(Error::Alignment { what: "weights", alignment: 4, .. }) if stored == WeightType::F16 => {
                    refused += 1
                }
                Err(error) => panic!("{first}, {length}: {error}"),
            }
            assert!(read_tensor(layer.weights()) == expected, "{length} elements from {first} on of {all}, {stored:?}");
        }
        assert!(written > 2 && (refused > 0) == (stored == WeightType::F16), "{written} written, {refused} refused");
        // All of them, however odd.
        let bits: Vec<u16> = expected.iter().rev().map(|value| f16::from_f32(*value).to_bits()).collect();
        on(layer.parameters().write_range("weights", 0, Elements::F16(&bits)));
        expected.reverse();
        assert!(read_tensor(layer.weights()) == expected);
        let past = pollster::block_on(layer.parameters().write_range("weights", all - 1, Elements::F32(&[1.0, 2.0])));
        assert!(matches!(past, Err(Error::Range { what: "weights", .. })), "{past:?}");
        let far = pollster::block_on(layer.parameters().write_range("weights", u64::MAX, Elements::F32(&[1.0])));
        assert!(matches!(far, Err(Error::Range { what: "weights", .. })), "{far:?}");
        assert_eq!(pollster::block_on(layer.parameters().write_range("weights", all, Elements::F32(&[]))), Ok(()));
        let none = pollster::block_on(layer.parameters().write_range("kernel", 0, Elements::F32(&[1.0])));
        assert_eq!(none, Err(Error::NoBuffer { name: "kernel".into() }));
    }
}

/// A weight is found where Keras's user counts it: entry and filter of a location.
#[test]
fn one_location_s_filters_are_replaced() {
    let layer = geometry(&Config::new(4, [2, 2]), &[4, 4, 3]);
    let mut operands = Operands::random(&layer, 1, 3);
    let on_device = on(operands.layer(GPU.context(), &layer));
    let location = u64::from(layer.window() * layer.group_filters());
    let new = random(5, location);
    on(on_device.parameters().write_range("weights", 7 * location, Elements::F32(&new)));
    on(on_device.parameters().write_range("bias", 7 * 4, Elements::F32(&[1.0, 2.0, 3.0, 4.0])));
    operands.weights[7 * location as usize..][..location as usize].copy_from_slice(&new);
    operands.bias[28..32].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    let found = on(GPU.forward(&on_device, &operands.input));
    assert_near("output", &found, &operands.reference(&layer).output, FORWARD);
}

/// Every one of the 65,536 numbers of 16 bits, as it is, NaN's payloads too where nothing converts them.
#[test]
fn sixteen_bit_floats_are_uploaded_as_they_are() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for dtype in [WeightType::F16, WeightType::F32] {
        let layer = on(LocallyConnected::new(GPU.context(), &Config::new(256, [1]).dtype(dtype), &[64, 4]));
        assert_eq!(layer.geometry().weights(), 65_536);
        on(layer.parameters().write_range("weights", 0, Elements::F16(&all)));
        let range = layer.weights().ranges()[0];
        let words = bits(&on(GPU.read(range, range.size / 4)));
        match dtype {
            WeightType::F16 => assert!(bytemuck::cast_slice::<u32, u16>(&words) == all),
            WeightType::F32 => {
                let wide: Vec<u32> = all.iter().map(|bits| f16::from_bits(*bits).to_f32().to_bits()).collect();
                assert!(words == wide);
            }
        }
    }
}

/// Pieces of a run of elements are as long as those of the whole.
#[test]
fn a_run_of_elements_goes_out_in_pieces() {
    let layer = on(LocallyConnected::new(GPU.context(), &Config::new(64, [3, 3]), &[20, 20, 32]));
    let all = layer.geometry().weights();
    let values = vec![0.5; all as usize - 1000];
    let mut upload = layer.parameters().upload_range("weights", 500, Elements::F32(&values)).expect("within");
    let mut pieces = 1;
    while on(upload.write_next()) {
        pieces += 1;
    }
    assert_eq!(pieces, (4 * all).div_ceil(locally_connected::Upload::PIECE));
    let found = read_tensor(layer.weights());
    let (before, after) = (&found[..500], &found[all as usize - 500..]);
    assert!(before.iter().chain(after).all(|value| *value == 0.0) && found[500..all as usize - 500] == values);
}

/// A set of weights is written while the other one is used; the passes of both are recorded in turns.
#[test]
fn two_sets_of_weights_take_turns() {
    let layer = geometry(&Config::new(4, [3, 3]).activation(Activation::Softmax), &[8, 8, 3]);
    let first = Operands::random(&layer, 2, 1);
    let pool = ScratchPool::growing();
    let context = fresh();
    let mut a = on(first.layer(&context, &layer));
    a.set_scratch(pool.clone());
    let (x, y) = (GPU.upload(&first.input), GPU.empty(first.grad_output.len() as u64));
    let bound_a = on(a.bind_forward(Forward::new(2, &x, &y)));
    let (compiled, scratch, bytes) = (context.pipelines().compiled(), pool.bytes(), a.bytes());
    let b = on(a.twin());
    let bound_b = on(b.bind_forward(Forward::new(2, &x, &y)));
    // All that the second set takes: its parameters, and uniforms.
    assert_eq!((context.pipelines().compiled(), pool.bytes()), (compiled, scratch));
    assert!(scratch > 0 && bound_b.bytes() == bound_b.plan().memory.uniforms, "{}", bound_b.bytes());
    assert_eq!(b.bytes(), bytes, "tables are counted with either and there once");
    let sets = [(&a, &bound_a), (&b, &bound_b)];
    for frame in 0..6u64 {
        let operands = Operands { input: first.input.clone(), ..Operands::random(&layer, 2, 10 + frame) };
        let (next, bound) = sets[frame as usize % 2];
        on(next.write_canonical(&operands.weights));
        on(next.write_bias(&operands.bias));
        record(&[bound]);
        assert_near(format!("frame {frame}"), &read(&y), &operands.reference(&layer).output, FORWARD);
    }
    // Both in one pass: each with its own.
    let z = GPU.empty(first.grad_output.len() as u64);
    let both = on(b.bind_forward(Forward::new(2, &x, &z)));
    record(&[&bound_a, &both]);
    assert_ne!(read(&y), read(&z));
    let model = Model {
        graph: Sequential::new([8, 3]).add(Layer::new(Config::new(2, [2]))).graph().expect("it"),
        parameters: BTreeMap::new(),
    };
    let parameters = model
        .graph
        .forward()
        .used_as(Usage::Parameter)
        .map(|buffer| (buffer.name.clone(), random(3, buffer.shape.elements(1))))
        .collect();
    let model = Model { parameters, ..model };
    let loaded = on(GPU.upload_model(&model));
    let twin = on(loaded.twin());
    let input = random(1, 24);
    assert_eq!(on(GPU.run(&twin, &input)), vec![0.0; 14], "zero until written");
    for (name, values) in &model.parameters {
        on(twin.weights().write(name, values));
    }
    assert_eq!(on(GPU.run(&twin, &input)), on(GPU.run(&loaded, &input)));
}

/// Passes of several layers in one pool take as much as the largest of them, and compute what they compute alone.
#[test]
fn passes_share_scratch_memory() {
    let layers = [
        (geometry(&Config::new(6, [3, 3]).activation(Activation::Softmax), &[9, 8, 4]), 5),
        (
            geometry(
                &Config::new(4, [2]).activation(Activation::Swish).implementation(Implementation::DenseMatmul),
                &[30, 3],
            ),
            8,
        ),
        (geometry(&Config::new(5, [3, 2]).bias(Bias::PerFilter).activation(Activation::Mish), &[7, 7, 2]), 2),
    ];
    let pool = ScratchPool::growing();
    let mut alone = Vec::new();
    let mut passes = Vec::new();
    for (layer, batch) in &layers {
        let operands = Operands::random(layer, u64::from(*batch), 2);
        let mut on_device = on(operands.layer(GPU.context(), layer));
        let (x, dy) = (GPU.upload(&operands.input), GPU.upload(&operands.grad_output));
        let results = |layer: &LocallyConnected| {
            let (y, z) = (GPU.empty(operands.grad_output.len() as u64), GPU.empty(operands.grad_output.len() as u64));
            let (dx, db) = (GPU.empty(operands.input.len() as u64), GPU.empty(layer.geometry().biases()));
            let dw = on(layer.create_weights_gradient());
            let forward = on(layer.bind_forward(Forward::new(*batch, &x, &y).pre_activation(&z)));
            let backward = Backward::new(*batch, &dy).input(&x).output(&y).pre_activation(&z);
            let backward = on(layer.bind_backward(backward.grad_input(&dx).grad_bias(&db).grad_weights(&dw)));
            ([forward, backward], [y, dx, db], dw)
        };
        let (own, buffers, dw) = results(&on_device);
        record(&[&own[0], &own[1]]);
        alone.push(buffers.iter().map(read).chain([read_tensor(&dw)]).map(|values| bits(&values)).collect::<Vec<_>>());
        on_device.set_scratch(pool.clone());
        passes.push((results(&on_device), own));
    }
    let needs: Vec<Vec<u64>> =
        passes.iter().flat_map(|((bound, ..), _)| bound).map(|bound| bound.plan().scratch_buffers()).collect();
    let most = needs.iter().map(|needs| needs.iter().sum::<u64>()).max().expect("passes");
    let apart: u64 = needs.iter().flatten().sum();
    assert!(pool.bytes() >= most && pool.bytes() < apart, "{} of {most} and {apart}", pool.bytes());
    for ((bound, ..), own) in &passes {
        for (bound, own) in bound.iter().zip(own) {
            assert_eq!(bound.bytes() + bound.plan().memory.scratch, own.bytes());
        }
    }
    // In one pass, twice over, so that each finds what the others left.
    let all: Vec<&Bound> = passes.iter().flat_map(|((bound, ..), _)| bound).collect();
    record(&all);
    record(&all);
    for (((_, buffers, dw), _), expected) in passes.iter().zip(&alone) {
        let found: Vec<_> = buffers.iter().map(read).chain([read_tensor(dw)]).map(|values| bits(&values)).collect();
        assert!(found == *expected, "other bits with shared scratch");
    }
}

/// Scratch of the host's: as large as needed, full of NaN, and typed refusals.
#[test]
fn scratch_is_the_host_s() {
    let device = GPU.context().device();
    let layer = geometry(&Config::new(6, [3, 3]).activation(Activation::Softmax), &[9, 8, 4]);
    let operands = Operands::random(&layer, 5, 2);
    let mut on_device = on(operands.layer(GPU.context(), &layer));
    let expected = bits(&on(GPU.forward(&on_device, &operands.input)));
    let needed = on_device.plan_forward(5, false).expect("planned").scratch_buffers();
    assert!(!needed.is_empty() && needed.iter().all(|bytes| *bytes > 4), "{needed:?}");
    // More than is needed, and not in its order.
    let sizes: Vec<u64> = needed.iter().rev().map(|bytes| bytes + 512).chain([16]).collect();
    let nan = |bytes: u64| GPU.upload(&vec![f32::NAN; bytes as usize / 4]);
    let given: Vec<_> = sizes.iter().map(|bytes| nan(*bytes)).collect();
    let pool = on(ScratchPool::of_buffers(GPU.context(), given.clone()));
    assert_eq!(pool.bytes(), sizes.iter().sum::<u64>());
    on_device.set_scratch(pool);
    let (x, y) = (GPU.upload(&operands.input), GPU.empty(operands.grad_output.len() as u64));
    let bound = on(on_device.bind_forward(Forward::new(5, &x, &y)));
    record(&[&bound]);
    assert!(bits(&read(&y)) == expected);
    let behind = read(&given[0]);
    assert!(behind[behind.len() - 128..].iter().all(|value| value.is_nan()), "what lies behind is nobody's");
    // A smaller one.
    let small = on(ScratchPool::of_buffers(GPU.context(), [nan(needed[0] - 4)]));
    on_device.set_scratch(small);
    let refused = pollster::block_on(on_device.bind_forward(Forward::new(5, &x, &y))).map(drop);
    assert_eq!(refused, Err(Error::Scratch { needed: needed.clone(), given: vec![needed[0] - 4] }));
    // What a pass reads or writes is no scratch of it.
    let sizes: u64 = needed.iter().sum::<u64>().max(y.size());
    let both = buffer(device, sizes, HOST_S);
    let others = needed[1..].iter().map(|bytes| nan(*bytes));
    on_device.set_scratch(on(ScratchPool::of_buffers(GPU.context(), [both.clone()].into_iter().chain(others))));
    let refused = pollster::block_on(on_device.bind_forward(Forward::new(5, &x, &both))).map(drop);
    assert!(matches!(refused, Err(Error::Aliased { .. })), "{refused:?}");
    // No buffers at all, and buffers that can't be any.
    let pool =
        |buffers: Vec<wgpu::Buffer>| pollster::block_on(ScratchPool::of_buffers(GPU.context(), buffers)).map(drop);
    assert_eq!(pool(Vec::new()), Ok(()));
    let unusable = buffer(device, 64, wgpu::BufferUsages::COPY_DST);
    assert_eq!(pool(vec![unusable]), Err(Error::Usage { what: "scratch memory", lacks: "STORAGE" }));
    assert!(matches!(pool(vec![both.clone(), both.clone()]), Err(Error::Aliased { .. })));
    let gone = buffer(device, 64, HOST_S);
    gone.destroy();
    assert!(matches!(pool(vec![gone]), Err(Error::Refused { what: "scratch memory", .. })));
    GPU.check().expect("nothing escaped");
}

/// A pool of a growing kind has no more buffers than any pass of it takes, whatever the order in which they come.
#[test]
fn a_pool_grows_no_more_than_it_must() {
    let layer = geometry(&Config::new(6, [3, 3]).activation(Activation::Softmax), &[9, 8, 4]);
    let mut on_device = on(LocallyConnected::with_geometry(GPU.context(), layer.clone()));
    let pool = ScratchPool::growing();
    on_device.set_scratch(pool.clone());
    for batch in [1, 3, 2, 8, 4, 8] {
        let (x, y) = (GPU.empty(batch * layer.inputs()), GPU.empty(batch * layer.outputs()));
        let bound = on(on_device.bind_forward(Forward::new(batch as u32, &x, &y)));
        assert!(pool.bytes() >= bound.plan().memory.scratch && bound.plan().memory.scratch > 0, "batch {batch}");
    }
    let eight = on_device.plan_forward(8, false).expect("planned").memory.scratch;
    assert_eq!(pool.bytes(), eight, "the largest alone");
}
