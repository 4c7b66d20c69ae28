//! Tables for standard output.

use super::ceiling::Roof;
use super::compare::Comparison;
use super::record::{Report, Row};
use crate::format;
use comfy_table::{CellAlignment, Table};

/// Three significant digits, or all digits before the point.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 || v == 0.0 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// A table whose first `texts` columns are text; the others are numbers.
fn table<const N: usize>(columns: [&str; N], texts: usize) -> Table {
    let mut table = format::table(columns);
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The results.
pub(crate) fn results(report: &Report) -> String {
    let columns = results_columns(report);
    let mut table = format::table(columns.clone());
    for column in table.column_iter_mut().skip(TEXTS) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for row in &report.results {
        table.add_row(results_cells(row, &columns));
    }
    format!("{}\n{table}\n{}\n", heading(report), legend(report))
}

/// How many columns at the left of a table of rows are text.
const TEXTS: usize = 4;
const BATCHED: &str = "batched ms";

/// The columns of a table of rows. The one for several runs in a submit is there only if they were measured.
pub(crate) fn results_columns(report: &Report) -> Vec<&'static str> {
    let batched = report.results.iter().any(|row| row.more.batched_ms.is_some());
    let first = ["workload", "pass", "how", "weights", "batch", "wall ms", "min … max", "GPU ms", "±", "until"];
    let last = ["GB/s", "GFLOP/s", "of roof", "error"];
    first.into_iter().chain(batched.then_some(BATCHED)).chain(last).collect()
}

/// A row's cells under these columns.
pub(crate) fn results_cells(row: &Row, columns: &[&str]) -> Vec<String> {
    let none = || "–".to_owned();
    let cell = |column: &&str| match *column {
        "workload" => row.workload.clone(),
        "pass" => row.pass.clone(),
        "how" => how(row),
        "weights" => row.dtype.clone(),
        "batch" => row.batch.to_string(),
        "wall ms" => number(row.wall_ms.median),
        "min … max" => format!("{} … {}", number(row.wall_ms.min), number(row.wall_ms.max)),
        "GPU ms" => row.gpu_ms.map_or_else(none, |gpu| number(gpu.median)),
        "±" => row
            .more
            .interval_ms
            .map_or_else(none, |[low, high]| format!("{:.1} %", 50.0 * (high - low) / row.milliseconds().max(1e-6))),
        "until" => row.more.stopped.map_or_else(none, |stopped| stopped.name().to_owned()),
        BATCHED => row.more.batched_ms.map_or_else(none, |batched| number(batched.median)),
        "GB/s" => number(row.gb_s),
        "GFLOP/s" => number(row.gflop_s),
        "of roof" => format!("{:.0} %", 100.0 * row.of_ceiling),
        _ => row.more.max_error.map_or_else(none, |error| format!("{error:.0e}")),
    };
    columns.iter().map(cell).collect()
}

/// A pass of a workload with its wall milliseconds on each adapter: by the planner's choice, or by the CPU executor.
pub(crate) struct Beside<'a> {
    pub(crate) row: &'a Row,
    /// None if it couldn't be measured.
    pub(crate) milliseconds: Vec<Option<f64>>,
}

impl Beside<'_> {
    /// The columns before those of the adapters.
    pub(crate) const COLUMNS: [&'static str; 4] = ["workload", "pass", "batch", "weights"];

    /// The cells of these columns, then one for each adapter.
    pub(crate) fn cells(&self) -> Vec<String> {
        let Self { row, milliseconds } = self;
        let texts = [row.workload.clone(), row.pass.clone(), row.batch.to_string(), row.dtype.clone()];
        texts.into_iter().chain(milliseconds.iter().map(|time| time.map_or("–".to_owned(), number))).collect()
    }
}

/// What was measured on more than one adapter.
pub(crate) fn beside(reports: &[Report]) -> Vec<Beside<'_>> {
    let counts = |row: &&Row| (row.auto || row.implementation.is_none()) && row.setup.is_none();
    let key = |row: &Row| (row.workload.clone(), row.pass.clone(), row.batch, row.dtype.clone());
    let mut all: Vec<Beside<'_>> = Vec::new();
    for (report, at) in reports.iter().zip(0usize..) {
        for row in report.results.iter().filter(counts) {
            let found = all.iter().position(|beside| key(beside.row) == key(row));
            let place = found.unwrap_or_else(|| {
                all.push(Beside { row, milliseconds: vec![None; reports.len()] });
                all.len() - 1
            });
            all[place].milliseconds[at] = Some(row.wall_ms.median);
        }
    }
    all.retain(|beside| beside.milliseconds.iter().flatten().count() > 1);
    all
}

/// The adapters side by side; empty for one adapter.
pub(crate) fn side_by_side(reports: &[Report]) -> String {
    let rows = beside(reports);
    if rows.is_empty() {
        return String::new();
    }
    let names = reports.iter().map(|report| format!("{} ms", report.adapter.name));
    let mut table = format::table(Beside::COLUMNS.map(str::to_owned).into_iter().chain(names));
    for column in table.column_iter_mut().skip(Beside::COLUMNS.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for beside in rows {
        table.add_row(beside.cells());
    }
    format!("Side by side, wall milliseconds of the planner's choice\n{table}\n")
}

/// The adapter and its ceilings.
pub(crate) fn heading(report: &Report) -> String {
    let (adapter, ceiling) = (&report.adapter, &report.ceiling);
    format!(
        "{} ({}, {}): copies {} GB/s, computes {} GFLOP/s",
        adapter.name,
        adapter.backend,
        adapter.driver,
        number(ceiling.copy_gb_s),
        number(ceiling.f32_gflop_s)
    )
}

/// The rates for memory of several sizes.
pub(crate) fn roof(roof: &Roof) -> String {
    let mut table = table(["bytes", "reads GB/s", "writes GB/s", "copies GB/s"], 0);
    for footprint in &roof.footprints {
        let rates = [footprint.read_gb_s, footprint.write_gb_s, footprint.copy_gb_s].map(number);
        table.add_row(std::iter::once(format::bytes(footprint.bytes)).chain(rates));
    }
    format!("{} GFLOP/s, {} caches\n{table}\n", number(roof.ceiling.f32_gflop_s), roof.cache.name())
}

/// The implementation, with a star if the planner chose it.
pub(crate) fn how(row: &Row) -> String {
    let setup = row.setup.as_ref().map(|setup| format!(" {setup}")).unwrap_or_default();
    format!("{}{}{setup}", row.way(), if row.auto { "*" } else { "" })
}

/// The meaning of the columns.
pub(crate) fn legend(report: &Report) -> String {
    let clock = match report.results.iter().filter(|row| row.gpu_ms.is_none()).count() {
        0 => "GPU time",
        n if n == report.results.len() => "wall time (no sane timestamps on this device)",
        _ => "GPU time where there is one, else wall time",
    };
    let caches = match report.device.cache {
        "" => String::new(),
        cache => format!("caches are {cache} before each run;"),
    };
    format!(
        "* the planner's choice; times are medians, wall from submit to completion; rates count each operand once and \
         follow from {clock}; ±: half of the interval that holds the median of that with 95 %; until: what ended the \
         sampling, quartiles near enough (spread), nothing new (entropy) or the time; {caches} of roof: the time of the \
         measured ceilings over the measured time; error: of some results, against the f64 reference's largest"
    )
}

/// The ratios to other libraries.
pub(crate) fn comparison(comparison: &Comparison) -> String {
    let mut rows = table(["workload", "pass", "batch", "peer", "precision", "how", "peer ms", "ours ms", "ratio"], 2);
    for ratio in &comparison.ratios {
        rows.add_row([
            ratio.workload.clone(),
            ratio.pass.clone(),
            ratio.batch.to_string(),
            ratio.framework.clone(),
            ratio.precision.clone(),
            ratio.implementation.clone(),
            number(ratio.theirs),
            number(ratio.ours),
            format!("{}×", number(ratio.value())),
        ]);
    }
    let mut means = table(["pass", "precision", "batch", "rows", "geometric mean", "least"], 2);
    for mean in comparison.means() {
        means.add_row([
            mean.pass.clone(),
            mean.precision.clone(),
            mean.batch.map_or("all".to_owned(), |batch| batch.to_string()),
            mean.rows.to_string(),
            format!("{}×", number(mean.mean)),
            format!("{}×", number(mean.least)),
        ]);
    }
    format!(
        "{}\n{rows}\n{means}\nratio: the fastest peer's wall time over ours; above 1 we are faster\n",
        comparison.title
    )
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.0, 0.01234, 0.1234, 1.234, 12.34, 123.4, 12345.6].map(number);
        assert_eq!(texts, ["0.000", "0.0123", "0.123", "1.23", "12.3", "123", "12346"]);
    }

    #[test]
    fn every_row_is_in_the_table() {
        let report = example();
        let text = results(&report);
        assert_eq!(text.matches("loop*").count(), report.results.len() / 2);
        assert!(text.contains("copies 10.0 GB/s"));
        assert!(text.contains("GPU time where there is one"));
    }
}
