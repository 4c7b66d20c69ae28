//! `cargo xtask demo`: a model that real Keras trained, on the CPU and on this machine's best adapter.

use crate::sh::{self, Result};

/// Runs `keras/examples/digits.rs`, which compares our accuracy and predictions with Keras's and fails if they differ. Nothing
/// is installed for it: the CPU executor needs no driver.
pub(crate) fn demo() -> Result {
    let example = ["--package", "locally-connected-keras", "--release", "--example", "digits"];
    println!("demo: building (some minutes the first time)");
    sh::run(sh::cargo().arg("build").args(example))?;
    sh::run(sh::cargo().args(["run", "--quiet"]).args(example))
}
