//! Every variant of every kernel that a plan can ask for compiles on the adapter under test.

use crate::common::GPU;
use locally_connected::Error;
use locally_connected::kernels::{Variant, variants};
use std::sync::Mutex;

/// What a driver refuses is named in the words that `cargo xtask gpu-record` looks for. It reads the other lines too: a
/// driver that crashes leaves a variant begun and not ended.
#[test]
fn every_variant_compiles() {
    let profile = GPU.context().profile();
    // Tiles that a device has no room for are not planned there.
    let fits = |variant: &Variant| {
        variant.threads() <= profile.max_threads() && variant.workgroup_memory() <= profile.max_workgroup_memory
    };
    let fitting: Vec<_> = variants().into_iter().filter(fits).collect();
    let count = fitting.len();
    let waiting = Mutex::new(fitting);
    let refused = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(variant): Option<Variant> = waiting.lock().expect("no panic").pop() else { return };
            let name = variant.name();
            println!("compiling {name}");
            match pollster::block_on(GPU.context().compile(&[variant])) {
                Ok(()) => println!("compiled {name}"),
                Err(Error::Shader { message, .. }) => {
                    println!("[kernel {name}] is refused: {message}");
                    refused.lock().expect("no panic").push(name);
                }
                // Nothing that a kernel could be blamed for.
                Err(error) => panic!("{name}: {error}"),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let refused = refused.into_inner().expect("no panic");
    assert!(refused.is_empty(), "of {count} variants, {} are refused: {refused:?}", refused.len());
}
