//! Every variant of every kernel that a plan can ask for compiles on the adapter under test.

use crate::common::GPU;
use locally_connected::kernel::Variant;
use locally_connected::plan::variants;
use std::sync::Mutex;

/// A driver that refuses one is told with the kernel's name, in the words that `cargo xtask gpu-record` looks for.
#[test]
fn every_variant_compiles() {
    let waiting = Mutex::new(variants());
    let refused = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(variant): Option<Variant> = waiting.lock().expect("no panic").pop() else { return };
            if let Err(error) = pollster::block_on(GPU.context().compile(&[variant])) {
                refused.lock().expect("no panic").push(format!(
                    "[kernel {}] {}: {error}",
                    variant.kernel.info().name,
                    variant.name()
                ));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let refused = refused.into_inner().expect("no panic");
    assert!(
        refused.is_empty(),
        "{} of {} variants are refused:\n{}",
        refused.len(),
        variants().len(),
        refused.join("\n")
    );
}
