//! Times and rates by batch: more samples must not take less time where the planner's choice changes.

use super::record::{Report, Row};
use super::table::{how, number};
use crate::format;
use comfy_table::CellAlignment;

/// The rows of one pass and one way of running it, by batch.
pub(crate) struct Curve<'a> {
    pub(crate) rows: Vec<&'a Row>,
}

/// A batch that takes longer than a larger one, by more than chance explains.
#[derive(Debug, PartialEq)]
pub(crate) struct Cliff<'a> {
    pub(crate) fewer: &'a Row,
    pub(crate) more: &'a Row,
}

/// The curves of a report.
pub(crate) fn curves(report: &Report) -> Vec<Curve<'_>> {
    let mut curves: Vec<Curve<'_>> = Vec::new();
    let key = |row: &Row| {
        let way = if row.auto { None } else { row.implementation.clone() };
        (row.workload.clone(), row.pass.clone(), row.auto, way, row.dtype.clone(), row.setup.clone())
    };
    for row in &report.results {
        match curves.iter_mut().find(|curve| curve.rows.first().is_some_and(|first| key(first) == key(row))) {
            Some(curve) => curve.rows.push(row),
            None => curves.push(Curve { rows: vec![row] }),
        }
    }
    curves.iter_mut().for_each(|curve| curve.rows.sort_by_key(|row| row.batch));
    curves
}

impl<'a> Curve<'a> {
    /// Samples a second.
    pub(crate) fn rate(row: &Row) -> f64 {
        f64::from(row.batch) / row.milliseconds().max(1e-6) * 1e3
    }

    /// Each batch that takes longer than a larger one, with the larger one that takes least.
    pub(crate) fn cliffs(&self) -> Vec<Cliff<'a>> {
        let interval = |row: &Row| row.more.interval_ms.unwrap_or([row.milliseconds(); 2]);
        let mut cliffs = Vec::new();
        for (at, fewer) in self.rows.iter().enumerate() {
            let below = self.rows[at + 1..].iter().filter(|more| interval(more)[1] < interval(fewer)[0]);
            let least = below.min_by(|a, b| a.milliseconds().total_cmp(&b.milliseconds()));
            cliffs.extend(least.map(|more| Cliff { fewer, more }));
        }
        cliffs
    }
}

/// The cliffs as text.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    for curve in curves(report) {
        let Some(first) = curve.rows.first() else { continue };
        let best = curve.rows.iter().map(|row| Curve::rate(row)).fold(0.0, f64::max);
        let mut table = format::table(["batch", "how", "ms", "samples/s", "of the best"]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in &curve.rows {
            let rate = Curve::rate(row);
            let of_best = format!("{:.0} %", 100.0 * rate / best);
            table.add_row([row.batch.to_string(), how(row), number(row.milliseconds()), number(rate), of_best]);
        }
        text += &format!("{} {} by batch\n{table}\n", first.workload, first.pass);
        let cliffs = curve.cliffs();
        for Cliff { fewer, more } in &cliffs {
            let (fewer_ms, more_ms) = (number(fewer.milliseconds()), number(more.milliseconds()));
            text += &format!("cliff: {} samples take {fewer_ms} ms, {} take {more_ms} ms\n", fewer.batch, more.batch);
        }
        if cliffs.is_empty() {
            text += "no cliff: no batch takes longer than a larger one\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;

    #[test]
    fn more_samples_that_take_less_time_are_a_cliff() {
        let mut report = example();
        let name = report.results[0].workload.clone();
        report.results.retain(|row| row.auto && row.pass == "forward" && row.workload == name);
        let like = report.results[0].clone();
        report.results = [(8, 1.0), (16, 2.0), (9, 2.5), (32, 2.05)]
            .map(|(batch, ms)| {
                let mut row = Row { batch, gpu_ms: None, ..like.clone() };
                row.wall_ms.median = ms;
                row.more.interval_ms = Some([ms * 0.95, ms * 1.05]);
                row
            })
            .to_vec();
        let all = curves(&report);
        let cliffs = all[0].cliffs();
        assert_eq!(cliffs.iter().map(|cliff| (cliff.fewer.batch, cliff.more.batch)).collect::<Vec<_>>(), [(9, 16)]);
        assert!(text(&report).contains("cliff: 9 samples take 2.50 ms, 16 take 2.00 ms"));
        assert!((Curve::rate(&report.results[0]) - 8000.0).abs() < 1e-9);
        report.results.retain(|row| row.batch != 9);
        assert!(text(&report).contains("no cliff"));
    }
}
