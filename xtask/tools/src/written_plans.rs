//! Writes plans as JSON with what they are given and what they compute: `written_plans FILE`.
//! `cargo xtask page` runs them in a browser and compares.
//!
//! Three layers, one for each implementation, forward and backward, and steps of two trainings, which change parameters and states in
//! place; planned for a browser's default limits. The results are those of this crate's own executor, of the very same plans, on
//! lavapipe where there is one.

#![forbid(unsafe_code)]

#[path = "net/random.rs"]
mod random;

use locally_connected::config::{Axes, Constraint, Regularizer};
use locally_connected::gpu::{Bindings, Tensor, Weights};
use locally_connected::headless::{Gpu, GpuOptions};
use locally_connected::model::{Dense, Flatten, NoiseLayer, Sequential, layer_backward, layer_forward, names};
use locally_connected::ops::{RandomKind, StepNumbers, Usage};
use locally_connected::plan::WrittenPlan;
use locally_connected::program::Program;
use locally_connected::train::{Goal, Loss, Metric, Optimizer, Training};
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Error, Geometry, Gradients, Implementation, Padding, Saved,
    WeightType, wgpu,
};
use random::random;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values by the names of a program's buffers, weights in canonical order.
type Arrays = BTreeMap<String, Vec<f32>>;

/// A layer, and what it is planned for.
struct Layer {
    name: &'static str,
    config: Config,
    input_shape: &'static [usize],
    batch: u32,
    profile: DeviceProfile,
}

/// The file.
#[derive(Serialize)]
struct Written {
    /// The adapter that gave `expected`.
    computed_on: String,
    passes: Vec<WrittenPass>,
}

/// A program of a layer: its plan, all arrays that it is given, all that it computes.
#[derive(Serialize)]
struct WrittenPass {
    name: String,
    plan: WrittenPlan,
    given: Arrays,
    expected: Arrays,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: written_plans FILE")?;
    let written = pollster::block_on(async {
        let gpu = adapter().await?;
        let info = gpu.adapter().get_info();
        let mut passes = Vec::new();
        for layer in layers() {
            passes.extend(layer.passes(&gpu).await?);
        }
        passes.extend(steps(&gpu).await?);
        Ok::<_, Error>(Written { computed_on: format!("{}, {}", info.name, info.driver_info), passes })
    })?;
    std::fs::write(&file, serde_json::to_string(&written)?)?;
    for WrittenPass { name, plan, .. } in &written.passes {
        let WrittenPlan { buffers, shaders, dispatches, .. } = plan;
        println!("{name}: {} buffers, {} shaders, {} dispatches", buffers.len(), shaders.len(), dispatches.len());
    }
    Ok(())
}

/// Lavapipe, which sums as the browser's software adapter does; without it the best adapter.
async fn adapter() -> Result<Gpu, Error> {
    let lavapipe = GpuOptions { adapter: Some("llvmpipe".into()), ..GpuOptions::default() };
    match Gpu::with_options(&lavapipe).await {
        Err(Error::NoSuchAdapter { .. }) => Gpu::new().await,
        found => found,
    }
}

/// Together they have every rank, both data formats, every kind of bias, 16-bit weights, weights that are cut between cells
/// and between filters, an activation that is saved before and after it, and one over rows.
fn layers() -> [Layer; 3] {
    let browser = DeviceProfile::webgpu_defaults();
    let by_loop = Config::new(20, [3, 3]).padding(Padding::Same).activation(Activation::Swish).dtype(WeightType::F16);
    let dense = Config::new(6, [4]).strides([2]).groups(3).data_format(DataFormat::ChannelsFirst);
    let sparse = Config::new(5, [2, 2, 2]).bias(Bias::None).activation(Activation::Softmax);
    [
        Layer {
            name: "loop",
            config: by_loop.implementation(Implementation::Loop),
            input_shape: &[4, 3, 8],
            batch: 11,
            // A cell's weights are 5,760 bytes.
            profile: DeviceProfile { max_binding: 4000, ..browser.clone() },
        },
        Layer {
            name: "dense",
            config: dense
                .bias(Bias::PerFilter)
                .activation(Activation::Tanh)
                .implementation(Implementation::DenseMatmul),
            input_shape: &[3, 16],
            batch: 13,
            profile: browser.clone(),
        },
        Layer {
            name: "sparse",
            config: sparse.implementation(Implementation::SparseGather),
            input_shape: &[4, 3, 4, 2],
            batch: 7,
            profile: browser,
        },
    ]
}

impl Layer {
    /// The forward pass on random values, and the backward pass on what that computed.
    async fn passes(&self, gpu: &Gpu) -> Result<[WrittenPass; 2], Error> {
        let layer = Arc::new(Geometry::new(&self.config, self.input_shape)?);
        let keep = self.config.activation.saved() == Saved::PreActivation;
        let (forward, backward) = (layer_forward(&layer, keep), layer_backward(&layer, Gradients::ALL));
        let mut known = Arrays::new();
        for (buffer, seed) in forward.buffers.iter().chain(&backward.buffers).zip(1..) {
            let elements = buffer.shape.elements(self.batch);
            known.entry(buffer.name.clone()).or_insert_with(|| random(seed, elements));
        }
        let of =
            |pass: &str| Planned { name: format!("{} {pass}", self.name), batch: self.batch, profile: &self.profile };
        let forward = of("forward").pass(&forward, &known, gpu).await?;
        known.extend(forward.expected.clone());
        Ok([forward, of("backward").pass(&backward, &known, gpu).await?])
    }
}

/// Whole steps, with weights that are cut and a norm over all gradients in one.
async fn steps(gpu: &Gpu) -> Result<[WrittenPass; 2], Error> {
    let whole = DeviceProfile::webgpu_defaults();
    let cut = DeviceProfile { max_binding: 4000, ..whole.clone() };
    let adam = Optimizer::adam().learning_rate(0.05).clipnorm(0.5);
    let sgd = Optimizer::sgd().learning_rate(0.25).momentum(0.75).global_clipnorm(1.0);
    let adam = step("step of Adam", adam, &whole, gpu).await?;
    Ok([adam, step("step of SGD, cut,", sgd, &cut, gpu).await?])
}

async fn step(name: &str, optimizer: Optimizer, profile: &DeviceProfile, gpu: &Gpu) -> Result<WrittenPass, Error> {
    const BATCH: u32 = 9;
    let mut local = Config::local2d(20, 3).activation(Activation::Tanh);
    local.kernel_regularizer = Some(Regularizer::L2 { l2: 0.01 });
    local.bias_constraint = Some(Constraint::MaxNorm { max_value: 1.5, axis: Axes::One(-1) });
    let graph = Sequential::new([5, 4, 8])
        .add(local)
        .add(NoiseLayer::new(RandomKind::Dropout { rate: 0.25 }))
        .add(Flatten::default())
        .add(Dense::new(5))
        .graph()?;
    let training = Training::new(&graph, optimizer, Goal::new(Loss::MeanSquaredError).metric(Metric::accuracy()))?;
    let program = training.with_seed(3).step();
    let mut known = Arrays::new();
    for (buffer, seed) in program.buffers.iter().zip(100..) {
        let values = random(seed, buffer.shape.elements(BATCH));
        // Means of squares aren't negative.
        let keeps = buffer.usage == Usage::State || buffer.name == names::SAMPLE_WEIGHT;
        let values = if keeps { values.into_iter().map(f32::abs).collect() } else { values };
        known.insert(buffer.name.clone(), values);
    }
    let numbers = StepNumbers { learning_rate: 0.05, correction: 0.75, per_sample: 1.0 / BATCH as f32, draw: 3 };
    known.insert(names::STEP.to_owned(), numbers.to_floats().to_vec());
    Planned { name: name.to_owned(), batch: BATCH, profile }.pass(&program, &known, gpu).await
}

/// What a program is planned for.
struct Planned<'a> {
    name: String,
    batch: u32,
    profile: &'a DeviceProfile,
}

impl Planned<'_> {
    /// A program run by this crate's executor, and its plan.
    async fn pass(self, program: &Program, known: &Arrays, gpu: &Gpu) -> Result<WrittenPass, Error> {
        let weights = Weights::new(&gpu.context().planning_with(self.profile.clone()), program).await?;
        let (mut given, mut buffers, mut gradients) = (Arrays::new(), Vec::new(), Vec::new());
        for buffer in &program.buffers {
            let (name, values) = (buffer.name.as_str(), &known[&buffer.name]);
            match buffer.usage {
                Usage::Input => buffers.push((name, gpu.upload(values))),
                Usage::Parameter | Usage::State => weights.write(name, values).await?,
                Usage::Output => buffers.push((name, gpu.empty(values.len() as u64))),
                Usage::Gradient => gradients.push((name, weights.create(buffer).await?)),
                Usage::Scratch => {}
            }
            if matches!(buffer.usage, Usage::Input | Usage::Parameter | Usage::State) {
                given.insert(name.to_owned(), values.clone());
            }
        }
        let bindings = buffers.iter().fold(Bindings::default(), |bindings, (name, buffer)| bindings.with(name, buffer));
        let bindings = gradients.iter().fold(bindings, |bindings, (name, gradient)| bindings.with(name, gradient));
        let bound = weights.bind(program, self.batch, &bindings).await?;
        gpu.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default())));
        let mut expected = Arrays::new();
        for (name, buffer) in buffers.iter().filter(|(name, _)| !given.contains_key(*name)) {
            expected.insert((*name).to_owned(), gpu.read(buffer, buffer.size() / 4).await?);
        }
        for (name, gradient) in &gradients {
            expected.insert((*name).to_owned(), read(gpu, gradient).await?);
        }
        let updated =
            program.used_as(Usage::Parameter).chain(program.used_as(Usage::State)).filter(|_| program.updates());
        for buffer in updated {
            let held = weights.get(&buffer.name).ok_or_else(|| Error::NoBuffer { name: buffer.name.clone() })?;
            expected.insert(buffer.name.clone(), read(gpu, held).await?);
        }
        let plan = bound.plan().written(program)?;
        Ok(WrittenPass { name: self.name, plan, given, expected })
    }
}

async fn read(gpu: &Gpu, gradient: &Tensor) -> Result<Vec<f32>, Error> {
    let mut readback = gradient.readback(gpu.context().device()).await?;
    gpu.submit(|encoder| readback.record(encoder))?;
    gpu.drive(readback.canonical()).await
}
