//! The rows that a run left.

use super::files::at;
use crate::sh::Result;
use serde_json::Value;
use std::path::Path;

/// One measured pass, ours or a peer's. The names are those of `locally bench --json`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Row {
    /// Which run of the program it is of: within one, rows are measured in turns, so that only they are compared.
    pub(super) run: usize,
    pub(super) workload: String,
    pub(super) pass: String,
    pub(super) implementation: String,
    pub(super) auto: bool,
    pub(super) batch: u64,
    pub(super) dtype: String,
    pub(super) wall: [f64; 3],
    pub(super) gpu: Option<[f64; 3]>,
    pub(super) gb_s: f64,
    pub(super) gflop_s: f64,
    pub(super) of_ceiling: Option<f64>,
    pub(super) setup: String,
    pub(super) kernels: Vec<String>,
    /// What a peer ran on.
    pub(super) device: String,
    /// Of a peers' file; `locally` are ours.
    pub(super) framework: String,
    pub(super) precision: String,
    pub(super) formulation: String,
    /// Of the result, in parts of its largest value.
    pub(super) error: Option<f64>,
}

impl Row {
    fn new(value: &Value, run: usize) -> Option<Self> {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let spread = |key: &str| Some(["min", "median", "max"].map(|part| value[key][part].as_f64().unwrap_or(0.0)));
        Some(Self {
            run,
            workload: value["workload"].as_str()?.to_owned(),
            pass: value["pass"].as_str()?.to_owned(),
            implementation: text("implementation"),
            auto: value["auto"].as_bool().unwrap_or(false),
            batch: value["batch"].as_u64()?,
            dtype: text("dtype"),
            wall: spread("wall_ms").filter(|[_, median, _]| *median > 0.0)?,
            gpu: spread("gpu_ms").filter(|[_, median, _]| *median > 0.0),
            gb_s: value["gb_s"].as_f64().unwrap_or(0.0),
            gflop_s: value["gflop_s"].as_f64().unwrap_or(0.0),
            of_ceiling: value["of_ceiling"].as_f64(),
            setup: text("setup"),
            kernels: value["kernels"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|k| k.as_str())
                .map(str::to_owned)
                .collect(),
            device: text("device"),
            framework: text("framework"),
            precision: text("precision"),
            formulation: text("formulation"),
            error: value["error"].as_f64(),
        })
    }

    /// Milliseconds by the device's clock where it has one.
    pub(super) fn milliseconds(&self) -> f64 {
        self.gpu.unwrap_or(self.wall)[1]
    }

    /// What rows are compared within.
    pub(super) fn case(&self) -> (&str, &str, u64) {
        (&self.workload, &self.pass, self.batch)
    }
}

/// The rows of a file that may not be there, and whose last line may be cut. Each run of a program begins with a line of
/// its adapter.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    let mut run = 0;
    let mut row = |value: &Value| {
        run += usize::from(value.get("adapter").is_some());
        Row::new(value, run)
    };
    Ok(values(path)?.iter().filter_map(&mut row).collect())
}

/// The lines of a file that are JSON.
pub(super) fn values(path: &Path) -> Result<Vec<Value>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = std::fs::read(path).map_err(at(path))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The different values of something, in the order in which they come first.
pub(super) fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// The geometric mean; none of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (sum / values.len() as f64).exp())
}
