//! What would be published: each crate packed, built from what its package holds, and all but uploaded.

use crate::sh::{self, Result};

/// Our crates that others may take, each with files that its package must hold, beside licences and its README.
pub(crate) const CRATES: [(&str, &[&str]); 3] = [
    ("locally-connected", &["ARCHITECTURE.md", "CHANGELOG.md", "src/lib.rs"]),
    ("locally-connected-keras", &["src/lib.rs"]),
    ("locally-cli", &["src/main.rs"]),
];
const ALWAYS: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];
/// What only this repository is for.
const NEVER: [&str; 5] = ["benches/", "target/", "tests/", "web/", "xtask/"];

/// Nothing is uploaded. Crates that none has published yet are found by cargo among those it has packed.
pub(crate) fn package() -> Result {
    for (name, files) in CRATES {
        let mut list = sh::cargo();
        list.args(["package", "--list", "--allow-dirty", "--package", name]);
        let list = sh::capture(&mut list).ok_or_else(|| format!("`{}` failed", sh::shown(&list)))?;
        let paths: Vec<String> = list.lines().map(|path| path.replace('\\', "/")).collect();
        let mut wanted = ALWAYS.iter().chain(files);
        if let Some(missing) = wanted.find(|file| !paths.iter().any(|path| path == **file)) {
            return Err(format!("{name}'s package has no {missing}"));
        }
        cited_pages(name, &paths)?;
        if let Some(path) = paths.iter().find(|path| NEVER.iter().any(|folder| path.starts_with(folder))) {
            return Err(format!("{name}'s package holds {path}"));
        }
    }
    licences_are_one()?;
    // As `cargo package`, and it asks whether these names and versions may be published, too.
    let mut publish = sh::cargo();
    publish.args(["publish", "--dry-run", "--all-features", "--allow-dirty"]);
    CRATES.iter().for_each(|(name, _)| _ = publish.args(["--package", name]));
    sh::run(&mut publish)
}

/// The root crate's documentation cites pages that come along.
fn cited_pages(name: &str, paths: &[String]) -> Result {
    if name != "locally-connected" {
        return Ok(());
    }
    let sources = paths.iter().filter(|path| path.starts_with("src/") || path.ends_with(".md"));
    for source in sources {
        let text = std::fs::read_to_string(sh::root().join(source)).map_err(|e| format!("{source}: {e}"))?;
        let pages = text.match_indices("docs/").filter_map(|(start, _)| {
            let page = text.get(start..)?.split(|c: char| !(c.is_ascii_alphanumeric() || "/_-.".contains(c))).next()?;
            page.trim_end_matches('.').ends_with(".md").then(|| page.trim_end_matches('.'))
        });
        if let Some(page) = pages.into_iter().find(|page| !paths.iter().any(|path| path == page)) {
            return Err(format!("{source} cites {page}, which {name}'s package doesn't hold"));
        }
    }
    Ok(())
}

/// Each crate's package has the licences' texts; links would not live on every system.
fn licences_are_one() -> Result {
    for file in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let text = |path: &str| std::fs::read(sh::root().join(path)).map_err(|e| format!("{path}: {e}"));
        let ours = text(file)?;
        for folder in ["cli", "keras"] {
            let copy = format!("{folder}/{file}");
            if text(&copy)? != ours {
                return Err(format!("{copy} is another text than {file}"));
            }
        }
    }
    Ok(())
}
