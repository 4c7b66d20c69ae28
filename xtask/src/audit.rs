//! `cargo xtask audit`: what takes too long for every change; run before an issue that touches it ends.

use crate::sh::Result;
use crate::test::step;
use crate::{gpu_record, setup};

pub(crate) fn audit() -> Result {
    step("setup", setup::setup)?;
    // Every part runs and is read, most of them cut short: what is rehearsed is that nothing is in the way of a record.
    step("gpu-record", gpu_record::rehearse)
}
