//! The bytes of files that `keras.rs` has put together.

use crate::error::{Result, of_keras};
use locally_connected_keras::FileParts;
use wasm_bindgen::prelude::wasm_bindgen;

/// The bytes of a file of these parts.
///
/// # Errors
/// For names that the format can't express.
#[wasm_bindgen(js_name = fileOf)]
pub fn file_of(parts: &[u8]) -> Result<Vec<u8>> {
    let parts: FileParts<'_> = postcard::from_bytes(parts).map_err(|_| crate::error::of_another_build("parts"))?;
    parts.into_bytes().map_err(of_keras)
}
