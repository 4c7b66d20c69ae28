//! Writes the WGSL of every shader variant that the planner can ask for into a folder, with a list for browsers:
//! `shader_variants DIR`, for `cargo xtask tint`. Of each kernel the shortest and the longest text are to become
//! pipelines too, of those that keep WebGPU's default limits. That takes a software driver up to a second each.

#![forbid(unsafe_code)]

use locally_connected::DeviceProfile;
use locally_connected::kernels::{Variant, variants};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: shader_variants DIR")?);
    std::fs::create_dir_all(&folder)?;
    let with_text = |variant: Variant| Ok((variant, variant.shader()?.wgsl));
    let variants = variants().into_iter().map(with_text).collect::<locally_connected::Result<Vec<_>>>()?;
    let fits = |variant: &Variant| variant.workgroup_memory() <= DeviceProfile::webgpu_defaults().max_workgroup_memory;
    let mut lengths = BTreeMap::<_, (usize, usize)>::new();
    for (variant, wgsl) in variants.iter().filter(|(variant, _)| fits(variant)) {
        let (least, most) =
            lengths.entry((variant.info().name, variant.constants().weights)).or_insert((usize::MAX, 0));
        (*least, *most) = (wgsl.len().min(*least), wgsl.len().max(*most));
    }
    let mut list = Vec::new();
    for (variant, wgsl) in &variants {
        let lengths = lengths.get(&(variant.info().name, variant.constants().weights));
        let pipeline = fits(variant) && lengths.is_some_and(|&(least, most)| [least, most].contains(&wgsl.len()));
        let (name, file) = (variant.name(), format!("{}.wgsl", variant.name()));
        std::fs::write(folder.join(&file), wgsl)?;
        list.push(serde_json::json!({
            "name": name, "file": file, "entry_point": "main", "constants": {}, "pipeline": pipeline
        }));
    }
    std::fs::write(folder.join("variants.json"), serde_json::to_string_pretty(&list)?)?;
    println!("{} shader variants in {}", list.len(), folder.display());
    Ok(())
}
