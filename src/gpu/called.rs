//! How error messages name the buffers of a program, whose own names are paths.

use crate::Error;
use crate::model::layer_names;
use crate::ops::{Buffer, Usage};

/// A program's buffer in an error message: its layer, if it has one, and what it is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) what: &'static str,
    pub(super) name: &'a str,
    layer: Option<&'a str>,
}

impl<'a> Called<'a> {
    pub(super) fn new(buffer: &'a Buffer) -> Self {
        let (name, layer) = (buffer.name.as_str(), buffer.layer.as_deref());
        let own = name.rsplit('/').next().unwrap_or(name);
        let known = layer_names::ALL.into_iter().chain(["kernel", "grad_kernel"]).find(|known| *known == own);
        let usage = match buffer.usage {
            Usage::Input => "an input",
            Usage::Output => "an output",
            Usage::Parameter => "a parameter",
            Usage::State => "a state",
            Usage::Gradient => "a gradient",
            Usage::Scratch => "a value between operations",
        };
        Self { what: known.unwrap_or(usage), name, layer }
    }

    /// The error, with the buffer's layer in it.
    pub(super) fn blamed(&self, error: Error) -> Error {
        match self.layer {
            Some(layer) => error.in_layer(layer),
            None => error,
        }
    }
}
