//! `cargo xtask fuzz`: hostile input, found by libFuzzer, which looks at what the compiler marked (docs/fuzzing.md).

use crate::sh::{self, Result};
use std::collections::{BTreeSet, BinaryHeap};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// As cargo-fuzz has them: edges counted in place, and operands of comparisons shown.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 --cfg fuzzing";
/// Most bytes of a committed corpus.
const MOST: u64 = 200 << 10;
/// Longest input that is tried.
const LONGEST: &str = "-max_len=32768";

/// Most seconds and megabytes of one input.
type Limits = [&'static str; 2];
const LIMITS: Limits = ["-timeout=5", "-rss_limit_mb=2048"];
/// AddressSanitizer looks at each access, and keeps what is freed for a while.
const ADDRESS_LIMITS: Limits = ["-timeout=30", "-rss_limit_mb=4096"];

/// How long a target is run, in seconds of the processor's time: beside other programs it takes longer.
#[derive(Clone, Copy)]
struct Time {
    /// At least; one run of the corpus for 0.
    seconds: u64,
    /// Without a new edge, at most.
    settled: u64,
}

/// A target is run in pieces of so many seconds, each from what the ones before found.
const PIECE: u64 = 120;

/// `fuzz [TARGET…] [--seconds N] [--settled N] [--keep]`: every target or these, each for so many seconds of the processor's time (60, or
/// one run of the corpus for 0), with `--settled` ending after so many without a new edge, and then with `--keep` the inputs become the
/// committed corpus that reach most for their bytes, up to [`MOST`]. `--address` looks at each access to memory, too.
pub(crate) fn fuzz(args: &[&str]) -> Result {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!("fuzzing is set up for {TARGET}"));
    }
    let mut time = Time { seconds: 60, settled: u64::MAX };
    let (mut names, mut keep, mut address) = (Vec::new(), false, false);
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--keep" => keep = true,
            "--address" => address = true,
            "--seconds" | "--settled" => {
                let given = args.next().and_then(|word| word.parse().ok()).ok_or(format!("{arg} takes a number"))?;
                *(if arg == "--seconds" { &mut time.seconds } else { &mut time.settled }) = given;
            }
            name => names.push(name.to_owned()),
        }
    }
    let fuzzer = Fuzzer::build(address)?;
    if names.is_empty() {
        names = targets()?;
    }
    println!("| target | executions | edges | features | inputs kept | seconds |\n|---|---|---|---|---|---|");
    for name in &names {
        println!("{}", fuzzer.run(name, time)?.line(name));
        if keep {
            fuzzer.keep(name)?;
        }
    }
    Ok(())
}

/// The names of all targets: their corpora's.
fn targets() -> Result<Vec<String>> {
    let folder = sh::root().join("fuzz/corpus");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

struct Fuzzer {
    program: PathBuf,
    limits: Limits,
    seeds: PathBuf,
    /// Where what is found lies, of all targets.
    work: PathBuf,
}

impl Fuzzer {
    fn build(address: bool) -> Result<Self> {
        let work = sh::target_dir().join("fuzz");
        let target_dir = work.join(if address { "build-address" } else { "build" });
        let mut flags = COVERAGE.to_owned();
        let mut build = sh::cargo();
        if address {
            flags += " -Zsanitizer=address";
            build.env("RUSTC_BOOTSTRAP", "1");
        }
        build.args(["build", "--release", "--locked", "--manifest-path", "fuzz/libfuzzer/Cargo.toml"]);
        build.args(["--target", TARGET, "--target-dir"]).arg(&target_dir).env("RUSTFLAGS", flags);
        sh::run(&mut build)?;
        let program = target_dir.join(TARGET).join("release/locally-libfuzzer");
        let seeds = sh::tool("seeds")?.get_program().into();
        let limits = if address { ADDRESS_LIMITS } else { LIMITS };
        Ok(Self { program, limits, seeds, work })
    }

    fn corpus(&self, name: &str) -> PathBuf {
        self.work.join("corpus").join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = sh::command(&self.program);
        command.env("FUZZ_TARGET", name).arg(LONGEST).args(self.limits);
        command
    }

    /// One target.
    fn run(&self, name: &str, time: Time) -> Result<Stats> {
        let start = processor_seconds()?;
        let mut all = self.piece(name, PIECE.min(time.seconds))?;
        let mut new_at = 0;
        loop {
            all.seconds = processor_seconds()?.saturating_sub(start);
            if all.seconds >= time.seconds || all.seconds - new_at >= time.settled {
                return Ok(all);
            }
            let next = self.piece(name, PIECE.min(time.seconds - all.seconds))?;
            if next.edges > all.edges {
                new_at = all.seconds;
            }
            all = Stats { executions: all.executions + next.executions, ..next };
        }
    }

    /// One target for so many seconds, or one run of the committed corpus.
    fn piece(&self, name: &str, seconds: u64) -> Result<Stats> {
        let (corpus, found) = (self.corpus(name), self.work.join("found").join(name));
        for folder in [&corpus, &found] {
            fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let committed = sh::root().join("fuzz/corpus").join(name);
        fs::create_dir_all(&committed).map_err(|e| format!("{}: {e}", committed.display()))?;
        let mut command = self.command(name);
        command.arg(format!("-artifact_prefix={}/", found.display())).arg("-print_final_stats=1");
        if seconds == 0 {
            command.arg("-runs=0").arg(&committed);
        } else {
            sh::run_quiet(sh::command(&self.seeds).arg(name).arg(&corpus))?;
            command.arg(format!("-max_total_time={seconds}")).arg(&corpus).arg(&committed);
            // What was wrong once, and what is near it.
            command.args(Some(sh::root().join("fuzz/found").join(name)).filter(|mended| mended.exists()));
        }
        let dictionary = sh::root().join("fuzz/keras.dict");
        command.arg(format!("-dict={}", dictionary.display()));
        let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{}: {e}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let tail: Vec<&str> = said.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(format!("{}\n{name}: an input is wrong, in {}", tail.join("\n"), found.display()));
        }
        Stats::read(&said).ok_or_else(|| format!("{said}\n{name}: libFuzzer did not say what it did"))
    }

    /// Makes the inputs the committed corpus that reach most for their bytes, as many as [`MOST`] bytes hold.
    fn keep(&self, name: &str) -> Result {
        let committed = sh::root().join("fuzz/corpus").join(name);
        let merged = self.work.join("merged").join(name);
        let _ = fs::remove_dir_all(&merged);
        fs::create_dir_all(&merged).map_err(|e| format!("{}: {e}", merged.display()))?;
        // libFuzzer writes there what each input reaches.
        let control = merged.with_extension("control");
        let _ = fs::remove_file(&control);
        let mut merge = self.command(name);
        merge.arg(format!("-merge_control_file={}", control.display())).arg("-set_cover_merge=1");
        sh::run_quiet(merge.arg(&merged).arg(self.corpus(name)).arg(&committed))?;
        let said = fs::read_to_string(&control).map_err(|e| format!("{}: {e}", control.display()))?;
        let inputs = reached(&said).ok_or_else(|| format!("{}: libFuzzer writes it otherwise", control.display()))?;
        let kept = Kept::of(inputs, MOST);
        println!("{name}: {} of {} features are kept, in {} bytes", kept.features, kept.of, kept.bytes);
        // Some of them may be in the folder that is made anew.
        let read = |input: &Input| fs::read(&input.path).map_err(|e| format!("{}: {e}", input.path.display()));
        let contents = kept.inputs.iter().map(read).collect::<Result<Vec<_>>>()?;
        let _ = fs::remove_dir_all(&committed);
        fs::create_dir_all(&committed).map_err(|e| format!("{}: {e}", committed.display()))?;
        for (input, contents) in kept.inputs.iter().zip(contents) {
            let to = committed.join(input.path.file_name().unwrap_or_default());
            fs::write(&to, contents).map_err(|e| format!("{}: {e}", to.display()))?;
        }
        Ok(())
    }
}

/// An input, and all that it reaches: libFuzzer's features, edges by how often they are passed.
#[derive(Debug, PartialEq)]
struct Input {
    path: PathBuf,
    bytes: u64,
    features: Vec<u32>,
}

/// What the file says that libFuzzer merges by: the number of files, that of those in the first corpus, all names, and of each
/// `STARTED number size` and `FT number feature…`. Inputs that libFuzzer didn't end with reach nothing.
fn reached(said: &str) -> Option<Vec<Input>> {
    let mut lines = said.lines();
    let count: usize = lines.next()?.parse().ok()?;
    lines.next()?;
    let input = |path: &str| Input { path: path.into(), bytes: 0, features: Vec::new() };
    let mut inputs: Vec<Input> = lines.by_ref().take(count).map(input).collect();
    for line in lines {
        let mut words = line.split(' ');
        let (marker, number) = (words.next()?, words.next()?.parse::<usize>().ok()?);
        let input = inputs.get_mut(number)?;
        match marker {
            "STARTED" => input.bytes = words.next()?.parse().ok()?,
            "FT" => input.features = words.map(|word| word.parse().ok()).collect::<Option<_>>()?,
            _ => {}
        }
    }
    Some(inputs)
}

/// The inputs that are kept.
#[derive(Debug, PartialEq)]
struct Kept {
    inputs: Vec<Input>,
    bytes: u64,
    /// Features that they reach, of so many that all do.
    features: usize,
    of: usize,
}

impl Kept {
    /// One input after the other: that which reaches most for its bytes that none before it does, while there is room.
    fn of(inputs: Vec<Input>, room: u64) -> Self {
        let all: BTreeSet<u32> = inputs.iter().flat_map(|input| input.features.iter().copied()).collect();
        let mut reached = BTreeSet::new();
        let (mut kept, mut bytes) = (Vec::new(), 0);
        // Millionths of features for a byte. They only become fewer, so that what is still worth what it was is worth most.
        let worth = |input: &Input, reached: &BTreeSet<u32>| {
            let new = input.features.iter().filter(|feature| !reached.contains(feature)).count() as u64;
            1_000_000 * new / input.bytes.max(1)
        };
        let mut waiting: BinaryHeap<(u64, usize)> =
            inputs.iter().enumerate().map(|(at, input)| (worth(input, &reached), at)).collect();
        let mut inputs: Vec<Option<Input>> = inputs.into_iter().map(Some).collect();
        while let Some((before, at)) = waiting.pop() {
            let Some(input) = inputs.get_mut(at).and_then(Option::take) else { continue };
            let now = worth(&input, &reached);
            if now == 0 || bytes + input.bytes > room {
                continue;
            }
            if now < before {
                waiting.push((now, at));
                inputs[at] = Some(input);
                continue;
            }
            reached.extend(input.features.iter().copied());
            bytes += input.bytes;
            kept.push(input);
        }
        Self { inputs: kept, bytes, features: reached.len(), of: all.len() }
    }
}

/// The processor's time of all programs that this one ran.
fn processor_seconds() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|e| format!("/proc/self/stat: {e}"))?;
    children_seconds(&stat).ok_or_else(|| format!("/proc/self/stat: {stat}"))
}

/// Times of children in /proc/PID/stat, of users' and of the system's, in hundredths of seconds: proc(5).
fn children_seconds(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything.
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    let mut time = || times.next()?.parse::<u64>().ok();
    Some((time()? + time()?) / 100)
}

/// What libFuzzer said last of a run.
#[derive(Debug, PartialEq)]
struct Stats {
    executions: u64,
    edges: u64,
    features: u64,
    /// Inputs kept.
    inputs: u64,
    /// Of the processor's time.
    seconds: u64,
}

impl Stats {
    fn read(said: &str) -> Option<Self> {
        let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
        let last = said.lines().rev().find(|line| line.contains(" cov: "))?;
        let after = |word: &str| {
            let digits = last.split_once(word)?.1.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        Some(Self {
            executions: executions.trim().parse().ok()?,
            edges: after(" cov: ")?,
            features: after(" ft: ")?,
            inputs: after(" corp: ")?,
            seconds: 0,
        })
    }

    /// A line of the table.
    fn line(&self, name: &str) -> String {
        let Self { executions, edges, features, inputs, seconds } = self;
        format!("| {name} | {executions} | {edges} | {features} | {inputs} | {seconds} |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_libfuzzer_s_is_read() {
        let said = "#12\tINITED cov: 7 ft: 9 corp: 3/12b exec/s: 0 rss: 40Mb\n\
            #500\tDONE   cov: 12 ft: 30 corp: 5/90b lim: 4 exec/s: 250 rss: 41Mb\n\
            stat::number_of_executed_units: 500\nstat::average_exec_per_sec:     250\n";
        let stats = Stats::read(said).expect("both are there");
        assert_eq!(stats.line("hdf5"), "| hdf5 | 500 | 12 | 30 | 5 | 0 |");
        assert_eq!(Stats::read(""), None);
    }

    #[test]
    fn inputs_that_reach_most_for_their_bytes_are_kept() {
        let said = "4\n0\n/a\n/b\n/c\n/d\nSTARTED 0 10\nFT 0 1 2 3\nCOV 0 7\nSTARTED 1 10\nFT 1 1 2 4\nCOV 1\n\
            STARTED 2 100\nFT 2 1 2 3 4 5 6\nCOV 2\nSTARTED 3 5\n";
        let kept = |room| {
            let kept = Kept::of(reached(said).expect("libFuzzer's"), room);
            let names: Vec<String> = kept.inputs.iter().map(|input| input.path.display().to_string()).collect();
            (names.concat(), kept.bytes, kept.features, kept.of)
        };
        assert_eq!(kept(1000), ("/b/a/c".into(), 120, 6, 6));
        assert_eq!(kept(50), ("/b/a".into(), 20, 4, 6));
        assert_eq!(kept(9), (String::new(), 0, 0, 6));
        assert_eq!(reached("2\n0\n/a\n/b\nSTARTED 2 10\n"), None);
    }

    #[test]
    fn children_s_times_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 200 0 0 11 12 1350 250 20 0 1 0 999 1000 100";
        assert_eq!(children_seconds(stat), Some(16));
        assert_eq!(children_seconds("7 (a)"), None);
    }
}
