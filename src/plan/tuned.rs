//! Measured choices as data: which way of running a pass was fastest, by device, layer, batch and pass. `tune()` makes
//! them, the planner goes by them.

use super::{DeviceProfile, Form};
use crate::config::Implementation;
use crate::geometry::Geometry;
use std::collections::BTreeMap;

/// Forward or backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Pass {
    /// Forward.
    Forward,
    /// Backward, whichever gradients are asked for.
    Backward,
}

/// A way to run a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Choice {
    /// How it is executed.
    pub implementation: Implementation,
    /// Of loop, the form of its kernels; none is what the device's strategy takes.
    pub form: Option<Form>,
}

/// What a measured choice holds for, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TuneKey {
    /// [`DeviceProfile::fingerprint`].
    pub device: String,
    /// [`Geometry::signature`].
    pub layer: String,
    /// Samples.
    pub batch: u32,
    /// Which pass.
    pub pass: Pass,
}

impl TuneKey {
    /// The key of a pass of `batch` samples through a layer on a device.
    #[must_use]
    pub fn new(profile: &DeviceProfile, geometry: &Geometry, batch: u32, pass: Pass) -> Self {
        Self { device: profile.fingerprint.clone(), layer: geometry.signature(), batch, pass }
    }
}

/// The fastest choices that were measured. Serialisable with feature `serde`, so that a host may keep them between runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<Entry>", into = "Vec<Entry>"))]
pub struct TuneTable {
    best: BTreeMap<TuneKey, Choice>,
}

/// A row of the table as it is written: JSON knows no map whose keys are structs.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: TuneKey,
    #[serde(flatten)]
    choice: Choice,
}

#[cfg(feature = "serde")]
impl From<Vec<Entry>> for TuneTable {
    fn from(entries: Vec<Entry>) -> Self {
        Self { best: entries.into_iter().map(|Entry { key, choice }| (key, choice)).collect() }
    }
}

#[cfg(feature = "serde")]
impl From<TuneTable> for Vec<Entry> {
    fn from(table: TuneTable) -> Self {
        table.best.into_iter().map(|(key, choice)| Entry { key, choice }).collect()
    }
}

impl TuneTable {
    /// The measured choice, if there is one for exactly this.
    #[must_use]
    pub fn get(&self, key: &TuneKey) -> Option<Choice> {
        self.best.get(key).copied()
    }

    /// Adds a choice.
    pub fn insert(&mut self, key: TuneKey, best: Choice) {
        self.best.insert(key, best);
    }

    /// Takes over all entries of another table.
    pub fn extend(&mut self, other: Self) {
        self.best.extend(other.best);
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.best.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.best.is_empty()
    }
}
