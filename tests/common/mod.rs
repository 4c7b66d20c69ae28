//! What the tests share: a device, random values, comparisons, and whole passes on the device.

mod near;
mod operations;
mod planned;
mod programs;
mod reference_runner;
mod workloads;

pub(crate) use near::{assert_near, disagreement, largest};
pub(crate) use operations::{alone, assert_everywhere, everywhere, levels, on_every_executor};
pub(crate) use planned::Planned;
pub(crate) use programs::{Arrays, Given, ProgramRun};
pub(crate) use reference_runner::ReferenceRunner;
pub(crate) use workloads::layers;

use locally_connected::geometry::SparseIndex;
use locally_connected::headless::{Gpu, GpuOptions, HostGradients};
use locally_connected::kernels::Access;
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::ops::Shape;
use locally_connected::plan::{Chunk, Planner, Strategy, cut};
use locally_connected::reference::{self, PassOperands, Passes};
use locally_connected::{
    Activation, Context, DeviceProfile, Error, Geometry, Gradients, Implementation, LocallyConnected, Result, Sharing,
    WeightType,
};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// Most relative error of outputs: rounding in f32 of sums as long as the tests have.
pub(crate) const FORWARD: f64 = 1e-5;
/// Most relative error of gradients, whose sums also run over the batch.
pub(crate) const GRADIENT: f64 = 2.0 * FORWARD;

/// Where `tests` and `shaders` lie: the repository, or the folder of this program, where `cargo xtask gpu-record`
/// puts them beside it for a machine that has no repository.
pub(crate) fn root() -> PathBuf {
    let beside = std::env::current_exe().expect("a program knows where it is").with_file_name("");
    if beside.join("tests/fixtures").is_dir() { beside } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")) }
}

/// The adapter under test; without one every test fails.
pub(crate) static GPU: LazyLock<Gpu> =
    LazyLock::new(|| pollster::block_on(Gpu::with_options(&GpuOptions::default())).expect("tests need an adapter"));

/// The real limits of the adapter under test.
pub(crate) fn profile() -> DeviceProfile {
    GPU.context().profile().clone()
}

/// A context on the shared device whose planner sees `profile`.
pub(crate) fn context(profile: &DeviceProfile) -> Context {
    GPU.context().planning_with(profile.clone())
}

/// Strategies under which the planner asks for each kernel of the loop variant that the adapter under test might not
/// get: sums split among threads, tiles in workgroup memory, and such in slices, and of strips, wherever they are possible.
pub(crate) const STRATEGIES: [Strategy; 4] = [
    Strategy { split_batch: u32::MAX, split_terms: 0, tile_batch: u32::MAX, busy_groups: 64, ..Strategy::GPU },
    Strategy { split_batch: 0, tile_batch: 1, tile_use: 0, strip_use: 101, busy_groups: 8, ..Strategy::GPU },
    // A device that is never busy has the slices of a tile share its sums.
    Strategy { split_batch: 0, tile_batch: 1, tile_use: 0, strip_use: 101, busy_groups: 1 << 20, ..Strategy::GPU },
    Strategy { split_batch: 0, tile_batch: 1, tile_use: 101, strip_use: 0, busy_groups: 8, ..Strategy::GPU },
];

/// Uniform values in -1..1 from a seed (splitmix64).
pub(crate) fn random(seed: u64, count: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Every kind of activation, those with arguments in several forms.
pub(crate) fn activations() -> Vec<Activation> {
    let relu = |negative_slope, max_value, threshold| Activation::Relu { negative_slope, max_value, threshold };
    vec![
        Activation::Linear,
        Activation::RELU,
        relu(0.3, None, 0.0),
        relu(0.0, Some(0.5), 0.0),
        relu(0.1, Some(0.75), 0.25),
        Activation::ThresholdedRelu { theta: 0.25 },
        Activation::Elu { alpha: 1.0 },
        Activation::Elu { alpha: 0.25 },
        Activation::Elu { alpha: -0.5 },
        Activation::Selu,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::HardSigmoid,
        Activation::Exponential,
        Activation::Swish,
        Activation::Gelu { approximate: false },
        Activation::Gelu { approximate: true },
        Activation::Mish,
        Activation::Softmax,
        Activation::LogSoftmax,
    ]
}

/// Where the activation or its derivative jumps.
fn corners(activation: Activation) -> Vec<f64> {
    match activation {
        Activation::Relu { max_value, threshold, .. } => {
            max_value.into_iter().chain([threshold]).map(f64::from).collect()
        }
        Activation::ThresholdedRelu { theta } => vec![theta.into()],
        Activation::Elu { .. } | Activation::Selu => vec![0.0],
        Activation::HardSigmoid => vec![-2.5, 2.5],
        _ => Vec::new(),
    }
}

/// What is to be run so that every kernel is: the implementations with `profile`, and loop and sparse by the strategies
/// that the adapter might not choose, loop unless the layer is too large to be run so often.
pub(crate) fn runs(
    implementations: &[Implementation],
    geometry: &Geometry,
    profile: &DeviceProfile,
) -> Vec<(Implementation, DeviceProfile)> {
    let mut runs: Vec<_> = implementations.iter().map(|&implementation| (implementation, profile.clone())).collect();
    // They take up to 16 workgroups where others take one.
    let max_workgroups = profile.max_workgroups.max(64);
    let other = |by: Implementation, strategy| (by, DeviceProfile { strategy, max_workgroups, ..profile.clone() });
    if implementations.contains(&Implementation::Loop) && geometry.locations() <= 4096 {
        runs.extend(STRATEGIES.map(|strategy| other(Implementation::Loop, strategy)));
    }
    if implementations.contains(&Implementation::SparseGather) {
        runs.push(other(Implementation::SparseGather, Strategy::GPU));
    }
    runs
}

/// Everything a layer computes from, at random.
#[derive(Debug, Clone)]
pub(crate) struct Operands {
    pub(crate) input: Vec<f32>,
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) grad_output: Vec<f32>,
}

impl Operands {
    pub(crate) fn random(geometry: &Geometry, batch: u64, seed: u64) -> Self {
        Self {
            input: random(seed, batch * geometry.inputs()),
            weights: random(seed + 1, geometry.weights()),
            bias: random(seed + 2, geometry.biases()),
            grad_output: random(seed + 3, batch * geometry.outputs()),
        }
    }

    pub(crate) fn reference(&self, geometry: &Geometry) -> Passes {
        let Self { input, weights, bias, grad_output } = self;
        reference::passes(geometry, PassOperands { input, weights, bias, grad_output }).expect("its lengths")
    }

    /// A layer of `geometry`'s configuration in `context`, with these weights and bias.
    pub(crate) async fn layer(&self, context: &Context, geometry: &Geometry) -> Result<LocallyConnected> {
        let layer = LocallyConnected::with_geometry(context, geometry.clone()).await?;
        layer.write_canonical(&self.weights).await?;
        if !self.bias.is_empty() {
            layer.write_bias(&self.bias).await?;
        }
        Ok(layer)
    }

    /// Output and gradients on the device, planned with `profile`.
    pub(crate) fn device(&self, geometry: &Geometry, profile: &DeviceProfile) -> Result<(Vec<f32>, HostGradients)> {
        pollster::block_on(async {
            let layer = self.layer(&context(profile), geometry).await?;
            let output = GPU.forward(&layer, &self.input).await?;
            let gradients = GPU.backward(&layer, &self.input, &self.grad_output).await?;
            Ok((output, gradients))
        })
    }
}

/// The implementations that can do a layer within the limits of `profile`, by the rules as the documentation has them:
/// loop always, but not for a connectivity of the user's; dense where its matrix is within a buffer and 4 GiB, and the
/// columns of a location (or of as many of its filters as a chunk of weights has) within a binding; sparse where its
/// index is within a binding.
pub(crate) fn implementations(geometry: &Geometry, profile: &DeviceProfile) -> Vec<Implementation> {
    if geometry.sharing() == Sharing::Shared {
        return vec![Implementation::Loop];
    }
    let possible = |implementation: &Implementation| match implementation {
        Implementation::SparseGather => 4 * SparseIndex::len_of(geometry) <= profile.max_piece(),
        _ if geometry.pattern().is_some() => false,
        Implementation::DenseMatmul => {
            let cut = chunks(geometry, profile).expect("weights can be cut");
            let filters = cut.iter().map(|chunk| u64::from(chunk.filters)).max().expect("some weights");
            4 * geometry.inputs() * geometry.outputs() <= profile.max_buffer.min(4 << 30)
                && 4 * geometry.inputs() * filters <= profile.max_piece()
        }
        _ => true,
    };
    Implementation::ALL.into_iter().filter(possible).collect()
}

/// Dyadic numbers, as the scripts that make fixtures have them: `(factor · i mod modulus − centre) / scale`.
pub(crate) struct Dyadic {
    pub(crate) factor: usize,
    pub(crate) modulus: usize,
    pub(crate) centre: i32,
    pub(crate) scale: f32,
}

impl Dyadic {
    /// As many as an array of that shape has.
    pub(crate) fn values(&self, shape: &[usize]) -> Vec<f32> {
        let number = |i: usize| ((self.factor * i % self.modulus) as i32 - self.centre) as f32 / self.scale;
        (0..shape.iter().product()).map(number).collect()
    }
}

/// Random operands of a layer, on which all passes are compared with the reference within [`FORWARD`].
#[derive(Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) batch: u64,
    pub(crate) seed: u64,
}

/// A forward and backward pass on the device by every implementation that can do it, compared with the reference;
/// those that can't must say so. Gives the implementations that ran.
pub(crate) fn check(trial: Trial<'_>, profile: &DeviceProfile) -> Vec<Implementation> {
    let Trial { geometry, batch, .. } = trial;
    let possible = implementations(geometry, profile);
    assert!(!possible.is_empty(), "nothing can do {:?}", geometry.config());
    for implementation in Implementation::ALL.into_iter().filter(|other| !possible.contains(other)) {
        if geometry.sharing() == Sharing::Shared {
            let refused = Planner::new(profile).possible(geometry, implementation);
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{implementation:?}: {refused:?}");
            // Asked for a whole model, it is loop here.
            let asked = geometry.with_implementation(implementation);
            let plans = plans(&asked, batch as u32, profile).expect("planned");
            let mut all = plans.iter().flat_map(|planned| &planned.plan.plans);
            assert!(all.all(|plan| plan.implementation.is_none_or(|by| by == Implementation::Loop)));
            continue;
        }
        let refused = plans(&geometry.with_implementation(implementation), batch as u32, profile);
        let typed = matches!(refused, Err(Error::OverBudget { .. } | Error::Limit { .. } | Error::Unsupported { .. }));
        assert!(typed, "{implementation:?} of {:?}: {refused:?}", geometry.config());
    }
    check_by(&possible, trial, profile);
    possible
}

/// [`check`] by these implementations, all of which must run; loop by all of its kernels.
pub(crate) fn check_by(implementations: &[Implementation], trial: Trial<'_>, profile: &DeviceProfile) {
    let Trial { geometry, batch, seed } = trial;
    let mut operands = Operands::random(geometry, batch, seed);
    if geometry.config().dtype == WeightType::F16 {
        // What an upload makes of them.
        operands.weights.iter_mut().for_each(|weight| *weight = half::f16::from_f32(*weight).to_f32());
    }
    let corners = corners(geometry.config().activation);
    let mut undecided = Vec::new();
    if !corners.is_empty() {
        // Rounding decides on which side of a corner such a value lies, so nothing can be asked of it.
        let near = |z: &f64| corners.iter().any(|corner| (z - corner).abs() < 1e-4 * (1.0 + z.abs()));
        undecided = operands.reference(geometry).pre_activation.iter().map(near).collect();
    }
    for (dy, _) in operands.grad_output.iter_mut().zip(&undecided).filter(|(_, undecided)| **undecided) {
        *dy = 0.0;
    }
    let expected = operands.reference(geometry);
    for (implementation, profile) in &runs(implementations, geometry, profile) {
        let geometry = geometry.with_implementation(*implementation);
        let (mut output, gradients) = operands.device(&geometry, profile).expect("the passes run");
        for ((y, expected), _) in output.iter_mut().zip(&expected.output).zip(&undecided).filter(|(_, u)| **u) {
            // Of an undecided output it can only be said that it is a number.
            assert!(y.is_finite(), "an output of {y} for {:?}", geometry.config());
            *y = *expected as f32;
        }
        let compared = [
            (&output, &expected.output, FORWARD),
            (&gradients.input, &expected.grad_input, 2.0 * FORWARD),
            (&gradients.weights, &expected.grad_weights, 2.0 * FORWARD),
            (&gradients.bias, &expected.grad_bias, 2.0 * FORWARD),
        ];
        for (what, (found, expected, tolerance)) in RESULTS.into_iter().zip(compared) {
            let epsilon = tolerance * largest(expected).max(1.0);
            if let Some(worst) = disagreement(found, expected, epsilon) {
                panic!(
                    "{what} by {} for batch {batch}, input {:?}, {:?}, {:?}: {worst}",
                    writers(what, &geometry, batch, profile),
                    geometry.input_shape(),
                    geometry.config(),
                    profile.strategy
                );
            }
        }
    }
}

/// The results of both passes, in the order of [`Passes`] and [`HostGradients`].
pub(crate) const RESULTS: [&str; 4] = ["output", "grad_input", "grad_weights", "grad_bias"];

/// The kernels that write one of [`RESULTS`], as a message names them: `cargo xtask gpu-record` looks for these words and
/// leaves the kernels out of what it measures.
pub(crate) fn writers(result: &str, geometry: &Geometry, batch: u64, profile: &DeviceProfile) -> String {
    let mut names = BTreeSet::new();
    for planned in plans(geometry, batch as u32, profile).expect("planned before") {
        for dispatch in planned.plan.dispatches() {
            let info = dispatch.variant.info();
            let mut written_here = dispatch.bindings.iter().zip(info.bindings).filter(|(_, a)| **a == Access::Write);
            if written_here.any(|(slice, _)| planned.name(slice.resource) == Some(result)) {
                names.insert(format!("[kernel {}]", info.name));
            }
        }
    }
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// The plans of a forward pass, of one that keeps the values before the activation, and of all gradients, without a
/// device.
pub(crate) fn plans(geometry: &Geometry, batch: u32, profile: &DeviceProfile) -> Result<Vec<Planned>> {
    let layer = Arc::new(geometry.clone());
    let programs = [layer_forward(&layer, false), layer_forward(&layer, true), layer_backward(&layer, Gradients::ALL)];
    programs.into_iter().map(|program| Planned::new(program, batch, &Planner::new(profile))).collect()
}

/// How a layer's weights are cut on a device.
pub(crate) fn chunks(geometry: &Geometry, profile: &DeviceProfile) -> Result<Vec<Chunk>> {
    cut(&Shape::of_weights(geometry), profile)
}

#[test]
fn the_worst_element_is_named() {
    assert_eq!(disagreement(&[1.0, 2.0], &[1.0, 2.25], 0.25), None);
    let worst = |found: &[f32], expected: &[f64]| disagreement(found, expected, 0.25).unwrap_or_default();
    let message = "element 1 of 3 is 2, not 2.5: off by 5e-1, over 2.5e-1";
    assert_eq!(worst(&[1.0, 2.0, 3.0], &[1.3, 2.5, 3.0]), message);
    assert_eq!(worst(&[1.0], &[1.0, 2.0]), "1 values, not 2");
    assert!(worst(&[0.0, f32::NAN, 9.0], &[0.0; 3]).starts_with("element 1 of 3 is NaN, not 0: off by inf"));
    assert!(worst(&[f32::INFINITY], &[f64::INFINITY]).contains("off by inf"));
}
