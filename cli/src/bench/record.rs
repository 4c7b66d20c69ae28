//! The report and its files: the contract's JSON, and the same rows as CSV.

use super::ceiling::{Ceiling, Roof};
use super::clock::Spread;
use super::workloads::{Dtype, LeastWork, Pass};
use crate::format::rounded;
use locally_connected::{Implementation, wgpu};
use serde::{Deserialize, Serialize};

/// Everything that a run measured; the names are the contract's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) adapter: Adapter,
    pub(crate) ceiling: Ceiling,
    pub(crate) results: Vec<Row>,
}

/// What it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adapter {
    pub(crate) name: String,
    pub(crate) backend: String,
    pub(crate) driver: String,
    pub(crate) device_type: String,
}

impl Adapter {
    pub(crate) fn new(info: &wgpu::AdapterInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            device_type: format!("{:?}", info.device_type),
        }
    }
}

/// One measured pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) pass: String,
    /// What was executed; none on the CPU executor.
    pub(crate) implementation: Option<String>,
    /// Whether the planner chose it.
    pub(crate) auto: bool,
    pub(crate) batch: u32,
    pub(crate) dtype: String,
    pub(crate) wall_ms: Spread,
    pub(crate) gpu_ms: Option<Spread>,
    pub(crate) bytes: u64,
    pub(crate) flops: u64,
    pub(crate) gb_s: f64,
    pub(crate) gflop_s: f64,
    pub(crate) of_ceiling: f64,
    /// How kernels were chosen, where several ways were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) setup: Option<String>,
}

/// What a row is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) workload: &'a str,
    pub(crate) pass: Pass,
    pub(crate) implementation: Option<Implementation>,
    pub(crate) auto: bool,
    pub(crate) batch: u32,
    pub(crate) dtype: Dtype,
    pub(crate) setup: Option<&'a str>,
}

impl Row {
    /// A row; rates follow from the device's clock where there is one, else from the wall clock.
    pub(crate) fn new(key: Key<'_>, (wall, gpu): (Spread, Option<Spread>), work: LeastWork, roof: &Roof) -> Self {
        // Below the resolution of any clock.
        let milliseconds = gpu.unwrap_or(wall).median.max(1e-6);
        let rate = |amount: u64| rounded(amount as f64 / (milliseconds * 1e6));
        Self {
            workload: key.workload.to_owned(),
            pass: key.pass.name().to_owned(),
            implementation: key.implementation.map(|implementation| implementation.name().to_owned()),
            auto: key.auto,
            batch: key.batch,
            dtype: key.dtype.name().to_owned(),
            wall_ms: wall,
            gpu_ms: gpu,
            bytes: work.bytes,
            flops: work.flops,
            gb_s: rate(work.bytes),
            gflop_s: rate(work.flops),
            of_ceiling: rounded(roof.milliseconds(work) / milliseconds),
            setup: key.setup.map(str::to_owned),
        }
    }

    /// The implementation, or the CPU executor.
    pub(crate) fn way(&self) -> &str {
        self.implementation.as_deref().unwrap_or(crate::device::CPU)
    }

    /// What is to be said of a row that is over its ceiling.
    pub(crate) fn over_ceiling(&self) -> Option<String> {
        let Self { workload, pass, batch, of_ceiling, .. } = self;
        (*of_ceiling > 1.0).then(|| {
            format!(
                "note: {workload} {pass} batch {batch}: {of_ceiling} of the ceiling, so the probe measured less than the \
                 device can do"
            )
        })
    }

    /// The time that rates follow from.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.gpu_ms.unwrap_or(self.wall_ms).median
    }
}

/// What a row of several adapters' says before its own fields.
#[derive(Serialize)]
struct OfAdapter<'a> {
    adapter: &'a str,
    #[serde(flatten)]
    row: &'a Row,
}

/// An adapter among several, with what it can do.
#[derive(Serialize)]
struct WithCeiling<'a> {
    #[serde(flatten)]
    adapter: &'a Adapter,
    ceiling: &'a Ceiling,
}

/// The contract's JSON, a row a line: of one adapter, or of several, where each row names its own.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn json(reports: &[Report]) -> serde_json::Result<String> {
    let text = |values: Vec<String>| values.join(",\n");
    if let [Report { adapter, ceiling, results }] = reports {
        let (adapter, ceiling) = (serde_json::to_string(adapter)?, serde_json::to_string(ceiling)?);
        let rows = text(results.iter().map(serde_json::to_string).collect::<Result<_, _>>()?);
        return Ok(format!("{{\"adapter\": {adapter},\n\"ceiling\": {ceiling},\n\"results\": [\n{rows}\n]}}\n"));
    }
    let adapters = reports.iter().map(|Report { adapter, ceiling, .. }| WithCeiling { adapter, ceiling });
    let adapters = text(adapters.map(|adapter| serde_json::to_string(&adapter)).collect::<Result<_, _>>()?);
    let rows = reports.iter().flat_map(|report| {
        report.results.iter().map(|row| serde_json::to_string(&OfAdapter { adapter: &report.adapter.name, row }))
    });
    let rows = text(rows.collect::<Result<_, _>>()?);
    Ok(format!("{{\"adapters\": [\n{adapters}\n],\n\"results\": [\n{rows}\n]}}\n"))
}

/// The rows with the JSON's names as columns, `wall_ms_median` for `wall_ms.median`; of several adapters, after theirs.
pub(crate) fn csv(reports: &[Report]) -> String {
    let spread = |name: &str| ["min", "median", "max"].map(|part| format!("{name}_{part}")).join(",");
    let (wall, gpu) = (spread("wall_ms"), spread("gpu_ms"));
    let several = reports.len() > 1;
    let mut text = if several { "adapter," } else { "" }.to_owned();
    text += &format!(
        "workload,pass,implementation,auto,batch,dtype,{wall},{gpu},bytes,flops,gb_s,gflop_s,of_ceiling,setup\n"
    );
    for (report, row) in reports.iter().flat_map(|report| report.results.iter().map(move |row| (report, row))) {
        let spread = |spread: Spread| format!("{},{},{}", spread.min, spread.median, spread.max);
        if several {
            text.push_str(&format!("{},", report.adapter.name.replace([',', '"', '\n'], " ")));
        }
        // No other field has a comma or a quote: names are the table's or made of sizes.
        text.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
            row.workload,
            row.pass,
            row.way(),
            row.auto,
            row.batch,
            row.dtype,
            spread(row.wall_ms),
            row.gpu_ms.map_or(",,".to_owned(), spread),
            row.bytes,
            row.flops,
            row.gb_s,
            row.gflop_s,
            row.of_ceiling,
            row.setup.as_deref().unwrap_or_default(),
        ));
    }
    text
}

/// A report of invented figures, for the tests of what is made of reports.
#[cfg(test)]
pub(crate) fn example() -> Report {
    use super::workloads;
    let ceiling = Ceiling { copy_gb_s: 10.0, f32_gflop_s: 100.0 };
    let roof = Roof { adapter: String::new(), ceiling, cache: super::ceiling::Cache::Hot, footprints: Vec::new() };
    let mut results = Vec::new();
    for workload in workloads::all().take(3) {
        for (pass, factor) in [(Pass::Forward, 1.0), (Pass::Backward, 2.5)] {
            for batch in [1, 32] {
                for (implementation, auto, slower) in
                    [(Implementation::Loop, true, 1.0), (Implementation::SparseGather, false, 3.0)]
                {
                    let median = 0.1 * factor * slower * f64::from(batch);
                    let wall = Spread { min: 0.9 * median, median, max: 2.0 * median };
                    let key = Key {
                        workload: &workload.name,
                        pass,
                        implementation: Some(implementation),
                        auto,
                        batch,
                        dtype: Dtype::F32,
                        setup: None,
                    };
                    let work = LeastWork { bytes: 500_000, written: 0, flops: 1_000_000 * u64::from(batch) };
                    let gpu = auto.then_some(Spread { min: wall.min, median: 0.95 * median, max: median });
                    results.push(Row::new(key, (wall, gpu), work, &roof));
                }
            }
        }
    }
    let text = String::from;
    let adapter = Adapter {
        name: text("An <adapter> & \"more\""),
        backend: text("vulkan"),
        driver: text("a driver"),
        device_type: text("Cpu"),
    };
    Report { adapter, ceiling, results }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn json_has_the_contracts_keys() -> serde_json::Result<()> {
        let report = example();
        let text = json(std::slice::from_ref(&report))?;
        assert_eq!(serde_json::from_str::<Report>(&text)?, report);
        let value: Value = serde_json::from_str(&text)?;
        let keys = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(keys(&value), ["adapter", "ceiling", "results"]);
        assert_eq!(keys(&value["adapter"]), ["name", "backend", "driver", "device_type"]);
        assert_eq!(keys(&value["ceiling"]), ["copy_gb_s", "f32_gflop_s"]);
        let row = [
            "workload",
            "pass",
            "implementation",
            "auto",
            "batch",
            "dtype",
            "wall_ms",
            "gpu_ms",
            "bytes",
            "flops",
            "gb_s",
            "gflop_s",
            "of_ceiling",
        ];
        assert_eq!(keys(&value["results"][0]), row);
        assert_eq!(keys(&value["results"][0]["wall_ms"]), ["min", "median", "max"]);
        assert!(value["results"][1]["gpu_ms"].is_null());
        Ok(())
    }

    #[test]
    fn csv_has_a_field_for_every_column() {
        let text = csv(&[example()]);
        assert!(text.lines().all(|line| line.split(',').count() == 18));
        assert_eq!(text.lines().count(), 1 + example().results.len());
    }

    #[test]
    fn several_adapters_are_named_in_each_row() -> serde_json::Result<()> {
        let mut other = example();
        other.adapter.name = "another, of two".into();
        let reports = [example(), other];
        let value: Value = serde_json::from_str(&json(&reports)?)?;
        assert_eq!(value["adapters"].as_array().map(Vec::len), Some(2));
        assert_eq!(value["adapters"][1]["name"], "another, of two");
        assert_eq!(value["adapters"][1]["ceiling"]["copy_gb_s"], 10.0);
        let rows = value["results"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(rows.len(), 2 * reports[0].results.len());
        assert!(rows.iter().all(|row| row["adapter"].is_string() && row["workload"].is_string()));
        assert_eq!(rows.last().map(|row| &row["adapter"]), Some(&value["adapters"][1]["name"]));
        assert!(csv(&reports).lines().all(|line| line.split(',').count() == 19));
        Ok(())
    }

    #[test]
    fn rates_follow_from_the_devices_clock() {
        let row = &example().results[0];
        assert_eq!(row.milliseconds(), 0.095);
        assert_eq!(row.gb_s, rounded(0.5 / 0.095));
        assert_eq!(row.gflop_s, rounded(1.0 / 0.095));
        // 0.05 ms of copying, 0.01 ms of arithmetic.
        assert_eq!(row.of_ceiling, rounded(0.05 / 0.095));
    }
}
