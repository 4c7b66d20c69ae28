//! `cargo xtask tint`: every shader variant through Tint, the compiler of Chromium and the strictest there is.

use crate::browser;
use crate::sh::{self, Result};
use std::path::PathBuf;

/// Compiles the variants in `dir/variants.json`; without `dir`, those that `xtask/tools/src/shader_variants.rs` lists.
pub(crate) fn tint(dir: Option<&str>) -> Result {
    let mut check = browser::script("tint.mjs")?;
    let dir = match dir {
        Some(dir) => std::path::absolute(dir).map_err(|e| format!("{dir}: {e}"))?,
        None => variants()?,
    };
    sh::run(check.arg(dir)).map_err(|_| "not every shader variant passed Tint, see above".into())
}

/// Writes each variant's WGSL and `variants.json`.
fn variants() -> Result<PathBuf> {
    let dir = sh::target_dir().join("wgsl");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    sh::run(sh::tool("shader_variants")?.arg(&dir))?;
    Ok(dir)
}
