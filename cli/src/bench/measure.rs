//! Measures prepared cases: all cases of one batch in turns, so that disturbances affect all alike.

use super::ceiling::Roof;
use super::prepared::Prepared;
use super::record::{Row, Times};
use super::stats::{Series, Stop, in_turns};
use super::workloads::LeastWork;
use crate::failure::Failure;

/// The largest error that a result may have, relative to its largest value: far more than sums of 32-bit floats lose,
/// and far less than any wrong element makes.
const MOST_ERROR: f64 = 1e-3;

/// How to measure rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) stop: Stop,
    /// How many runs in one submit are measured besides single ones; 1 means single ones only.
    pub(crate) batch_submits: u32,
}

/// A row, with what it was computed from.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) work: LeastWork,
    pub(crate) kernels: Vec<String>,
}

/// The rows of a batch. A wrong result gives no row, since its speed means nothing; it is reported in `wrong`.
///
/// # Errors
/// A lost device.
pub(crate) fn measure(
    prepared: &mut dyn Prepared,
    how: &How,
    roof: &Roof,
    wrong: &mut Vec<String>,
) -> Result<Vec<Measured>, Failure> {
    let cases = prepared.cases().len();
    let mut alone = vec![Series::default(); cases];
    in_turns(&mut alone, &how.stop, |case| prepared.time(case, 1))?;
    let mut batched = vec![Series::default(); if how.batch_submits > 1 { cases } else { 0 }];
    in_turns(&mut batched, &how.stop, |case| prepared.time(case, how.batch_submits))?;
    let mut rows = Vec::new();
    for (case, series) in alone.iter().enumerate() {
        // Checked after timing, since a check before would have left its operands in the caches.
        let max_error = prepared.max_error(case)?;
        let Some(times) = Times::new(series, batched.get(case), max_error) else { continue };
        for (key, work) in &prepared.cases()[case].rows {
            let row = Row::new(key, times.clone(), *work, roof);
            if let Some(error) = max_error.filter(|error| !(..=MOST_ERROR).contains(error)) {
                wrong.push(told(&row, error));
                continue;
            }
            rows.push(Measured { row, work: *work, kernels: prepared.cases()[case].kernels.clone() });
        }
    }
    Ok(rows)
}

/// The error in words.
fn told(row: &Row, error: f64) -> String {
    let Row { workload, pass, batch, dtype, .. } = row;
    let (way, setup) = (row.way(), row.setup.as_ref().map(|setup| format!(" {setup}")).unwrap_or_default());
    format!("{workload} {pass} {way}{setup} {dtype} batch {batch} is off by {error:.1e} of its largest value")
}
