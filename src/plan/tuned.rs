//! Measured choices as data: which way of running an operation was fastest, by device, layer and batch. `tune()` makes
//! them, the planner goes by them.

use super::{DeviceProfile, Form};
use crate::config::Implementation;
use crate::ops::{Choosable, Operation};
use std::collections::BTreeMap;

/// The operations that have several implementations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum TunedOperation {
    /// [`Operation::LocalForward`].
    Forward,
    /// [`Operation::LocalGradInput`].
    GradInput,
    /// [`Operation::LocalGradWeights`], and updates of weights by their gradient.
    GradWeights,
}

impl TunedOperation {
    /// All three operations.
    pub const ALL: [Self; 3] = [Self::Forward, Self::GradInput, Self::GradWeights];
}

/// A way to run an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TunedChoice {
    /// How it is executed.
    pub implementation: Implementation,
    /// The form of loop's kernels; none is the one that the device's strategy takes.
    pub form: Option<Form>,
}

/// What a measured choice holds for; it holds for nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TuneKey {
    /// [`DeviceProfile::fingerprint`].
    pub device: String,
    /// [`Geometry::signature`](crate::Geometry::signature).
    pub layer: String,
    /// Samples of a run.
    pub batch: u32,
    /// Which operation.
    pub operation: TunedOperation,
}

impl TuneKey {
    /// The key of an operation on `batch` samples on a device; none where there is only one implementation.
    #[must_use]
    pub fn new(profile: &DeviceProfile, operation: &Operation, batch: u32) -> Option<Self> {
        let (layer, kind) = match operation.choosable()? {
            Choosable::Forward(o) => (&o.layer, TunedOperation::Forward),
            Choosable::GradInput(o) => (&o.layer, TunedOperation::GradInput),
            Choosable::GradWeights(o) => (&o.layer, TunedOperation::GradWeights),
            // Most of an update's time is that of the gradient in it.
            #[cfg(feature = "models")]
            Choosable::Update(o) => (&o.layer, TunedOperation::GradWeights),
        };
        Some(Self { device: profile.fingerprint.clone(), layer: layer.signature(), batch, operation: kind })
    }
}

/// The fastest choices that were measured. Serialisable with feature `serde`, so that a host may keep them between runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "Vec<Entry>", into = "Vec<Entry>"))]
pub struct TuneTable {
    best: BTreeMap<TuneKey, TunedChoice>,
}

/// A row of the table as it is written: keys of JSON objects can't be structs.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: TuneKey,
    #[serde(flatten)]
    choice: TunedChoice,
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
    pub fn get(&self, key: &TuneKey) -> Option<TunedChoice> {
        self.best.get(key).copied()
    }

    /// Adds a choice.
    pub fn insert(&mut self, key: TuneKey, best: TunedChoice) {
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
