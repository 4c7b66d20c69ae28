//! System packages on Debian and Ubuntu.

use crate::sh::{self, Result};
use std::process::Command;

/// Installs Debian packages, or says what a human must do. `missing` opens the message: "no Chromium found".
/// `elsewhere` is the advice for systems without `apt-get`.
pub(crate) fn install(missing: &str, packages: &[&str], elsewhere: &str) -> Result {
    if sh::find(&["apt-get"]).is_none() {
        return Err(format!("{missing}: {elsewhere}"));
    }
    let root = sh::capture(Command::new("id").arg("-u")).as_deref() == Some("0");
    if !root && sh::capture(Command::new("sudo").args(["-n", "true"])).is_none() {
        return Err(format!(
            "{missing}, and this user is neither root nor has sudo without a password: run \
             `sudo apt-get install --no-install-recommends {}` and try again",
            packages.join(" ")
        ));
    }
    let how = if root { "" } else { "sudo " };
    println!("{missing}: installing with `{how}apt-get install {}`", packages.join(" "));

    let apt = |args: &[&str]| {
        let mut command = if root { Command::new("env") } else { Command::new("sudo") };
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]);
        command.args(["-o", "DPkg::Lock::Timeout=300"]).args(args);
        sh::run_quiet(&mut command)
    };
    // An update may fail for a source that has nothing to do with us: tell of it only if the packages cannot be had.
    let update = apt(&["update"]);
    let mut args = vec!["install", "--no-install-recommends"];
    args.extend(packages);
    apt(&args).map_err(|install| match update {
        Ok(()) => install,
        Err(update) => format!("{update}\n{install}"),
    })
}

/// Installs the package that has a program, unless the program is there.
pub(crate) fn program(name: &str, package: &str, elsewhere: &str) -> Result {
    if sh::find(&[name]).is_some() { Ok(()) } else { install(&format!("no {name} found"), &[package], elsewhere) }
}
