//! What the host does: planning, building layers, converting weights; and beside it what the device does of a layer's
//! making. `cargo bench --features headless --bench host`; the times of passes are those of passes.rs.

#![forbid(unsafe_code)]

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use locally_connected::geometry::{KerasLayout, SparseIndex};
use locally_connected::headless::Gpu;
use locally_connected::kernels::tap_tables;
use locally_connected::model::{layer_backward, layer_forward};
use locally_connected::ops::Shape;
use locally_connected::plan::{Planner, cut};
use locally_connected::{
    Activation, Bias, Config, DeviceProfile, Error, Geometry, Gradients, LocallyConnected, Padding, Pattern, Result,
    wgpu,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let layers = [
        ("keras-doc-1", Config::new(64, [3, 3]), vec![32, 32, 3]),
        ("nt3-1d", Config::new(128, [20]), vec![60_483, 1]),
    ];
    host(&mut criterion.benchmark_group("host"), &layers)?;
    device(&mut criterion.benchmark_group("device"), &layers)?;
    layout(&mut criterion.benchmark_group("layout"))?;
    pattern(&mut criterion.benchmark_group("pattern"))?;
    criterion.final_summary();
    Ok(())
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;
type Layer = (&'static str, Config, Vec<usize>);

/// All that the host computes for a layer and its passes, no device at hand.
fn host(group: &mut Group<'_>, layers: &[Layer]) -> Result<()> {
    let profile = DeviceProfile::webgpu_defaults();
    for (name, config, input) in layers {
        let geometry = Geometry::new(config, input)?;
        let layer = Arc::new(geometry);
        let planner = Planner::new(&profile);
        group.bench_function(BenchmarkId::new("build", name), |b| {
            b.iter(|| -> Result<_> {
                let geometry = Geometry::new(black_box(config), input)?;
                let (tables, chunks) = (tap_tables(&geometry)?, cut(&Shape::of_weights(&geometry), &profile)?);
                Ok((geometry, tables, chunks))
            });
        });
        group.bench_function(BenchmarkId::new("plan", name), |b| {
            b.iter(|| -> Result<_> {
                let forward = planner.program(&layer_forward(&layer, false), black_box(32))?;
                Ok((forward, planner.program(&layer_backward(&layer, Gradients::ALL), black_box(32))?))
            });
        });
    }
    Ok(())
}

/// Making a layer on the device, its buffers included, beside uploading its weights.
fn device(group: &mut Group<'_>, layers: &[Layer]) -> Result<()> {
    let gpu = pollster::block_on(Gpu::new())?;
    // Until the queue has worked off what was written, its staging memory and dropped buffers stay.
    let settle = || {
        gpu.context().queue().submit([]);
        gpu.context().device().poll(wgpu::PollType::wait_indefinitely()).map_err(|e| Error::DeviceLost(e.to_string()))
    };
    let build =
        |config: &Config, input: &[usize]| pollster::block_on(LocallyConnected::new(gpu.context(), config, input));
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for (name, config, input) in layers {
        let mut failed = Ok(());
        group.bench_function(BenchmarkId::new("build", name), |b| {
            b.iter_custom(|times| {
                let mut total = Duration::ZERO;
                for _ in 0..times {
                    let start = Instant::now();
                    let layer = build(black_box(config), input);
                    total += start.elapsed();
                    failed = failed.clone().and(layer.map(drop)).and(settle().map(drop));
                }
                total
            });
        });
        failed?;
        let layer = build(config, input)?;
        let weights: Vec<f32> = (0..layer.geometry().weights()).map(|i| (i % 1009) as f32 * 1e-3).collect();
        group.throughput(Throughput::Bytes(4 * weights.len() as u64));
        let mut failed = Ok(());
        group.bench_function(BenchmarkId::new("upload", name), |b| {
            b.iter(|| {
                let written = pollster::block_on(layer.write_canonical(&weights));
                failed = failed.clone().and(written).and(settle().map(drop));
            });
        });
        failed?;
    }
    Ok(())
}

/// Weights from Keras's layouts to the canonical one and back.
fn layout(group: &mut Group<'_>) -> Result<()> {
    let doc = Geometry::new(&Config::new(64, [3, 3]), &[32, 32, 3])?;
    let cifar = Geometry::new(&Config::new(64, [3, 3]).padding(Padding::Same), &[6, 6, 64])?;
    for (name, geometry, layout) in [
        ("keras-doc-1", &doc, KerasLayout::Implementation1),
        ("keras-doc-1", &doc, KerasLayout::Implementation3),
        ("cifar-local3", &cifar, KerasLayout::Implementation2),
        ("cifar-local3", &cifar, KerasLayout::Implementation3),
    ] {
        let canonical: Vec<f32> = (0..geometry.weights()).map(|i| (i % 1009) as f32 * 1e-3).collect();
        let kernel = layout.from_canonical(geometry, &canonical)?;
        group.throughput(Throughput::Bytes(4 * canonical.len() as u64));
        group.bench_function(BenchmarkId::new(format!("from {}", layout.number()), name), |b| {
            b.iter(|| layout.to_canonical(geometry, black_box(&kernel)));
        });
        group.bench_function(BenchmarkId::new(format!("to {}", layout.number()), name), |b| {
            b.iter(|| layout.from_canonical(geometry, black_box(&canonical)));
        });
    }
    Ok(())
}

/// The connectivity of a network of genes: half a million inputs, each in one of twenty thousand rows.
fn pattern(group: &mut Group<'_>) -> Result<()> {
    const INPUTS: u32 = 500_000;
    const ROWS: u32 = 20_000;
    // In an order that has nothing to do with rows, as a table of annotations has.
    let pairs: Vec<(u32, u32)> = (0..INPUTS)
        .map(|i| (u64::from(i) * 7919 % u64::from(INPUTS)) as u32)
        .map(|i| (i / (INPUTS / ROWS), i))
        .collect();
    let (pattern, _) = Pattern::from_coo(ROWS as usize, INPUTS as usize, &pairs)?;
    let geometry = Geometry::from_pattern(pattern, 1, Bias::PerLocation, Activation::Linear)?;
    group.throughput(Throughput::Elements(INPUTS.into()));
    group.bench_function("from pairs", |b| {
        b.iter(|| Pattern::from_coo(ROWS as usize, INPUTS as usize, black_box(&pairs)));
    });
    group.bench_function("index", |b| b.iter(|| SparseIndex::new(black_box(&geometry))));
    Ok(())
}
