//! What a plan is expected to cost: the model behind `Implementation::Auto`.
//!
//! It counts, from the planned dispatches themselves, the bytes that must move, the loads and multiply-adds that threads
//! issue, and the longest chain that one thread works through; a device class turns the counts into seconds. Only the
//! order of the results matters, see docs/performance.md for how well it is met; `tune` measures where it is not.

use super::{DeviceProfile, Dispatch, Plan};
use crate::kernel::Kernel;

/// The expected cost of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Estimate {
    /// Bytes that the dispatches read and write at least.
    pub bytes: f64,
    /// Loads and multiply-adds of all threads, in loads of one element.
    pub operations: f64,
    /// Number of dispatches.
    pub dispatches: usize,
    /// Bytes of scratch memory.
    pub scratch: u64,
    /// All of it as time on this device class.
    pub seconds: f64,
}

/// Speeds of a class of devices, to the order of magnitude.
struct Speeds {
    dispatch: f64,
    bytes_per_second: f64,
    operations_per_second: f64,
    operation_latency: f64,
    /// Seconds of a load that a thread waits for.
    load_latency: f64,
    /// A load of four elements costs this many loads of one.
    load_four: f64,
    /// And a load far from those of neighbouring threads this many.
    load_scattered: f64,
}

/// Two cores of lavapipe, measured (docs/performance.md).
const CPU: Speeds = Speeds {
    dispatch: 40e-6,
    bytes_per_second: 8e9,
    operations_per_second: 1e9,
    operation_latency: 5e-9,
    load_latency: 0.0,
    load_four: 2.5,
    load_scattered: 1.0,
};
/// A discrete GPU of some TFLOP/s. The latencies are an H100's (benches/record).
const GPU: Speeds = Speeds {
    dispatch: 4e-6,
    bytes_per_second: 5e11,
    operations_per_second: 2e12,
    operation_latency: 5e-9,
    load_latency: 4e-7,
    load_four: 1.25,
    load_scattered: 2.0,
};

/// A multiply-add costs this share of a load.
const MULTIPLY: f64 = 0.05;

/// Threads of a dispatch, the operations of each, and the bytes that all of them must move.
#[derive(Default)]
struct Work {
    threads: f64,
    operations: f64,
    bytes: f64,
    /// Loads of a thread of which each waits for the one before.
    waits: f64,
}

impl Estimate {
    /// The estimate of a plan.
    #[must_use]
    pub fn of(plan: &Plan, profile: &DeviceProfile) -> Self {
        let speeds = if profile.is_cpu { &CPU } else { &GPU };
        let mut estimate = Self { dispatches: plan.dispatches.len(), scratch: plan.scratch_bytes(), ..Self::default() };
        for dispatch in &plan.dispatches {
            let work = work(dispatch, speeds);
            let operations = work.threads * work.operations;
            let busy = operations / speeds.operations_per_second;
            let chain = (work.operations * speeds.operation_latency).max(work.waits * speeds.load_latency);
            let moved = work.bytes / speeds.bytes_per_second;
            estimate.bytes += work.bytes;
            estimate.operations += operations;
            estimate.seconds += speeds.dispatch + busy.max(moved).max(chain);
        }
        estimate
    }
}

fn work(dispatch: &Dispatch, &Speeds { load_four, load_scattered, .. }: &Speeds) -> Work {
    let p = &dispatch.params;
    let [a, b, c, d, e, h, slices] = dispatch.variant.constants;
    let of = |value: u32| f64::from(value);
    let tiles = |count: u32, tile: u32| of(count.div_ceil(tile.max(1)));
    let (cells, window, filters, batch) = (of(p.cells), of(p.window), of(p.filters), of(p.batch));
    let weights = 4.0 * (of(p.entries) * filters).max(cells * window * filters);
    let inputs = 4.0 * batch * of(p.x_sample);
    let outputs = 4.0 * batch * cells * filters;
    // Taps that read an input position, on average.
    let readers = cells / of(p.groups.max(1)) * of(p.taps) / of(p.positions.max(1));
    // Three table loads, the test for padding and the loops around them.
    let tap = 10.0 * of(p.taps);
    let product = |x: f64, y: f64, loads: f64| loads + x * y * MULTIPLY;
    let (x, y) = (of(a), of(b));
    let load = |width: u32| if width == 4 { load_four } else { 1.0 };
    // Loads of so many filters of a thread, one by one: its neighbour's begin as far away.
    let apart = |filters: u32| if filters > 1 { load_scattered * of(filters) } else { 1.0 };
    let elements = of(p.dense_rows) * of(p.dense_columns);
    // Of a step, a share of the operands goes through each thread into workgroup memory; then it loads what it multiplies.
    let tiled = |depth: f64| {
        let threads = of(c) * of(d);
        let staged = 4.0 * (x * of(c) + y * of(d)) / threads;
        let slice = depth / of(slices);
        let operations = slice * (2.0 * staged + product(4.0 * x, 4.0 * y, load_four * (x + y))) + 16.0 * x * y;
        // Two barriers of a step of 16 take as long as a load, beside the loads.
        Work { threads: threads * of(slices) * of(p.workgroups), operations, bytes: 0.0, waits: slice / 8.0 }
    };
    match dispatch.variant.kernel {
        // Of e filters and h channels at once.
        Kernel::LoopForward => Work {
            threads: cells * tiles(p.filters / e, b) * tiles(p.batch, a),
            operations: tap + window / of(h) * product(x, of(h * e) * y, load(h) * x + load(e) * of(h) * y),
            bytes: inputs + weights + outputs,
            waits: window / of(h),
        },
        // Of d filters at once.
        Kernel::LoopGradInput => Work {
            threads: of(p.positions) * tiles(p.groups * p.group_channels, b) * tiles(p.batch, a),
            operations: 12.0 + readers * (6.0 + filters / of(d) * product(x, of(d) * y, load(d) * (x + y))),
            bytes: inputs + weights + outputs,
            waits: readers * filters / of(d),
        },
        // Of d filters and e channels at once.
        Kernel::LoopGradKernel => Work {
            threads: cells * window / (x * y * of(e)) * tiles(p.filters / d, c),
            operations: 3.0
                + x
                + batch * product(x * y * of(e), of(d * c), load(e) * x * y + load(d) * of(c))
                + x * y * of(e * c) * load(d),
            bytes: inputs + weights + outputs,
            waits: batch,
        },
        Kernel::LoopForwardSplit => Work {
            threads: of(c) * of(p.workgroups),
            operations: tap + window * y / of(c) * product(of(d), x, load_four + x * load(e) / of(e)) + 16.0 * x,
            bytes: inputs + weights + outputs,
            waits: window * y / of(c) / 4.0,
        },
        Kernel::LoopGradInputSplit => Work {
            threads: of(d) * of(p.workgroups),
            operations: 6.0
                + readers * filters / 4.0 * of(c) / of(d) * product(4.0 * of(e), x, load_four * (of(e) + x))
                + 16.0 * x * of(e),
            bytes: inputs + weights + outputs,
            waits: readers * filters / 4.0 * of(c) / of(d),
        },
        Kernel::LoopForwardTiled => Work { bytes: inputs + weights + outputs, ..tiled(window) },
        Kernel::LoopGradInputTiled => Work { bytes: inputs + weights + outputs, ..tiled(readers * filters) },
        Kernel::LoopGradKernelTiled => Work { bytes: inputs + weights + outputs, ..tiled(batch) },
        Kernel::DenseForward => Work { bytes: inputs + 4.0 * elements + outputs, ..tiled(of(p.dense_rows)) },
        Kernel::DenseGradInput => Work { bytes: inputs + 4.0 * elements + outputs, ..tiled(of(p.dense_columns)) },
        Kernel::DenseGradKernel => Work { bytes: inputs + 4.0 * elements + outputs, ..tiled(batch) },
        Kernel::SparseForward => Work {
            threads: cells * tiles(p.filters, b) * tiles(p.batch, a),
            operations: 2.0 + of(p.entries) / cells * (1.0 + product(x, y, x + apart(b))),
            bytes: inputs + weights + 8.0 * of(p.entries) + outputs,
            waits: of(p.entries) / cells / if b == 1 { of(d.max(1)) } else { 1.0 },
        },
        Kernel::SparseGradInput => Work {
            threads: of(p.x_sample) * tiles(p.batch, a),
            operations: 2.0
                + of(p.entries) / of(p.x_sample) * (2.0 + filters * product(x, 1.0, load_scattered * (1.0 + x))),
            bytes: inputs + weights + 12.0 * of(p.entries) + outputs,
            waits: of(p.entries) / of(p.x_sample) * filters,
        },
        Kernel::SparseGradKernel => Work {
            threads: of(p.entries) * tiles(p.filters, a),
            operations: 2.0 + batch * product(1.0, x, 1.0 + apart(a)) + x,
            bytes: inputs + weights + 8.0 * of(p.entries) + outputs,
            waits: batch,
        },
        Kernel::DenseScatter => Work {
            threads: of(p.dense_columns),
            operations: tap + 3.0 * of(p.count),
            bytes: 3.0 * weights,
            ..Work::default()
        },
        Kernel::DenseGather => Work { threads: of(p.count), operations: 5.0, bytes: 2.0 * weights, ..Work::default() },
        Kernel::GradBias => Work {
            threads: x * of(p.count),
            operations: batch / x * load(b),
            bytes: 4.0 * batch * of(p.y_sample),
            ..Work::default()
        },
        Kernel::GradBiasShared => Work {
            threads: 64.0 * of(p.count),
            operations: of(p.row) / 64.0,
            bytes: 4.0 * of(p.y_sample),
            ..Work::default()
        },
        Kernel::Fill => Work { threads: of(p.count), operations: 1.0, bytes: 4.0 * of(p.count), ..Work::default() },
        Kernel::Activate | Kernel::ActivateGrad | Kernel::Softmax | Kernel::SoftmaxGrad => {
            Work { threads: of(p.count), operations: 4.0, bytes: 12.0 * of(p.count), ..Work::default() }
        }
    }
}
