//! What layers and models on all devices have in common: cases that can be run again and again.

use super::clock::Sample;
use super::record::Key;
use super::skips::Skip;
use super::workloads::LeastWork;
use crate::failure::Failure;

/// A workload that is to be measured.
pub(crate) trait Subject {
    /// Makes all that the cases of one batch need to run; cases that can't run are added to `skipped`.
    ///
    /// # Errors
    /// A lost device.
    fn prepare(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Box<dyn Prepared + '_>, Failure>;
}

/// The cases of one batch, with all that they need to run.
pub(crate) trait Prepared {
    fn cases(&self) -> &[Described];

    /// Runs a case `times` times, on adapters in one submit, and gives the time of one run.
    ///
    /// # Errors
    /// A lost device.
    fn time(&mut self, case: usize, times: u32) -> Result<Sample, Failure>;

    /// The largest error of a case's results, relative to the largest value, among the elements that are checked; none
    /// if the reference would take too long.
    ///
    /// # Errors
    /// A lost device.
    fn max_error(&mut self, case: usize) -> Result<Option<f64>, Failure>;
}

/// What a case gives.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// One row or several: setups that make the same plan are measured once.
    pub(crate) rows: Vec<(Key, LeastWork)>,
    /// The variants of kernels that run, in order; none on the CPU executor.
    pub(crate) kernels: Vec<String>,
}
