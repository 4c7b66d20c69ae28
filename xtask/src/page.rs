//! `cargo xtask page`: plans written as JSON, run by the npm package's executor, against what this crate's executor computes.

use crate::sh::{self, Result};
use crate::{browser, setup, web};

/// Writes the plans and the results (`xtask/tools/src/written_plans.rs`), and has a browser run and compare them.
pub(crate) fn page() -> Result {
    setup::setup()?;
    web::build()?;
    let mut check = browser::script("page.mjs")?;
    let plans = sh::target_dir().join("written_plans.json");
    sh::run(sh::tool("written_plans")?.arg(&plans))?;
    sh::run(check.arg(&plans)).map_err(|_| "the page doesn't compute what the executor does, see above".into())
}
