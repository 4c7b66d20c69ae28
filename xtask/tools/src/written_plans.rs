//! Writes plans as JSON with what they are given and what they compute: `written_plans FILE`.
//! `cargo xtask page` runs them in a browser and compares.
//!
//! Three layers, one for each implementation, forward and backward, planned for a browser's default limits. The results
//! are those of this crate's own executor, of the very same plans, on lavapipe where there is one.

#[path = "net/random.rs"]
mod random;

use locally_connected::gpu::{Bindings, Tensor, Weights};
use locally_connected::headless::{Gpu, GpuOptions};
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::ops::Usage;
use locally_connected::plan::WrittenPlan;
use locally_connected::program::Program;
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
        let forward = self.pass(("forward", &forward), &known, gpu).await?;
        known.extend(forward.expected.clone());
        Ok([forward, self.pass(("backward", &backward), &known, gpu).await?])
    }

    /// A program run by this crate's executor, and its plan.
    async fn pass(&self, (pass, program): (&str, &Program), known: &Arrays, gpu: &Gpu) -> Result<WrittenPass, Error> {
        let weights = Weights::new(&gpu.context().planning_with(self.profile.clone()), program).await?;
        let (mut given, mut buffers, mut gradients) = (Arrays::new(), Vec::new(), Vec::new());
        for buffer in &program.buffers {
            let (name, values) = (buffer.name.as_str(), &known[&buffer.name]);
            match buffer.usage {
                Usage::Input => buffers.push((name, gpu.upload(values))),
                Usage::Parameter => weights.write(name, values).await?,
                Usage::Output => buffers.push((name, gpu.empty(values.len() as u64))),
                Usage::Gradient => gradients.push((name, weights.create(buffer).await?)),
                Usage::State | Usage::Scratch => {}
            }
            if matches!(buffer.usage, Usage::Input | Usage::Parameter) {
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
        let plan = bound.plan().written(program)?;
        Ok(WrittenPass { name: format!("{} {pass}", self.name), plan, given, expected })
    }
}

async fn read(gpu: &Gpu, gradient: &Tensor) -> Result<Vec<f32>, Error> {
    let mut readback = gradient.readback(gpu.context().device()).await?;
    gpu.submit(|encoder| readback.record(encoder))?;
    gpu.drive(readback.canonical()).await
}
