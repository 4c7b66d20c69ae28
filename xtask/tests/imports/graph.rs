//! Which file of a crate takes names from which other, read from the source.
//!
//! A name counts where it is defined: re-exports (`pub use`) are followed, so that a `mod.rs` which only lists what its
//! children define stands in nobody's way. Tests (`#[cfg(test)]`) are left out. Methods are not seen: they need no path.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

/// Sources of a crate by path.
pub(crate) type Sources = BTreeMap<String, String>;

/// What the files of a crate take from each other, and from other crates.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// By file, the files that it takes names from, and the names.
    pub(crate) arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// By file, the first names of paths that lead out of the crate.
    pub(crate) outside: BTreeMap<String, BTreeSet<String>>,
}

type Path = Vec<String>;

/// What a name in a module stands for.
enum Meaning {
    /// Something defined in the module's file, a nested module that is written out included.
    Here,
    /// A module in a file of its own, or what a `use` names; from the module that says so.
    There(Path),
}

struct Module {
    file: String,
    names: BTreeMap<String, Meaning>,
    globs: Vec<Path>,
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Path, Module>,
    /// Paths that code takes: from which module.
    taken: Vec<(Path, Path)>,
}

impl Graph {
    /// The graph of the crate whose root is the file `root`.
    pub(crate) fn new(sources: &Sources, root: &str) -> Self {
        let mut all = Crate::default();
        let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
        all.file(Place { sources, file: root, folder }, Vec::new());
        let mut graph = Self::default();
        for (module, path) in &all.taken {
            let Some(from) = all.modules.get(module).map(|module| module.file.clone()) else { continue };
            match all.find(module, path, 0) {
                Found::In(file, name) if file != from => {
                    graph.arrows.entry(from).or_default().entry(file).or_default().insert(name);
                }
                Found::In(..) | Found::Module => {}
                Found::Outside(name) => {
                    graph.outside.entry(from).or_default().insert(name);
                }
            }
        }
        graph
    }

    /// A circle of files, each with what it takes from the next; none where all arrows run one way.
    pub(crate) fn circle(&self) -> Option<String> {
        let mut done = BTreeSet::new();
        self.arrows.keys().find_map(|file| self.walk(file, &mut Vec::new(), &mut done))
    }

    fn walk<'a>(&'a self, file: &'a str, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> Option<String> {
        if let Some(start) = way.iter().position(|other| *other == file) {
            let circle: Vec<&str> = way[start..].iter().copied().chain([file]).collect();
            let arrow =
                |pair: &[&str]| format!("{} takes {:?} from {}", pair[0], self.arrows[pair[0]][pair[1]], pair[1]);
            return Some(circle.windows(2).map(arrow).collect::<Vec<_>>().join("; "));
        }
        if !done.contains(file) {
            way.push(file);
            for next in self.arrows.get(file).into_iter().flatten().map(|(next, _)| next) {
                if let Some(circle) = self.walk(next, way, done) {
                    return Some(circle);
                }
            }
            way.pop();
            done.insert(file);
        }
        None
    }
}

enum Found {
    /// Defined in this file, under this name.
    In(String, String),
    /// A module, from which nothing is named.
    Module,
    /// Another crate's.
    Outside(String),
}

/// Where a module's text is.
#[derive(Clone, Copy)]
struct Place<'a> {
    sources: &'a Sources,
    file: &'a str,
    /// That of the modules in it.
    folder: &'a str,
}

impl Crate {
    fn file(&mut self, place: Place<'_>, path: Path) {
        let Place { sources, file, .. } = place;
        let source = sources.get(file).unwrap_or_else(|| panic!("no file {file}"));
        let parsed = syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.module(place, path, &parsed.items);
    }

    fn module(&mut self, place: Place<'_>, path: Path, items: &[Item]) {
        let Place { sources, file, folder } = place;
        let mut module = Module { file: file.to_owned(), names: BTreeMap::new(), globs: Vec::new() };
        let (mut paths, mut passed_on) = (Paths::default(), BTreeSet::new());
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Use(item) => uses(&item.tree, Vec::new(), &mut |name, path| {
                    match (&item.vis, &name) {
                        (Visibility::Inherited, _) | (_, None) => paths.found.push(path.clone()),
                        (_, Some(name)) => drop(passed_on.insert(name.clone())),
                    }
                    match name {
                        // A macro of another crate's may have the name of a module.
                        Some(name) if module.names.contains_key(&name) && !is_ours(&path) => {}
                        Some(name) => drop(module.names.insert(name, Meaning::There(path))),
                        None => module.globs.push(path),
                    }
                }),
                Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let child: Path = path.iter().cloned().chain([name.clone()]).collect();
                    let inner = format!("{folder}/{name}");
                    match &item.content {
                        Some((_, items)) => self.module(Place { folder: &inner, ..place }, child, items),
                        None => {
                            let candidates = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
                            let found = candidates.iter().find(|file| sources.contains_key(*file));
                            let found = found.unwrap_or_else(|| panic!("{file}: no file of module {name}"));
                            self.file(Place { sources, file: found, folder: &inner }, child);
                        }
                    }
                    module.names.insert(name.clone(), Meaning::There(vec!["self".into(), name]));
                }
                item => {
                    if let Some(name) = defined(item) {
                        module.names.insert(name, Meaning::Here);
                    }
                    paths.visit_item(item);
                }
            }
        }
        // What is re-exported is taken only where the module itself names it.
        let taken = paths.found.into_iter().filter(|taken| taken.len() > 1 || passed_on.contains(&taken[0]));
        self.taken.extend(taken.map(|taken| (path.clone(), taken)));
        self.modules.insert(path, module);
    }

    /// Where `taken`, written in module `from`, is defined.
    fn find(&self, from: &Path, taken: &[String], depth: usize) -> Found {
        assert!(depth < 30, "{} in {} leads nowhere", taken.join("::"), from.join("::"));
        let outside = || Found::Outside(taken.first().cloned().unwrap_or_default());
        let (mut module, mut rest) = match taken.split_first() {
            Some((first, rest)) if first == "crate" => (Vec::new(), rest),
            Some((first, rest)) if first == "self" => (from.clone(), rest),
            Some((first, _)) if first == "super" => (from.clone(), taken),
            _ => {
                // A name of this module, or of another crate.
                let known = taken.first().and_then(|name| self.modules[from].names.get(name));
                if known.is_none() {
                    return outside();
                }
                (from.clone(), taken)
            }
        };
        while let Some((_, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
            module.pop();
            rest = after;
        }
        let Some((name, after)) = rest.split_first() else { return Found::Module };
        let Some(inner) = self.modules.get(&module) else { return outside() };
        match inner.names.get(name) {
            Some(Meaning::Here) => Found::In(inner.file.clone(), name.clone()),
            Some(Meaning::There(path)) if path.len() == 2 && path[0] == "self" && path[1] == *name => {
                let child: Path = module.iter().cloned().chain([name.clone()]).collect();
                if after.is_empty() {
                    return Found::Module;
                }
                let path: Path = std::iter::once("self".to_owned()).chain(after.iter().cloned()).collect();
                self.find(&child, &path, depth + 1)
            }
            // A crate, or a macro of its name that it has: `use proptest::prelude::proptest`.
            Some(Meaning::There(path)) if path.first() == Some(name) => Found::Outside(name.clone()),
            Some(Meaning::There(path)) => {
                let path: Path = path.iter().chain(after).cloned().collect();
                self.find(&module, &path, depth + 1)
            }
            // What a glob brings can't be told from what a macro defines: it is the file's own then.
            None => inner
                .globs
                .iter()
                .map(|glob| {
                    let path: Path = glob.iter().chain(rest).cloned().collect();
                    self.find(&module, &path, depth + 1)
                })
                .find(|found| matches!(found, Found::In(..)))
                .unwrap_or_else(|| Found::In(inner.file.clone(), name.clone())),
        }
    }
}

fn is_ours(path: &[String]) -> bool {
    path.first().is_some_and(|first| matches!(first.as_str(), "crate" | "self" | "super"))
}

/// Every leaf of a `use`: the name that it gives, none for a glob, and the path.
fn uses(tree: &UseTree, mut path: Path, each: &mut impl FnMut(Option<String>, Path)) {
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            uses(&tree.tree, path, each);
        }
        UseTree::Name(tree) if tree.ident == "self" => each(path.last().cloned(), path),
        UseTree::Name(tree) => {
            path.push(tree.ident.to_string());
            each(Some(tree.ident.to_string()), path);
        }
        UseTree::Rename(tree) => {
            if tree.ident != "self" {
                path.push(tree.ident.to_string());
            }
            each(Some(tree.rename.to_string()), path);
        }
        UseTree::Glob(_) => each(None, path),
        UseTree::Group(tree) => tree.items.iter().for_each(|item| uses(item, path.clone(), each)),
    }
}

/// The paths in code, those in macros' arguments included.
#[derive(Default)]
struct Paths {
    found: Vec<Path>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        uses(&item.tree, Vec::new(), &mut |_, path| self.found.push(path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }
}

impl Paths {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Path) {
        if !path.is_empty() {
            self.found.push(std::mem::take(path));
        }
    }
}

fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let argument = attribute.parse_args::<syn::Ident>();
        attribute.path().is_ident("cfg") && argument.is_ok_and(|ident| ident == "test")
    })
}

/// The name that an item defines.
fn defined(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}
