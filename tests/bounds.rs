//! Whatever is planned is in bounds: the kernels' arithmetic is run invocation by invocation on naga's IR (`xtask/bounds`), without a
//! device whose own bounds checks would hide what is wrong, and every access is held against its binding.
//!
//! It also finds two invocations that touch one word between two barriers or in one dispatch, words of buffers that are read before
//! anything wrote them, outputs that nothing writes, and a value that decides an address or a loop's length: one of a
//! buffer's, or what workgroup memory holds at first, which isn't zeroed. `planted_overruns_are_found` says of each that it does.

use crate::common::{STRATEGIES, activations, runs};
use crate::properties::{batch, cases, layers};
use locally_bounds::{Found, Known, Shaders, check};
use locally_connected::kernels::{Access, TILE_SHAPES, Variant, variants};
use locally_connected::model::{Flatten, Sequential, layer_backward, layer_forward};
use locally_connected::plan::{Planner, Strategy, WrittenPlan};
use locally_connected::program::Program;
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Error, Geometry, Gradients, Implementation, Padding,
    WeightType,
};
use proptest::prelude::prop_assume;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

thread_local! {
    static SHADERS: RefCell<Shaders> = RefCell::default();
}

fn look(plan: &WrittenPlan, known: &Known) -> Found {
    SHADERS.with_borrow_mut(|shaders| check(plan, known, shaders))
}

/// Targets that are classes, and such as are none.
const TARGETS: [f32; 14] = [
    0.0,
    1.0,
    2.0,
    9.0,
    9.5,
    69.0,
    70.0,
    -0.5,
    -1.0,
    999.0,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    4_294_967_296.0,
];

fn known(program: &Program, batch: u32) -> Known {
    let mut known = Known::default();
    for (buffer, given) in program.buffers.iter().zip(program.given()) {
        if given {
            known.given.insert(buffer.name.clone());
        }
        if buffer.name == "target" {
            let count = buffer.shape.elements(batch) as usize;
            let words = TARGETS.into_iter().cycle().take(count.max(1)).map(f32::to_bits).collect();
            known.contents.insert(buffer.name.clone(), words);
        }
    }
    known
}

/// Plans a program and looks at it; nothing where it can't be done within the limits.
fn planned(program: &Program, batch: u32, profile: &DeviceProfile) -> Option<(WrittenPlan, Found)> {
    let plan = match Planner::new(profile).program(program, batch) {
        Err(Error::Limit { .. } | Error::OverBudget { .. } | Error::Unsupported { .. }) => return None,
        plan => plan.expect("it is planned").written(program).expect("it is written"),
    };
    let found = look(&plan, &known(program, batch));
    Some((plan, found))
}

fn assert_in_bounds(program: &Program, batch: u32, profile: &DeviceProfile) -> Option<Found> {
    let (_, found) = planned(program, batch, profile)?;
    assert!(found.faults.is_empty(), "{:#?} of {batch} samples with {profile:?}, {program:#?}", found.faults);
    Some(found)
}

fn both_passes(geometry: &Geometry) -> [Program; 3] {
    let layer = Arc::new(geometry.clone());
    [layer_forward(&layer, false), layer_forward(&layer, true), layer_backward(&layer, Gradients::ALL)]
}

/// A layer's passes by an implementation: all is in bounds, and every output is written, and of the weights' gradient what
/// padding leaves of them.
/// Nothing where none of the passes can be planned.
fn assert_layer(geometry: &Geometry, batch: u32, profile: &DeviceProfile) -> Option<Ran> {
    let mut ran: Option<Ran> = None;
    for program in both_passes(geometry) {
        let Some(found) = assert_in_bounds(&program, batch, profile) else { continue };
        let all = ran.get_or_insert_default();
        all.workgroups += found.workgroups;
        all.shaders.extend(found.shaders);
        for (name, unwritten) in found.unwritten {
            assert_eq!(unwritten, 0, "of {name} for batch {batch}, {:?}, {profile:?}", geometry.config());
        }
    }
    ran
}

/// What ran of a layer's passes.
#[derive(Default)]
struct Ran {
    workgroups: u64,
    shaders: BTreeSet<String>,
}

/// What a browser gives, and a device that cuts batches, weights, workgroups and loops.
fn profiles(geometry: &Geometry, seed: u64) -> Vec<DeviceProfile> {
    let browser = DeviceProfile { max_workgroup_memory: 32 << 10, ..DeviceProfile::webgpu_defaults() };
    let cell = 4 * u64::from(geometry.window()) * u64::from(geometry.group_filters());
    let tight = DeviceProfile {
        max_binding: [600, 1300, 2 * cell + 512, 20_000][seed as usize % 4],
        max_workgroups: [64, 100, 65_535][seed as usize % 3],
        max_iterations: [u64::MAX, 4000][seed as usize / 2 % 2],
        ..browser.clone()
    };
    let cpu = DeviceProfile { strategy: Strategy::CPU, ..browser.clone() };
    vec![browser, tight, cpu]
}

/// What random layers came to.
#[derive(Default)]
struct Tried {
    planned: u32,
    /// Refused, all of its passes.
    refused: u32,
    shaders: BTreeSet<String>,
}

#[test]
fn random_layers_are_in_bounds() {
    let batches = select(&[0u64, 1, 2, 3, 5, 8, 9, 17, 33][..]);
    let given = (layers(), batches, select(&[false, false, true][..]), 0..1000u64);
    let tried = RefCell::new([(); 3].map(|()| Tried::default()));
    let ran = TestRunner::new(cases(24)).run(&given, |((config, input_shape), wanted, convolves, seed)| {
        let new = if convolves { Geometry::convolution } else { Geometry::new };
        let config = if convolves && config.bias == Bias::PerLocation { config.bias(Bias::PerFilter) } else { config };
        let geometry = new(&config, &input_shape).expect("a layer");
        prop_assume!(geometry.connected_weights() * batch(&geometry, wanted) < 10_000);
        let batch = batch(&geometry, wanted) as u32;
        for (profile, tried) in profiles(&geometry, seed).iter().zip(tried.borrow_mut().iter_mut()) {
            let implementations = if convolves { &[Implementation::Loop][..] } else { &Implementation::ALL };
            for (implementation, profile) in runs(implementations, &geometry, profile) {
                match assert_layer(&geometry.with_implementation(implementation), batch, &profile) {
                    Some(found) => {
                        tried.planned += 1;
                        tried.shaders.extend(found.shaders);
                    }
                    None => tried.refused += 1,
                }
            }
        }
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    // A planner that refuses everything is in bounds, too.
    let [browser, tight, cpu] = tried.into_inner();
    // Some bindings of the tight device's are too small for a layer's windows.
    for (tried, refusals, variants) in [(browser, 0, 150), (cpu, 0, 180), (tight, 70, 110)] {
        let Tried { planned, refused, shaders } = tried;
        println!("{planned} planned, {refused} refused, {} variants", shaders.len());
        assert!(planned >= 80 && refused <= refusals, "{planned} are planned, {refused} refused");
        assert!(shaders.len() >= variants, "{} variants: {shaders:?}", shaders.len());
    }
}

/// Programs of everything beside layers, whole and cut.
fn others(seed: u64) -> Vec<Program> {
    let mut all = crate::operations::programs(seed);
    all.extend(crate::losses::programs(seed));
    all.extend(crate::random::programs(seed));
    all.extend(crate::updates::programs(seed));
    if seed == 0 {
        all.extend(crate::pool::programs());
        all.extend(crate::rearrange::programs());
        all.extend(crate::programs::TRANSPOSES.into_iter().map(|(rows, columns)| {
            let flatten = Flatten { data_format: DataFormat::ChannelsFirst };
            Sequential::new([rows as usize, columns as usize]).add(flatten).graph().expect("a layer").forward()
        }));
    }
    all
}

#[test]
fn programs_of_every_kernel_are_in_bounds() {
    let mut ran = BTreeSet::new();
    let mut look_at = |program: &Program, batch: u32, profile: &DeviceProfile| {
        let Some(found) = assert_in_bounds(program, batch, profile) else { return };
        let unwritten: Vec<_> = found.unwritten.iter().filter(|(_, count)| **count > 0).collect();
        assert!(unwritten.is_empty(), "{unwritten:?} of {program:#?}");
        ran.extend(found.shaders);
    };
    let browser = DeviceProfile { max_workgroup_memory: 32 << 10, ..DeviceProfile::webgpu_defaults() };
    for seed in 0..4 {
        for program in others(seed) {
            let most = program.buffers.iter().map(|buffer| buffer.shape.elements(1)).max().unwrap_or(0);
            let narrow = DeviceProfile { max_binding: 8 * most + 256, max_iterations: 500, ..browser.clone() };
            look_at(&program, 3, &browser);
            look_at(&program, 5, &narrow);
        }
    }
    // Layers whose locations share their weights and such whose don't, by every form.
    let config = |activation| Config::new(8, [3]).activation(activation).bias(Bias::PerFilter);
    for geometry in [
        Geometry::new(&config(Activation::Softmax), &[14, 4]),
        Geometry::new(&config(Activation::Tanh), &[14, 4]),
        Geometry::convolution(&config(Activation::Mish), &[14, 4]),
    ] {
        let geometry = geometry.expect("a layer");
        let implementations = match geometry.sharing() {
            locally_connected::Sharing::Shared => &[Implementation::Loop][..],
            _ => &Implementation::ALL,
        };
        for (implementation, profile) in runs(implementations, &geometry, &browser) {
            for program in both_passes(&geometry.with_implementation(implementation)) {
                look_at(&program, 9, &profile);
            }
        }
    }
    for (geometry, batch) in layers_of_every_constant() {
        let implementations = match geometry.sharing() {
            locally_connected::Sharing::Shared => &[Implementation::Loop][..],
            _ => &Implementation::ALL,
        };
        let mut runs = runs(implementations, &geometry, &browser);
        runs.extend(
            implementations.iter().map(|&by| (by, DeviceProfile { strategy: Strategy::CPU, ..browser.clone() })),
        );
        for (implementation, profile) in runs {
            for program in both_passes(&geometry.with_implementation(implementation)) {
                look_at(&program, batch, &profile);
            }
        }
    }
    for strategy in strategies_of_every_constant() {
        let profile = DeviceProfile { strategy, ..browser.clone() };
        let sizes = match strategy.tile_shape {
            Some(_) => &[(12, 3, 17)][..],
            None => &[(12, 3, 17), (1, 1, 5), (1, 1, 33), (4, 2, 17), (40, 4, 2), (72, 4, 2), (128, 4, 9)],
        };
        for &(filters, channels, batch) in sizes {
            let config = Config::new(filters, [2]).bias(Bias::PerFilter);
            for dtype in [WeightType::F32, WeightType::F16] {
                let layer = Geometry::new(&config.clone().dtype(dtype), &[4, channels]).expect("a layer");
                let shared = Geometry::convolution(&config.clone().dtype(dtype), &[9, channels]).expect("a layer");
                let implementations = Implementation::ALL.map(|by| layer.with_implementation(by));
                for layer in implementations.iter().chain([&shared]) {
                    for program in both_passes(layer) {
                        look_at(&program, batch, &profile);
                    }
                }
            }
            let layer = Geometry::new(&config, &[4, channels]).expect("a layer");
            for states in 0..=3 {
                let program = crate::fused::program(&layer, states).expect("no location shares its weights");
                look_at(&program, batch, &profile);
            }
        }
    }
    // Weights that are updated where their gradients are computed, by threads of their own and by tiles.
    for (filters, channels, taps, batch) in [
        (8, 16, 3, 3),
        (64, 16, 3, 40),
        (16, 3, 2, 5),
        (8, 1, 4, 5),
        (16, 8, 5, 3),
        (8, 1, 7, 2),
        (8, 1, 3, 2),
        (16, 1, 5, 3),
    ] {
        let geometry = Geometry::new(&Config::new(filters, [taps]), &[taps + 5, channels]).expect("a layer");
        for (implementation, profile) in runs(&Implementation::ALL, &geometry, &browser) {
            for states in 0..=3 {
                let layer = geometry.with_implementation(implementation);
                let program = crate::fused::program(&layer, states).expect("no location shares its weights");
                look_at(&program, batch, &profile);
            }
        }
    }
    let variants = variants();
    let reached: BTreeSet<String> =
        variants.iter().filter(|variant| ran.contains(&variant.name())).flat_map(properties_of).collect();
    let all: BTreeSet<String> = variants.iter().flat_map(properties_of).collect();
    let never: Vec<&String> = all.difference(&reached).collect();
    println!("{} of {} variants ran: {} of {} constants' values", ran.len(), variants.len(), reached.len(), all.len());
    assert_eq!(never, [""; 0], "kernels, and values of their constants, that weren't looked at");
}

/// Small layers with their batches: of every activation, of sizes that vectors and tiles fit in every way, in 32 and 16 bits.
fn layers_of_every_constant() -> Vec<(Geometry, u32)> {
    let layer = |config: &Config, shape: &[usize]| Geometry::new(config, shape).expect("a layer");
    let shared = |config: &Config, shape: &[usize]| {
        Geometry::convolution(&config.clone().bias(Bias::PerFilter), shape).expect("a layer")
    };
    let mut all: Vec<(Geometry, u32)> = activations()
        .into_iter()
        .map(|activation| (layer(&Config::new(3, [2]).activation(activation), &[4, 2]), 2))
        .collect();
    // As vectors and registers' tiles fit, and as they don't.
    for (filters, channels) in [(1, 1), (2, 4), (3, 3), (4, 2), (5, 1), (8, 8), (12, 5), (17, 12)] {
        for (batch, dtype) in [(1, WeightType::F16), (2, WeightType::F32), (5, WeightType::F16), (17, WeightType::F32)]
        {
            all.push((layer(&Config::new(filters, [3]).dtype(dtype), &[5, channels]), batch));
        }
        all.push((shared(&Config::new(filters, [3]).dtype(WeightType::F16), &[6, channels]), 3));
    }
    for taps in [2, 4, 5, 7] {
        all.push((layer(&Config::new(8, [taps]), &[taps + 2, 8]), 3));
    }
    all.push((layer(&Config::new(12, [90]).dtype(WeightType::F16), &[91, 4]), 9));
    for filters in [1, 3] {
        all.push((layer(&Config::new(filters, [3]), &[5, 8]), 3));
        all.extend([5, 7].map(|taps| (layer(&Config::new(filters, [taps]), &[taps + 2, 1]), 3)));
    }
    all.push((layer(&Config::new(128, [2]), &[3, 4]), 2));
    all
}

/// Strategies that ask for what no small layer gets by itself: each tile, and a register kernel's or a split one's longest.
fn strategies_of_every_constant() -> Vec<Strategy> {
    let tiles = Strategy { split_batch: 0, tile_batch: 1, tile_use: 0, strip_use: 101, ..Strategy::GPU };
    let strips = Strategy { tile_use: 101, strip_use: 0, ..tiles };
    let shaped = |shape| [tiles, strips].map(|strategy| Strategy { tile_shape: Some(shape), ..strategy });
    let mut all: Vec<Strategy> = TILE_SHAPES.into_iter().flat_map(shaped).collect();
    all.extend([1, 8].map(|busy_groups| Strategy { busy_groups, ..Strategy::CPU }));
    all.push(Strategy { busy_groups: 1, ..STRATEGIES[0] });
    all
}

/// A kernel's name, and behind it each of a variant's constants by itself: variants are too many to be run, most of them products of
/// constants that have nothing to do with each other.
fn properties_of(variant: &Variant) -> Vec<String> {
    let (name, constants) = (variant.info().name, variant.constants());
    let named = constants.named.iter().map(|(constant, value)| format!("{name} {constant}={value}"));
    let half = (constants.weights == Some(WeightType::F16)).then(|| format!("{name} f16"));
    named.chain(half).chain([name.to_owned()]).collect()
}

#[test]
fn patterns_are_in_bounds() {
    for (rows, inputs, pairs, filters, batch) in [
        (7, 11, vec![(0, 10), (0, 0), (6, 3), (3, 3), (3, 4), (3, 9), (2, 0)], 1, 3),
        (5, 64, (0..200).map(|i| (i * i % 5, i * 7 % 64)).collect(), 3, 1),
        (3, 5, Vec::new(), 2, 2),
        (1, 1, vec![(0, 0)], 1, 1),
    ] {
        let pairs: Vec<(u32, u32)> = pairs.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let (pattern, _) = locally_connected::Pattern::from_coo(rows, inputs, &pairs).expect("pairs in range");
        for bias in [Bias::None, Bias::PerLocation] {
            let geometry = Geometry::from_pattern(pattern.clone(), filters, bias, Activation::Tanh).expect("fits");
            for strategy in [Strategy::GPU, Strategy::CPU] {
                let profile = DeviceProfile { strategy, ..DeviceProfile::webgpu_defaults() };
                assert!(assert_layer(&geometry, batch, &profile).is_some());
            }
        }
    }
}

/// Published layers whole, by what a browser gives: of dispatches that are too long to be run, the corners.
#[test]
fn large_layers_are_in_bounds() {
    let (loops, sparse) = (Implementation::Loop, Implementation::SparseGather);
    let mut workgroups = 0;
    for (config, shape, batch, implementation) in [
        // DeepFace's L4: 251 MB of weights, which a browser binds in two pieces.
        (Config::new(16, [9, 9]), &[63, 63, 16][..], 1, loops),
        (Config::new(16, [7, 7]).strides([2, 2]).activation(Activation::RELU), &[31, 31, 16], 33, loops),
        (Config::new(3, [5]).padding(Padding::Same), &[70_001, 2], 2, loops),
        (Config::new(64, [3, 3]).dtype(WeightType::F16), &[16, 16, 8], 3, loops),
        (Config::new(16, [5, 5]), &[40, 40, 2], 3, sparse),
    ] {
        let geometry = Geometry::new(&config, shape).expect("a layer").with_implementation(implementation);
        let browser = DeviceProfile::webgpu_defaults();
        let cpu = DeviceProfile { strategy: Strategy::CPU, max_iterations: 65_535, ..browser.clone() };
        for profile in [browser, cpu] {
            workgroups += assert_layer(&geometry, batch, &profile).expect("possible").workgroups;
        }
    }
    assert!(workgroups > 300, "{workgroups}");
}

/// A plan of one layer by a strategy, to be spoilt.
fn sound(implementation: Implementation, strategy: Strategy, backward: bool) -> (WrittenPlan, Known) {
    let config = Config::new(8, [3]).padding(Padding::Same).activation(Activation::Tanh);
    let geometry = Geometry::new(&config, &[20, 4]).expect("a layer").with_implementation(implementation);
    let layer = Arc::new(geometry);
    let program = if backward { layer_backward(&layer, Gradients::ALL) } else { layer_forward(&layer, false) };
    let profile = DeviceProfile { strategy, ..DeviceProfile::webgpu_defaults() };
    let (plan, found) = planned(&program, 9, &profile).expect("possible");
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    (plan, known(&program, 9))
}

/// One word less of whatever is bound, and the last word is missed; of every kernel of a layer.
#[test]
fn a_word_too_few_is_found() {
    let mut spoilt = 0;
    for (implementation, strategy) in [
        (Implementation::Loop, Strategy::CPU),
        (Implementation::Loop, STRATEGIES[0]),
        (Implementation::Loop, STRATEGIES[1]),
        (Implementation::Loop, STRATEGIES[3]),
        (Implementation::DenseMatmul, Strategy::GPU),
        (Implementation::SparseGather, Strategy::GPU),
    ] {
        for backward in [false, true] {
            let (plan, known) = sound(implementation, strategy, backward);
            for (dispatch, bound) in plan
                .dispatches
                .iter()
                .enumerate()
                .flat_map(|(at, dispatch)| (0..dispatch.bindings.len()).map(move |binding| (at, binding)))
            {
                let shader = &plan.shaders[plan.dispatches[dispatch].shader as usize];
                let binding = plan.dispatches[dispatch].bindings[bound];
                if binding.size < plan.buffers[binding.buffer as usize].bytes {
                    continue;
                }
                let mut plan = plan.clone();
                plan.dispatches[dispatch].bindings[bound].size -= 4;
                let found = look(&plan, &known);
                let is_written = shader.bindings[bound] == Access::Write;
                assert!(!is_written || !found.faults.is_empty(), "{} misses nothing", shader.name);
                spoilt += usize::from(!found.faults.is_empty());
            }
        }
    }
    assert!(spoilt > 40, "{spoilt}");
}

/// What a mistake in a shader, a uniform or a plan would look like.
#[test]
fn planted_overruns_are_found() {
    let spoil = |strategy, backward, kernel: &str, from: &str, to: &str| {
        let (mut plan, known) = sound(Implementation::Loop, strategy, backward);
        let shader = plan.shaders.iter_mut().find(|shader| shader.name.starts_with(kernel)).expect("it is planned");
        assert!(shader.wgsl.contains(from), "{kernel} has no {from:?}:\n{}", shader.wgsl);
        shader.wgsl = shader.wgsl.replace(from, to);
        let found = look(&plan, &known).faults;
        found.first().cloned().unwrap_or_else(|| panic!("{from:?} as {to:?} in {kernel} is not found"))
    };
    let cpu = Strategy::CPU;
    let out_of_bounds = [
        spoil(cpu, false, "loop_forward", "min(first + i, params.batch - 1u)", "(first + i)"),
        spoil(cpu, false, "loop_forward", "if (first + i < params.batch)", "if (first + i <= params.batch)"),
        spoil(cpu, false, "loop_forward", "t0 < params.taps_0", "t0 <= params.taps_0"),
        spoil(cpu, false, "loop_forward", " && i2 != NO_TAP", ""),
        spoil(cpu, true, "activate_grad", "i < params.count", "i <= params.count"),
        spoil(STRATEGIES[0], false, "loop_forward_split", "min(t, TAPS - 1u)", "(t + TAPS)"),
    ];
    for fault in &out_of_bounds {
        assert!(fault.contains("reads element") || fault.contains("writes element"), "{fault}");
    }
    let by_value = spoil(cpu, false, "loop_forward", "x[sample[i] + at]", "x[u32(of_input(x[sample[i] + at], 0u))]");
    assert!(by_value.contains("has a value decide an element of x"), "{by_value}");
    let turns = spoil(cpu, false, "loop_forward", "t0 < params.taps_0", "t0 < u32(of_input(x[0], 0u))");
    assert!(turns.contains("has a value decide how often a loop turns"), "{turns}");
    let race = spoil(STRATEGIES[0], false, "loop_forward_split", "workgroupBarrier();", "");
    assert!(race.contains("another invocation writes meanwhile"), "{race}");
    let twice = spoil(cpu, false, "loop_forward", "y[at + ", "y[at / 2u + ");
    assert!(twice.contains("another invocation"), "{twice}");

    let (mut plan, known) = sound(Implementation::Loop, cpu, false);
    plan.dispatches[0].workgroups = [0, 1, 1];
    assert!(look(&plan, &known).unwritten.values().any(|&count| count > 0), "unwritten outputs are not found");
    let (mut plan, known) = sound(Implementation::Loop, cpu, true);
    plan.dispatches.remove(0);
    let found = look(&plan, &known).faults;
    assert!(found.iter().any(|fault| fault.contains("reads what nothing has written")), "{found:?}");
}
