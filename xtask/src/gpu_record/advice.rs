//! What the strategy's numbers should be, from what was measured.

use super::lines::{Row, distinct, mean};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// A number is changed for no less than this gain: what runs differ by.
const GAIN: f64 = 0.98;

/// The numbers of a strategy that the rows speak for, with reasons.
pub(super) struct Advice {
    /// All of the strategy's, the changed ones with their new values.
    pub(super) strategy: Map<String, Value>,
    pub(super) changed: Vec<String>,
    /// A line for each number that rows were measured for.
    pub(super) reasons: Vec<String>,
}

impl Advice {
    /// `own` is the strategy that the run had, `forms` the rows of the part of that name.
    pub(super) fn new(own: &Map<String, Value>, forms: &[Row]) -> Self {
        let mut advice = Self { strategy: own.clone(), changed: Vec::new(), reasons: Vec::new() };
        advice.batches(forms);
        advice.numbers(forms);
        advice
    }

    fn change(&mut self, name: &str, value: u64) {
        if self.strategy.insert(name.to_owned(), value.into()) != Some(value.into()) {
            self.changed.push(name.to_owned());
        }
    }

    /// `split_batch` and `tile_batch`: the two under which the forms that rows would have had took least time.
    fn batches(&mut self, forms: &[Row]) {
        let of = |form: &'static str| forms.iter().filter(move |row| row.setup == form);
        let same = |other: &Row, row: &Row| other.run == row.run && other.case() == row.case();
        let time = |form: &'static str, row: &Row| of(form).find(|other| same(other, row)).map(Row::milliseconds);
        let cases: Vec<(u64, [f64; 3])> = of("register")
            .filter_map(|row| Some((row.batch, [row.milliseconds(), time("split", row)?, time("tiled", row)?])))
            .collect();
        if cases.is_empty() {
            self.reasons.push("split_batch, tile_batch: no row has all three forms".into());
            return;
        }
        let mut batches = distinct(cases.iter().map(|(batch, _)| *batch));
        batches.sort_unstable();
        // Up to no batch, up to each that was measured; from one above each of those, and never.
        let splits: Vec<u64> = std::iter::once(0).chain(batches.iter().copied()).collect();
        let tiles: Vec<u64> = splits.iter().map(|split| split + 1).collect();
        let loss = |split: u64, tile: u64| {
            let of_case = |(batch, [register, split_time, tiled]): &(u64, [f64; 3])| {
                let taken = match *batch {
                    batch if batch <= split => split_time,
                    batch if batch >= tile => tiled,
                    _ => register,
                };
                taken / register.min(*split_time).min(*tiled)
            };
            mean(&cases.iter().map(of_case).collect::<Vec<_>>()).unwrap_or(f64::INFINITY)
        };
        let number = |name: &str| self.strategy.get(name).and_then(Value::as_u64).unwrap_or(0);
        let own = (number("split_batch"), number("tile_batch"));
        let all = splits.iter().flat_map(|&split| tiles.iter().map(move |&tile| (split, tile)));
        let best = all.min_by(|&(s, t), &(u, v)| loss(s, t).total_cmp(&loss(u, v))).unwrap_or(own);
        let (own_loss, best_loss) = (loss(own.0, own.1), loss(best.0, best.1));
        self.reasons.push(format!(
            "split_batch, tile_batch: {own:?} takes {own_loss:.3} of the fastest form's time, {best:?} {best_loss:.3} \
             ({} rows)",
            cases.len()
        ));
        if best_loss < GAIN * own_loss {
            // Where nothing is beyond the last batch, the number above it says "never".
            let never = |tile: u64| if Some(&tile) == tiles.last() { u64::from(u32::MAX) } else { tile };
            self.change("split_batch", best.0);
            self.change("tile_batch", never(best.1));
        }
    }

    /// The numbers that were tried one at a time.
    fn numbers(&mut self, forms: &[Row]) {
        let tried = forms.iter().filter(|row| !row.setup.contains("form=") && row.setup.contains('='));
        let tried = distinct(tried.map(|row| row.setup.as_str()));
        for name in distinct(tried.iter().filter_map(|setup| setup.split_once('=')).map(|(name, _)| name)) {
            let mut best: Option<(f64, u64)> = None;
            let mut line = format!("{name}:");
            for setup in tried.iter().filter(|setup| setup.split_once('=').is_some_and(|(other, _)| other == name)) {
                let Some(value) = setup.split_once('=').and_then(|(_, value)| value.parse().ok()) else { continue };
                let ratios: Vec<f64> = ratios(forms, setup);
                let Some(ratio) = mean(&ratios) else { continue };
                let _ = write!(line, " {value} takes {ratio:.3} of the time now ({} rows),", ratios.len());
                if best.is_none_or(|(least, _)| ratio < least) {
                    best = Some((ratio, value));
                }
            }
            self.reasons.push(line.trim_end_matches(',').to_owned());
            if let Some((_, value)) = best.filter(|(ratio, _)| *ratio < GAIN) {
                self.change(name, value);
            }
        }
    }

    /// As it stands in `src/plan/profile.rs`.
    pub(super) fn literal(&self) -> String {
        let mut text = "Strategy {\n".to_owned();
        for (name, value) in &self.strategy {
            let value = match value.as_u64() {
                Some(value) if value == u64::from(u32::MAX) => "u32::MAX".to_owned(),
                Some(value) => value.to_string(),
                None => "None".to_owned(),
            };
            let mark = if self.changed.contains(name) { " // changed" } else { "" };
            let _ = writeln!(text, "    {name}: {value},{mark}");
        }
        text + "}"
    }
}

/// Times of a setup over those of the device's own numbers, row by row, in the same run.
fn ratios(forms: &[Row], setup: &str) -> Vec<f64> {
    let own = |row: &Row| {
        let same = |other: &&Row| other.setup == "own" && other.run == row.run && other.case() == row.case();
        forms.iter().find(same).map(Row::milliseconds)
    };
    let rows = forms.iter().filter(|row| row.setup == setup);
    rows.filter_map(|row| Some(row.milliseconds() / own(row)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(setup: &str, batch: u64, median: f64) -> Row {
        let (workload, pass) = ("w".to_owned(), "forward".to_owned());
        Row { workload, pass, batch, setup: setup.into(), wall: [median; 3], ..Row::default() }
    }

    fn own() -> Map<String, Value> {
        let own = json!({ "split_batch": 8, "tile_batch": 9, "busy_groups": 512, "tile_shape": null });
        own.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn the_forms_that_win_set_the_batches() {
        let mut forms = Vec::new();
        for (batch, times) in
            [(1, [3.0, 1.0, 9.0]), (8, [3.0, 2.0, 2.5]), (32, [3.0, 6.0, 9.0]), (128, [9.0, 20.0, 4.0])]
        {
            forms.extend(["register", "split", "tiled"].into_iter().zip(times).map(|(form, ms)| row(form, batch, ms)));
        }
        let advice = Advice::new(&own(), &forms);
        assert_eq!((&advice.strategy["split_batch"], &advice.strategy["tile_batch"]), (&json!(8), &json!(33)));
        assert_eq!(advice.changed, ["tile_batch"]);
        assert!(
            advice.literal().contains("tile_batch: 33, // changed") && advice.literal().contains("split_batch: 8,\n")
        );
    }

    #[test]
    fn numbers_change_for_a_gain_only() {
        let forms = [
            row("own", 1, 10.0),
            row("busy_groups=128", 1, 9.9),
            row("busy_groups=2048", 1, 10.5),
            row("split_terms=1", 1, 8.0),
        ];
        let advice = Advice::new(&own(), &forms);
        assert_eq!(advice.changed, ["split_terms"]);
        assert_eq!((&advice.strategy["busy_groups"], &advice.strategy["split_terms"]), (&json!(512), &json!(1)));
    }
}
