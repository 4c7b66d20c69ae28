//! The workloads of `locally bench`, from the table that the peers' benchmarks read, too.

use locally_connected::{Config, Geometry, Padding};
use serde::Deserialize;
use std::sync::Arc;

/// A line of the table.
#[derive(Deserialize)]
struct Workload {
    name: String,
    input: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    padding: Padding,
    filters: usize,
}

/// Their names and layers.
pub(crate) fn layers() -> Vec<(String, Arc<Geometry>)> {
    let table: Vec<Workload> = serde_json::from_str(include_str!("../../benches/peers/workloads.json")).expect("JSON");
    let layer = |workload: Workload| {
        let config = Config::new(workload.filters, workload.kernel).strides(workload.strides).padding(workload.padding);
        (workload.name, Arc::new(Geometry::new(&config, &workload.input).expect("a layer")))
    };
    table.into_iter().map(layer).collect()
}
