//! Programs as they pass from one module to another, all three being of one build.

use crate::error::{Result, thrown};
#[cfg(any(feature = "core", feature = "keras"))]
use locally_connected::ops::{Buffer, Usage};
use locally_connected::program::Program;

#[cfg(any(feature = "core", feature = "cpu"))]
pub(crate) fn read(program: &[u8]) -> Result<Program> {
    postcard::from_bytes(program).map_err(|error| thrown("internal", format!("a program of another build: {error}")))
}

#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn write(program: &Program) -> Result<Vec<u8>> {
    postcard::to_allocvec(program).map_err(|error| thrown("internal", error))
}

/// The program with what these layers give, a name on each line, as outputs: [`output_of`] names them.
#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn keeping(mut program: Program, layers: &str) -> Result<Program> {
    for layer in layers.lines() {
        let name = output_of(&program, layer)?;
        program.buffers.iter_mut().filter(|buffer| buffer.name == name).for_each(|buffer| buffer.usage = Usage::Output);
    }
    Ok(program)
}

/// The name of the buffer that a layer's output is in: `<layer>/output`, or the model's own output that it gives.
#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn output_of(program: &Program, layer: &str) -> Result<String> {
    let of_layer = |buffer: &&Buffer| buffer.layer.as_deref() == Some(layer);
    let name = format!("{layer}/output");
    let inside = program.used_as(Usage::Scratch).chain(program.used_as(Usage::Output));
    let inside = inside.filter(of_layer).find(|buffer| buffer.name == name);
    let found = inside.or_else(|| program.used_as(Usage::Output).find(of_layer));
    found
        .map(|buffer| buffer.name.clone())
        .ok_or_else(|| thrown("argument", format!("no layer {layer:?} of this model computes anything of its own")))
}
