//! `cargo xtask net`: shaders, plans and results as they were before and as they are now.

use crate::setup;
use crate::sh::{self, Result};

/// `--save F` or `--against F`, which `xtask/tools/src/net` does; F counts from where the user stands.
pub(crate) fn net(action: &str, file: &str) -> Result {
    setup::setup()?;
    let file = std::path::absolute(file).map_err(|e| format!("{file}: {e}"))?;
    let start = std::time::Instant::now();
    sh::run(sh::tool("net")?.arg(action).arg(file))
        .map_err(|_| "shaders, plans or results are not as they were, see above".to_owned())?;
    println!("net: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
