//! A run: its parts in order of worth, each until a point in time of its own. What a part saves, the next ones have. The
//! results are written as they come, so that a run that is cut short leaves a record of what it did.

use super::files::{self, at};
use super::limits::Limits;
use crate::sh::{self, Result};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

struct Part {
    name: &'static str,
    /// Of the time, in per cent: a part ends where the sum of those up to it is over.
    share: f64,
    run: fn(&Run, Instant) -> Result,
}

const PARTS: [Part; 6] = [
    Part { name: "facts", share: 3.0, run: facts },
    Part { name: "correctness", share: 27.0, run: correctness },
    Part { name: "ceilings", share: 7.0, run: ceilings },
    Part { name: "forms", share: 19.0, run: forms },
    Part { name: "workloads", share: 19.0, run: workloads },
    Part { name: "peers", share: 25.0, run: peers },
];

/// The tests that ask the driver something: the quickest and most telling, and those that take longer.
const TESTS: [&str; 5] = ["goldens::", "f16::", "connectivity::", "limits::", "properties::"];
/// The last compiles all 2,000 variants, of which an H100's driver took 397 in 68 s: what the others need is compiled before.
const LONGER: [&str; 3] = ["determinism::", "choice::", "variants::"];

/// Workloads in an order in which any beginning tells of few and many filters, channels and locations.
const ORDER: [&str; 17] = [
    "keras-doc-1",
    "alltnn-5",
    "deepface-l6",
    "snp-blocks",
    "yolov1-local",
    "cifar-local3",
    "keras-doc-2",
    "deepface-l4",
    "alltnn-1",
    "signal-1d",
    "nt3-1d",
    "deepface-l5",
    "snp-onehot",
    "cifar-local4",
    "moe-768",
    "lcnn-180k",
    "keras-doc-1d",
];
/// How many of them numbers and shapes are compared on.
const FEW: usize = 8;

/// Most samples whose sums are split, and least that are tiled: all that differ on the batches that are measured. Equal
/// plans are measured once.
const BATCHES: [&str; 15] = [
    "split_batch=0,tile_batch=1",
    "split_batch=0,tile_batch=2",
    "split_batch=0,tile_batch=9",
    "split_batch=0,tile_batch=33",
    "split_batch=0,tile_batch=4294967295",
    "split_batch=1,tile_batch=2",
    "split_batch=1,tile_batch=9",
    "split_batch=1,tile_batch=33",
    "split_batch=1,tile_batch=4294967295",
    "split_batch=8,tile_batch=9",
    "split_batch=8,tile_batch=33",
    "split_batch=8,tile_batch=4294967295",
    "split_batch=32,tile_batch=33",
    "split_batch=32,tile_batch=4294967295",
    "split_batch=128,tile_batch=4294967295",
];

/// Numbers of the strategy that are tried, one at a time, and the implementation that goes by them.
const NUMBERS: [(&str, &str, &[&str]); 5] = [
    ("1", "group_threads", &["8", "64"]),
    ("1", "busy_groups", &["128", "512", "2048"]),
    ("1", "split_terms", &["1", "2", "8"]),
    ("1", "tile_use", &["25", "50", "75"]),
    ("3", "sparse_ahead", &["1", "4"]),
];
/// Without those that a run of all found to be the best of few rows.
const SHAPES: [&str; 13] = [
    "64x64", "64x32", "32x64", "32x32", "64x16", "32x16", "16x32", "64x32x2", "32x64x2", "32x32x2", "32x32x4",
    "32x16x4", "16x32x4",
];

/// What all parts share.
struct Run {
    /// The packed folder.
    packed: PathBuf,
    /// The results' folder.
    results: PathBuf,
    any_adapter: bool,
    /// Kernels, or variants of such, that this driver refuses or computes wrongly.
    failing: RefCell<BTreeSet<String>>,
    /// What was not done for want of time since the part began.
    cut: RefCell<Vec<String>>,
    /// What went wrong since the part began.
    wrong: RefCell<Vec<String>>,
}

/// How a program ended.
enum End {
    Exit(ExitStatus),
    /// Its time was over.
    Cut,
}

/// Where a program's output goes.
#[derive(Clone, Copy)]
enum Output<'a> {
    /// Nowhere but into the one file of all such.
    Said,
    /// To the end of this file.
    File(&'a str),
}

pub(super) fn run(packed: &Path, results: &Path, limits: Limits) -> Result {
    std::fs::create_dir_all(results).map_err(at(results))?;
    for file in files::ALL {
        let path = results.join(file);
        if path.exists() {
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    let run = Run {
        packed: packed.to_owned(),
        results: results.to_owned(),
        any_adapter: limits.any_adapter,
        failing: RefCell::default(),
        cut: RefCell::default(),
        wrong: RefCell::default(),
    };
    let (start, whole) = (Instant::now(), Duration::from_secs_f64(60.0 * limits.minutes));
    let mut clocks = run.watch_clocks()?;
    let (mut shares, mut failed) = (0.0, Vec::new());
    for Part { name: part, share, run: body } in PARTS {
        shares += share;
        let (began, end) = (Instant::now(), start + whole.mul_f64(shares / 100.0));
        println!("{part}: until {:.0} s", (end - start).as_secs_f64());
        run.log(json!({ "part": part, "began": (began - start).as_secs_f64() }))?;
        let stopped = body(&run, end).err();
        let (cut, mut wrong) = (run.cut.take(), run.wrong.take());
        wrong.extend(stopped.clone());
        let how = match (wrong.is_empty(), cut.is_empty()) {
            (true, true) => "done",
            (true, false) => "cut short",
            (false, _) => "failed",
        };
        let seconds = began.elapsed().as_secs_f64();
        println!("{part}: {how} after {seconds:.1} s");
        run.log(json!({ "part": part, "how": how, "seconds": seconds, "cut": cut, "wrong": wrong }))?;
        wrong.iter().for_each(|wrong| eprintln!("{part}: {wrong}"));
        if !wrong.is_empty() {
            failed.push(part);
        }
        // Without the adapter that is wanted nothing else can be.
        if let (Some(stopped), "facts") = (stopped, part) {
            return Err(stopped);
        }
    }
    if let Some(clocks) = &mut clocks {
        end_of(clocks);
    }
    println!("{:.0} s in all, {}", start.elapsed().as_secs_f64(), results.display());
    if failed.is_empty() { Ok(()) } else { Err(format!("{} failed, see above", failed.join(" and "))) }
}

/// What the machine is.
fn facts(run: &Run, end: Instant) -> Result {
    let told = |program: &str, args: &[&str]| {
        let output = run.captured(Command::new(program).args(args), end.min(Instant::now() + Duration::from_secs(10)));
        output.map(|text| (std::iter::once(program).chain(args.iter().copied()).collect::<Vec<_>>().join(" "), text))
    };
    let info = run.captured(run.locally().args(["info", "--json"]), end).ok_or("`locally info` gave nothing")?;
    let info: Value = serde_json::from_str(&info).map_err(|e| format!("`locally info --json`: {e}"))?;
    let adapters = info["adapters"].as_array().cloned().unwrap_or_default();
    // The record is of what runs WGSL: the default adapter or, where that is the CPU executor, the first, as `bench` takes it.
    let mut wgsl = adapters.iter().filter(|adapter| adapter["backend"] != "cpu");
    let chosen = wgsl.clone().find(|adapter| adapter["default"] == true).or_else(|| wgsl.next());
    let chosen = chosen.ok_or("no adapter")?;
    println!("facts: {}", chosen["name"].as_str().unwrap_or("?"));
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let commit = std::fs::read_to_string(run.packed.join("commit.txt")).unwrap_or_default();
    let mut facts = json!({ "seconds_since_1970": seconds, "commit": commit.trim(), "adapter": chosen,
                            "adapters": adapters, "told": {} });
    let write = |facts: &Value| {
        let text = serde_json::to_string_pretty(facts).map_err(|e| e.to_string())?;
        std::fs::write(run.results.join(files::FACTS), text + "\n").map_err(at(&run.results))
    };
    // What takes longer must not cost it.
    write(&facts)?;
    if chosen["device_type"] == "Cpu" && !run.any_adapter {
        return Err("the best adapter is a processor, of which no record is wanted: is the GPU's driver there? \
                    (--any-adapter takes it all the same)"
            .into());
    }
    let programs = [
        told("nvidia-smi", &["-q", "-d", "CLOCK,POWER,PERFORMANCE,MEMORY"]),
        told("rocm-smi", &["--showclocks"]),
        told("vulkaninfo", &["--summary"]),
        told("lscpu", &[]),
        told("uname", &["-a"]),
        told("python3", &["-c", PYTHON]),
    ];
    let told: serde_json::Map<String, Value> =
        programs.into_iter().flatten().map(|(command, text)| (command, text.into())).collect();
    facts["told"] = told.into();
    write(&facts)
}

/// Prints the versions of what the peers need, each where there is one.
const PYTHON: &str = "\
import importlib.metadata as m, sys
print('python', sys.version.split()[0])
for name in ('numpy', 'torch', 'triton', 'jax', 'jaxlib', 'tensorflow'):
    try: print(name, m.version(name))
    except m.PackageNotFoundError: print(name, 'missing')
";

/// The tests, every variant of every kernel compiled among them, and the fixtures' models through `locally verify`.
fn correctness(run: &Run, end: Instant) -> Result {
    // Half of the time that is left for each, so that one which hangs leaves something to the others.
    TESTS.iter().try_for_each(|tests| run.test(tests, half_way(end)))?;
    verify(run, half_way(end))?;
    LONGER.iter().try_for_each(|tests| run.test(tests, half_way(end)))
}

fn verify(run: &Run, end: Instant) -> Result {
    let cases = run.packed.join("tests/fixtures/cases");
    let index = std::fs::read_to_string(cases.join("index.json")).map_err(at(&cases))?;
    let index: Vec<Value> = serde_json::from_str(&index).map_err(|e| format!("the fixtures' index: {e}"))?;
    for case in index.iter().filter(|case| case["supported"] == true) {
        let model = cases.join(case["model"].as_str().unwrap_or_default());
        match run.program(run.locally().arg("verify").arg(&model), Output::File(files::CORRECTNESS), end)? {
            // Two is a file that has no layer to verify.
            End::Exit(status) if status.success() || status.code() == Some(2) => {}
            End::Exit(status) => run.went_wrong(format!("verify {} ({status})", model.display())),
            End::Cut => {
                run.was_cut("verify");
                return Ok(());
            }
        }
    }
    Ok(())
}

fn half_way(end: Instant) -> Instant {
    until(end, 0.5)
}

/// The point in time at which this share of what is left until `end` is over.
fn until(end: Instant, share: f64) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now).mul_f64(share)
}

/// What the device can do at most.
fn ceilings(run: &Run, end: Instant) -> Result {
    let mut command = run.locally();
    command.args(["bench", "--quiet", "--cache", "cold", "--min-time", "0.01", "--save-ceilings", files::CEILINGS]);
    run.measured(command.current_dir(&run.results), end)
}

/// From which batch on which form pays, then forms and tiles' shapes against each other, then the strategy's numbers.
fn forms(run: &Run, end: Instant) -> Result {
    let lines = ["--lines", files::FORMS, "--implementation", "1", "--max-time", "1", "--strategy", "own"];
    let strategies = |all: &[&'static str]| all.iter().flat_map(|&one| ["--strategy", one]).collect::<Vec<_>>();
    let mut batches = run.bench(&ORDER, &lines);
    run.measured(batches.args(["--batch", "1,8,32,128"]).args(strategies(&BATCHES)), until(end, 0.45))?;
    let shapes = SHAPES.map(|shape| format!("form=tiled,tile_shape={shape}"));
    let mut shaped = run.bench(&ORDER[..FEW], &lines);
    shaped.args(["--batch", "8,32,128", "--form", "register,split,tiled"]);
    run.measured(shaped.args(shapes.iter().flat_map(|shape| ["--strategy", shape])), until(end, 0.4))?;
    for ((implementation, number, values), left) in NUMBERS.into_iter().zip((1..=NUMBERS.len()).rev()) {
        let mut command = run.bench(&ORDER[..FEW], &["--lines", files::FORMS, "--max-time", "0.5"]);
        command.args(["--implementation", implementation, "--batch", "1,8,32", "--strategy", "own"]);
        for value in values {
            command.args(["--strategy", &format!("{number}={value}")]);
        }
        run.measured(&mut command, until(end, 1.0 / left as f64))?;
    }
    Ok(())
}

/// All workloads as a user gets them, then every implementation beside the planner's choice.
fn workloads(run: &Run, end: Instant) -> Result {
    let lines = ["--lines", files::WORKLOADS, "--max-time", "1"];
    let mut own = run.bench(&ORDER, &lines);
    run.measured(own.args(["--batch", "1,8,32,128", "--dtype", "f32,f16"]), until(end, 0.6))?;
    run.measured(run.bench(&ORDER, &lines).args(["--batch", "1,8,32", "--implementation", "auto,1,2,3"]), end)
}

/// The peers that this machine's Python has, beside us.
fn peers(run: &Run, end: Instant) -> Result {
    let has = |module: &str| {
        let asked = format!(
            "import importlib.util as i, sys; sys.exit(not (i.find_spec('numpy') and i.find_spec('{module}')))"
        );
        run.captured(Command::new("python3").args(["-c", &asked]), end).is_some()
    };
    let found: Vec<&str> = ["torch", "jax"].into_iter().filter(|module| has(module)).collect();
    for missing in ["torch", "jax"].iter().filter(|module| !found.contains(module)) {
        let why = format!("python3 with numpy has no {missing}: nothing is compared with it");
        println!("peers: {why}");
        run.log(json!({ "missing": missing, "why": why }))?;
    }
    let device = if run.captured(&mut Command::new("nvidia-smi"), end).is_some() { "cuda" } else { "cpu" };
    let path = |name: &str| run.results.join(name).display().to_string();
    let mut ours = "--cache cold --min-time 0.02 --max-time 1 --spread 10%".to_owned();
    if run.results.join(files::CEILINGS).exists() {
        ours += &format!(" --ceilings {}", path(files::CEILINGS));
    }
    // In order of worth, each with a share of the time that is left. A framework goes through all workloads at one batch
    // and precision before the next.
    let turns: [(&str, &[&str], f64); 3] = [
        ("torch", &["--no-compile", "--batch", "32,1,8,128"], 0.45),
        ("torch", &["--only-compile", "--batch", "32", "--precision", "f32"], 0.4),
        ("jax", &["--batch", "32,1,8,128"], 1.0),
    ];
    for ((framework, args, share), turn) in turns.into_iter().filter(|(name, ..)| found.contains(name)).zip(0..) {
        let mut command = Command::new("python3");
        command.arg(run.packed.join("peers/run_all.py")).current_dir(&run.results);
        command.args(["--device", device, "--frameworks", framework]).args(args);
        command.args(["--peers-python", "python3", "--brief", "--cache", "cold", "--errors", "--rounds", "1"]);
        command.args(["--pass", "forward,backward", "--min-time", "0.05", "--row-timeout", "30", "--no-ceiling"]);
        command.args(["--workloads", &ORDER.join(","), "--lines", &path(files::PEERS)]);
        // Once: all frameworks' rows are held against the same of ours.
        if turn == 0 {
            command.arg("--locally").arg(run.locally().get_program()).arg("--locally-arguments").arg(&ours);
        }
        run.measured(&mut command, until(end, share))?;
    }
    Ok(())
}

impl Run {
    fn locally(&self) -> Command {
        Command::new(self.packed.join(format!("locally{}", std::env::consts::EXE_SUFFIX)))
    }

    /// Runs the tests of a module and takes the kernels that they blame, or that a driver crashed on.
    fn test(&self, tests: &str, end: Instant) -> Result {
        let before = self.length(files::CORRECTNESS);
        let mut command = Command::new(self.packed.join(format!("tests-all{}", std::env::consts::EXE_SUFFIX)));
        // What is said when it happens is there when the program isn't any more.
        command.arg(tests).arg("--nocapture");
        let ended = self.program(&mut command, Output::File(files::CORRECTNESS), end)?;
        let crashed = matches!(ended, End::Exit(status) if status.code().is_none());
        match ended {
            End::Exit(status) if status.success() => {}
            End::Exit(status) => self.went_wrong(format!("{tests} ({status})")),
            End::Cut => self.was_cut(tests),
        }
        self.note_kernels(before, crashed)
    }

    fn was_cut(&self, what: impl Into<String>) {
        self.cut.borrow_mut().push(what.into());
    }

    fn went_wrong(&self, what: impl Into<String>) {
        self.wrong.borrow_mut().push(what.into());
    }

    /// Writes down a GPU's clocks as the run goes, where NVIDIA's program is there to tell.
    fn watch_clocks(&self) -> Result<Option<Child>> {
        let mut command = Command::new("nvidia-smi");
        command.args(["--query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu"]);
        command.args(["--format=csv,noheader,nounits", "-lms", "1000"]);
        let output = self.append(files::SAID)?;
        Ok(command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn().ok())
    }

    /// `locally bench` of these workloads, with the ceilings that are known and without what fails.
    fn bench(&self, workloads: &[&str], args: &[&str]) -> Command {
        let mut command = self.locally();
        command.arg("bench").args(workloads).args(args).current_dir(&self.results);
        // Many rows in little time: what is measured in turns needs no more than that each has some samples.
        command.args(["--quiet", "--cache", "cold", "--min-time", "0.01", "--spread", "10%"]);
        if self.results.join(files::CEILINGS).exists() {
            command.args(["--ceilings", files::CEILINGS]);
        }
        let failing = self.failing.borrow();
        if !failing.is_empty() {
            command.args(["--without", &failing.iter().map(String::as_str).collect::<Vec<_>>().join(",")]);
        }
        command
    }

    /// Runs a program whose results go into files of its own; what it had when its time was over stays, and what goes
    /// wrong in it is no reason to leave out what follows.
    fn measured(&self, command: &mut Command, end: Instant) -> Result {
        match self.program(command, Output::Said, end)? {
            End::Exit(status) if status.success() => {}
            End::Exit(status) => self.went_wrong(format!("`{}`: {status}; see {}", sh::shown(command), files::SAID)),
            End::Cut => self.was_cut(sh::shown(command)),
        }
        Ok(())
    }

    /// Standard output of a program that succeeded in time.
    fn captured(&self, command: &mut Command, end: Instant) -> Option<String> {
        let file = std::env::temp_dir().join(format!("gpu-record-captured-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let output = options.write(true).create(true).truncate(true).open(&file).ok()?;
        let mut child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn().ok()?;
        let ended = wait(&mut child, end).ok()?;
        let text = std::fs::read_to_string(&file);
        std::fs::remove_file(&file).ok()?;
        matches!(ended, End::Exit(status) if status.success()).then(|| text.unwrap_or_default().trim_end().to_owned())
    }

    /// Runs a program with its output to the end of a file, until `end` at most.
    fn program(&self, command: &mut Command, output: Output<'_>, end: Instant) -> Result<End> {
        if Instant::now() >= end {
            return Ok(End::Cut);
        }
        let name = match output {
            Output::Said => files::SAID,
            Output::File(name) => name,
        };
        let mut file = self.append(name)?;
        writeln!(file, "$ {}", sh::shown(command)).map_err(|e| format!("{name}: {e}"))?;
        let both = file.try_clone().map_err(|e| format!("{name}: {e}"))?;
        own_group(command);
        let started = command.stdin(Stdio::null()).stdout(file).stderr(both).spawn();
        let mut child = started.map_err(|e| format!("`{}` did not start: {e}", sh::shown(command)))?;
        wait(&mut child, end)
    }

    fn append(&self, name: &str) -> Result<File> {
        let path = self.results.join(name);
        OpenOptions::new().append(true).create(true).open(&path).map_err(at(&path))
    }

    fn log(&self, line: Value) -> Result {
        writeln!(self.append(files::LOG)?, "{line}").map_err(|e| format!("{}: {e}", files::LOG))
    }

    fn length(&self, name: &str) -> u64 {
        std::fs::metadata(self.results.join(name)).map_or(0, |metadata| metadata.len())
    }

    /// Takes the kernels that tests blamed since the file had this length.
    fn note_kernels(&self, before: u64, crashed: bool) -> Result {
        let path = self.results.join(files::CORRECTNESS);
        let text = std::fs::read(&path).map_err(at(&path))?;
        let new = String::from_utf8_lossy(text.get(before as usize..).unwrap_or_default()).into_owned();
        let unended = if crashed { unended(&new) } else { Vec::new() };
        for kernel in blamed(&new).chain(unended) {
            if self.failing.borrow_mut().insert(kernel.to_owned()) {
                println!("correctness: {kernel} fails here and is left out of what follows");
                self.log(json!({ "failing": kernel }))?;
            }
        }
        Ok(())
    }
}

/// The kernels that a test's message names as `[kernel loop_forward]`.
fn blamed(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("[kernel ").skip(1).filter_map(|rest| rest.split_once(']'));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    after.map(|(name, _)| name).filter(move |name| is_name(name))
}

/// The variants that were being compiled when a program ended.
fn unended(text: &str) -> Vec<&str> {
    let lines = |word: &str| text.lines().filter_map(|line| line.strip_prefix(word)).collect::<BTreeSet<_>>();
    lines("compiling ").difference(&lines("compiled ")).copied().collect()
}

/// Waits for a program until `end`, then ends it and all that it started.
fn wait(child: &mut Child, end: Instant) -> Result<End> {
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(End::Exit(status));
        }
        if Instant::now() >= end {
            end_of(child);
            return Ok(End::Cut);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a program and all that it started. One that hangs in a driver may stay: nothing waits for it long.
fn end_of(child: &mut Child) {
    if cfg!(unix) {
        // The group, which only programs of `own_group` lead; for others there is none of this number.
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
    // Fails where the group's end was its own.
    let _ = child.kill();
    let patience = Instant::now() + Duration::from_secs(5);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lets a program lead a group of processes, so that those which it starts can be ended with it.
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_blamed_by_name() {
        let text = "output is off by 1e0 by [kernel loop_forward_tiled] for batch 1\n[kernel softmax] a\n[kernel X Y]";
        assert_eq!(blamed(text).collect::<Vec<_>>(), ["loop_forward_tiled", "softmax"]);
        assert_eq!(unended("compiling a_1\ncompiling b\ncompiled a_1\ncompiling c_2\n"), ["b", "c_2"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_takes_too_long_is_ended_with_its_children() -> Result {
        let mut command = Command::new("sh");
        own_group(command.args(["-c", "sleep 100 & wait"]));
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let start = Instant::now();
        let ended = wait(&mut child, start + Duration::from_millis(50))?;
        assert!(matches!(ended, End::Cut) && start.elapsed() < Duration::from_secs(10));
        Ok(())
    }
}
