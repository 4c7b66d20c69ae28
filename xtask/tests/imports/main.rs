//! Imports run one way: no circle of files in any crate of ours, and in the library only the arrows listed here.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod graph;

use graph::{Graph, Sources};
use std::collections::BTreeSet;
use std::path::Path;

/// The library's rooms, files or folders of `src`, from the bottom up, each with those that it may take from. All may
/// take errors.
const ROOMS: [(&str, &[&str]); 16] = [
    ("error", &[]),
    ("hash", &[]),
    ("room", &[]),
    ("config", &[]),
    ("geometry", &["config", "room"]),
    ("ops", &["config", "geometry"]),
    ("program", &["config", "ops"]),
    ("model", &["config", "geometry", "hash", "ops", "program"]),
    ("train", &["config", "geometry", "model", "ops", "program"]),
    ("reference", &["config", "geometry", "model", "ops", "program"]),
    ("cpu", &["config", "geometry", "ops", "program", "room", "train"]),
    ("kernels", &["config", "geometry", "room"]),
    ("plan", &["config", "geometry", "hash", "kernels", "ops", "program"]),
    ("gpu", &["config", "geometry", "hash", "kernels", "model", "ops", "plan", "program", "room"]),
    ("headless", &["config", "cpu", "geometry", "gpu", "model", "ops", "program", "room", "train"]),
    ("tune", &["config", "geometry", "gpu", "model", "ops", "plan", "program"]),
];

/// Other crates that only some rooms may name: what needs a device, threads or a processor's instructions.
const OUTSIDE: [(&str, &[&str]); 6] = [
    ("wgpu", &["gpu", "headless", "tune"]),
    ("futures_intrusive", &["gpu", "tune"]),
    ("web_time", &["tune"]),
    ("libm", &["cpu", "train"]),
    ("pulp", &["cpu"]),
    ("rayon", &["cpu"]),
];

/// The sources in `folder` of the repository, by their paths in it.
fn sources(folder: &str) -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut sources, mut folders) = (Sources::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{folder}/{}", entry.file_name().to_str().expect("UTF-8"));
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.ends_with(".rs") {
                sources.insert(path, std::fs::read_to_string(entry.path()).expect("UTF-8"));
            }
        }
    }
    sources
}

/// `src/plan/cost.rs` is in the room `plan`, `src/tune.rs` in `tune`.
fn room(file: &str) -> &str {
    let inner = file.strip_prefix("src/").expect("a file of the library");
    inner.split('/').next().map(|room| room.strip_suffix(".rs").unwrap_or(room)).expect("a name")
}

/// What the library's files take against the lists above.
fn forbidden(graph: &Graph) -> Vec<String> {
    let mut forbidden = Vec::new();
    for (from, to, names) in graph.arrows.iter().flat_map(|(from, to)| to.iter().map(move |(to, n)| (from, to, n))) {
        let (room_from, room_to) = (room(from), room(to));
        let (_, may) = ROOMS.iter().find(|(room, _)| *room == room_from).unwrap_or_else(|| {
            panic!("{from} is in no room of the list: say there what it may take from");
        });
        if room_from != room_to && room_to != "error" && !may.contains(&room_to) {
            forbidden.push(format!("{from} takes {names:?} from {to}: {room_from} may take from {may:?} only"));
        }
    }
    for (file, names) in &graph.outside {
        for (name, rooms) in
            OUTSIDE.iter().filter(|(name, rooms)| names.contains(*name) && !rooms.contains(&room(file)))
        {
            forbidden.push(format!("{file} names the crate {name}: {rooms:?} may only"));
        }
    }
    forbidden
}

#[test]
fn no_circle_of_files() {
    for (folder, root) in [
        ("src", "lib.rs"),
        ("keras/src", "lib.rs"),
        ("cli/src", "main.rs"),
        ("web/rust", "lib.rs"),
        ("xtask/src", "main.rs"),
        ("xtask/tools/src/net", "main.rs"),
        ("tests", "all.rs"),
        ("xtask/tests/imports", "main.rs"),
    ] {
        let sources = sources(folder);
        let graph = Graph::new(&sources, &format!("{folder}/{root}"));
        assert!(2 * graph.arrows.len() >= sources.len(), "hardly an import was found in {folder}");
        assert_eq!(graph.circle(), None);
    }
}

/// What only some rooms may do: make bind groups, submit.
const DEEDS: [(&str, &[&str]); 2] = [(".create_bind_group(", &["gpu"]), (".submit(", &["headless", "tune"])];

#[test]
fn only_listed_rooms_bind_and_submit() {
    for (deed, rooms) in DEEDS {
        let does = |(_, text): &(String, String)| {
            text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(deed))
        };
        let doers: BTreeSet<String> =
            sources("src").into_iter().filter(does).map(|(file, _)| room(&file).to_owned()).collect();
        assert_eq!(doers.iter().map(String::as_str).collect::<Vec<_>>(), rooms, "{deed}");
    }
}

#[test]
fn only_listed_arrows() {
    let graph = Graph::new(&sources("src"), "src/lib.rs");
    assert_eq!(forbidden(&graph), [""; 0]);
    // Nothing is listed that isn't so.
    let taken = |from: &str, to: &str| {
        graph.arrows.iter().any(|(file, others)| room(file) == from && others.keys().any(|other| room(other) == to))
    };
    for (from, rooms) in ROOMS {
        let unused: Vec<_> = rooms.iter().filter(|to| !taken(from, to)).collect();
        assert!(unused.is_empty(), "{from} takes nothing from {unused:?}");
    }
    for (name, rooms) in OUTSIDE {
        let users: BTreeSet<_> =
            graph.outside.iter().filter(|(_, names)| names.contains(name)).map(|(file, _)| room(file)).collect();
        assert_eq!(users, rooms.iter().copied().collect(), "users of {name}");
    }
}

/// Files become descriptions without a device: that wgpu isn't even built is `cargo xtask test`'s step `features`.
#[test]
fn keras_names_no_device() {
    let graph = Graph::new(&sources("keras/src"), "keras/src/lib.rs");
    let named = |name: &str| graph.outside.values().any(|names| names.contains(name));
    assert!(named("locally_connected") && !named("wgpu") && !named("pollster"), "{:?}", graph.outside);
}

/// A library of four files: what `plan` has is changed by the cases.
fn library(plan: &str) -> Graph {
    let files = [
        ("src/lib.rs", "pub mod config; pub mod plan; pub mod gpu; pub use gpu::Context;"),
        ("src/config.rs", "pub struct Config;"),
        ("src/gpu/mod.rs", "mod context; pub use context::Context;"),
        ("src/gpu/context.rs", "use crate::plan::Planner; pub struct Context(wgpu::Device, Planner);"),
        ("src/plan.rs", plan),
    ];
    Graph::new(&files.map(|(path, text)| (path.to_owned(), text.to_owned())).into(), "src/lib.rs")
}

#[test]
fn circles_and_forbidden_arrows_are_found() {
    let fine = library("use crate::config::{self, Config}; pub struct Planner(Config); fn f() -> config::Config {}");
    assert_eq!((fine.circle(), forbidden(&fine)), (None, vec![]));
    let circle = "src/gpu/context.rs takes {\"Planner\"} from src/plan.rs; \
                  src/plan.rs takes {\"Context\"} from src/gpu/context.rs";
    for way in [
        "use crate::Context; pub struct Planner(Context);",
        "use super::gpu::*; pub struct Planner; fn f() { g(gpu::Context) } mod gpu { pub use crate::gpu::Context; }",
        "pub struct Planner; fn f() { vec![crate::gpu::Context::new()] }",
        "pub struct Planner; impl Planner { fn f(&self, _: &super::gpu::Context) {} }",
        "use crate::gpu as device; pub struct Planner { f: Option<device::Context> }",
    ] {
        let graph = library(way);
        assert_eq!(graph.circle().as_deref(), Some(circle), "{way}");
        assert_eq!(forbidden(&graph).len(), 1, "{way}");
    }
    for way in ["use wgpu::Limits; pub struct Planner;", "pub struct Planner; fn f(_: &wgpu::Limits) {}"] {
        assert_eq!(
            forbidden(&library(way)),
            ["src/plan.rs names the crate wgpu: [\"gpu\", \"headless\", \"tune\"] may only"]
        );
    }
    let tests = "pub struct Planner; #[cfg(test)] mod tests { use crate::gpu::Context; }";
    assert_eq!(library(tests).circle(), None);
}
