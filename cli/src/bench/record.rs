//! The report and its files: the contract's JSON, and the rows as CSV.

use super::ceiling::{Ceiling, Roof};
use super::clock::{Spread, spreads};
use super::meta::{DeviceMeta, Meta};
use super::stats::{Series, Stopped, median_interval};
use super::workloads::{Dtype, LeastWork, Pass};
use crate::format::rounded;
use locally_connected::{Implementation, wgpu};
use serde::{Deserialize, Serialize};

/// The version of a report's JSON, which `cli/schema/bench.schema.json` describes.
pub(crate) const SCHEMA: &str = "locally-bench-1";

/// Everything that a run measured on one adapter, under the contract's names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) adapter: Adapter,
    pub(crate) ceiling: Ceiling,
    pub(crate) device: DeviceMeta,
    pub(crate) results: Vec<Row>,
}

/// The parts of a report's file that rows are compared with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Earlier {
    pub(crate) adapter: Adapter,
    pub(crate) results: Vec<Row>,
}

/// The adapter that was measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    /// The implementation; none on the CPU executor.
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
    #[serde(flatten)]
    pub(crate) more: More,
    /// How kernels were chosen, if several ways were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) setup: Option<String>,
}

/// How certain a row is, and its samples. Reports of earlier builds have none of this.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct More {
    /// The interval that contains, with a confidence of 95 %, the median from which rates are computed.
    pub(crate) interval_ms: Option<[f64; 2]>,
    /// The time of one of several runs in one submit, by the wall clock.
    pub(crate) batched_ms: Option<Spread>,
    /// The error of the result, relative to its largest value; none if it wasn't checked.
    pub(crate) max_error: Option<f64>,
    /// Why sampling ended.
    pub(crate) stopped: Option<Stopped>,
    /// How many first runs don't count.
    pub(crate) warm_up: usize,
    /// All times by the wall clock in milliseconds, in order.
    pub(crate) samples: Vec<f64>,
    /// All times by the device's clock, if it has a sane one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gpu_samples: Vec<f64>,
}

/// What a row is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) workload: String,
    pub(crate) pass: Pass,
    pub(crate) implementation: Option<Implementation>,
    pub(crate) auto: bool,
    pub(crate) batch: u32,
    pub(crate) dtype: Dtype,
    pub(crate) setup: Option<String>,
}

/// The times of a row.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) wall: Spread,
    pub(crate) gpu: Option<Spread>,
    pub(crate) more: More,
}

/// Clocks don't resolve less than nanoseconds.
fn nanoseconds(milliseconds: f64) -> f64 {
    (milliseconds * 1e6).round() / 1e6
}

impl Times {
    /// From times of single runs, and of runs in submits of several; none without a sample.
    pub(crate) fn new(series: &Series, batched: Option<&Series>, max_error: Option<f64>) -> Option<Self> {
        let (wall, gpu) = spreads(&series.samples)?;
        let samples: Vec<f64> = series.samples.iter().map(|sample| nanoseconds(sample.wall)).collect();
        let of_device = series.samples.iter().filter_map(|sample| sample.gpu).map(nanoseconds);
        let gpu_samples: Vec<f64> = if gpu.is_some() { of_device.collect() } else { Vec::new() };
        let counted = if gpu.is_some() { &gpu_samples } else { &samples };
        let batched = batched.and_then(|series| Spread::of(series.samples.iter().map(|sample| sample.wall).collect()));
        let more = More {
            interval_ms: Some(median_interval(counted).map(nanoseconds)),
            batched_ms: batched,
            max_error: max_error.map(significant),
            stopped: series.stopped,
            warm_up: series.warm_up(),
            samples,
            gpu_samples,
        };
        Some(Self { wall, gpu, more })
    }
}

/// An error is rounded to two digits.
fn significant(error: f64) -> f64 {
    format!("{error:.1e}").parse().unwrap_or(error)
}

impl Row {
    /// A row. Rates are computed from the device's clock if it has one, else from the wall clock.
    pub(crate) fn new(key: &Key, times: Times, work: LeastWork, roof: &Roof) -> Self {
        let Times { wall, gpu, more } = times;
        let mut row = Self {
            workload: key.workload.clone(),
            pass: key.pass.name().to_owned(),
            implementation: key.implementation.map(|implementation| implementation.name().to_owned()),
            auto: key.auto,
            batch: key.batch,
            dtype: key.dtype.name().to_owned(),
            wall_ms: wall,
            gpu_ms: gpu,
            bytes: work.bytes,
            flops: work.flops,
            gb_s: 0.0,
            gflop_s: 0.0,
            of_ceiling: 0.0,
            more,
            setup: key.setup.clone(),
        };
        // Less than the resolution of any clock.
        let milliseconds = row.milliseconds().max(1e-6);
        let rate = |amount: u64| rounded(amount as f64 / (milliseconds * 1e6));
        (row.gb_s, row.gflop_s) = (rate(work.bytes), rate(work.flops));
        row.hold_against(roof, work);
        row
    }

    /// Sets the share of the most that the device can do.
    pub(crate) fn hold_against(&mut self, roof: &Roof, work: LeastWork) {
        self.of_ceiling = rounded(roof.milliseconds(work) / self.milliseconds().max(1e-6));
    }

    /// The implementation's name, or the CPU executor's.
    pub(crate) fn way(&self) -> &str {
        self.implementation.as_deref().unwrap_or(crate::device::CPU)
    }

    /// The time from which rates are computed.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.gpu_ms.unwrap_or(self.wall_ms).median
    }
}

/// Which adapter a row is of, in a file of several.
#[derive(Serialize)]
struct OfAdapter<'a> {
    adapter: &'a str,
    #[serde(flatten)]
    row: &'a Row,
}

/// One of several adapters, with its ceilings and how it was measured.
#[derive(Serialize)]
struct WithCeiling<'a> {
    #[serde(flatten)]
    adapter: &'a Adapter,
    ceiling: &'a Ceiling,
    meta: &'a DeviceMeta,
}

/// How a report came to be; for one adapter with what is particular to it.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    meta: &'a Meta,
    #[serde(flatten)]
    device: Option<&'a DeviceMeta>,
}

/// The contract's JSON, with one row on each line. With several adapters each row names its own.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn json(meta: &Meta, reports: &[Report]) -> serde_json::Result<String> {
    let text = |values: Vec<String>| values.join(",\n");
    let only = if let [report] = reports { Some(report) } else { None };
    let meta = serde_json::to_string(&Whole { meta, device: only.map(|report| &report.device) })?;
    let head = format!("{{\"schema\": \"{SCHEMA}\",\n\"meta\": {meta},\n");
    if let Some(Report { adapter, ceiling, results, .. }) = only {
        let (adapter, ceiling) = (serde_json::to_string(adapter)?, serde_json::to_string(ceiling)?);
        let rows = text(results.iter().map(serde_json::to_string).collect::<Result<_, _>>()?);
        return Ok(format!("{head}\"adapter\": {adapter},\n\"ceiling\": {ceiling},\n\"results\": [\n{rows}\n]}}\n"));
    }
    let adapters = reports.iter().map(|Report { adapter, ceiling, device, .. }| {
        serde_json::to_string(&WithCeiling { adapter, ceiling, meta: device })
    });
    let adapters = text(adapters.collect::<Result<_, _>>()?);
    let rows = reports.iter().flat_map(|report| {
        report.results.iter().map(|row| serde_json::to_string(&OfAdapter { adapter: &report.adapter.name, row }))
    });
    let rows = text(rows.collect::<Result<_, _>>()?);
    Ok(format!("{head}\"adapters\": [\n{adapters}\n],\n\"results\": [\n{rows}\n]}}\n"))
}

/// The rows as CSV. Columns have the JSON's names, such as `wall_ms_median` for `wall_ms.median`; with several adapters
/// the adapter comes first.
pub(crate) fn csv(reports: &[Report]) -> String {
    let spread = |name: &str| ["min", "median", "max"].map(|part| format!("{name}_{part}")).join(",");
    let (wall, gpu) = (spread("wall_ms"), spread("gpu_ms"));
    let several = reports.len() > 1;
    let mut text = if several { "adapter," } else { "" }.to_owned();
    text += &format!(
        "workload,pass,implementation,auto,batch,dtype,{wall},{gpu},bytes,flops,gb_s,gflop_s,of_ceiling,setup,{MORE}\n"
    );
    for (report, row) in reports.iter().flat_map(|report| report.results.iter().map(move |row| (report, row))) {
        let spread = |spread: Spread| format!("{},{},{}", spread.min, spread.median, spread.max);
        if several {
            text.push_str(&format!("{},", report.adapter.name.replace([',', '"', '\n'], " ")));
        }
        // No other field has a comma or a quote: names come from the table, or are made of sizes.
        text.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
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
            more(&row.more),
        ));
    }
    text
}

/// The columns that say how certain a row is.
const MORE: &str = "interval_ms_low,interval_ms_high,batched_ms_median,max_error,stopped,samples";

fn more(more: &More) -> String {
    let text = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let [low, high] = [0, 1].map(|end| text(more.interval_ms.map(|interval| interval[end])));
    let batched = text(more.batched_ms.map(|spread| spread.median));
    let stopped = more.stopped.map(Stopped::name).unwrap_or_default();
    format!("{low},{high},{batched},{},{stopped},{}", text(more.max_error), more.samples.len())
}

/// A report of invented numbers, for tests.
#[cfg(test)]
pub(crate) fn example() -> Report {
    use super::clock::Sample;
    use super::stats::Stop;
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
                    let mut series = Series::default();
                    let stop = Stop { least: 0.0, most: 1.0, spread: 10.0 };
                    // The first two runs don't count.
                    for part in [1.0, 1.0, 1.0, 0.9, 2.0, 1.0, 1.0] {
                        let gpu = auto.then_some(0.95 * part * median);
                        series.add(Sample { wall: part * median, gpu }, 1e-3, &stop);
                    }
                    let key = Key {
                        workload: workload.name.clone(),
                        pass,
                        implementation: Some(implementation),
                        auto,
                        batch,
                        dtype: Dtype::F32,
                        setup: None,
                    };
                    let work = LeastWork { bytes: 500_000, written: 0, flops: 1_000_000 * u64::from(batch) };
                    results
                        .extend(Times::new(&series, None, Some(1e-7)).map(|times| Row::new(&key, times, work, &roof)));
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
    Report { adapter, ceiling, device: DeviceMeta { driver: text("a driver"), ..DeviceMeta::default() }, results }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn json_has_the_contracts_keys() -> serde_json::Result<()> {
        let report = example();
        let text = json(&Meta::here(), std::slice::from_ref(&report))?;
        let Earlier { adapter, results } = serde_json::from_str(&text)?;
        assert_eq!((adapter, results), (report.adapter, report.results));
        let value: Value = serde_json::from_str(&text)?;
        let keys = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(keys(&value), ["schema", "meta", "adapter", "ceiling", "results"]);
        assert_eq!(value["schema"], SCHEMA);
        for key in ["crate", "commit", "wgpu", "argv", "utc", "processor", "driver", "features", "clocks", "throttled"]
        {
            assert!(value["meta"].get(key).is_some(), "{key}");
        }
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
            "interval_ms",
            "batched_ms",
            "max_error",
            "stopped",
            "warm_up",
            "samples",
        ];
        assert_eq!(keys(&value["results"][0])[..row.len()], row);
        assert_eq!(keys(&value["results"][0]["wall_ms"]), ["min", "median", "max"]);
        assert_eq!(value["results"][0]["samples"].as_array().map(Vec::len), Some(5));
        assert!(value["results"][1]["gpu_ms"].is_null());
        Ok(())
    }

    /// Reports of earlier versions can be read, too.
    #[test]
    fn earlier_reports_are_read() -> serde_json::Result<()> {
        let row = r#"{"workload":"w","pass":"forward","implementation":null,"auto":false,"batch":1,"dtype":"f32",
            "wall_ms":{"min":1,"median":2,"max":3},"gpu_ms":null,"bytes":4,"flops":5,"gb_s":6,"gflop_s":7,"of_ceiling":0.5}"#;
        let row: Row = serde_json::from_str(row)?;
        assert_eq!((row.more.clone(), row.milliseconds()), (More::default(), 2.0));
        Ok(())
    }

    #[test]
    fn csv_has_a_field_for_every_column() {
        let text = csv(&[example()]);
        assert!(text.lines().all(|line| line.split(',').count() == 24));
        assert_eq!(text.lines().count(), 1 + example().results.len());
    }

    #[test]
    fn several_adapters_are_named_in_each_row() -> serde_json::Result<()> {
        let mut other = example();
        other.adapter.name = "another, of two".into();
        let reports = [example(), other];
        let value: Value = serde_json::from_str(&json(&Meta::here(), &reports)?)?;
        assert_eq!(value["adapters"].as_array().map(Vec::len), Some(2));
        assert_eq!(value["adapters"][1]["name"], "another, of two");
        assert_eq!(value["adapters"][1]["ceiling"]["copy_gb_s"], 10.0);
        assert_eq!(value["adapters"][1]["meta"]["driver"], "a driver");
        assert!(value["meta"]["crate"].is_string() && value["meta"].get("driver").is_none());
        let rows = value["results"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(rows.len(), 2 * reports[0].results.len());
        assert!(rows.iter().all(|row| row["adapter"].is_string() && row["workload"].is_string()));
        assert_eq!(rows.last().map(|row| &row["adapter"]), Some(&value["adapters"][1]["name"]));
        assert!(csv(&reports).lines().all(|line| line.split(',').count() == 25));
        Ok(())
    }

    #[test]
    fn rates_follow_from_the_devices_clock() {
        let row = &example().results[0];
        assert_eq!(row.milliseconds(), 0.095);
        assert_eq!(row.gb_s, rounded(0.5 / 0.095));
        assert_eq!(row.gflop_s, rounded(1.0 / 0.095));
        // 0.05 ms for copying, which is more than 0.01 ms for arithmetic.
        assert_eq!(row.of_ceiling, rounded(0.05 / 0.095));
        assert!(row.more.interval_ms.is_some_and(|[low, high]| (low..=high).contains(&0.095)));
        assert_eq!(significant(1.2345e-7), 1.2e-7);
    }
}
