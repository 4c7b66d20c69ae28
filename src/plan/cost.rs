//! What a plan is expected to cost: the model behind the planner's choice.
//!
//! It counts, from what the planned kernels say of their work, the bytes that must move, the loads and multiply-adds that
//! threads issue, and the longest chain that one thread works through; a device class turns the counts into seconds. Only the
//! order of the results matters, see docs/performance.md for how well it is met; `tune` measures where it is not.

use super::{DeviceProfile, Plan};
use crate::kernels::Loads;

/// The expected cost of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Estimate {
    /// The least bytes that the dispatches must read and write.
    pub bytes: f64,
    /// Loads and multiply-adds of all threads, counted in loads of one element.
    pub operations: f64,
    /// Number of dispatches.
    pub dispatches: usize,
    /// Bytes of scratch memory.
    pub scratch: u64,
    /// The time that all of this takes on a device of this class.
    pub seconds: f64,
}

/// Speeds of a class of devices, right to the order of magnitude.
struct Speeds {
    dispatch: f64,
    bytes_per_second: f64,
    operations_per_second: f64,
    operation_latency: f64,
    /// Seconds that a thread waits for a load.
    load_latency: f64,
    loads: Loads,
}

/// Two cores of lavapipe, measured (docs/performance.md).
const CPU: Speeds = Speeds {
    dispatch: 40e-6,
    bytes_per_second: 8e9,
    operations_per_second: 1e9,
    operation_latency: 5e-9,
    load_latency: 0.0,
    loads: Loads { four: 2.5, scattered: 2.0 },
};
/// A discrete GPU of some TFLOP/s. The latencies are those of an H100 (benches/record).
const GPU: Speeds = Speeds {
    dispatch: 4e-6,
    bytes_per_second: 5e11,
    operations_per_second: 2e12,
    operation_latency: 5e-9,
    load_latency: 4e-7,
    loads: Loads { four: 1.25, scattered: 2.0 },
};

impl Estimate {
    /// The estimate of a plan.
    #[must_use]
    pub fn of(plan: &Plan, profile: &DeviceProfile) -> Self {
        let speeds = if profile.is_cpu { &CPU } else { &GPU };
        let mut estimate = Self { dispatches: plan.dispatches.len(), scratch: plan.scratch_bytes(), ..Self::default() };
        for dispatch in &plan.dispatches {
            let work = dispatch.variant.work(&dispatch.params, speeds.loads);
            // The work is that of all workgroups, of which this dispatch may have only some.
            let part = dispatch.part();
            let operations = part * work.threads * work.operations;
            let busy = operations / speeds.operations_per_second;
            let chain = (work.operations * speeds.operation_latency).max(work.waits * speeds.load_latency);
            let bytes = part * work.bytes;
            let moved = bytes / speeds.bytes_per_second;
            estimate.bytes += bytes;
            estimate.operations += operations;
            estimate.seconds += speeds.dispatch + busy.max(moved) + chain;
        }
        estimate
    }
}
