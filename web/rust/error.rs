//! What is thrown to JavaScript.

use locally_connected::Error;
use std::fmt::Display;
use wasm_bindgen::JsValue;

/// Results as wasm-bindgen throws them.
pub(crate) type Result<T> = std::result::Result<T, JsValue>;

/// `kind`, a line feed and the message: the TypeScript makes an error object of it (`web/src/errors.ts`).
pub(crate) fn thrown(kind: &str, message: impl Display) -> JsValue {
    JsValue::from_str(&format!("{kind}\n{message}"))
}

/// What a module doesn't understand of another. The format's own words for it would be half a kilobyte of each module.
#[cfg(any(feature = "train", feature = "cpu", feature = "save", test))]
pub(crate) fn of_another_build(what: &str) -> JsValue {
    thrown("internal", format_args!("{what} of another build"))
}

/// What can't be put into bytes for another module.
#[cfg(any(feature = "core", feature = "keras"))]
pub(crate) fn unwritten() -> JsValue {
    thrown("internal", "no bytes")
}

/// An error of the library's.
#[cfg(any(feature = "core", feature = "cpu"))]
pub(crate) fn of_library(error: Error) -> JsValue {
    thrown(kind(&error), &error)
}

/// An error of a file.
#[cfg(any(feature = "keras", feature = "save"))]
pub(crate) fn of_keras(error: locally_connected_keras::Error) -> JsValue {
    let kind = match &error {
        locally_connected_keras::Error::Core(error) => kind(error),
        locally_connected_keras::Error::UnsupportedLayers(_) => "unsupported",
        _ => "file",
    };
    thrown(kind, error)
}

/// By which a page tells errors apart.
pub(crate) fn kind(error: &Error) -> &'static str {
    match error.cause() {
        Error::Limit { .. } | Error::OverBudget { .. } | Error::TooLarge { .. } => "limit",
        Error::OutOfMemory { .. } => "out-of-memory",
        Error::Length { .. } | Error::Shape { .. } | Error::InputRank { .. } | Error::InputAxis { .. } => "shape",
        Error::EmptyOutput { .. } => "shape",
        Error::Unsupported { .. } | Error::PaddingNeedsOtherLayout { .. } => "unsupported",
        Error::NoKernel { .. } | Error::Program { .. } | Error::Shader { .. } => "internal",
        // Whatever else a pure computation refuses is an argument's value.
        _ => "argument",
    }
}
