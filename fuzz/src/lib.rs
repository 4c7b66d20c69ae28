//! What hostile input is thrown at.
//!
//! A [`Target`] takes any bytes and must neither panic, nor hang, nor allocate more than [`Target::most`] says. libFuzzer finds such
//! bytes (`cargo xtask fuzz`, docs/fuzzing.md); `tests/corpus.rs` throws again all that it found worth keeping.

#![deny(missing_docs)]
#![deny(unsafe_code)]
#![expect(clippy::panic, reason = "a fuzzer is told of faults by panics")]

mod allocation;
mod asking;
mod configs;
mod files;
mod layers;
mod programs;
mod seeds;

pub use allocation::Counting;

/// Something that takes any bytes.
#[derive(Debug)]
pub struct Target {
    /// Its name, and its corpus's.
    pub name: &'static str,
    take: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    /// Most bytes that it may allocate whatever is given.
    most: usize,
}

/// JSON is kept as a tree, halves become whole floats, a file is written in other formats.
const MOST: usize = 32 << 20;
/// Where a device's bindings hold four kilobytes, a layer's plan has as many dispatches as that makes necessary.
const MOST_OF_LAYERS: usize = 512 << 20;

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "hdf5", take: files::hdf5, seeds: seeds::hdf5, most: MOST },
    Target { name: "keras", take: files::keras, seeds: seeds::keras, most: MOST },
    Target { name: "safetensors", take: files::safetensors, seeds: seeds::safetensors, most: MOST },
    Target { name: "weights", take: files::weights, seeds: seeds::weights, most: MOST },
    Target { name: "architecture", take: files::architecture, seeds: seeds::architecture, most: MOST },
    Target { name: "arrays", take: files::arrays, seeds: seeds::arrays, most: MOST },
    Target { name: "config", take: configs::take, seeds: seeds::config, most: MOST },
    Target { name: "layer", take: layers::take, seeds: seeds::layer, most: MOST_OF_LAYERS },
    Target { name: "program", take: programs::take, seeds: seeds::program, most: MOST },
];

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// All names.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        TARGETS.iter().map(|target| target.name).collect()
    }

    /// Throws `bytes` at it.
    ///
    /// # Panics
    /// Where it should not have; where more is allocated than [`Target::most`], if [`Counting`] is the program's allocator.
    pub fn run(&self, bytes: &[u8]) {
        let peak = allocation::peak(|| (self.take)(bytes));
        let most = self.most(bytes.len());
        assert!(peak <= most, "{}: {peak} bytes are allocated for {} given, over {most}", self.name, bytes.len());
    }

    /// Most bytes that may be allocated at once for so many given.
    #[must_use]
    pub fn most(&self, given: usize) -> usize {
        self.most + 200 * given
    }

    /// Inputs to begin with, made of the repository's fixtures.
    #[must_use]
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }
}
