//! What all that is measured has in common, whatever it is and whatever runs it: cases that can be run again and again.

use super::clock::Sample;
use super::record::Key;
use super::skips::Skip;
use super::workloads::LeastWork;
use crate::failure::Failure;

/// A workload on its way to be measured.
pub(crate) trait Subject {
    /// Makes all that the cases of one batch run on; what can't run goes to `skipped`.
    ///
    /// # Errors
    /// A lost device.
    fn prepare(&mut self, batch: u32, skipped: &mut Vec<Skip>) -> Result<Box<dyn Prepared + '_>, Failure>;
}

/// The cases of one batch with all that they run on.
pub(crate) trait Prepared {
    fn cases(&self) -> &[Described];

    /// Runs a case so many times one after the other, in one submit where there are such; what one of them took.
    ///
    /// # Errors
    /// A lost device.
    fn time(&mut self, case: usize, times: u32) -> Result<Sample, Failure>;

    /// How far a case's results are from the f64 reference's, in parts of the largest value, as far as they are looked at; none
    /// where the reference would take too long.
    ///
    /// # Errors
    /// A lost device.
    fn max_error(&mut self, case: usize) -> Result<Option<f64>, Failure>;
}

/// What a case is measured for.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// One row or several: setups that make the same plan are measured once.
    pub(crate) rows: Vec<(Key, LeastWork)>,
    /// The variants of kernels that are run, in order; none on the CPU executor.
    pub(crate) kernels: Vec<String>,
}
