//! What the strategy's numbers should be, from what was measured.

use super::lines::{Row, distinct, mean};
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};

/// A number is changed for no less than this gain: what runs differ by.
const GAIN: f64 = 0.98;
/// Nor for fewer rows.
const LEAST_ROWS: usize = 5;

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

    /// `split_batch` and `tile_batch`: the pair whose plans took least time.
    fn batches(&mut self, forms: &[Row]) {
        let pairs = setups(forms).into_iter().filter(|setup| pair(setup).is_some());
        let tried: Vec<(&str, Tried)> = pairs.map(|setup| (setup, Tried::new(forms, setup))).collect();
        let Some((setup, best)) = tried.iter().min_by(|a, b| a.1.ratio.total_cmp(&b.1.ratio)) else {
            self.reasons.push("split_batch, tile_batch: not measured".into());
            return;
        };
        self.reasons.push(format!("split_batch, tile_batch: {setup} takes {best}, the best of {} pairs", tried.len()));
        if let (true, Some((split, tile))) = (best.convinces(), pair(setup)) {
            self.change("split_batch", split);
            self.change("tile_batch", tile);
        }
    }

    /// The numbers that were tried one at a time.
    fn numbers(&mut self, forms: &[Row]) {
        let tried: Vec<(&str, u64, &str)> = setups(forms).into_iter().filter_map(number).collect();
        for name in distinct(tried.iter().map(|(name, ..)| *name)) {
            let mut best: Option<(Tried, u64)> = None;
            let mut line = format!("{name}:");
            for &(_, value, setup) in tried.iter().filter(|(other, ..)| *other == name) {
                let tried = Tried::new(forms, setup);
                let _ = write!(line, " {value} takes {tried};");
                if best.as_ref().is_none_or(|(best, _)| tried.ratio < best.ratio) {
                    best = Some((tried, value));
                }
            }
            self.reasons.push(line.trim_end_matches(';').to_owned());
            if let Some((_, value)) = best.filter(|(tried, _)| tried.convinces()) {
                self.change(name, value);
            }
        }
    }

    /// As it stands in `src/plan/strategy.rs`.
    pub(super) fn literal(&self) -> String {
        let mut text = "Strategy {\n".to_owned();
        for (name, value) in &self.strategy {
            let value = match value.as_u64() {
                Some(value) if value == u64::from(u32::MAX) => "u32::MAX".to_owned(),
                Some(value) => value.to_string(),
                None if value.is_null() => "None".to_owned(),
                None => format!("Some(/* {} */)", value.as_str().unwrap_or_default()),
            };
            let mark = if self.changed.contains(name) { " // changed" } else { "" };
            let _ = writeln!(text, "    {name}: {value},{mark}");
        }
        text + "}"
    }
}

/// The setups, in the order in which they come first.
fn setups(forms: &[Row]) -> Vec<&str> {
    distinct(forms.iter().map(|row| row.setup.as_str()))
}

/// `split_batch=8 tile_batch=9`.
fn pair(setup: &str) -> Option<(u64, u64)> {
    let (split, tile) = setup.split_once(' ')?;
    Some((split.strip_prefix("split_batch=")?.parse().ok()?, tile.strip_prefix("tile_batch=")?.parse().ok()?))
}

/// `busy_groups=128`, with the name and the value.
fn number(setup: &str) -> Option<(&str, u64, &str)> {
    let (name, value) = setup.split_once('=')?;
    Some((name, value.parse().ok()?, setup))
}

/// A setup against the device's own numbers, row by row of the same run. Rows that both make the same plan for, which is
/// then measured once, tell nothing.
struct Tried {
    /// The geometric mean of times over own times, 1 where no row differs.
    ratio: f64,
    rows: usize,
    faster: usize,
}

impl Tried {
    fn new(forms: &[Row], setup: &str) -> Self {
        let own = |row: &Row| {
            let same = |other: &&Row| other.setup == "own" && other.run == row.run && other.case() == row.case();
            forms.iter().find(same).filter(|own| own.wall != row.wall)
        };
        let rows = forms.iter().filter(|row| row.setup == setup);
        let ratios: Vec<f64> = rows.filter_map(|row| Some(row.milliseconds() / own(row)?.milliseconds())).collect();
        let faster = ratios.iter().filter(|ratio| **ratio < 1.0).count();
        Self { ratio: mean(&ratios).unwrap_or(1.0), rows: ratios.len(), faster }
    }

    /// Whether a number is to be changed for it.
    fn convinces(&self) -> bool {
        self.ratio < GAIN && self.rows >= LEAST_ROWS && 2 * self.faster > self.rows
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ratio, rows, faster } = self;
        write!(f, "{ratio:.3} of the time now over the {rows} rows that differ, {faster} of them faster")
    }
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

    fn rows(setup: &str, times: [f64; 6]) -> Vec<Row> {
        (0..).zip(times).map(|(batch, ms)| row(setup, batch, ms)).collect()
    }

    #[test]
    fn the_pair_that_wins_is_advised() {
        let own_times = [10.0, 10.0, 10.0, 10.0, 10.0, 10.0];
        let forms = [
            rows("own", own_times),
            rows("split_batch=0 tile_batch=1", [20.0, 10.5, 9.5, 20.0, 20.0, 20.0]),
            rows("split_batch=8 tile_batch=33", [8.0, 8.0, 9.0, 9.0, 9.0, 10.0]),
        ];
        let advice = Advice::new(&own(), &forms.concat());
        assert_eq!((&advice.strategy["split_batch"], &advice.strategy["tile_batch"]), (&json!(8), &json!(33)));
        assert_eq!(advice.changed, ["tile_batch"]);
        assert!(
            advice.literal().contains("tile_batch: 33, // changed") && advice.literal().contains("split_batch: 8,\n")
        );
        // The last row is the same plan, measured once.
        assert!(advice.reasons[0].contains("over the 5 rows that differ, 5 of them faster"), "{:?}", advice.reasons);
    }

    #[test]
    fn numbers_change_for_a_gain_in_enough_rows_only() {
        let same = [10.0; 6];
        let forms = [
            rows("own", same),
            rows("busy_groups=128", [9.9; 6]),
            rows("busy_groups=2048", [10.5; 6]),
            // Much in one row is an accident.
            rows("tile_use=75", [1.0, 10.1, 10.1, 10.1, 10.1, 10.1]),
            // Much in rows that are too few.
            rows("sparse_ahead=1", [5.0, 5.0, 10.0, 10.0, 10.0, 10.0]),
            rows("split_terms=1", [8.0, 8.0, 8.0, 8.0, 8.0, 10.0]),
            // Another run's own rows are no measure.
            vec![Row { run: 1, ..row("own", 0, 1.0) }],
        ];
        let advice = Advice::new(&own(), &forms.concat());
        assert_eq!(advice.changed, ["split_terms"]);
        assert_eq!((&advice.strategy["busy_groups"], &advice.strategy["split_terms"]), (&json!(512), &json!(1)));
    }
}
