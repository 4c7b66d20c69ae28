//! A headless Chromium for the checks that need a browser, and what drives it: Node.js and `playwright-core`.

use crate::apt;
use crate::sh::{self, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `node` on a script of `xtask/browser`, with a browser for it and all that it needs installed.
pub(crate) fn script(name: &str) -> Result<Command> {
    script_at(&format!("xtask/browser/{name}"))
}

/// The same for a script anywhere in the repository.
pub(crate) fn script_at(path: &str) -> Result<Command> {
    let chromium = chromium()?;
    node_modules()?;
    let mut node = sh::command("node");
    node.arg(sh::root().join(path)).env("CHROMIUM", chromium);
    Ok(node)
}

/// A Chromium or Chrome: `$CHROMIUM`, then the usual names and places, then Debian's.
fn chromium() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM").filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(named) } else { Err(format!("CHROMIUM is {}: no such file", named.display())) };
    }
    let find = || {
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
        let places = [
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        ];
        sh::find(&names).or_else(|| places.iter().map(PathBuf::from).find(|place| place.is_file()))
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    let elsewhere = "install Chromium or Chrome, or set CHROMIUM to one";
    apt::install("no Chromium found", &["chromium"], elsewhere).map_err(|e| format!("{e}\n{elsewhere}"))?;
    find().ok_or_else(|| format!("no Chromium found, even after installing Debian's: {elsewhere}"))
}

/// `playwright-core` of exactly the version in the lock file.
fn node_modules() -> Result {
    npm_ci("xtask/browser")
}

/// The packages of a folder's lock file, exactly, fetched when it has changed; no script of theirs runs.
pub(crate) fn npm_ci(folder: &str) -> Result {
    let missing: Vec<&str> = ["node", "npm"].into_iter().filter(|name| sh::find(&[name]).is_none()).collect();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|name| if *name == "node" { "nodejs" } else { name }).collect();
        apt::install(
            &format!("no {} found", missing.join(" and ")),
            &packages,
            "install Node.js (18 or later) with npm",
        )?;
    }
    let dir = sh::root().join(folder);
    let lock = read(&dir.join("package-lock.json"))?;
    let stamp = dir.join("node_modules/.installed");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("{folder}: fetching its packages with `npm ci`");
    let npm = sh::find(&["npm"]).ok_or("npm is missing, even after installing it")?;
    sh::run_quiet(sh::command(npm).current_dir(&dir).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    std::fs::write(&stamp, lock).map_err(|e| format!("{}: {e}", stamp.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))
}
