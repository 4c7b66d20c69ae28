//! One program for all targets; `FUZZ_TARGET` names one.

#![deny(unsafe_code)]
#![no_main]

use locally_fuzz::{Counting, Target};
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    Target::find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name}: there are {:?}", Target::names()))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.run(bytes));
