//! Every example of every crate is run: one that only compiles may say what isn't so.

use crate::apt;
use crate::sh::{self, Result};
use serde_json::Value;
use std::path::Path;

/// Builds and runs all examples, as `cargo test --workspace --all-features` has compiled them.
pub(crate) fn examples() -> Result {
    let mut metadata = sh::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version=1"]);
    let metadata = sh::capture(&mut metadata).ok_or("`cargo metadata` failed")?;
    let names = named(&metadata)?;
    if names.is_empty() {
        return Err("cargo names no example".into());
    }
    for name in names {
        println!("\nexample {name}");
        sh::run(&mut sh::example(&name)?)?;
    }
    if cfg!(target_os = "linux") { validated() } else { Ok(()) }
}

/// The example of a host's own Vulkan once more, under the validation layers: they must find nothing, and must find what is
/// wrong without its barriers.
fn validated() -> Result {
    const MANIFEST: &str = "vulkan/explicit_layer.d/VkLayer_khronos_validation.json";
    let there =
        || ["/usr/share", "/usr/local/share", "/etc"].iter().any(|root| Path::new(root).join(MANIFEST).is_file());
    if !there() {
        let elsewhere = "install Vulkan's validation layers (Fedora: `dnf install vulkan-validation-layers`; Arch: `pacman -S \
             vulkan-validation-layers`) and try again";
        apt::install("no Vulkan validation layers found", &["vulkan-validationlayers"], elsewhere)?;
    }
    for argument in ["--validate", "--without-barriers"] {
        println!("\nexample embed_vulkan {argument}");
        let mut example = sh::example("embed_vulkan")?;
        // The layers of 1.3.239, Debian 12's, look from submit to submit only when told so in this way.
        example.env("VK_LAYER_ENABLES", "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT");
        sh::run(example.arg(argument))?;
    }
    Ok(())
}

/// The names of all examples in cargo's words about the workspace.
fn named(metadata: &str) -> Result<Vec<String>> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|e| format!("`cargo metadata`: {e}"))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let targets = list(&metadata["packages"]).into_iter().flat_map(|package| list(&package["targets"]));
    let examples = targets.filter(|target| list(&target["kind"]).iter().any(|kind| kind == "example"));
    Ok(examples.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found() {
        let metadata = r#"{"packages": [{"targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["example"], "name": "b"}]},
                                        {"targets": [{"kind": ["example"], "name": "c"}]}]}"#;
        assert_eq!(named(metadata), Ok(vec!["b".to_owned(), "c".to_owned()]));
    }
}
