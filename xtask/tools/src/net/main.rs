//! What must not change while code is moved: `cargo xtask net --save F` at the commit before, `--against F` after.
//!
//! F is JSON from names to texts: the final WGSL of every shader variant (`shaders.rs`), the plans of the benchmark
//! workloads and of small layers (`plans.rs`), and what the small layers give on this machine's adapter
//! (`results.rs`). It holds a driver's bits, so it is compared on the machine that saved it and kept in no repository.

#![forbid(unsafe_code)]

mod layers;
mod net;
mod plans;
mod random;
mod results;
mod shaders;
mod workloads;

use net::{Net, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--save", file] => {
            let net = cast()?;
            std::fs::write(file, serde_json::to_string_pretty(&net)?)?;
            println!("{} saved in {file}", counts(net.keys()));
            Ok(ExitCode::SUCCESS)
        }
        ["--against", file] => compare(&serde_json::from_slice(&std::fs::read(file)?)?, &cast()?),
        _ => Err("usage: net --save F | --against F".into()),
    }
}

/// All texts as they are now.
fn cast() -> Result<Net> {
    let layers = layers::layers()?;
    let mut net = Net::new();
    shaders::add(&mut net)?;
    plans::add(&mut net, &layers)?;
    results::add(&mut net, &layers)?;
    Ok(net)
}

/// Prints every name whose text differs, with the first lines that do. Shaders count by what they mean, and of those the
/// first of a kernel's is shown.
fn compare(before: &Net, after: &Net) -> Result<ExitCode> {
    let mut differing = Vec::new();
    let mut reworded = 0;
    let mut kernels = BTreeMap::<String, usize>::new();
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(before), Some(after)) if name.starts_with("shader ") => {
                let (before, after) = (shaders::meaning(before)?, shaders::meaning(after)?);
                if before == after {
                    reworded += 1;
                    continue;
                }
                let count = kernels.entry(shaders::kernel(name)).or_default();
                *count += 1;
                if *count == 1 {
                    show(name, &before, &after);
                }
            }
            (Some(before), Some(after)) => show(name, before, after),
            (Some(_), None) => println!("{name}: is gone"),
            (None, _) => println!("{name}: is new"),
        }
        differing.push(name);
    }
    kernels.iter().for_each(|(kernel, count)| println!("{kernel}: {count} shaders mean something else"));
    if reworded > 0 {
        println!("{reworded} shaders are other words for the same");
    }
    if differing.is_empty() {
        println!("{}: equal", counts(after.keys()));
        return Ok(ExitCode::SUCCESS);
    }
    println!("differing: {} of {}", counts(differing.into_iter()), counts(after.keys()));
    Ok(ExitCode::FAILURE)
}

fn show(name: &str, before: &str, after: &str) {
    let (line, before, after) = first_difference(before, after);
    println!("{name}, line {line}:\n  before: {before}\n  now:    {after}");
}

/// The number of the first line that differs, from 1, and both forms of it; a line that isn't there is empty.
fn first_difference<'a>(before: &'a str, after: &'a str) -> (usize, &'a str, &'a str) {
    let (mut before, mut after) = (before.lines(), after.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (before.next(), after.next()) {
            (Some(a), Some(b)) if a == b => {}
            (a, b) => return (line, a.unwrap_or_default(), b.unwrap_or_default()),
        }
    }
}

/// `3 plans, 4 results` of names.
fn counts<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut kinds = BTreeMap::<&str, usize>::new();
    for name in names {
        *kinds.entry(name.split(' ').next().unwrap_or_default()).or_default() += 1;
    }
    kinds.iter().map(|(kind, count)| format!("{count} {kind}s")).collect::<Vec<_>>().join(", ")
}
