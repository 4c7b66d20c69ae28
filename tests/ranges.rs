//! Operands that are ranges of buffers: the same bits as in buffers of their own, nothing touched beside them, and typed
//! errors for ranges that can't be used, alone or together.

mod refused;

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
