//! Kernels that only move memory.

/// What such a kernel does with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Copy,
}

/// A kernel of `mover.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mover {
    pub(super) access: Access,
    /// Values in a load or store: 1, 2 or 4.
    pub(super) width: u64,
    /// Loads or stores of a thread, all in flight at once.
    pub(super) each: u64,
}

/// Threads of a workgroup.
const THREADS: u64 = 256;

/// The WGSL type of so many values.
pub(super) fn unit(width: u64) -> String {
    if width == 1 { "f32".into() } else { format!("vec{width}<f32>") }
}

impl Mover {
    /// How many workgroups together move `bytes`, a power of two; none if a single one moves more.
    pub(super) fn workgroups(self, bytes: u64) -> Option<u64> {
        // A copy moves each byte twice: it reads and writes it.
        let bytes = if self.access == Access::Copy { bytes / 2 } else { bytes };
        let groups = bytes / (4 * self.width * self.each * THREADS);
        (groups > 0).then_some(groups)
    }

    pub(super) fn source(self) -> String {
        let each = |line: &dyn Fn(u64) -> String| (0..self.each).map(line).collect::<Vec<_>>().join("\n    ");
        let loads = each(&|i| format!("let v{i} = source[first + {i}u * THREADS];"));
        let body = match self.access {
            Access::Copy => {
                let stores = each(&|i| format!("written[first + {i}u * THREADS] = v{i};"));
                format!("{loads}\n    {stores}")
            }
            Access::Read => {
                let sum = (0..self.each).map(|i| format!("v{i}")).collect::<Vec<_>>().join(" + ");
                // The buffer never has this value, but the compiler can't know.
                format!("{loads}\n    let sum = {sum};\n    if all(sum == Unit(1e30)) {{ written[first] = sum; }}")
            }
            Access::Write => {
                let stores = each(&|i| format!("written[first + {i}u * THREADS] = seed + Unit({i}.0);"));
                format!("let seed = source[0];\n    {stores}")
            }
        };
        let constants = format!("const EACH = {}u;\n", self.each);
        let text = include_str!("mover.wgsl").replace("UNIT", &unit(self.width)).replace("//!body", &body);
        constants + &text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movers_move_what_they_say() {
        let mover = |access, width, each| Mover { access, width, each };
        assert_eq!(mover(Access::Read, 4, 1).workgroups(1 << 20), Some(256));
        assert_eq!(mover(Access::Copy, 4, 1).workgroups(1 << 20), Some(128));
        assert_eq!(mover(Access::Write, 4, 16).workgroups(1 << 12), None);
        let source = mover(Access::Copy, 2, 4).source();
        assert_eq!((source.matches("let v").count(), source.matches("written[first").count()), (4, 4));
        assert!(source.contains("alias Unit = vec2<f32>;") && !source.contains("//!body"));
    }
}
