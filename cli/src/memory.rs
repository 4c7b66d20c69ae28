//! Checks the host's memory before it is filled: a process that the system kills can't say why.

use crate::failure::Failure;
use crate::format::bytes;
use locally_connected::ops::Usage;
use locally_connected::program::Program;

/// Refuses work that needs more memory than is free. If the system doesn't say how much is free, nothing is refused.
pub(crate) fn check(what: &str, needed: u64) -> Result<(), Failure> {
    match available() {
        Some(available) if needed > available => Err(Failure::machine(format!(
            "{what} needs about {} of memory, over the {} that are free",
            bytes(needed),
            bytes(available)
        ))),
        _ => Ok(()),
    }
}

/// Refuses to run a program on a batch that needs more memory than is free: for all outputs, and for what one sample takes on the way.
pub(crate) fn check_run(program: &Program, batch: usize) -> Result<(), Failure> {
    let batch = u32::try_from(batch).unwrap_or(u32::MAX);
    let outputs = program.used_as(Usage::Output).map(|buffer| buffer.bytes(batch));
    check("running the model", outputs.chain(program.sample_sizes()).fold(0, u64::saturating_add))
}

/// Free bytes on Linux, within the limits of a container.
pub(crate) fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let meminfo = read("/proc/meminfo")?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024);
    let limit = number("/sys/fs/cgroup/memory.max");
    let container = limit.zip(number("/sys/fs/cgroup/memory.current")).map(|(limit, used)| limit.saturating_sub(used));
    Some(container.map_or(free, |container| container.min(free)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_the_system() {
        assert!(check("nothing", 0).is_ok());
        if cfg!(target_os = "linux") {
            assert!(check("everything", u64::MAX).is_err());
        }
    }
}
