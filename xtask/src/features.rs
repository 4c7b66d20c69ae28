//! What our libraries take along: no wgpu without the feature `gpu`, no backend but the host's with it.

use crate::sh::{self, Result};

/// Libraries with sets of features, each with the backends that wgpu has then; none where there is no wgpu.
const SETS: [(&str, &str, Option<&[&str]>); 9] = [
    ("locally-connected", "", None),
    ("locally-connected", "models", None),
    ("locally-connected", "cpu", None),
    ("locally-connected", "serde", None),
    ("locally-connected", "gpu", Some(&[])),
    // As in a host that has chosen a backend for its own wgpu.
    ("locally-connected", "gpu,wgpu/vulkan", Some(&["vulkan"])),
    ("locally-connected-keras", "", None),
    ("locally-connected-web", "core", None),
    ("locally-connected-web", "core,cpu,keras", None),
];

/// Features of wgpu that bring a backend.
const BACKENDS: [&str; 9] =
    ["angle", "dx12", "gles", "metal", "noop", "vulkan", "vulkan-portability", "webgl", "webgpu"];

pub(crate) fn features() -> Result {
    for (package, features, expected) in SETS {
        let library = ["--package", package, "--no-default-features", "--features", features];
        let mut tree = sh::cargo();
        tree.args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"]);
        let tree = sh::capture(tree.args(library)).ok_or("`cargo tree` failed")?;
        let found = backends(&tree);
        if found.as_deref() != expected {
            return Err(format!(
                "{package} with features [{features}]: wgpu's backends are {found:?}, not {expected:?}"
            ));
        }
    }
    Ok(())
}

/// Compiles the sets without wgpu on the host, natively: `wasm` and `web` compile such for browsers.
pub(crate) fn without_wgpu() -> Result {
    for (package, features, _) in SETS.iter().filter(|(.., wgpu)| wgpu.is_none()) {
        let library = ["--package", package, "--lib", "--no-default-features", "--features", features];
        sh::run(sh::cargo().arg("check").args(library))?;
    }
    Ok(())
}

/// The backends that wgpu is built with in a tree of packages with their features; none without wgpu.
fn backends(tree: &str) -> Option<Vec<&str>> {
    let wgpu = tree.lines().find(|line| line.starts_with("wgpu v"))?;
    let features = wgpu.split(' ').nth(2).unwrap_or_default();
    Some(features.split(',').filter(|feature| BACKENDS.contains(feature)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_found_in_a_tree() {
        let tree = "locally-connected v0.1.0 (/work) gpu\nwgpu-types v30.0.1 std\nwgpu v30.0.1 std,vulkan,wgsl\n";
        assert_eq!(backends(tree), Some(vec!["vulkan"]));
        assert_eq!(backends("wgpu v30.0.1 std,wgsl (*)\n"), Some(vec![]));
        assert_eq!(backends("wgpu-types v30.0.1 std\n"), None);
    }
}
