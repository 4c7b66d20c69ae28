//! The layers of the benchmarks, from the peers' table.

use crate::net::Result;
use locally_connected::{Config, Geometry, Padding};
use serde::Deserialize;

/// The table from the repository's root, where `cargo xtask` starts this.
const TABLE: &str = "benches/peers/workloads.json";

#[derive(Deserialize)]
struct Workload {
    name: String,
    input: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    padding: Padding,
    filters: usize,
}

/// Their names and geometries.
pub(crate) fn workloads() -> Result<Vec<(String, Geometry)>> {
    let text = std::fs::read(TABLE).map_err(|error| format!("{TABLE}: {error}"))?;
    let table: Vec<Workload> = serde_json::from_slice(&text)?;
    let geometry = |workload: Workload| {
        let config = Config::new(workload.filters, workload.kernel).strides(workload.strides).padding(workload.padding);
        Ok((workload.name, Geometry::new(&config, &workload.input)?))
    };
    table.into_iter().map(geometry).collect()
}
