//! What the tests share: the fixtures that real Keras wrote, and how arrays are compared.

/// As the library's tests compare.
#[expect(dead_code, reason = "the library's tests need more of it")]
#[path = "../../../tests/common/near.rs"]
mod near;

pub(crate) use near::disagreement;

use std::path::{Path, PathBuf};

/// A file or folder of `tests/fixtures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}
