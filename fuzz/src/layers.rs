//! Layers of any geometry: planned within any limits, and computed by the CPU executor as by the reference.

use arbitrary::{Arbitrary, Result, Unstructured};
use locally_connected::cpu::{Executor, Weights};
use locally_connected::model::{layer_backward, layer_forward, layer_names as names};
use locally_connected::ops::{Buffer, Usage};
use locally_connected::plan::{Planner, Strategy};
use locally_connected::program::Program;
use locally_connected::reference::{self, PassOperands};
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Geometry, Gradients, Implementation, Padding, Pattern,
    WeightType,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of bindings where they are small.
const SMALL_BINDING: u64 = 4096;

/// Most rows and inputs of a pattern.
const MOST_ROWS: usize = 1 << 20;

pub(crate) fn take(bytes: &[u8]) {
    let _ = try_layer(&mut Unstructured::new(bytes));
}

/// A size: small as a rule, now and then anything.
fn size(u: &mut Unstructured<'_>) -> Result<usize> {
    if u.ratio(1, 40)? { usize::arbitrary(u) } else { u.int_in_range(0..=12) }
}

fn config(u: &mut Unstructured<'_>, rank: usize) -> Result<Config> {
    let sizes = |u: &mut Unstructured<'_>| (0..rank).map(|_| size(u)).collect::<Result<Vec<_>>>();
    let padding = match u.int_in_range(0..=5)? {
        0 => Padding::Same,
        1 => Padding::SameUpper,
        2 => Padding::Circular,
        3 => Padding::Explicit((0..rank).map(|_| Ok([size(u)?, size(u)?])).collect::<Result<Vec<_>>>()?),
        _ => Padding::Valid,
    };
    let activations =
        [Activation::Linear, Activation::RELU, Activation::Tanh, Activation::Softmax, Activation::LogSoftmax];
    let mut config = Config::new(size(u)?, sizes(u)?).padding(padding).groups(u.int_in_range(0..=4)?);
    if u.arbitrary()? {
        config = config.strides(sizes(u)?).dilation_rate(sizes(u)?);
    }
    Ok(config
        .data_format(*u.choose(&[DataFormat::ChannelsLast, DataFormat::ChannelsFirst])?)
        .bias(*u.choose(&[Bias::None, Bias::PerLocation, Bias::PerFilter])?)
        .activation(*u.choose(&activations)?)
        .dtype(*u.choose(&WeightType::ALL)?))
}

fn geometry(u: &mut Unstructured<'_>) -> Result<locally_connected::Result<Geometry>> {
    Ok(match u.int_in_range(0..=7)? {
        0 => {
            // Each of them is some words, with connections or without.
            let (rows, inputs) = (size(u)?.min(MOST_ROWS), size(u)?.min(MOST_ROWS));
            let pairs: Vec<(u8, u8)> = u.arbitrary()?;
            let pairs: Vec<(u32, u32)> = pairs.into_iter().map(|(row, input)| (row.into(), input.into())).collect();
            let filters = size(u)?;
            Pattern::from_coo(rows, inputs, &pairs)
                .and_then(|(pattern, _)| Geometry::from_pattern(pattern, filters, Bias::None, Activation::Tanh))
        }
        1 => {
            let shape = (0..u.int_in_range(1..=3)?).map(|_| size(u)).collect::<Result<Vec<_>>>()?;
            Geometry::dense(size(u)?, &shape, u.arbitrary()?, Activation::RELU)
        }
        kind => {
            let rank = u.int_in_range(1..=3)?;
            let config = config(u, rank)?;
            let shape = (0..=rank).map(|_| size(u)).collect::<Result<Vec<_>>>()?;
            if kind == 2 { Geometry::convolution(&config, &shape) } else { Geometry::new(&config, &shape) }
        }
    })
}

fn profile(u: &mut Unstructured<'_>) -> Result<DeviceProfile> {
    let strategy = *u.choose(&[Strategy::GPU, Strategy::CPU])?;
    let browser = DeviceProfile { strategy, ..DeviceProfile::webgpu_defaults() };
    Ok(DeviceProfile {
        max_binding: if u.arbitrary()? { u.int_in_range(0..=SMALL_BINDING)? } else { browser.max_binding },
        max_buffer: if u.ratio(1, 4)? { u.int_in_range(0..=65_536)? } else { browser.max_buffer },
        max_workgroups: if u.ratio(1, 4)? { u.int_in_range(0..=64)? } else { browser.max_workgroups },
        max_iterations: if u.ratio(1, 4)? { u.int_in_range(0..=5000)? } else { browser.max_iterations },
        storage_alignment: if u.ratio(1, 8)? { 32 } else { 256 },
        ..browser
    })
}

/// Quarters from -2 to 2: their sums are exact, so that nothing but activations is rounded.
fn values(seed: u64, count: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed) * 2_654_435_761 % (1 << 32) % 17) as f32 / 4.0 - 2.0).collect()
}

fn try_layer(u: &mut Unstructured<'_>) -> Result<()> {
    let Ok(geometry) = geometry(u)? else { return Ok(()) };
    let batch = u.int_in_range(0..=5u32)?;
    let profile = profile(u)?;
    let layer = Arc::new(geometry.with_implementation(*u.choose(&Implementation::ALL)?));
    // A large matrix in bindings of four kilobytes is a dispatch of some kilobytes for each of its numbers, and rightly so.
    if profile.max_binding <= SMALL_BINDING && layer.inputs().saturating_mul(layer.outputs()) > 1 << 16 {
        return Ok(());
    }
    let programs = [layer_forward(&layer, false), layer_backward(&layer, Gradients::ALL)];
    for program in &programs {
        assert_eq!(program.check(), Ok(()));
        if let Ok(plan) = Planner::new(&profile).program(program, batch)
            && plan.dispatches().count() < 1000
            && plan.memory.constants < 1 << 20
        {
            // Every binding is in its buffer, or this refuses it.
            let written = plan.written(program);
            assert!(written.is_ok(), "{:?}", written.err());
        }
    }
    let work = geometry.connected_weights().saturating_mul(u64::from(batch) + 1);
    let most = geometry.inputs().max(geometry.outputs()).saturating_mul(u64::from(batch) + 1).max(geometry.weights());
    if work <= 20_000 && most <= 20_000 {
        compute(&layer, batch, &programs);
    }
    Ok(())
}

fn compute(layer: &Geometry, batch: u32, programs: &[Program; 2]) {
    let samples = u64::from(batch);
    let (input, weights) = (values(1, samples * layer.inputs()), values(2, layer.weights()));
    let (bias, slope) = (values(3, layer.biases()), values(4, samples * layer.outputs()));
    let operands = PassOperands { input: &input, weights: &weights, bias: &bias, grad_output: &slope };
    let expected = reference::passes(layer, operands);
    let expected = expected.unwrap_or_else(|error| panic!("the reference refuses it: {error}"));
    let narrow = |values: &Vec<f64>| values.iter().map(|&value| value as f32).collect();
    let given: BTreeMap<&str, Vec<f32>> = BTreeMap::from([
        (names::INPUT, input),
        (names::WEIGHTS, weights),
        (names::BIAS, bias),
        (names::GRAD_OUTPUT, slope),
        (names::OUTPUT, narrow(&expected.output)),
        (names::PRE_ACTIVATION, narrow(&expected.pre_activation)),
    ]);
    let expected: BTreeMap<&str, Vec<f64>> = BTreeMap::from([
        (names::OUTPUT, expected.output),
        (names::GRAD_INPUT, expected.grad_input),
        (names::GRAD_WEIGHTS, expected.grad_weights),
        (names::GRAD_BIAS, expected.grad_bias),
    ]);
    for program in programs {
        for (name, found) in run(program, batch, &given) {
            let Some(expected) = expected.get(name.as_str()) else { continue };
            assert_eq!(found.len(), expected.len(), "{name}");
            let largest = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
            for (found, expected) in found.iter().zip(expected) {
                let off = (f64::from(*found) - expected).abs();
                assert!(off <= 1e-5 * largest, "{name} is {found}, not {expected}: batch {batch}, {layer:?}");
            }
        }
    }
}

/// What a pass writes, by name.
fn run(program: &Program, batch: u32, given: &BTreeMap<&str, Vec<f32>>) -> BTreeMap<String, Vec<f32>> {
    let mut store = Weights::new();
    for buffer in program.used_as(Usage::Parameter) {
        assert_eq!(store.set(program, &buffer.name, &given[&*buffer.name]), Ok(()));
    }
    let mut bound = Executor::default().bind(program, batch).unwrap_or_else(|error| panic!("{error}"));
    let of = |buffer: &Buffer| vec![f32::NAN; buffer.shape.elements(batch) as usize];
    let outputs = program.used_as(Usage::Output).chain(program.used_as(Usage::Gradient));
    let mut written: BTreeMap<String, Vec<f32>> = outputs.map(|b| (b.name.clone(), of(b))).collect();
    let inputs: Vec<_> = program.used_as(Usage::Input).map(|b| (&*b.name, given[&*b.name].as_slice())).collect();
    let mut outputs: Vec<_> = written.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice())).collect();
    assert_eq!(bound.run(&store, &inputs, &mut outputs), Ok(()));
    written
}
