//! What the planner takes by itself, held against what was measured: the records of `locally bench` with every implementation of
//! each workload in one run.

use crate::common::layers;
use locally_connected::model::{Gradients, layer_backward, layer_forward};
use locally_connected::plan::{Planner, Strategy};
use locally_connected::program::Program;
use locally_connected::{DeviceProfile, Implementation};
use std::collections::BTreeMap;

/// What was measured together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    workload: String,
    pass: String,
    batch: u32,
}

/// Milliseconds of each implementation.
type Times = Vec<(Implementation, f64)>;

/// The rows of 32-bit floats of a record in which several implementations were measured, by the clock named first of those that it has.
fn record(text: &str, clocks: [&str; 2]) -> BTreeMap<Case, Times> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().expect("a header");
    let mut cases: BTreeMap<Case, Times> = BTreeMap::new();
    for line in lines {
        let field = |name: &str| head.iter().position(|column| *column == name).and_then(|at| line.get(at)).copied();
        let is = |name, value| field(name) == Some(value);
        if !is("dtype", "f32") || !field("setup").unwrap_or_default().is_empty() {
            continue;
        }
        let named = |name| Implementation::ALL.into_iter().find(|implementation| implementation.name() == name);
        let implementation = field("implementation").and_then(named).expect("an implementation");
        let time = clocks.into_iter().filter_map(field).find_map(|time| time.parse().ok());
        let text = |name| field(name).expect("a column").to_owned();
        let batch = text("batch").parse().expect("a number");
        let case = Case { workload: text("workload"), pass: text("pass"), batch };
        cases.entry(case).or_default().push((implementation, time.expect("a time")));
    }
    cases.retain(|_, times| times.len() > 1);
    cases
}

/// The implementation that the planner takes for each operation that has several.
fn taken(program: &Program, batch: u32, profile: &DeviceProfile) -> Vec<Implementation> {
    let planner = Planner::new(profile);
    let plan = |operation| planner.plan(operation, batch).expect("possible").implementation;
    program.operations.iter().filter_map(plan).collect()
}

/// How much more time the planner's choice took than the best of each case, and how many cases there are. A backward pass whose
/// gradients go by two implementations was measured with neither and isn't counted.
fn losses(text: &str, clocks: [&str; 2], profile: &DeviceProfile) -> Vec<(f64, Case)> {
    let workloads: BTreeMap<_, _> = layers().into_iter().collect();
    let mut losses = Vec::new();
    for (case, times) in record(text, clocks) {
        let layer = workloads.get(&case.workload).expect("of the table");
        let program = match case.pass.as_str() {
            "forward" => layer_forward(layer, false),
            _ => layer_backward(layer, Gradients { input: true, weights: true, bias: true }),
        };
        let taken = taken(&program, case.batch, profile);
        let best = times.iter().map(|(_, time)| *time).fold(f64::INFINITY, f64::min);
        if taken.windows(2).all(|pair| pair[0] == pair[1])
            && let Some((_, time)) = times.iter().find(|(implementation, _)| *implementation == taken[0])
        {
            losses.push((time / best, case));
        }
    }
    losses.sort_by(|a, b| b.0.total_cmp(&a.0));
    losses
}

/// Asserts that there are so many cases, and what is lost in their geometric mean and at worst.
fn assert_lost(losses: &[(f64, Case)], cases: usize, [mean, worst]: [f64; 2]) {
    let found = (losses.iter().map(|(loss, _)| loss.ln()).sum::<f64>() / losses.len() as f64).exp();
    let first = &losses[..losses.len().min(5)];
    assert!(losses.len() >= cases, "{} cases", losses.len());
    assert!(
        found <= mean && losses[0].0 <= worst,
        "{found:.4} of the best in the mean of {} cases, {first:?}",
        losses.len()
    );
}

/// The worst are layers of one filter below 25 µs, whose gradients take sparse's kernels a quarter less time than the model expects.
#[test]
fn auto_is_the_best_of_what_an_h100_took() {
    let profile = DeviceProfile {
        max_binding: u32::MAX.into(),
        max_buffer: 1 << 40,
        max_workgroup_memory: 48 << 10,
        max_workgroup_size: 1024,
        max_workgroup_width: 1024,
        strategy: Strategy::GPU,
        ..DeviceProfile::webgpu_defaults()
    };
    let text = include_str!("../benches/record/nvidia-h100-80gb-hbm3/2026-11-27.csv");
    let losses = losses(text, ["gpu_ms_median", "wall_ms_median"], &profile);
    assert_lost(&losses, 95, [1.015, 1.33]);
}

#[test]
fn auto_is_the_best_of_what_lavapipe_took() {
    let profile = DeviceProfile {
        is_cpu: true,
        max_binding: 1 << 31,
        max_buffer: 1 << 31,
        max_iterations: 65_535,
        strategy: Strategy::CPU,
        ..DeviceProfile::webgpu_defaults()
    };
    let text = include_str!("../benches/record/lavapipe/2026-11-21-evening.csv");
    let losses = losses(text, ["wall_ms_median", "wall_ms_median"], &profile);
    assert_lost(&losses, 25, [1.001, 1.011]);
}
