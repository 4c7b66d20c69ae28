//! `y = limit / max(norm, limit)`.

use super::prelude::*;

kernel! {
    /// The factor that clips gradients by their norm.
    ClipScale: "clip_scale", [Read, Write],
    /// Whether the norm is that of all gradients.
    global: bool in [false, true]
}

impl Kernel for ClipScale {
    fn work(&self, _: &Params, _: Loads) -> Work {
        Work { threads: 1.0, operations: 1.0, bytes: 8.0, ..Work::default() }
    }
}
