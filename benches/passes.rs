//! Passes of a few layers on the best adapter there is: forward, and all three gradients, each from its submit to its completion,
//! with the results left on the device. `cargo bench --features headless --bench passes` takes under a minute.
//!
//! It is for a change's own before and after (criterion keeps the last run's times and says what became of them). What is
//! published comes from `locally bench`, which measures in turns, with cold caches and the device's clock, beside ceilings.

#![forbid(unsafe_code)]

use criterion::{BenchmarkId, Criterion, Throughput};
use locally_connected::headless::Gpu;
use locally_connected::{Backward, Bound, Config, Forward, LocallyConnected, Padding, Result, wgpu};
use std::time::Duration;

/// Samples of a pass.
const BATCH: u32 = 8;

fn main() -> Result<()> {
    let gpu = pollster::block_on(Gpu::new())?;
    let info = gpu.adapter().get_info();
    println!("on {} ({}, {})", info.name, info.backend, info.driver_info);
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    // Those of `locally bench --quick`: docs/cli.md.
    let layers = [
        ("keras-doc-1", Config::new(64, [3, 3]), vec![32, 32, 3]),
        ("cifar-local3", Config::new(64, [3, 3]).padding(Padding::Same), vec![6, 6, 64]),
        ("deepface-l6", Config::new(16, [5, 5]), vec![25, 25, 16]),
        ("snp-blocks", Config::new(1, [20]).strides([20]), vec![100_000, 1]),
    ];
    for (name, config, input) in &layers {
        let layer = pollster::block_on(LocallyConnected::new(gpu.context(), config, input))?;
        let ways = layer.geometry().weights();
        let weights: Vec<f32> = (0..ways).map(|i| (i % 1009) as f32 * 1e-3 - 0.5).collect();
        pollster::block_on(layer.write_canonical(&weights))?;
        let [forward, backward] = pollster::block_on(bind(&gpu, &layer))?;
        for (pass, bound) in [("forward", forward), ("backward", backward)] {
            let mut group = criterion.benchmark_group(pass);
            // A multiplication for each weight and sample, twice as many in a backward pass.
            let products = ways * u64::from(BATCH) * if pass == "backward" { 2 } else { 1 };
            group.throughput(Throughput::Elements(products));
            group.bench_function(BenchmarkId::new(*name, BATCH), |b| b.iter(|| complete(&gpu, &bound)));
        }
    }
    criterion.final_summary();
    Ok(())
}

/// A layer's passes on buffers of their own.
async fn bind(gpu: &Gpu, layer: &LocallyConnected) -> Result<[Bound; 2]> {
    let device = gpu.context().device();
    let buffer = |elements: u64| {
        let (size, usage) = (4 * elements, wgpu::BufferUsages::STORAGE);
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (geometry, batch) = (layer.geometry(), u64::from(BATCH));
    let [x, dx] = [(); 2].map(|()| buffer(batch * geometry.inputs()));
    let [y, dy] = [(); 2].map(|()| buffer(batch * geometry.outputs()));
    let (dw, db) = (layer.create_weights_gradient().await?, buffer(geometry.biases()));
    let forward = Forward { batch: BATCH, input: &x, output: &y, pre_activation: None };
    let backward = Backward {
        batch: BATCH,
        input: Some(&x),
        output: None,
        pre_activation: None,
        grad_output: &dy,
        grad_input: Some(&dx),
        grad_weights: Some(&dw),
        grad_bias: Some(&db),
        accumulate: false,
    };
    Ok([layer.bind_forward(forward).await?, layer.bind_backward(backward).await?])
}

/// One submit, waited for.
fn complete(gpu: &Gpu, bound: &Bound) -> std::result::Result<wgpu::PollStatus, wgpu::PollError> {
    let (device, queue) = (gpu.context().device(), gpu.context().queue());
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely())
}
