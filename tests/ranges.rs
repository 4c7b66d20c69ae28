//! Operands that are ranges of buffers: the same bits as in buffers of their own, nothing touched beside them, and typed
//! errors for ranges that can't be used, alone or together.

use crate::common::{GPU, Operands, context, implementations, profile, random, runs};
use locally_connected::headless::{Gpu, GpuOptions};
use locally_connected::kernels::Access;
use locally_connected::plan::Resource;
use locally_connected::{
    Activation, Backward, Bias, Bound, BufferRange, Config, DataFormat, DeviceProfile, Error, Forward, Geometry,
    Implementation, LocallyConnected, Padding, Readback, Saved, TransposedBackward, TransposedLocallyConnected,
    WeightType, wgpu,
};
use std::collections::BTreeMap;

/// What offsets of operands are multiples of.
fn alignment() -> u64 {
    profile().storage_alignment.into()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Values that no result has and no sum survives, each another.
fn pattern(count: u64) -> Vec<f32> {
    (0..count as u32).map(|index| f32::from_bits(0x7fc0_0000 | index)).collect()
}

fn record(passes: &[&Bound]) {
    GPU.submit(|encoder| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        passes.iter().for_each(|bound| bound.record(&mut pass));
    });
}

/// Named operands in one buffer.
struct Arena {
    buffer: wgpu::Buffer,
    contents: Vec<f32>,
    places: BTreeMap<String, std::ops::Range<usize>>,
}

impl Arena {
    /// Each behind the one before, at the next offset that may be bound and isn't 0 or that one's end; the pattern in
    /// between and behind.
    fn new(operands: &[(String, Vec<f32>)]) -> Self {
        let step = alignment() as usize / 4;
        let (mut places, mut end) = (BTreeMap::new(), 0usize);
        for (name, values) in operands {
            let start = (end + 1).next_multiple_of(step);
            end = start + values.len();
            places.insert(name.clone(), start..end);
        }
        let mut contents = pattern((end + step) as u64);
        for (name, values) in operands {
            contents[places[name].clone()].copy_from_slice(values);
        }
        Self { buffer: GPU.upload(&contents), contents, places }
    }

    /// A buffer for one alone.
    fn alone(operand: (String, Vec<f32>)) -> Self {
        let (name, contents) = operand;
        let places = BTreeMap::from([(name, 0..contents.len())]);
        Self { buffer: GPU.upload(&contents), contents, places }
    }
}

/// Operands of passes by name, wherever they lie.
struct Memory(Vec<Arena>);

impl Memory {
    fn at(&self, name: &str) -> BufferRange<'_> {
        let found = self.0.iter().find_map(|arena| Some((&arena.buffer, arena.places.get(name)?)));
        let (buffer, place) = found.expect("an operand of that name");
        BufferRange { buffer, offset: 4 * place.start as u64, size: 4 * place.len() as u64 }
    }

    /// What `written` hold now; all else must be what it was.
    fn take(&self, written: &[String]) -> Vec<Vec<u32>> {
        let mut taken = BTreeMap::new();
        for arena in &self.0 {
            let count = arena.contents.len();
            let mut found = bits(&pollster::block_on(GPU.read(&arena.buffer, count as u64)).expect("it is read"));
            let mut kept = bits(&arena.contents);
            for (name, place) in arena.places.iter().filter(|(name, _)| written.contains(name)) {
                taken.insert(name, found[place.clone()].to_vec());
                found[place.clone()].fill(0);
                kept[place.clone()].fill(0);
            }
            let changed = found.iter().zip(&kept).position(|(found, kept)| found != kept);
            assert_eq!(changed, None, "a word beside {:?} has changed, of {count}", arena.places);
        }
        written.iter().map(|name| taken[name].clone()).collect()
    }
}

/// A layer, what it computes from, and the names of what it reads and writes.
struct Case {
    layer: LocallyConnected,
    operands: Operands,
    batch: u32,
}

impl Case {
    fn new(geometry: &Geometry, batch: u32, profile: &DeviceProfile) -> Self {
        let operands = Operands::random(geometry, batch.into(), 7);
        let layer = pollster::block_on(operands.layer(&context(profile), geometry)).expect("a layer");
        Self { layer, operands, batch }
    }

    fn chunks(&self) -> Vec<(String, u64)> {
        let chunks = self.layer.weights().chunks().iter().zip(0..);
        chunks.map(|(chunk, index)| (format!("grad_weights {index}"), chunk.bytes(WeightType::F32) / 4)).collect()
    }

    /// What both passes write, each full of the pattern.
    fn results(&self) -> Vec<(String, Vec<f32>)> {
        let geometry = self.layer.geometry();
        let (inputs, outputs) = (self.operands.input.len() as u64, self.operands.grad_output.len() as u64);
        let mut results = vec![("output".to_owned(), outputs), ("grad_input".to_owned(), inputs)];
        if self.keeps() {
            results.push(("pre_activation".to_owned(), outputs));
        }
        results.extend(self.chunks());
        if geometry.biases() > 0 {
            results.push(("grad_bias".to_owned(), geometry.biases()));
        }
        results.into_iter().map(|(name, count)| (name, pattern(count))).collect()
    }

    fn given(&self) -> Vec<(String, Vec<f32>)> {
        vec![
            ("input".to_owned(), self.operands.input.clone()),
            ("grad_output".to_owned(), self.operands.grad_output.clone()),
        ]
    }

    fn keeps(&self) -> bool {
        self.layer.geometry().config().activation.saved() == Saved::PreActivation
    }

    /// A buffer for each.
    fn apart(&self) -> Memory {
        Memory(self.given().into_iter().chain(self.results()).map(Arena::alone).collect())
    }

    /// As few buffers as WebGPU lets it be: what is given, what the forward pass writes, each for itself, since a step of
    /// it reads the values before the activation and writes the output, and the gradients.
    fn together(&self) -> Memory {
        let (gradients, passes): (Vec<_>, Vec<_>) =
            self.results().into_iter().partition(|(name, _)| name.starts_with("grad_"));
        let passes = passes.into_iter().map(|one| Arena::new(&[one]));
        Memory([Arena::new(&self.given()), Arena::new(&gradients)].into_iter().chain(passes).collect())
    }

    /// The bits of all results, by name, and the passes.
    fn run(&self, memory: &Memory) -> (Vec<(String, Vec<u32>)>, [Bound; 2]) {
        let names: Vec<String> = self.results().into_iter().map(|(name, _)| name).collect();
        let at = |name: &str| memory.at(name);
        let chunks = self.chunks();
        let kernel = self.layer.weights_gradient_in(chunks.iter().map(|(name, _)| at(name))).expect("ranges that fit");
        let z = self.keeps().then(|| at("pre_activation"));
        let forward = Forward { batch: self.batch, input: at("input"), output: at("output"), pre_activation: z };
        let backward = Backward {
            batch: self.batch,
            input: Some(at("input")),
            output: Some(at("output")),
            pre_activation: z,
            grad_output: at("grad_output"),
            grad_input: Some(at("grad_input")),
            grad_weights: Some(&kernel),
            grad_bias: (self.layer.geometry().biases() > 0).then(|| at("grad_bias")),
            accumulate: false,
        };
        let forward = pollster::block_on(self.layer.bind_forward(forward)).expect("it binds");
        let backward = pollster::block_on(self.layer.bind_backward(backward)).expect("it binds");
        record(&[&forward, &backward]);
        (names.iter().cloned().zip(memory.take(&names)).collect(), [forward, backward])
    }
}

/// Both passes by every kernel, each operand a range at the smallest offset that isn't 0, against buffers of their own.
#[track_caller]
fn same_bits_in_ranges(geometry: &Geometry, batch: u32, profile: &DeviceProfile, cut: bool) {
    let possible = implementations(geometry, profile);
    assert_eq!(possible, Implementation::ALL);
    for (implementation, profile) in runs(&possible, geometry, profile) {
        let case = Case::new(&geometry.with_implementation(implementation), batch, &profile);
        let (expected, _) = case.run(&case.apart());
        let (found, passes) = case.run(&case.together());
        for ((name, found), (_, expected)) in found.iter().zip(&expected) {
            let (config, strategy) = (case.layer.geometry().config(), profile.strategy);
            assert!(found == expected, "{name} has other bits in a range, {config:?}, {strategy:?}");
            assert!(!expected.contains(&pattern(1)[0].to_bits()), "{name} was not written");
        }
        for bound in passes {
            let mut slices = bound.plan().dispatches().flat_map(|dispatch| &dispatch.bindings);
            let later = slices.any(|slice| matches!(slice.resource, Resource::Buffer(_)) && slice.offset > 0);
            assert_eq!(later, cut, "whether the batch is cut");
        }
    }
}

/// Activations that save nothing, the output, the values before them; those that go over rows.
const ACTIVATIONS: [Activation; 5] =
    [Activation::RELU, Activation::Linear, Activation::Swish, Activation::Softmax, Activation::LogSoftmax];

#[test]
fn results_have_the_same_bits_and_nothing_else_changes() {
    for activation in ACTIVATIONS {
        let config = Config::new(8, [3, 2]).padding(Padding::Same).activation(activation);
        let geometry = Geometry::new(&config, &[5, 6, 4]).expect("a layer");
        same_bits_in_ranges(&geometry, 3, &profile(), false);
        let config = Config::new(3, [3]).data_format(DataFormat::ChannelsFirst).bias(Bias::PerFilter);
        let geometry = Geometry::new(&config.activation(activation), &[3, 11]).expect("a layer");
        same_bits_in_ranges(&geometry, 10, &profile(), false);
    }
}

/// Bindings so small that batch and weights are cut: the offset of a piece is added to that of the range.
#[test]
fn pieces_of_ranges_have_the_same_bits() {
    for activation in ACTIVATIONS {
        // Samples of 132 and 108 bytes, so that pieces begin at no multiple of the alignment; weights of 972 bytes.
        let geometry = Geometry::new(&Config::new(3, [3]).activation(activation), &[11, 3]).expect("a layer");
        let limit = 1300 + alignment();
        let profile = DeviceProfile { max_binding: limit, ..profile() };
        same_bits_in_ranges(&geometry, 23, &profile, true);
        // Samples of whole fours, and three chunks of weights.
        let config = Config::new(8, [3, 3]).activation(activation).bias(Bias::PerFilter);
        let geometry = Geometry::new(&config, &[9, 8, 4]).expect("a layer");
        let profile = DeviceProfile { max_binding: 23_000, ..profile };
        same_bits_in_ranges(&geometry, 41, &profile, true);
    }
}

/// `wgpu::BufferSlice` is taken as it is, and a range may have more than is needed.
#[test]
fn slices_and_larger_ranges() {
    let case = Case::new(&Geometry::new(&Config::new(2, [3]), &[8, 3]).expect("a layer"), 2, &profile());
    let step = alignment();
    let arena = GPU.upload(&[vec![9.0; step as usize / 4], case.operands.input.clone(), vec![9.0; 100]].concat());
    let output = GPU.upload(&vec![7.0; 200 + step as usize / 2]);
    let forward =
        Forward { batch: 2, input: arena.slice(step..), output: output.slice(2 * step..), pre_activation: None };
    let bound = pollster::block_on(case.layer.bind_forward(forward)).expect("it binds");
    record(&[&bound]);
    let found = pollster::block_on(GPU.read(&output, 200 + step / 2)).expect("read");
    let expected = pollster::block_on(GPU.forward(&case.layer, &case.operands.input)).expect("it runs");
    let (before, from) = found.split_at(step as usize / 2);
    assert_eq!(bits(&from[..24]), bits(&expected));
    assert!(before.iter().chain(&from[24..]).all(|value| *value == 7.0));
    let part = pollster::block_on(GPU.read(output.slice(2 * step + 4..), 23)).expect("read");
    assert_eq!(bits(&part), bits(&expected[1..]));
}

/// What lies beyond an operand isn't bound, so that no limit of the device's counts it.
#[test]
fn buffers_over_the_binding_limit() {
    let options = GpuOptions { limits: Some(wgpu::Limits::default()), ..GpuOptions::default() };
    let gpu = pollster::block_on(Gpu::with_options(&options)).expect("tests need an adapter");
    let limit = gpu.context().profile().max_binding;
    let bound = pollster::block_on(async {
        let layer = LocallyConnected::new(gpu.context(), &Config::new(2, [3]), &[8, 3]).await?;
        let (dy, large) = (gpu.empty(12), gpu.empty(limit / 4 + 1));
        let backward = Backward {
            batch: 1,
            input: None,
            output: None,
            pre_activation: None,
            grad_output: &dy,
            grad_input: None,
            grad_weights: None,
            grad_bias: Some(&large),
            accumulate: false,
        };
        layer.bind_backward(backward).await
    });
    bound.expect("12 biases fit");
    assert_eq!(gpu.check(), Ok(()));
}

#[test]
fn the_transposed_layer_in_ranges() {
    for implementation in Implementation::ALL {
        let config = Config::new(6, [3, 2]).padding(Padding::Same).bias(Bias::None).implementation(implementation);
        let layer =
            pollster::block_on(TransposedLocallyConnected::new(GPU.context(), &config, &[7, 5, 4])).expect("built");
        let geometry = layer.adjoint().geometry().clone();
        let (inputs, outputs) = (3 * geometry.outputs(), 3 * geometry.inputs());
        pollster::block_on(layer.adjoint().write_canonical(&random(3, geometry.weights()))).expect("its length");
        let named = |name: &str, values| (name.to_owned(), values);
        let given = || vec![named("input", random(1, inputs)), named("grad_output", random(2, outputs))];
        let results = || {
            let counts = [("output", outputs), ("grad_input", inputs), ("grad_weights", geometry.weights())];
            counts.map(|(name, count)| named(name, pattern(count)))
        };
        let apart = Memory(given().into_iter().chain(results()).map(Arena::alone).collect());
        let together = Memory(vec![Arena::new(&given()), Arena::new(&results())]);
        let [expected, found] = [apart, together].map(|memory| {
            let kernel = layer.adjoint().weights_gradient_in([memory.at("grad_weights")]).expect("it fits");
            let operands = TransposedBackward {
                batch: 3,
                input: Some(memory.at("input")),
                grad_output: memory.at("grad_output"),
                grad_input: Some(memory.at("grad_input")),
                grad_weights: Some(&kernel),
                accumulate: false,
            };
            let forward = pollster::block_on(layer.bind_forward(3, memory.at("input"), memory.at("output")));
            let backward = pollster::block_on(layer.bind_backward(operands)).expect("bound");
            record(&[&forward.expect("bound")]);
            record(&[&backward]);
            // One operation would read what the other has overwritten.
            let over = TransposedBackward { grad_input: Some(memory.at("input")), ..operands };
            let refused = pollster::block_on(layer.bind_backward(over)).map(drop);
            let overlap = 4 * inputs;
            assert_eq!(refused, Err(Error::Aliased { written: "grad_input".into(), with: "input".into(), overlap }));
            memory.take(&results().map(|(name, _)| name))
        });
        assert!(expected == found, "other bits in ranges by {implementation:?}");
    }
}

/// Ranges that can't be used, each error with its numbers.
#[test]
fn unfit_ranges_are_refused() {
    pollster::block_on(async {
        let layer = LocallyConnected::new(GPU.context(), &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        // 5 samples of 24 inputs and 12 outputs.
        let (batch, step) = (5, alignment());
        let (arena, output) = (GPU.empty(120 + step / 4), GPU.empty(60));
        let all = BufferRange::from(&arena);
        let forward = async |input: BufferRange<'_>| {
            let output = BufferRange::from(&output);
            layer.bind_forward(Forward { batch, input, output, pre_activation: None }).await.map(drop)
        };
        assert_eq!(forward(BufferRange { offset: step, size: 480, ..all }).await, Ok(()));
        let error = forward(BufferRange { offset: step, size: 484, ..all }).await.expect_err("past the end");
        assert_eq!(error, Error::Range { what: "input", offset: step, size: 484, buffer: 480 + step });
        assert!(error.to_string().contains(&format!("484 bytes from byte {step}")), "{error}");
        let error = forward(BufferRange { offset: u64::MAX, size: 480, ..all }).await.expect_err("past the end");
        assert_eq!(error, Error::Range { what: "input", offset: u64::MAX, size: 480, buffer: 480 + step });
        let error = forward(BufferRange { offset: step, size: 479, ..all }).await.expect_err("too small");
        assert_eq!(error, Error::Length { what: "input", expected: 120, found: 119, shape: vec![5, 8, 3] });
        let error = forward(BufferRange { offset: step / 2, size: 480, ..all }).await.expect_err("between offsets");
        assert_eq!(error, Error::Alignment { what: "input", of: "offset", bytes: step / 2, alignment: step });
        assert!(error.to_string().contains(&format!("offset {}, which is no multiple of {step} bytes", step / 2)));
        // The bytes that a context promises to keep to count, not the device's.
        let coarse = context(&DeviceProfile { storage_alignment: 2 * step as u32, ..profile() });
        let coarse = LocallyConnected::new(&coarse, &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        let input = BufferRange { offset: step, size: 480, ..all };
        let refused =
            coarse.bind_forward(Forward { batch, input, output: (&output).into(), pre_activation: None }).await;
        let alignment = 2 * step;
        assert_eq!(refused.map(drop), Err(Error::Alignment { what: "input", of: "offset", bytes: step, alignment }));

        // Every operand of both passes is checked, by its name.
        let shifted = |elements| (GPU.empty(elements + step / 4), step / 2);
        let buffers = ["output", "pre_activation", "grad_output", "grad_input", "grad_bias", "input"]
            .map(|what| (what, shifted(120)));
        for (wrong, (buffer, offset)) in &buffers {
            let swish = Config::new(2, [3]).activation(Activation::Swish);
            let layer = LocallyConnected::new(GPU.context(), &swish, &[8, 3]).await.expect("a layer");
            let own = [(); 6].map(|()| GPU.empty(120));
            let at = |index: usize, what| {
                let range = BufferRange { buffer, offset: *offset, size: 480 };
                if what == *wrong { range } else { BufferRange::from(&own[index]) }
            };
            let (x, y, z) = (at(0, "input"), at(1, "output"), at(2, "pre_activation"));
            let expected = Error::Alignment { what: wrong, of: "offset", bytes: *offset, alignment: step };
            let refused = layer.bind_forward(Forward { batch, input: x, output: y, pre_activation: Some(z) }).await;
            assert_eq!(refused.map(drop).err(), (!wrong.starts_with("grad_")).then(|| expected.clone()));
            let grad_weights = layer.create_weights_gradient().await.expect("it fits");
            let backward = Backward {
                batch,
                input: Some(x),
                output: Some(y),
                pre_activation: Some(z),
                grad_output: at(3, "grad_output"),
                grad_input: Some(at(4, "grad_input")),
                grad_weights: Some(&grad_weights),
                grad_bias: Some(at(5, "grad_bias")),
                accumulate: false,
            };
            // Of swish's operands the output isn't read.
            let refused = layer.bind_backward(backward).await.map(drop).err();
            assert_eq!(refused, (*wrong != "output").then_some(expected));
        }
    });
}

#[test]
fn unfit_ranges_of_a_weights_gradient_are_refused() {
    pollster::block_on(async {
        let profile = DeviceProfile { max_binding: 400, ..profile() };
        let layer = LocallyConnected::new(&context(&profile), &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        let sizes: Vec<u64> = layer.weights().chunks().iter().map(|chunk| chunk.bytes(WeightType::F32)).collect();
        assert_eq!(sizes, [360, 72], "5 cells and 1 of 72 bytes");
        let step = alignment();
        let second = 360_u64.next_multiple_of(step);
        let arena = GPU.empty((second + 72) / 4);
        let range = |offset, size| BufferRange { buffer: &arena, offset, size };
        let refused = |ranges: &[BufferRange<'_>]| layer.weights_gradient_in(ranges.iter().copied()).map(drop);
        assert_eq!(refused(&[range(0, 360), range(second, 72)]), Ok(()));
        let what = "the ranges of a tensor";
        assert_eq!(refused(&[range(0, 360)]), Err(Error::Length { what, expected: 2, found: 1, shape: vec![2] }));
        let what = "grad_weights";
        let error = Error::Length { what, expected: 18, found: 17, shape: vec![9, 2] };
        assert_eq!(refused(&[range(0, 360), range(second, 68)]), Err(error));
        let error = Error::Range { what, offset: second, size: 76, buffer: second + 72 };
        assert_eq!(refused(&[range(0, 360), range(second, 76)]), Err(error));
        let error = Error::Alignment { what, of: "offset", bytes: 4, alignment: step };
        assert_eq!(refused(&[range(4, 360), range(second, 72)]), Err(error));
        // Two chunks in one place are found when they are bound.
        let (x, dy) = (GPU.empty(24), GPU.empty(12));
        let both = layer.weights_gradient_in([range(0, 360), range(step, 72)]).expect("each for itself fits");
        let backward = Backward {
            batch: 1,
            input: Some(&x),
            output: None,
            pre_activation: None,
            grad_output: &dy,
            grad_input: None,
            grad_weights: Some(&both),
            grad_bias: None,
            accumulate: false,
        };
        let overlap = 72.min(360 - step);
        let error = Error::Aliased { written: what.into(), with: what.into(), overlap };
        assert_eq!(layer.bind_backward(backward).await.map(drop), Err(error));
        // Reading them back needs a usage that the pass doesn't.
        let usage = wgpu::BufferUsages::STORAGE;
        let device = GPU.context().device();
        let unread =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 1024, usage, mapped_at_creation: false });
        let unread =
            layer.weights_gradient_in([unread.slice(..360), unread.slice(512..)]).expect("it is enough to bind");
        let error = Error::Usage { what: "the source of a readback", lacks: "COPY_SRC" };
        assert_eq!(GPU.read_weights(&layer, &unread).await, Err(error));
        let other = LocallyConnected::new(GPU.context(), &Config::new(2, [2]), &[8, 3]).await.expect("a layer");
        let refused = GPU.read_weights(&layer, other.weights()).await;
        assert!(matches!(refused, Err(Error::Length { what: "weights", expected: 108, found: 84, .. })), "{refused:?}");
    });
}

#[test]
fn readbacks_of_ranges() {
    pollster::block_on(async {
        let buffer = GPU.upload(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let device = GPU.context().device();
        let read = async |source: BufferRange<'_>| {
            let mut readback = Readback::new(device, source).await?;
            GPU.submit(|encoder| readback.record(encoder))?;
            GPU.drive(readback.values()).await
        };
        let range = |offset, size| BufferRange { buffer: &buffer, offset, size };
        assert_eq!(read(range(4, 12)).await, Ok(vec![2.0, 3.0, 4.0]));
        assert_eq!(read((&buffer).into()).await, Ok(vec![1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!(read(range(8, 0)).await, Ok(vec![]));
        let what = "the source of a readback";
        let unaligned = |of, bytes| Err(Error::Alignment { what, of, bytes, alignment: 4 });
        assert_eq!(read(range(2, 8)).await, unaligned("offset", 2));
        assert_eq!(read(range(4, 7)).await, unaligned("size", 7));
        assert_eq!(read(range(8, 16)).await, Err(Error::Range { what, offset: 8, size: 16, buffer: 20 }));
        let error = Error::Length { what, expected: 3, found: 2, shape: vec![3] };
        assert_eq!(GPU.read(range(4, 11), 3).await, Err(error));
        assert_eq!(GPU.read(range(4, 11), 2).await, Ok(vec![2.0, 3.0]));
        assert_eq!(GPU.check(), Ok(()));
    });
}

/// Pairs of operands in one buffer: those that a dispatch reads and writes are refused, disjoint or not; those that none
/// does are refused where they overlap, and run where they don't.
#[test]
fn pairs_in_one_buffer() {
    pollster::block_on(async {
        let step = 480_u64.next_multiple_of(alignment());
        let arena = GPU.empty(4 * step / 4);
        let at = |place| BufferRange { buffer: &arena, offset: place * step, size: 480 };
        let own = [(); 6].map(|()| GPU.empty(120));
        let [x, y, dy, dx, db, z] = own.each_ref().map(BufferRange::from);
        let (batch, aliased) = (1, |written: &str, with: &str, overlap| {
            Err(Error::Aliased { written: written.into(), with: with.into(), overlap })
        });
        for activation in [Activation::Linear, Activation::Tanh, Activation::Softmax, Activation::Swish] {
            let config = Config::new(2, [3]).activation(activation);
            let layer = LocallyConnected::new(GPU.context(), &config, &[8, 3]).await.expect("a layer");
            let forward = async |input, output, pre_activation| {
                let bound = layer.bind_forward(Forward { batch, input, output, pre_activation }).await?;
                record(&[&bound]);
                GPU.check()
            };
            // 96 bytes of input, 48 of output.
            assert_eq!(forward(at(0), at(0), None).await, aliased("output", "input", 48));
            // An activation over rows reads a buffer of the pass's own.
            let refused = if activation.over_rows() { Ok(()) } else { aliased("output", "input", 0) };
            assert_eq!(forward(at(0), at(1), None).await, refused);
            assert_eq!(forward(x, at(0), Some(at(1))).await, aliased("output", "pre_activation", 0));
            assert_eq!(forward(at(0), y, Some(at(1))).await, aliased("pre_activation", "input", 0));
            // One step writes the values before the activation from the input, the next one the output from those.
            assert_eq!(forward(at(0), at(1), Some(z)).await, Ok(()));
            assert_eq!(forward(at(0), at(0), Some(z)).await, aliased("output", "input", 48));

            let grad_weights = layer.create_weights_gradient().await.expect("it fits");
            let all = Backward {
                batch,
                input: Some(x),
                output: Some(y),
                pre_activation: Some(z),
                grad_output: dy,
                grad_input: Some(dx),
                grad_weights: Some(&grad_weights),
                grad_bias: Some(db),
                accumulate: false,
            };
            let backward = async |operands: Backward<'_, BufferRange<'_>>| {
                let bound = layer.bind_backward(operands).await?;
                record(&[&bound]);
                GPU.check()
            };
            // Everything read in one buffer, everything written in another.
            let read = Backward { input: Some(at(0)), grad_output: at(1), output: Some(at(2)), ..all };
            assert_eq!(backward(Backward { pre_activation: Some(at(3)), ..read }).await, Ok(()));
            assert_eq!(backward(Backward { grad_input: Some(at(0)), grad_bias: Some(at(1)), ..all }).await, Ok(()));
            let both = Backward { grad_input: Some(at(0)), grad_bias: Some(at(0)), ..all };
            assert_eq!(backward(both).await, aliased("grad_bias", "grad_input", 48));
            let both = Backward { grad_input: Some(at(0)), input: Some(at(0)), ..all };
            assert_eq!(backward(both).await, aliased("grad_input", "input", 96));
            // No step reads the input and writes its gradient.
            assert_eq!(backward(Backward { input: Some(at(1)), ..both }).await, Ok(()));
            // The gradient before the activation is a buffer of the pass's own, where there is an activation.
            let both = Backward { grad_output: at(0), grad_input: Some(at(1)), ..all };
            let refused =
                if activation == Activation::Linear { aliased("grad_input", "grad_output", 0) } else { Ok(()) };
            assert_eq!(backward(both).await, refused);
            let both = Backward { grad_output: at(0), grad_input: Some(at(0)), ..all };
            assert_eq!(backward(both).await, aliased("grad_input", "grad_output", 48));
            // The layer's own.
            let own = Backward { grad_weights: Some(layer.weights()), ..all };
            assert_eq!(backward(own).await, aliased("grad_weights", "weights", 432));
            let own = Backward { grad_bias: layer.bias().map(BufferRange::from), ..all };
            assert_eq!(backward(own).await, aliased("grad_bias", "bias", 48));
        }
    });
}

/// What the check of dispatches follows: wgpu compares whole buffers where one is read and written. (Ranges that overlap
/// and are both written it takes natively, too; WebGPU and this crate don't.)
#[test]
fn one_buffer_twice_in_a_dispatch() {
    use Access::{Read, Write};
    let (device, step) = (GPU.context().device(), alignment());
    let buffer = GPU.empty(2 * step / 4);
    let refused = |accesses: [Access; 2], offsets: [u64; 2]| {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let [a, b] = accesses.map(|access| if access == Read { "read" } else { "read_write" });
        let use_both = match accesses {
            [Read, Read] => "if (a[0] + b[0] > 1e30) { return; }",
            [Read, Write] => "b[0] = a[0];",
            _ => "a[0] = 1.0; b[0] = 1.0;",
        };
        let source = format!(
            "@group(0) @binding(0) var<storage, {a}> a: array<f32>;
             @group(0) @binding(1) var<storage, {b}> b: array<f32>;
             @compute @workgroup_size(1) fn main() {{ {use_both} }}"
        );
        let source = wgpu::ShaderSource::Wgsl(source.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let size = std::num::NonZeroU64::new(step);
        let entry = |binding: usize| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &buffer,
                offset: offsets[binding],
                size,
            }),
        };
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[entry(0), entry(1)],
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        drop(encoder.finish());
        pollster::block_on(scope.pop()).map(|error| error.to_string())
    };
    assert_eq!(refused([Read, Read], [0, step]), None);
    assert_eq!(refused([Read, Read], [0, 0]), None);
    assert_eq!(refused([Write, Write], [0, step]), None, "disjoint");
    for offsets in [[0, 0], [0, step]] {
        let message = refused([Read, Write], offsets).expect("wgpu refuses it");
        assert!(message.contains("conflicting usages"), "{message}");
    }
}
