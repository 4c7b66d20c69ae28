//! Whatever a comment, a page or a message cites is in this repository: pages (`docs/cli.md`), their sections
//! (`docs/keras-semantics.md §4`), files and folders (`src/plan/cost.rs`).

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// What is ours to read: neither what builds leave nor data.
const SKIPPED: [&str; 9] =
    [".git", ".gpu-record", ".venv", "node_modules", "target", "tests/fixtures", "tests/data", "benches/record", BUILT];
/// Names of texts end so.
const TEXTS: [&str; 12] =
    [".css", ".html", ".js", ".md", ".mjs", ".py", ".rs", ".toml", ".ts", ".wgsl", ".yml", "README"];
/// The repository's folders, as a cited path begins.
const FOLDERS: [&str; 10] =
    ["benches/", "cli/", "docs/", "examples/", "keras/", "shaders/", "src/", "tests/", "web/", "xtask/"];
/// The folder that the web package is built in.
const BUILT: &str = "dist";
/// What was so at its time needn't be any more.
const HISTORY: &str = "CHANGELOG.md";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts below the repository's root, by their paths in it.
fn texts() -> Vec<(String, String)> {
    let (mut texts, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("UTF-8");
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if SKIPPED.contains(&name.as_str()) || SKIPPED.contains(&path.as_str()) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(path);
            } else if TEXTS.iter().any(|ending| name.ends_with(ending)) {
                texts.push((path, std::fs::read_to_string(entry.path()).expect("UTF-8")));
            }
        }
    }
    texts
}

/// Whether a path may have this character.
fn in_path(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-./".contains(character)
}

/// The paths and sections in a line, in its order: `docs/cli.md`, `§4`. What has a placeholder or is an address is none.
fn cited(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in line.split_whitespace().filter(|word| !word.contains("://")) {
        let mut rest = word;
        while let Some(start) = rest.find(|c| in_path(c) || c == '§') {
            let (before, piece) = rest.split_at(start);
            let mark = if piece.starts_with('§') { '§'.len_utf8() } else { 0 };
            let end = piece[mark..].find(|c| !in_path(c)).map_or(piece.len(), |end| mark + end);
            let (piece, after) = piece.split_at(end);
            let pattern = |c: char| "<>*{}…$@~%".contains(c);
            // What a build leaves is there after it alone.
            let built = piece.split('/').any(|part| part == BUILT);
            if !built && !before.ends_with(pattern) && !after.starts_with(pattern) {
                found.push(piece.trim_end_matches(['.', '/', '-']));
            }
            rest = after;
        }
    }
    found
}

/// Pages are named in words; records by their day.
fn is_page(cited: &str) -> bool {
    let name = cited.rsplit_once('/').map_or(cited, |(_, name)| name);
    name.strip_suffix(".md").is_some_and(|stem| stem.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a page has a heading of this section: `## §4 Kernel layouts`.
fn has_section(page: &str, section: &str) -> bool {
    page.lines().any(|line| line.starts_with('#') && line.split_whitespace().nth(1) == Some(section))
}

/// What a text cites and isn't there. `read` gives a page, `exists` says whether there is a file or folder.
fn missing(
    path: &str,
    text: &str,
    read: &dyn Fn(&str) -> Option<String>,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    // A crate's own files are cited from its root, too.
    let crate_root = path.split_once('/').map_or("", |(first, _)| first);
    let places = |cited: &str| {
        [String::new(), format!("{folder}/"), format!("{crate_root}/")].map(|place| {
            let whole = format!("{place}{cited}");
            whole.trim_start_matches('/').to_owned()
        })
    };
    let prose = path.ends_with(".md");
    let mut missing = Vec::new();
    // The page that was cited last, and the line. A page's own sections need no name.
    let mut last: Option<(usize, String)> = None;
    for (line, number) in text.lines().zip(1..) {
        let comment = line.trim_start().starts_with("//") || line.trim_start().starts_with('#');
        for cited in cited(line) {
            let fault = if cited.starts_with('§') {
                let of = last.as_ref().filter(|(at, _)| at + 1 >= number).map(|(_, page)| page.as_str());
                match of.or(prose.then_some(path)) {
                    None => Some(format!("{cited} is of no page: say docs/PAGE.md {cited}")),
                    Some(page) => {
                        let there = read(page).is_some_and(|text| has_section(&text, cited));
                        (!there).then(|| format!("{page} has no {cited}"))
                    }
                }
            } else if is_page(cited) {
                let found = places(cited).into_iter().find(|place| exists(place));
                last = Some((number, found.clone().unwrap_or_else(|| cited.to_owned())));
                found.is_none().then(|| format!("there is no page {cited}"))
            } else if (prose || comment) && FOLDERS.iter().any(|folder| cited.starts_with(folder)) {
                let found = places(cited).iter().any(|place| exists(place));
                (!found).then(|| format!("there is no {cited}"))
            } else {
                None
            };
            missing.extend(fault.map(|fault| format!("{path}:{number}: {fault}")));
        }
    }
    missing
}

#[test]
fn what_is_cited_is_here() {
    let read = |page: &str| std::fs::read_to_string(root().join(page)).ok();
    let exists = |path: &str| root().join(path).exists();
    let texts = texts();
    assert!(texts.len() > 100, "hardly a text was found");
    let texts =
        texts.iter().filter(|(path, _)| !path.ends_with(HISTORY) && !path.starts_with("xtask/tests/citations/"));
    let missing: Vec<String> = texts.flat_map(|(path, text)| missing(path, text, &read, &exists)).collect();
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn what_is_missing_is_found() {
    let read = |page: &str| (page == "docs/a-page.md").then(|| "# A page\n\n## §1 One\n\n### §10.2 Ten\n".to_owned());
    let exists = |path: &str| ["docs/a-page.md", "src/plan", "keras/src/npy.rs"].contains(&path);
    let missing = |path: &str, text: &str| missing(path, text, &read, &exists);
    for good in [
        "/// As docs/a-page.md §1 says, and §10.2.",
        "// docs/a-page.md\n// §1, which is there",
        "// `src/plan/` and src/<name>.rs; https://example.org/none.md; shaders/*.wgsl; tests/{a,b}.rs",
        "// `cargo xtask web` builds it in web/dist, and dist/README.md with it",
        "let path = \"src/none.rs\";",
    ] {
        assert_eq!(missing("src/lib.rs", good), [""; 0], "{good}");
    }
    assert_eq!(missing("keras/src/lib.rs", "// src/npy.rs and `docs/a-page.md`"), [""; 0]);
    assert_eq!(missing("docs/a-page.md", "as §1 has it; [here](a-page.md)"), [""; 0]);
    for (bad, fault) in [
        ("/// (docs/a-page.md §2)", "docs/a-page.md has no §2"),
        ("/// (a-page §1)", "§1 is of no page: say docs/PAGE.md §1"),
        ("// docs/a-page.md\n//\n// §1", "§1 is of no page: say docs/PAGE.md §1"),
        ("/// See docs/none.md.", "there is no page docs/none.md"),
        ("eprintln!(\"see none.md\");", "there is no page none.md"),
        ("// As in src/none.rs.", "there is no src/none.rs"),
    ] {
        let found = missing("src/lib.rs", bad);
        assert!(found.len() == 1 && found[0].ends_with(fault), "{bad}: {found:?}");
    }
}
