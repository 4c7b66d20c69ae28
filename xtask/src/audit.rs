//! `cargo xtask audit`: what takes too long for every change; run before an issue that touches it ends.

use crate::sh::{self, Result};
use crate::test::step;
use crate::{gpu_record, setup};

pub(crate) fn audit() -> Result {
    step("setup", setup::setup)?;
    // `test` compiles all features together, and the sets without wgpu.
    for features in ["gpu", "gpu,serde", "headless"] {
        step(&format!("library with {features}"), || {
            let mut check = sh::cargo();
            check.args(["clippy", "--package", "locally-connected", "--lib", "--no-default-features", "--features"]);
            sh::run(check.arg(features).args(["--", "-D", "warnings"]))
        })?;
    }
    // Every part runs and is read, most of them cut short: what is rehearsed is that nothing is in the way of a record.
    step("gpu-record", gpu_record::rehearse)
}
