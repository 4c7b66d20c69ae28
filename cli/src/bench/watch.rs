//! Watches the machine while it is measured: its clocks, where they can be read, and what slowed them down.
//!
//! For an NVIDIA GPU its own program runs all the while and writes a line every half second, as with `cargo xtask
//! gpu-record`. Linux has files for the clocks of AMD GPUs and of processors. Elsewhere clocks can't be read.

use super::stats::{quantile, sorted};
use serde::Serialize;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// If a hypervisor takes a larger share of the processor's time than this, it has slowed things down.
const STOLEN: f64 = 0.02;

/// A clock in MHz: the least, the median and the most that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Range {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// The clocks of a GPU's cores and memory, and of the processor; each none if it can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(crate) struct Clocks {
    pub(crate) gpu_mhz: Option<Range>,
    pub(crate) memory_mhz: Option<Range>,
    pub(crate) processor_mhz: Option<Range>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Seen {
    pub(crate) clocks: Option<Clocks>,
    pub(crate) throttled: Vec<String>,
}

/// Watches until it is asked what it saw.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    files: Option<JoinHandle<[Vec<f64>; 2]>>,
    nvidia: Option<(Child, JoinHandle<Nvidia>)>,
    before: Counters,
}

/// What an NVIDIA GPU's program has written.
#[derive(Debug, Default, PartialEq)]
struct Nvidia {
    gpu: Vec<f64>,
    memory: Vec<f64>,
    reasons: Vec<String>,
}

/// What the system has counted since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counters {
    /// Units of processor time, and how many of them a hypervisor gave to others.
    all: u64,
    stolen: u64,
    /// How many times cores were slowed down because they were hot.
    hot: u64,
}

impl Watch {
    /// Begins to watch the machine, and the adapter with this name.
    pub(crate) fn begin(adapter: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let gpu = adapter.contains("AMD") || adapter.contains("Radeon");
        let files = std::thread::Builder::new().name("clocks".into()).spawn(move || {
            let mut seen = [Vec::new(), Vec::new()];
            while !ended.load(Ordering::Relaxed) {
                seen[0].extend(processor());
                seen[1].extend(if gpu { amd() } else { None });
                std::thread::park_timeout(PERIOD);
            }
            seen
        });
        let nvidia = if adapter.contains("NVIDIA") { nvidia() } else { None };
        Self { over, files: files.ok(), nvidia, before: Counters::now() }
    }

    /// What was seen since the beginning.
    pub(crate) fn end(mut self) -> Seen {
        let [processor, amd] = self.end_files();
        let Nvidia { gpu, memory, reasons } = self.end_nvidia();
        let clocks = Clocks {
            gpu_mhz: range(if gpu.is_empty() { amd } else { gpu }),
            memory_mhz: range(memory),
            processor_mhz: range(processor),
        };
        let mut throttled = reasons;
        throttled.extend(Counters::now().since(self.before));
        Seen { clocks: (clocks != Clocks::default()).then_some(clocks), throttled }
    }

    fn end_files(&mut self) -> [Vec<f64>; 2] {
        self.over.store(true, Ordering::Relaxed);
        let files = self.files.take();
        files
            .and_then(|thread| {
                thread.thread().unpark();
                thread.join().ok()
            })
            .unwrap_or_default()
    }

    fn end_nvidia(&mut self) -> Nvidia {
        let Some((mut child, reader)) = self.nvidia.take() else { return Nvidia::default() };
        // The program may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        reader.join().unwrap_or_default()
    }
}

impl Drop for Watch {
    /// A run that ends with an error must leave nothing running.
    fn drop(&mut self) {
        self.end_files();
        self.end_nvidia();
    }
}

fn range(values: Vec<f64>) -> Option<Range> {
    let values = sorted(values);
    let (min, max) = (*values.first()?, *values.last()?);
    Some(Range { min, median: quantile(&values, 0.5), max })
}

/// The clock of the first core in MHz: from a file of the kernel's, else from its list of processors.
fn processor() -> Option<f64> {
    let of_core = || {
        let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").ok()?;
        text.trim().parse::<f64>().ok().map(|khz| khz / 1e3)
    };
    of_core().or_else(|| cpuinfo(&std::fs::read_to_string("/proc/cpuinfo").ok()?))
}

fn cpuinfo(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// The clock of the first AMD GPU in MHz: the line with a star is the one in use.
fn amd() -> Option<f64> {
    let card = |at: u32| std::fs::read_to_string(format!("/sys/class/drm/card{at}/device/pp_dpm_sclk")).ok();
    starred(&(0..4).find_map(card)?)
}

fn starred(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.trim_end().ends_with('*'))?;
    let (_, value) = line.split_once(':')?;
    value.trim().trim_end_matches('*').trim().to_lowercase().strip_suffix("mhz")?.trim().parse().ok()
}

/// Bits of `clocks_event_reasons.active` that mean the GPU runs slower than it could, by NVIDIA's manual of NVML.
const REASONS: [(u64, &str); 5] = [
    (0x4, "the GPU's limit of power"),
    (0x8, "the GPU's hardware slowed it down"),
    (0x20, "the GPU's heat, by its driver"),
    (0x40, "the GPU's heat, by its hardware"),
    (0x80, "the power supply told the GPU to brake"),
];

fn nvidia() -> Option<(Child, JoinHandle<Nvidia>)> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=clocks.sm,clocks.mem,clocks_throttle_reasons.active"]);
    command.args(["--format=csv,noheader,nounits", "-lms", &PERIOD.as_millis().to_string()]);
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.ok()?;
    let output = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut seen = Nvidia::default();
        BufReader::new(output).lines().map_while(Result::ok).for_each(|line| seen.take(&line));
        seen
    });
    Some((child, reader))
}

impl Nvidia {
    /// Reads a line such as `1980, 2619, 0x0000000000000004`.
    fn take(&mut self, line: &str) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [gpu, memory, reasons] = fields[..] else { return };
        self.gpu.extend(gpu.parse::<f64>());
        self.memory.extend(memory.parse::<f64>());
        let bits = reasons.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        for (_, reason) in REASONS.iter().filter(|(bit, _)| bits & bit != 0) {
            if self.reasons.iter().all(|known| known != reason) {
                self.reasons.push((*reason).to_owned());
            }
        }
    }
}

impl Counters {
    fn now() -> Self {
        let mut counters = std::fs::read_to_string("/proc/stat").map(|text| Self::of_stat(&text)).unwrap_or_default();
        let throttled = |core: usize| {
            let path = format!("/sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count");
            std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
        };
        counters.hot = (0..).map_while(throttled).sum();
        counters
    }

    /// The first line of Linux's `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
    fn of_stat(text: &str) -> Self {
        let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let moments: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
        Self { all: moments.iter().sum(), stolen: moments.get(7).copied().unwrap_or(0), hot: 0 }
    }

    fn since(self, before: Self) -> Vec<String> {
        let mut said = Vec::new();
        let all = self.all.saturating_sub(before.all);
        let share = self.stolen.saturating_sub(before.stolen) as f64 / all.max(1) as f64;
        if share > STOLEN {
            said.push(format!("the hypervisor took {:.0} % of the processor's time", 100.0 * share));
        }
        if self.hot > before.hot {
            said.push("the processor's heat".into());
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systems_say_is_read() {
        assert_eq!(cpuinfo("processor : 0\ncpu MHz\t\t: 2445.404\n"), Some(2445.404));
        assert_eq!(starred("0: 500Mhz \n1: 2100Mhz *\n"), Some(2100.0));
        assert_eq!((starred("0: 500Mhz"), cpuinfo("")), (None, None));
        let mut nvidia = Nvidia::default();
        for line in ["1980, 2619, 0x0000000000000000", "345, 2619, 0x0000000000000024", "345, 2619, 0x4", "[N/A]"] {
            nvidia.take(line);
        }
        assert_eq!((nvidia.gpu.clone(), nvidia.memory.len()), (vec![1980.0, 345.0, 345.0], 3));
        assert_eq!(
            nvidia.reasons,
            [REASONS[2].1, REASONS[0].1].map(str::to_owned).into_iter().rev().collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_others_took_is_told() {
        let before = Counters::of_stat("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3");
        let after = Counters { hot: 1, ..Counters::of_stat("cpu  150 0 100 1640 0 0 0 110 0 0") };
        assert_eq!(after.since(before), ["the hypervisor took 11 % of the processor's time", "the processor's heat"]);
        assert!(before.since(before).is_empty());
    }

    #[test]
    fn a_watch_ends() {
        let seen = Watch::begin("an adapter").end();
        assert!(seen.clocks.is_none_or(|clocks| clocks.processor_mhz.is_some_and(|mhz| mhz.min > 0.0)));
    }
}
