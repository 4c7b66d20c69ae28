//! The result of a comparison: a verdict for each row, as a table and as JSON.

use super::super::meta::Meta;
use super::super::record::{Adapter, Earlier, Report, Row};
use super::super::stats::{Verdict, apart, median};
use super::super::table::number;
use super::protocol::Case;
use crate::failure::Failure;
use crate::format::{rounded, table};
use comfy_table::CellAlignment;
use serde_json::{Value, json};
use std::path::Path;

/// The version of a comparison's JSON.
const SCHEMA: &str = "locally-bench-against-1";

/// A row that both builds have.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    pub(super) case: Case,
    /// Medians of this build and of the other, in milliseconds.
    pub(super) ms: [f64; 2],
    /// The clock: `gpu` or `wall`.
    pub(super) clock: &'static str,
    /// This build's time over the other's.
    pub(super) ratio: f64,
    /// The interval of the ratio.
    pub(super) interval: [f64; 2],
    pub(super) verdict: Verdict,
    /// How many rounds of turns were taken; 0 for a row from a file.
    pub(super) rounds: usize,
}

/// Two builds, row by row.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(super) meta: Meta,
    pub(super) adapter: Adapter,
    /// This build, and the other.
    pub(super) builds: [String; 2],
    /// Where the other comes from.
    pub(super) other: String,
    pub(super) margin: f64,
    pub(super) rows: Vec<Compared>,
    /// What the comparison can tell, and what it can't.
    pub(super) note: String,
}

impl Comparison {
    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The comparison as text.
    pub(crate) fn text(&self) -> String {
        let columns =
            ["workload", "pass", "how", "weights", "batch", "clock", "other ms", "this ms", "this ÷ other", "99 %", ""];
        let mut rows = table(columns);
        for column in rows.column_iter_mut().skip(6).take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for Compared { case, ms: [this, other], clock, ratio, interval: [low, high], verdict, .. } in &self.rows {
            let way = case.implementation.as_deref().unwrap_or(crate::device::CPU);
            let setup = case.setup.as_ref().map(|setup| format!(" {setup}")).unwrap_or_default();
            rows.add_row([
                case.workload.clone(),
                case.pass.clone(),
                format!("{way}{}{setup}", if case.auto { "*" } else { "" }),
                case.dtype.clone(),
                case.batch.to_string(),
                (*clock).to_owned(),
                number(*other),
                number(*this),
                format!("{ratio:.3}"),
                format!("{low:.3} … {high:.3}"),
                verdict.name().to_owned(),
            ]);
        }
        let [this, other] = &self.builds;
        let percent = 100.0 * self.margin;
        format!(
            "{this} against {other} ({}), on {}\n{rows}\n{}\nSAME: the whole interval is within {percent:.1} % of equal; FASTER, \
             SLOWER: all of it is beyond; else AMBIGUOUS. {}\n",
            self.other,
            self.adapter.name,
            self.counts(),
            self.note,
        )
    }

    fn counts(&self) -> String {
        let count = |verdict: Verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let all = [Verdict::Same, Verdict::Faster, Verdict::Slower, Verdict::Ambiguous];
        all.map(|verdict| format!("{} {}", count(verdict), verdict.name())).join(", ")
    }

    /// The comparison as JSON.
    pub(crate) fn json(&self) -> String {
        let row = |row: &Compared| {
            let [this, other] = row.ms.map(|ms| (ms * 1e6).round() / 1e6);
            let case = serde_json::to_value(&row.case).unwrap_or_default();
            let found = json!({
                "clock": row.clock, "ms": {"this": this, "other": other}, "ratio": rounded(row.ratio),
                "interval": row.interval.map(rounded), "verdict": row.verdict, "rounds": row.rounds,
            });
            match (case, found) {
                (Value::Object(mut case), Value::Object(found)) => {
                    case.extend(found);
                    Value::Object(case)
                }
                (_, found) => found,
            }
        };
        let [this, other] = &self.builds;
        let whole = json!({
            "schema": SCHEMA, "meta": self.meta, "adapter": self.adapter,
            "builds": {"this": this, "other": other, "path": self.other}, "margin": self.margin,
            "results": self.rows.iter().map(row).collect::<Vec<_>>(), "note": self.note,
        });
        format!("{whole:#}\n")
    }

    /// Refuses a comparison in which this build is slower.
    ///
    /// # Errors
    /// The rows that are SLOWER.
    pub(crate) fn refuse_slower(&self) -> Result<(), Failure> {
        let slower = self.rows.iter().filter(|row| row.verdict == Verdict::Slower).map(|row| {
            let Case { workload, pass, batch, .. } = &row.case;
            format!("{workload} {pass} batch {batch} by {:.0} %", 100.0 * (row.ratio - 1.0))
        });
        let slower: Vec<String> = slower.collect();
        if slower.is_empty() { Ok(()) } else { Err(Failure::machine(format!("SLOWER: {}", slower.join(", ")))) }
    }
}

/// Compares this run's rows with those in a file of an earlier run.
///
/// # Errors
/// A file that isn't a report of this adapter and driver, or has no samples.
pub(crate) fn baseline(read: &Read, meta: &Meta, report: &Report, margin: f64) -> Result<Comparison, Failure> {
    let Read { earlier, build, shown } = read;
    if earlier.adapter != report.adapter {
        let named = |adapter: &Adapter| format!("{} ({}, {})", adapter.name, adapter.backend, adapter.driver);
        let (found, here) = (named(&earlier.adapter), named(&report.adapter));
        return Err(Failure::request(format!("{shown}: was measured on {found}, and this is {here}"))
            .with_help("times of another adapter or driver say nothing of a change"));
    }
    let compared = |row: &Row| {
        let case = Case::of_row(row);
        let other = earlier.results.iter().find(|other| Case::of_row(other).is(&case))?;
        let by_device = !row.more.gpu_samples.is_empty() && !other.more.gpu_samples.is_empty();
        let samples = |row: &Row| if by_device { row.more.gpu_samples.clone() } else { row.more.samples.clone() };
        let [this, other] = [samples(row), samples(other)];
        if this.is_empty() || other.is_empty() {
            return None;
        }
        let (interval, ms) = (apart(&this, &other), [median(&this), median(&other)]);
        let (ratio, verdict) = (ms[0] / ms[1], Verdict::of(interval, margin));
        let clock = if by_device { "gpu" } else { "wall" };
        Some(Compared { case, ms, clock, ratio, interval, verdict, rounds: 0 })
    };
    let rows: Vec<Compared> = report.results.iter().filter_map(compared).collect();
    if rows.is_empty() {
        return Err(Failure::request(format!("{shown}: has no row with samples of what was measured here"))
            .with_help("`locally bench --json` writes such a file, since 2026-11-26"));
    }
    let this = format!("{} {}", meta.package, meta.commit).trim().to_owned();
    Ok(Comparison {
        meta: meta.clone(),
        adapter: report.adapter.clone(),
        builds: [this, build.clone()],
        other: shown.clone(),
        margin,
        rows,
        note: "The file is of another hour: what the machine did then and does now, its clocks, its heat, its other load, is part of \
               the difference, and an interval knows nothing of it. --against measures both builds in turns"
            .into(),
    })
}

/// A report that was read from a file.
#[derive(Debug)]
pub(crate) struct Read {
    earlier: Earlier,
    /// The build that wrote it.
    build: String,
    shown: String,
}

/// Reads a report's file.
///
/// # Errors
/// A file that can't be read, or isn't a report of one adapter.
pub(crate) fn read(path: &Path) -> Result<Read, Failure> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::request(format!("{shown}: {error}")))?;
    let wrong = |error| {
        Failure::request(format!("{shown}: is no report of one adapter: {error}"))
            .with_help("`locally bench --json` with one adapter writes such a file")
    };
    let value: Value = serde_json::from_str(&text).map_err(wrong)?;
    let said = |key: &str| value["meta"][key].as_str().unwrap_or_default().to_owned();
    let build = format!("{} {}", said("crate"), said("commit")).trim().to_owned();
    let build = if build.is_empty() { "an earlier build".to_owned() } else { build };
    let earlier = serde_json::from_value(value).map_err(wrong)?;
    Ok(Read { earlier, build, shown })
}

#[cfg(test)]
mod tests {
    use super::super::super::record::example;
    use super::*;

    fn written(report: &Report) -> Result<std::path::PathBuf, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::machine(error.to_string());
        let text = super::super::super::record::json(&Meta::here(), std::slice::from_ref(report));
        let name = format!("locally-baseline-{}-{:p}.json", std::process::id(), report);
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
        Ok(path)
    }

    #[test]
    fn a_run_is_held_against_its_file() -> Result<(), Failure> {
        let mut report = example();
        for row in &mut report.results {
            // With samples this near to each other the verdict is clear; the example's few would leave it open.
            row.more.samples = (0..50).map(|i| row.wall_ms.median * (1.0 + 1e-4 * f64::from(i))).collect();
            row.more.gpu_samples.clear();
        }
        let path = written(&report)?;
        let same = baseline(&read(&path)?, &Meta::here(), &report, 0.05)?;
        assert!(same.rows.len() == report.results.len() && same.rows.iter().all(|row| row.verdict == Verdict::Same));
        assert!(same.refuse_slower().is_ok() && same.text().contains("--against"));
        let slower = &mut report.results[0].more.samples;
        slower.iter_mut().for_each(|sample| *sample *= 1.5);
        let compared = baseline(&read(&path)?, &Meta::here(), &report, 0.05)?;
        assert_eq!(compared.rows[0].verdict, Verdict::Slower);
        assert!(compared.refuse_slower().is_err() && compared.text().contains("1 SLOWER"));
        let value: Value =
            serde_json::from_str(&compared.json()).map_err(|error| Failure::machine(error.to_string()))?;
        assert_eq!((&value["results"][0]["verdict"], &value["schema"]), (&json!("SLOWER"), &json!(SCHEMA)));
        report.adapter.driver = "another driver".into();
        assert!(baseline(&read(&path)?, &Meta::here(), &report, 0.05).is_err());
        std::fs::remove_file(&path).map_err(|error| Failure::machine(error.to_string()))
    }
}
