//! Project automation: `cargo xtask <command>`. Each command installs what it needs and says so.
//!
//! | command | what it does |
//! |---|---|
//! | `setup` | makes sure that there is a Vulkan adapter (Linux; Metal and DX12 come with the system) |
//! | `demo`  | `setup`, then runs a model trained by real Keras and compares accuracy and predictions |
//! | `check` | what to run after every few lines: format, lints, unit tests |
//! | `test`  | everything a change must pass: format, lints, docs, tests, examples, `wasm`, `web`, `tint`, `page` |
//! | `audit` | what takes longer: spelling, licences, each feature by itself, the oldest Rust, packages, the npm package with Vite, benches, the newest Mesa, a rehearsal of `gpu-record` |
//! | `wasm`  | builds the libraries for `wasm32-unknown-unknown` |
//! | `tint`  | compiles every shader variant with Tint, in headless Chromium, at the WebGPU default limits |
//! | `web`   | builds the npm package in `web/dist`; `--serve` shows its demo, `--test` tests it in headless Chromium |
//! | `page`  | runs plans written as JSON in a page of headless Chromium and compares with this crate's executor |
//! | `gpu-record` | proves and measures the kernels on a machine, borrowed or one's own: docs/gpu-record.md |
//! | `net`   | saves what must not change while code is moved, or compares with it: WGSL, plans, results |
//! | `isa`   | compiles every shader variant for an AMD GPU that needn't be there: registers, spills, assembly |
//! | `translations` | writes every shader variant in every backend's language and has compilers look at it: docs/backends.md |
//! | `fuzz`  | throws hostile input at what reads files, at the planner and at the CPU executor: docs/fuzzing.md |
//! | `soak`  | trains and predicts on the host's threads for an hour, at constant memory |
//!
//! On Debian and Ubuntu, as root or with passwordless sudo, missing system packages are installed by `apt-get`, and
//! each installation is announced. Elsewhere the command stops with one line that names what to install. Nothing is
//! skipped silently: a check that cannot run is a failure.
//!
//! What each needs beyond Rust and a C linker:
//!
//! * `setup`: a Vulkan loader and driver; Mesa's lavapipe (`mesa-vulkan-drivers`) when there is no GPU.
//! * `check`, `test`: the rustfmt and clippy components. Words after `test` go to `cargo test`: `cargo xtask test --release`.
//!   On Linux `test` runs an example under Vulkan's validation layers (`vulkan-validationlayers`).
//! * `audit`: what `test` needs, and `typos` and `cargo-deny`, which go into `target/tools`: the former by pip where there is
//!   one, else both by `cargo install`, which takes minutes once. Words after `audit` name steps: `cargo xtask audit deny`.
//! * `wasm`: the target from rustup; where rustup is absent or cannot add it, Debian's `rustc-web`, which builds the
//!   standard library from source, in a target directory of its own.
//! * `tint`: Chromium or Chrome (`$CHROMIUM` names one), Node.js and npm. `cargo xtask tint DIR` checks the
//!   `variants.json` of `DIR` instead of making a new list from the library.
//! * `web`: what `wasm` and `tint` need, and a linker for modules (LLVM's lld where Rust brings none).
//! * `page`: what `setup` and `tint` need.
//! * `isa`: Linux, and Mesa's RADV, which Debian's `mesa-vulkan-drivers` has.
//! * `translations`: SPIRV-Tools and glslang.
//! * `fuzz`: Linux on x86-64, a C++ compiler for libFuzzer; nothing of nightly Rust.
//! * `soak`: Linux, whose count of resident memory it reads.
//! * `audit msrv`: rustup, which has or fetches the oldest Rust that Cargo.toml names; `audit drivers`: Linux on x86-64, root's rights
//!   and debootstrap, for a root with Debian sid's Mesa.
//!
//! `CARGO_TARGET_DIR` is respected throughout. There is no dependency but serde_json, so that the first use is quick.

#![forbid(unsafe_code)]

mod apt;
mod audit;
mod browser;
mod check;
mod demo;
mod drivers;
mod examples;
mod features;
mod fuzz;
mod gpu_record;
mod installed;
mod isa;
mod msrv;
mod net;
mod package;
mod page;
mod setup;
mod sh;
mod steps;
mod test;
mod tiles;
mod tint;
mod translations;
mod wasm;
mod web;

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask <command>

  setup         make sure of a Vulkan adapter (installs a software one on Debian and Ubuntu)
  demo          run a model trained by Keras on this machine's GPU and compare with Keras
  check         format, lints, unit tests: what to run after every few lines, under a minute
  test [ARG…]   format, lints, docs, tests, examples, wasm, web, tint, page; ARGs go to `cargo test` (--release, a name, …)
  audit [STEP…] what takes too long for `test`: spelling, licences, each feature alone, the oldest Rust, packages (npm's with Vite),
                benches, address sanitizer, translations, fuzzing, the newest Mesa, a rehearsal of gpu-record; STEPs are those alone
                (by the beginning of their names)
  wasm          check the libraries for wasm32-unknown-unknown
  isa [NAME…]   compile every shader variant (or those of these names) for an AMD GPU; --listing shows the code
  translations [NAME…]  write every shader variant (or those of these names) in every backend's language, and have
                compilers look at it
  fuzz [TARGET…] [--seconds N] [--settled N] [--keep] [--address]   throw hostile input at every target (or these) for N seconds each;
                --settled ends after so many that reached nothing new, --keep makes 200 KB that reach most for their bytes the committed
                corpus
  soak [--minutes N]  train and predict on the host's threads for an hour, at constant memory
  gpu-record    prove and measure the kernels here; --pack makes a folder for another machine, --read FOLDER reads
                what it brought (docs/gpu-record.md)
  net --save F  save every shader, plan and result in F; net --against F compares with it
  tint [DIR]    compile every shader variant (or those of DIR/variants.json) in headless Chromium
  web           build the npm package in web/dist; --serve [PORT] shows its demo page, --test [NAME…] tests it
  page          run plans written as JSON in headless Chromium and compare with this crate's executor
  help          this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["setup"] => setup::setup(),
        ["demo"] => demo::demo(),
        ["test", rest @ ..] => test::test(rest),
        ["check"] => check::check(),
        ["audit", only @ ..] => audit::audit(only),
        ["wasm"] => wasm::wasm(),
        ["tint"] => tint::tint(None),
        ["tint", dir] => tint::tint(Some(dir)),
        ["web"] => web::build(),
        ["web", "--serve"] => web::serve("8000"),
        ["web", "--serve", port] => web::serve(port),
        ["web", "--test", names @ ..] => web::test(names),
        ["page"] => page::page(),
        ["gpu-record", rest @ ..] => gpu_record::gpu_record(rest),
        ["net", action @ ("--save" | "--against"), file] => net::net(action, file),
        ["isa", rest @ ..] => isa::isa(rest),
        ["translations", names @ ..] => translations::translations(names),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest),
        ["soak"] => sh::tool("soak").and_then(|mut soak| sh::run(&mut soak)),
        ["soak", "--minutes", minutes] => sh::tool("soak").and_then(|mut soak| sh::run(soak.arg(minutes))),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        [] => Err(format!("no command given\n\n{HELP}")),
        other => Err(format!("unknown command `{}`\n\n{HELP}", other.join(" "))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}
