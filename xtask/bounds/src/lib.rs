//! Runs the kernels of a written plan on naga's IR, invocation by invocation and without a device, and holds every access against its
//! binding. `tests/bounds.rs` says what for. It is a package of its own because it is compiled with optimisation where tests are not.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's tool, which fails by panicking")]

mod accesses;
mod arithmetic;
mod check;
mod column;
mod device;
mod expressions;
mod machine;
mod memory;

pub use check::{Found, Known, Shaders, check};
