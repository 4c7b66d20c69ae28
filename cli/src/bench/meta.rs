//! How a report came to be: the build, the call, the machine, and how fast its clocks ran.

use super::watch::{Clocks, Seen};
use locally_connected::wgpu;
use serde::Serialize;

/// The build, the call and the machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Meta {
    /// Name and version.
    #[serde(rename = "crate")]
    pub(crate) package: &'static str,
    /// The commit, with `-dirty` if the tree had changes; empty for a build from a package.
    pub(crate) commit: &'static str,
    /// The version of wgpu.
    pub(crate) wgpu: &'static str,
    /// Whether the build is optimised.
    pub(crate) optimised: bool,
    pub(crate) argv: Vec<String>,
    /// The time at which the run began.
    pub(crate) utc: String,
    pub(crate) processor: String,
    /// Threads that the processor can run at once.
    pub(crate) threads: usize,
    pub(crate) system: String,
}

/// What is particular to one adapter.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct DeviceMeta {
    pub(crate) driver: String,
    /// The features that the device was opened with; for the CPU executor its instructions.
    pub(crate) features: Vec<String>,
    pub(crate) cache: &'static str,
    /// None if they can't be read here.
    pub(crate) clocks: Option<Clocks>,
    /// What slowed the machine down meanwhile, in words; empty if nothing was seen.
    pub(crate) throttled: Vec<String>,
}

impl Meta {
    pub(crate) fn here() -> Self {
        Self {
            package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
            commit: env!("LOCALLY_COMMIT"),
            wgpu: env!("LOCALLY_WGPU"),
            optimised: !cfg!(debug_assertions),
            argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            utc: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            processor: processor(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

impl DeviceMeta {
    /// The same, with what was seen while it was measured.
    pub(crate) fn seen(mut self, seen: Seen) -> Self {
        (self.clocks, self.throttled) = (seen.clocks, seen.throttled);
        self
    }
}

/// The names of the features that a device was opened with.
pub(crate) fn features(device: &wgpu::Device) -> Vec<String> {
    device.features().iter_names().map(|(name, _)| name.to_owned()).collect()
}

/// The processor's name, or its architecture if the system doesn't give a name.
fn processor() -> String {
    let of_file = || {
        let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(':').map(|(_, name)| name.trim().to_owned())
    };
    let of_variable = || std::env::var("PROCESSOR_IDENTIFIER").ok();
    let of_program = || {
        let asked = std::process::Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        String::from_utf8(asked.stdout).ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
    };
    let of_mac = || if cfg!(target_os = "macos") { of_program() } else { None };
    of_file().or_else(of_variable).or_else(of_mac).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_and_the_machine_have_names() {
        let meta = Meta::here();
        assert!(meta.package.starts_with("locally-cli ") && meta.wgpu.starts_with("30."), "{meta:?}");
        assert!(!meta.processor.is_empty() && meta.utc.ends_with('Z') && meta.threads > 0, "{meta:?}");
    }
}
