//! `cargo xtask audit tiles`: how many instructions the CPU executor takes for a vector of multiply-adds, counted, not timed.
//!
//! A tile of sums is fast while the compiler keeps it in registers. Once it kept all tiles of weights' gradients in memory, since one
//! place took a vector by its address: the same bits, twice the time, and nothing told. Instructions tell.

use crate::apt;
use crate::sh::{self, Result};

/// A layer of `benches/cpu.rs`, its multiply-adds a sample, and the most instructions for a vector of them: a tenth more than there were
/// when this was written.
struct Case {
    name: &'static str,
    products: u64,
    /// Of the forward pass, the weights' gradient and the input's.
    most: [f64; 3],
}

/// Tiles of two vectors by six rows: of eight vectors of filters, and of two.
const CASES: [Case; 2] = [
    Case { name: "cifar-local3", products: 256 * 64 * 64, most: [3.0, 3.1, 3.3] },
    Case { name: "deepface-l6", products: 21 * 21 * 25 * 16 * 16, most: [3.0, 3.1, 4.8] },
];
const BATCH: u64 = 32;
/// Numbers of a vector: callgrind knows AVX2.
const LANES: u64 = 8;
/// Runs of `benches/cpu.rs` that take no time.
const RUNS: u64 = 6;

pub(crate) fn tiles() -> Result {
    const RUNNER: &str = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER";
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("tiles: not counted, callgrind is asked for AVX2 on Linux");
        return Ok(());
    }
    apt::program("valgrind", "valgrind", "install valgrind by your system's package of that name and try again")?;
    let out = sh::target_dir().join("callgrind.out");
    let runner = format!(
        "valgrind --tool=callgrind --toggle-collect=*collected_by_callgrind* --callgrind-out-file={}",
        out.display()
    );
    let mut worse = Vec::new();
    for Case { name, products, most } in CASES {
        for (pass, most) in ["forward", "weights", "input"].into_iter().zip(most) {
            let mut bench = sh::cargo();
            bench.env(RUNNER, &runner).args(["bench", "--bench", "cpu", "--features", "cpu", "--"]);
            bench.args(["--threads", "1", "--time", "0", "--instructions", "avx2", "--pass", pass]);
            sh::run(bench.args(["--batch", &BATCH.to_string(), name]))?;
            let vectors = products * BATCH * RUNS / LANES;
            let each = counted(&out)? as f64 / vectors as f64;
            println!("tiles: {name} {pass}: {each:.2} instructions a vector of multiply-adds, at most {most}");
            if each > most {
                worse.push(format!(
                    "{name} {pass} takes {each:.2} instructions a vector of multiply-adds, more than {most}"
                ));
            }
        }
    }
    if worse.is_empty() { Ok(()) } else { Err(worse.join("; ")) }
}

/// The instructions that callgrind counted.
fn counted(out: &std::path::Path) -> Result<u64> {
    let text = std::fs::read_to_string(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok()).filter(|total| *total > 0);
    total.ok_or_else(|| format!("{}: callgrind counted nothing", out.display()))
}
