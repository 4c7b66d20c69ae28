//! Writes the WGSL of every shader variant that the planner can ask for into a folder, with a list for browsers:
//! `cargo run --example shader_variants -- DIR`.

use locally_connected::plan::variants;
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: shader_variants DIR")?);
    std::fs::create_dir_all(&folder)?;
    let mut list = Vec::new();
    for variant in variants() {
        let name = variant.name();
        let file = format!("{name}.wgsl");
        std::fs::write(folder.join(&file), variant.wgsl())?;
        list.push(serde_json::json!({ "name": name, "file": file, "entry_point": "main", "constants": {} }));
    }
    std::fs::write(folder.join("variants.json"), serde_json::to_string_pretty(&list)?)?;
    println!("{} shader variants in {}", list.len(), folder.display());
    Ok(())
}
