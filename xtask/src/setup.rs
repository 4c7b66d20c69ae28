//! `cargo xtask setup`: a Vulkan loader and a driver that can give an adapter.

use crate::apt;
use crate::sh::{self, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const ELSEWHERE: &str = "install a Vulkan loader and a driver (Fedora: `dnf install vulkan-loader mesa-vulkan-drivers`; \
     Arch: `pacman -S vulkan-icd-loader vulkan-swrast`; Alpine: `apk add vulkan-loader mesa-vulkan-swrast`; \
     openSUSE: `zypper install libvulkan1 libvulkan_lvp`) and try again";

/// Makes sure that wgpu will find an adapter. Quick when all is there.
pub(crate) fn setup() -> Result {
    if !cfg!(target_os = "linux") {
        println!("setup: nothing to install, wgpu uses the system's own graphics (Metal, DX12)");
        return Ok(());
    }
    match vulkan() {
        Ok(drivers) => {
            println!("setup: Vulkan driver {}", drivers.join(", "));
            return Ok(());
        }
        Err(Missing::Forced(message)) => return Err(message),
        Err(Missing::Installable(missing)) => {
            apt::install(missing, &["mesa-vulkan-drivers", "libvulkan1"], ELSEWHERE)?;
        }
    }
    match vulkan() {
        Ok(drivers) => {
            println!("setup: Vulkan driver {}", drivers.join(", "));
            Ok(())
        }
        Err(Missing::Forced(message)) => Err(message),
        Err(Missing::Installable(missing)) => Err(format!("{missing}, even after installing mesa-vulkan-drivers")),
    }
}

enum Missing {
    /// A package helps.
    Installable(&'static str),
    /// The environment names drivers that are not there; no package helps.
    Forced(String),
}

/// The names of the drivers that can give an adapter.
fn vulkan() -> std::result::Result<Vec<String>, Missing> {
    let libraries = Libraries::known();
    if !libraries.has("libvulkan.so.1") {
        return Err(Missing::Installable("no Vulkan loader (libvulkan.so.1) found"));
    }
    let forced = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .into_iter()
        .find_map(|name| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?)));
    let gpu = has_gpu_node();
    let usable = |manifests: Vec<PathBuf>| {
        let mut names: Vec<String> = manifests
            .iter()
            .filter(|file| gives_adapter(file, gpu, &libraries))
            .map(|file| driver_name(file))
            .collect();
        names.sort();
        names.dedup();
        names
    };
    if let Some((name, value)) = forced {
        let drivers = usable(std::env::split_paths(&value).flat_map(|path| manifests_at(&path)).collect());
        return if drivers.is_empty() {
            Err(Missing::Forced(format!(
                "{name} is set to {}, which names no usable Vulkan driver: correct or unset it",
                value.to_string_lossy()
            )))
        } else {
            Ok(drivers)
        };
    }
    let drivers = usable(manifest_dirs().iter().flat_map(|dir| manifests_at(dir)).collect());
    if drivers.is_empty() { Err(Missing::Installable("no usable Vulkan driver found")) } else { Ok(drivers) }
}

/// The manifest of a driver for this processor, whether or not there is a device for it.
pub(crate) fn driver(name: &str) -> Option<PathBuf> {
    manifest_dirs().iter().flat_map(|dir| manifests_at(dir)).find(|file| {
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        driver_name(file) == name && for_this_processor(&file_name, std::env::consts::ARCH)
    })
}

/// Where the loader looks, as its documentation lists it.
fn manifest_dirs() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    let mut from_env = |name: &str, home: &str, default: &[&str]| {
        if let Some(dirs) = std::env::var_os(name).filter(|value| !value.is_empty()) {
            roots.extend(std::env::split_paths(&dirs));
        } else if let (false, Some(user)) = (home.is_empty(), std::env::var_os("HOME")) {
            roots.push(Path::new(&user).join(home));
        }
        roots.extend(default.iter().map(PathBuf::from));
    };
    from_env("XDG_CONFIG_HOME", ".config", &[]);
    from_env("XDG_CONFIG_DIRS", "", &["/etc/xdg", "/usr/local/etc", "/etc"]);
    from_env("XDG_DATA_HOME", ".local/share", &[]);
    from_env("XDG_DATA_DIRS", "", &["/usr/local/share", "/usr/share"]);
    roots.push("/run/opengl-driver/share".into()); // NixOS
    let mut dirs: Vec<PathBuf> = roots.into_iter().map(|root| root.join("vulkan/icd.d")).collect();
    if let Some(more) = std::env::var_os("VK_ADD_DRIVER_FILES") {
        dirs.extend(std::env::split_paths(&more));
    }
    dirs
}

/// A manifest itself, or those in a folder.
fn manifests_at(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return if path.is_file() { vec![path.to_path_buf()] } else { Vec::new() };
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .collect()
}

/// Whether a driver is for this processor, has its library, and has a device to drive (or needs none).
fn gives_adapter(manifest: &Path, gpu: bool, libraries: &Libraries) -> bool {
    let name = manifest.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !(for_this_processor(&name, std::env::consts::ARCH) && (gpu || is_software(&name))) {
        return false;
    }
    let library =
        std::fs::read_to_string(manifest).ok().and_then(|json| sh::json_string(&json, &["ICD", "library_path"]));
    match library {
        Some(library) if library.contains('/') => manifest.with_file_name(library).exists(),
        Some(library) => libraries.has(&library),
        None => false,
    }
}

fn is_software(name: &str) -> bool {
    ["lvp", "lavapipe", "swiftshader"].iter().any(|word| name.contains(word))
}

fn for_this_processor(name: &str, processor: &str) -> bool {
    let named = |word: &str| name.split('.').any(|part| part == word);
    let known = ["x86_64", "i686", "i386", "aarch64", "armhf", "armv7hl", "ppc64le", "riscv64"];
    named(processor) || !known.into_iter().any(named)
}

/// `/usr/share/vulkan/icd.d/lvp_icd.x86_64.json` is `lvp`.
fn driver_name(manifest: &Path) -> String {
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    stem.strip_suffix("_icd").unwrap_or(stem).to_owned()
}

/// A device file that a hardware driver would open: DRM render nodes, NVIDIA, WSL, Mali, Adreno.
fn has_gpu_node() -> bool {
    let any = |dir: &str, prefix: &str| {
        std::fs::read_dir(dir).is_ok_and(|mut entries| {
            entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(prefix)))
        })
    };
    let nvidia = (0..16).any(|i| Path::new(&format!("/dev/nvidia{i}")).exists());
    any("/dev/dri", "renderD")
        || nvidia
        || ["/dev/dxg", "/dev/mali0", "/dev/kgsl-3d0"].iter().any(|node| Path::new(node).exists())
}

/// The shared libraries that the dynamic linker would find.
struct Libraries {
    cache: String,
    dirs: Vec<PathBuf>,
}

impl Libraries {
    fn known() -> Self {
        let cache = ["/sbin/ldconfig", "/usr/sbin/ldconfig", "ldconfig"]
            .iter()
            .find_map(|ldconfig| sh::capture(Command::new(ldconfig).arg("-p")));
        let mut dirs: Vec<PathBuf> =
            std::env::var_os("LD_LIBRARY_PATH").iter().flat_map(std::env::split_paths).collect();
        dirs.extend(["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64"].map(PathBuf::from));
        dirs.push(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH).into());
        Self { cache: cache.unwrap_or_default(), dirs }
    }

    fn has(&self, library: &str) -> bool {
        self.cache.lines().any(|line| line.split_whitespace().next() == Some(library))
            || self.dirs.iter().any(|dir| dir.join(library).exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_of_other_processors_do_not_count() {
        assert!(for_this_processor("lvp_icd.x86_64.json", "x86_64"));
        assert!(for_this_processor("lvp_icd.json", "x86_64"));
        assert!(!for_this_processor("intel_icd.i686.json", "x86_64"));
        assert!(!for_this_processor("lvp_icd.x86_64.json", "aarch64"));
    }

    #[test]
    fn software_drivers_need_no_device() {
        assert!(is_software("lvp_icd.x86_64.json"));
        assert!(is_software("vk_swiftshader_icd.json"));
        assert!(!is_software("nvidia_icd.json"));
    }

    #[test]
    fn drivers_have_short_names() {
        assert_eq!(driver_name(Path::new("/usr/share/vulkan/icd.d/lvp_icd.x86_64.json")), "lvp");
        assert_eq!(driver_name(Path::new("/etc/vulkan/icd.d/nvidia_icd.json")), "nvidia");
    }
}
