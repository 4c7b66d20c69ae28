//! Every integration test, in one program: it is linked once, its tests share one device, and it runs alone on a machine
//! without Rust (`cargo xtask gpu-record`). `cargo test --test all goldens` runs those of `goldens.rs`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod activations;
mod bounds;
mod choice;
mod choice_records;
mod common;
mod configs;
mod connectivity;
mod convolutions;
#[cfg(feature = "cpu")]
mod cpu;
mod destroyed;
mod determinism;
mod errors;
mod f16;
mod faults;
mod fused;
mod goldens;
mod graphs;
mod keras_operations;
mod limits;
mod long;
mod losses;
mod modes;
mod numbers;
mod operations;
mod pipelines;
mod pool;
mod programs;
mod properties;
mod random;
mod ranges;
mod rearrange;
mod shaders;
mod sharing;
mod timing;
mod train;
#[cfg(feature = "cpu")]
mod training;
mod updates;
mod variants;
mod waiting;
mod written;
