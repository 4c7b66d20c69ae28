//! An app of Rust in a browser: its own wgpu device on the browser's WebGPU, with layers on it. See this folder's README.

#![cfg(target_family = "wasm")]
#![forbid(unsafe_code)]

mod goldens;
mod host;

pub use host::App;
