//! Compares our rows with those of `benches/peers`.

use super::record::Report;
use super::workloads::Pass;
use serde::Deserialize;

/// The parts of a peers' file that are used: the contract's rows, and who measured them.
#[derive(Debug, Deserialize)]
pub(crate) struct Peers {
    adapter: PeerAdapter,
    results: Vec<PeerRow>,
}

#[derive(Debug, Deserialize)]
struct PeerAdapter {
    name: String,
    #[serde(default)]
    driver: String,
}

#[derive(Debug, Deserialize)]
struct PeerRow {
    workload: String,
    pass: String,
    /// Null for the CPU executor.
    #[serde(default)]
    implementation: Option<String>,
    batch: u32,
    #[serde(default = "f32")]
    dtype: String,
    wall_ms: Median,
    #[serde(default = "earlier")]
    framework: String,
    #[serde(default = "f32")]
    precision: String,
}

#[derive(Debug, Deserialize)]
struct Median {
    median: f64,
}

fn f32() -> String {
    "f32".into()
}

/// A file without frameworks is one of an earlier run of ours.
fn earlier() -> String {
    "earlier".into()
}

/// Our own rows' name in a merged file.
const OURSELVES: &str = "locally";

/// Our planner's choice beside the fastest peer of a precision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) workload: String,
    pub(crate) pass: String,
    pub(crate) batch: u32,
    pub(crate) framework: String,
    pub(crate) precision: String,
    pub(crate) implementation: String,
    /// The peer's wall time in milliseconds.
    pub(crate) theirs: f64,
    pub(crate) ours: f64,
}

impl Ratio {
    /// The peer's time over ours: above 1 we are faster.
    pub(crate) fn value(&self) -> f64 {
        self.theirs / self.ours
    }
}

/// All ratios between rows of both files.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) title: String,
    pub(crate) ratios: Vec<Ratio>,
}

/// The mean of a pass's ratios, for one batch or for all.
#[derive(Debug, PartialEq)]
pub(crate) struct Mean {
    pub(crate) pass: String,
    pub(crate) precision: String,
    pub(crate) batch: Option<u32>,
    pub(crate) rows: usize,
    pub(crate) mean: f64,
    pub(crate) least: f64,
}

impl Comparison {
    pub(crate) fn new(report: &Report, peers: &Peers) -> Self {
        let mut precisions: Vec<&str> = peers.results.iter().map(|row| row.precision.as_str()).collect();
        precisions.sort_unstable();
        precisions.dedup();
        let mut keys: Vec<(&str, u32)> = Vec::new();
        for row in &report.results {
            let key = (row.workload.as_str(), row.batch);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut ratios = Vec::new();
        for (workload, batch) in keys {
            for pass in [Pass::Forward, Pass::Backward, Pass::Both].map(Pass::name) {
                let Some(ours) = ours(report, workload, batch, pass) else { continue };
                for precision in &precisions {
                    let rows = peers.results.iter().filter(|row| {
                        let same = row.workload == workload && row.batch == batch && row.pass == pass;
                        let kind = row.precision == *precision && row.dtype == "f32";
                        same && kind && row.framework != OURSELVES && row.wall_ms.median > 0.0
                    });
                    let Some(peer) = rows.min_by(|a, b| a.wall_ms.median.total_cmp(&b.wall_ms.median)) else {
                        continue;
                    };
                    ratios.push(Ratio {
                        workload: workload.to_owned(),
                        pass: pass.to_owned(),
                        batch,
                        framework: peer.framework.clone(),
                        precision: peer.precision.clone(),
                        implementation: peer.implementation.clone().unwrap_or_else(|| crate::device::CPU.into()),
                        theirs: peer.wall_ms.median,
                        ours,
                    });
                }
            }
        }
        let PeerAdapter { name, driver } = &peers.adapter;
        Self { title: format!("against the fastest peer each, on {name} ({driver})"), ratios }
    }

    /// Geometric means by pass and precision, for each batch and for all batches.
    pub(crate) fn means(&self) -> Vec<Mean> {
        let mut keys: Vec<(&str, &str, Option<u32>)> = Vec::new();
        for ratio in &self.ratios {
            for batch in [Some(ratio.batch), None] {
                let key = (ratio.pass.as_str(), ratio.precision.as_str(), batch);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        let order = |pass: &str| [Pass::Forward, Pass::Backward, Pass::Both].iter().position(|p| p.name() == pass);
        // All batches come last.
        keys.sort_by_key(|(pass, precision, batch)| (order(pass), precision.to_owned(), batch.unwrap_or(u32::MAX)));
        let mean = |(pass, precision, batch): (&str, &str, Option<u32>)| {
            let values: Vec<f64> = self
                .ratios
                .iter()
                .filter(|r| r.pass == pass && r.precision == precision && batch.is_none_or(|batch| r.batch == batch))
                .map(Ratio::value)
                .collect();
            let mean = (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            Mean { pass: pass.into(), precision: precision.into(), batch, rows: values.len(), mean, least }
        };
        keys.into_iter().map(mean).collect()
    }
}

/// Our wall milliseconds with f32 weights: the planner's choice, else the fastest that was measured. Forward with
/// backward is their sum, unless they were measured in one submit.
fn ours(report: &Report, workload: &str, batch: u32, pass: &str) -> Option<f64> {
    let rows = || {
        let all = report.results.iter();
        all.filter(|row| row.workload == workload && row.batch == batch && row.pass == pass && row.dtype == "f32")
    };
    let fastest = || rows().map(|row| row.wall_ms.median).min_by(f64::total_cmp);
    let measured = rows().find(|row| row.auto).map(|row| row.wall_ms.median).or_else(fastest);
    measured.filter(|ms| *ms > 0.0).or_else(|| {
        let part = |pass: Pass| ours(report, workload, batch, pass.name());
        if pass == Pass::Both.name() { Some(part(Pass::Forward)? + part(Pass::Backward)?) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;
    use serde_json::json;

    fn peers() -> serde_json::Result<Peers> {
        let row = |framework: &str, precision: &str, pass: &str, batch: u32, median: f64| {
            json!({
                "workload": "keras-doc-1", "pass": pass, "implementation": "loop", "auto": false, "batch": batch,
                "dtype": "f32", "wall_ms": {"min": median, "median": median, "max": median}, "gpu_ms": null,
                "framework": framework, "precision": precision, "version": "1",
            })
        };
        serde_json::from_value(json!({
            "adapter": {"name": "a CPU", "backend": "cpu", "driver": "jax 1", "device_type": "Cpu"},
            "ceiling": null,
            "results": [
                row("jax", "f32", "forward", 1, 0.4), row("torch", "f32", "forward", 1, 0.2),
                row("torch", "tf32", "forward", 1, 0.05), row("locally", "f32", "forward", 1, 0.001),
                row("jax", "f32", "forward", 32, 25.6), row("jax", "f32", "both", 1, 0.7),
                row("jax", "f32", "forward", 7, 1.0),
            ],
        }))
    }

    #[test]
    fn ratios_are_to_the_fastest_peer() -> serde_json::Result<()> {
        let comparison = Comparison::new(&example(), &peers()?);
        let found: Vec<_> = comparison
            .ratios
            .iter()
            .map(|r| {
                (r.pass.as_str(), r.batch, r.framework.as_str(), r.precision.as_str(), (100.0 * r.value()).round())
            })
            .collect();
        // Ours: 0.1 ms forward and 0.25 ms backward at batch 1, 3.2 ms forward at batch 32.
        let expected = [
            ("forward", 1, "torch", "f32", 200.0),
            ("forward", 1, "torch", "tf32", 50.0),
            ("both", 1, "jax", "f32", 200.0),
            ("forward", 32, "jax", "f32", 800.0),
        ];
        assert_eq!(found, expected);
        let means = comparison.means();
        let all = means.iter().find(|m| m.pass == "forward" && m.precision == "f32" && m.batch.is_none());
        assert!(all.is_some_and(|m| m.rows == 2 && (m.mean - 4.0).abs() < 1e-9 && (m.least - 2.0).abs() < 1e-9));
        Ok(())
    }
}
