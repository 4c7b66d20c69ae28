//! Programs as they pass from one module to another, all three being of one build.

use crate::error::{Result, thrown};
#[cfg(any(feature = "core", feature = "keras"))]
use locally_connected::ops::Buffer;
use locally_connected::program::Program;

#[cfg(any(feature = "core", feature = "cpu"))]
pub(crate) fn read(program: &[u8]) -> Result<Program> {
    postcard::from_bytes(program).map_err(|error| thrown("internal", format!("a program of another build: {error}")))
}

#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn write(program: &Program) -> Result<Vec<u8>> {
    postcard::to_allocvec(program).map_err(|error| thrown("internal", error))
}

/// The program with what these layers give, a name on each line, as outputs named `<layer>/output`. The last layer's is
/// `output` as it was.
#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn keeping(mut program: Program, layers: &str) -> Result<Program> {
    use locally_connected::ops::Usage;
    for layer in layers.lines() {
        let of_layer = |usage, buffer: &Buffer| buffer.usage == usage && buffer.layer.as_deref() == Some(layer);
        let name = format!("{layer}/output");
        let inside = program.buffers.iter_mut().find(|buffer| of_layer(Usage::Scratch, buffer) && buffer.name == name);
        if let Some(buffer) = inside {
            buffer.usage = Usage::Output;
        } else if !program.buffers.iter().any(|buffer| of_layer(Usage::Output, buffer)) {
            let why = format!("no layer {layer:?} of this model computes anything of its own");
            return Err(thrown("argument", why));
        }
    }
    Ok(program)
}
