//! What the tests share: the fixtures that real Keras wrote, and how arrays are compared.

#[path = "../../src/tests/deflated.rs"]
pub(crate) mod deflated;
/// As the library's tests compare.
#[path = "../../../tests/common/near.rs"]
mod near;

#[expect(dead_code, reason = "the library's tests need more of it")]
#[path = "../../../tests/common/planned.rs"]
mod planned;
#[path = "../../../tests/common/programs.rs"]
mod programs;

pub(crate) use near::{assert_near, disagreement};
pub(crate) use planned::Planned;
pub(crate) use programs::{Arrays, Given, ProgramRun};

use locally_connected::headless::Gpu;
use locally_connected::{Context, DeviceProfile};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The adapter under test; without one every test fails.
pub(crate) static GPU: LazyLock<Gpu> = LazyLock::new(|| pollster::block_on(Gpu::new()).expect("tests need an adapter"));

/// The real limits of the adapter under test.
pub(crate) fn profile() -> DeviceProfile {
    GPU.context().profile().clone()
}

/// A context on the shared device whose planner sees `profile`.
pub(crate) fn context(profile: &DeviceProfile) -> Context {
    GPU.context().planning_with(profile.clone())
}

/// Values in -1..1 from a seed, in no order.
pub(crate) fn random(seed: u64, count: u64) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// A file or folder of `tests/fixtures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}
