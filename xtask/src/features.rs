//! What our libraries take along: no wgpu without the feature `gpu`, no backend but the host's with it. And that each feature compiles
//! by itself.

use crate::package::CRATES;
use crate::sh::{self, Result};
use crate::steps::Steps;
use serde_json::Value;
use std::process::Command;

/// Libraries with sets of features, each with the backends that wgpu has then; none where there is no wgpu.
const SETS: [(&str, &str, Option<&[&str]>); 12] = [
    ("locally-connected", "", None),
    ("locally-connected", "models", None),
    ("locally-connected", "cpu", None),
    ("locally-connected", "serde", None),
    ("locally-connected", "gpu", Some(&[])),
    // As in a host that has chosen a backend for its own wgpu.
    ("locally-connected", "gpu,wgpu/vulkan", Some(&["vulkan"])),
    ("locally-connected", "headless", Some(&["dx12", "gles", "metal", "vulkan", "webgpu"])),
    ("locally-connected-keras", "", None),
    ("locally-connected-keras", "compiled", None),
    ("locally-connected-web", "core", None),
    ("locally-connected-web", "train", None),
    ("locally-connected-web", "core,cpu,keras,save", None),
];

/// What hosts take together; `test` compiles all features at once, and [`alone`] each by itself.
const TOGETHER: [(&str, &str); 3] = [
    ("locally-connected", "gpu,serde"),
    ("locally-connected", "cpu,headless"),
    ("locally-connected-web", "core,cpu,keras"),
];

/// The library of the npm package, which is built of features, too.
const WEB: &str = "locally-connected-web";

/// Features of wgpu that bring a backend.
const BACKENDS: [&str; 9] =
    ["angle", "dx12", "gles", "metal", "noop", "vulkan", "vulkan-portability", "webgl", "webgpu"];

pub(crate) fn features() -> Result {
    all_are_listed(&declared()?)?;
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

/// Compiles each feature by itself, and none of them: a library of ours for each, by clippy, natively; `wasm` and `web` compile some for
/// browsers. A feature that is added to a manifest is among them.
pub(crate) fn alone(steps: &mut Steps<'_>) -> Result {
    let declared = declared()?;
    let each = declared.iter().map(|(package, feature)| (package.as_str(), feature.as_str()));
    let mut sets: Vec<(&str, &str)> = vec![("locally-connected", ""), ("locally-connected-keras", "")];
    sets.extend(each.chain(TOGETHER));
    for (package, features) in sets {
        let name = if features.is_empty() { "no feature" } else { features };
        steps.step(&format!("{package} with {name}"), || lint(package, features))?;
    }
    Ok(())
}

fn lint(package: &str, features: &str) -> Result {
    let mut lint = sh::cargo();
    lint.args(["clippy", "--package", package, "--lib", "--no-default-features", "--features", features]);
    sh::run(lint.args(["--", "-D", "warnings"]))
}

/// All features of the packages that others take, but `default`, as the manifests have them.
fn declared() -> Result<Vec<(String, String)>> {
    let mut metadata: Command = sh::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version=1"]);
    let metadata = sh::capture(&mut metadata).ok_or("`cargo metadata` failed")?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| format!("`cargo metadata`: {error}"))?;
    let declared = features_of(&metadata);
    if declared.is_empty() { Err("`cargo metadata` names no feature".into()) } else { Ok(declared) }
}

fn features_of(metadata: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if name == WEB || CRATES.iter().any(|(ours, _)| *ours == name) {
            let features = package["features"].as_object().into_iter().flatten().map(|(feature, _)| feature);
            let features = features.filter(|feature| *feature != "default");
            all.extend(features.map(|feature| (name.to_owned(), feature.clone())));
        }
    }
    all
}

/// Of each feature it must be said which backends it brings.
fn all_are_listed(declared: &[(String, String)]) -> Result {
    let is_listed = |package: &str, feature: &str| {
        SETS.iter().any(|(of, features, _)| *of == package && features.split(',').any(|listed| listed == feature))
    };
    match declared.iter().find(|(package, feature)| !is_listed(package, feature)) {
        Some((package, feature)) => Err(format!("{package}'s feature {feature} is in no set of xtask/src/features.rs")),
        None => Ok(()),
    }
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
    fn a_feature_that_no_set_has_is_found() {
        let packages = r#"{"packages": [
            {"name": "locally-connected", "features": {"default": ["gpu"], "gpu": [], "cpu": []}},
            {"name": "other", "features": {"any": []}}
        ]}"#;
        let mut declared = features_of(&serde_json::from_str(packages).expect("JSON"));
        let own = |feature: &str| ("locally-connected".to_owned(), feature.to_owned());
        assert_eq!(declared, [own("gpu"), own("cpu")]);
        assert_eq!(all_are_listed(&declared), Ok(()));
        declared.push(own("new"));
        assert!(all_are_listed(&declared).is_err_and(|error| error.contains("new")));
    }

    #[test]
    fn backends_are_found_in_a_tree() {
        let tree = "locally-connected v0.1.0 (/work) gpu\nwgpu-types v30.0.1 std\nwgpu v30.0.1 std,vulkan,wgsl\n";
        assert_eq!(backends(tree), Some(vec!["vulkan"]));
        assert_eq!(backends("wgpu v30.0.1 std,wgsl (*)\n"), Some(vec![]));
        assert_eq!(backends("wgpu-types v30.0.1 std\n"), None);
    }
}
