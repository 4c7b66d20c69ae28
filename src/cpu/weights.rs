//! A model's parameters, by name: what all bound programs of the model share.

use super::widen::widen;
use crate::config::WeightType;
use crate::ops::{Buffer, Usage};
use crate::program::Program;
use crate::room::zeroes;
use crate::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The values of one parameter, in whatever form the caller has them, so that nothing is copied.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValues<'a> {
    /// The caller's values, borrowed for as long as the store lives.
    Borrowed(&'a [f32]),
    /// Values that the store owns.
    Owned(Vec<f32>),
    /// Values that others share.
    Shared(Arc<[f32]>),
    /// 16-bit floats, which are widened when they are used.
    Half(Vec<f16>),
}

impl<'a> From<&'a [f32]> for ParameterValues<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Borrowed(values)
    }
}

impl<'a> From<&'a Vec<f32>> for ParameterValues<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::Borrowed(values)
    }
}

impl From<Vec<f32>> for ParameterValues<'_> {
    fn from(values: Vec<f32>) -> Self {
        Self::Owned(values)
    }
}

impl From<Arc<[f32]>> for ParameterValues<'_> {
    fn from(values: Arc<[f32]>) -> Self {
        Self::Shared(values)
    }
}

impl From<Vec<f16>> for ParameterValues<'_> {
    fn from(values: Vec<f16>) -> Self {
        Self::Half(values)
    }
}

impl ParameterValues<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.view() {
            View::F32(values) => values.len(),
            View::F16(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn view(&self) -> View<'_> {
        match self {
            Self::Borrowed(values) => View::F32(values),
            Self::Owned(values) => View::F32(values),
            Self::Shared(values) => View::F32(values),
            Self::Half(values) => View::F16(values),
        }
    }

    /// The same values rounded to the nearest 16-bit floats.
    fn into_half(self) -> Self {
        let rounded = |values: &[f32]| {
            let mut half = vec![f16::ZERO; values.len()];
            half.convert_from_f32_slice(values);
            half
        };
        match self {
            Self::Half(_) => self,
            Self::Borrowed(values) => Self::Half(rounded(values)),
            Self::Owned(values) => Self::Half(rounded(&values)),
            Self::Shared(values) => Self::Half(rounded(&values)),
        }
    }
}

/// Parameters as an operation reads them.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
}

impl<'a> View<'a> {
    /// From element `start` on.
    pub(super) fn from(self, start: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(&values[start..]),
            Self::F16(values) => Self::F16(&values[start..]),
        }
    }

    /// Copies its first elements as f32, as many as there are places.
    #[inline]
    pub(super) fn copy(self, places: &mut [f32]) {
        match self {
            Self::F32(values) => places.copy_from_slice(&values[..places.len()]),
            Self::F16(values) => widen(&values[..places.len()], places),
        }
    }

    /// Copies some columns of its first rows of `width` elements as f32, side by side, as many rows as there are places for.
    #[inline]
    pub(super) fn copy_columns(self, width: usize, columns: Range<usize>, places: &mut [f32]) {
        if columns.len() == width {
            return self.copy(places);
        }
        for (row, places) in places.chunks_exact_mut(columns.len()).enumerate() {
            self.from(row * width + columns.start).copy(places);
        }
    }

    /// Its first `length` elements as f32: where they are, or widened into `room`.
    pub(super) fn wide<'b>(self, length: usize, room: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::F32(values) => &values[..length],
            Self::F16(values) => {
                let room = &mut room[..length];
                widen(&values[..length], room);
                room
            }
        }
    }
}

/// The parameters of a model, by the names of its programs' buffers (`local_1/weights`, `local_1/bias`), in the host's
/// memory, and an optimizer's states.
///
/// All programs of a model use one store, whatever their batch, and whether they train or not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights<'a> {
    values: BTreeMap<String, ParameterValues<'a>>,
}

impl<'a> Weights<'a> {
    /// A store without parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `values` for the parameter or state `name` of `program`. They are rounded to 16-bit floats if the
    /// parameter's layer asks for them ([`WeightType::F16`]).
    ///
    /// # Errors
    /// [`Error::NotGiven`] where the program has no parameter of this name, [`Error::Length`] for another number of values than
    /// it has.
    pub fn set(&mut self, program: &Program, name: &str, values: impl Into<ParameterValues<'a>>) -> Result<()> {
        let mut values = values.into();
        let found = program.find(name).and_then(|id| program.buffer(id));
        let found = found.filter(|buffer| matches!(buffer.usage, Usage::Parameter | Usage::State));
        let buffer = found.ok_or_else(|| Error::NotGiven { name: name.into() })?;
        check_length(buffer, values.len())?;
        if buffer.dtype == WeightType::F16 {
            values = values.into_half();
        }
        self.values.insert(name.into(), values);
        Ok(())
    }

    /// Keeps `values` under `name` as they are, without a program to check them against.
    pub fn insert(&mut self, name: impl Into<String>, values: impl Into<ParameterValues<'a>>) {
        self.values.insert(name.into(), values.into());
    }

    /// The values of this name, widened where they are 16-bit floats.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        Some(match self.values.get(name)?.view() {
            View::F32(values) => Cow::Borrowed(values),
            View::F16(values) => Cow::Owned(values.to_f32_vec()),
        })
    }

    /// The values of this name, to be changed in place. Values that were borrowed or are shared are copied first. None
    /// for 16-bit floats.
    #[must_use]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let values = self.values.get_mut(name)?;
        let copy = match values {
            ParameterValues::Borrowed(values) => Some(values.to_vec()),
            ParameterValues::Shared(values) if Arc::strong_count(values) + Arc::weak_count(values) > 1 => {
                Some(values.to_vec())
            }
            _ => None,
        };
        if let Some(copy) = copy {
            *values = ParameterValues::Owned(copy);
        }
        match values {
            ParameterValues::Owned(values) => Some(values),
            ParameterValues::Shared(shared) => Arc::get_mut(shared),
            ParameterValues::Borrowed(_) | ParameterValues::Half(_) => None,
        }
    }

    /// Bytes that the store owns or shares; borrowed ones are the caller's.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let bytes = |values: &ParameterValues<'_>| match values {
            ParameterValues::Borrowed(_) => 0,
            ParameterValues::Owned(values) => 4 * values.len() as u64,
            ParameterValues::Shared(values) => 4 * values.len() as u64,
            ParameterValues::Half(values) => 2 * values.len() as u64,
        };
        self.values.values().map(bytes).sum()
    }

    /// Makes sure that the store itself owns the values of `buffer`, so that they can be changed. A state that isn't
    /// there becomes zeroes.
    pub(super) fn own(&mut self, buffer: &Buffer) -> Result<()> {
        if buffer.usage == Usage::State && !self.values.contains_key(&buffer.name) {
            let values = zeroes(&buffer.name, buffer.shape.elements(0))?;
            self.values.insert(buffer.name.clone(), ParameterValues::Owned(values));
        }
        let View::F32(values) = self.view(buffer)? else { return Ok(()) };
        if !matches!(self.values.get(&buffer.name), Some(ParameterValues::Owned(_))) {
            let mut own = zeroes(&buffer.name, values.len() as u64)?;
            own.copy_from_slice(values);
            self.values.insert(buffer.name.clone(), ParameterValues::Owned(own));
        }
        Ok(())
    }

    /// Takes the store's own values of this name out, to be changed and [put back](Self::put).
    pub(super) fn take(&mut self, name: &str) -> Vec<f32> {
        match self.values.get_mut(name) {
            Some(ParameterValues::Owned(values)) => std::mem::take(values),
            _ => Vec::new(),
        }
    }

    /// Puts back what was taken.
    pub(super) fn put(&mut self, name: &str, values: Vec<f32>) {
        if let Some(held) = self.values.get_mut(name) {
            *held = ParameterValues::Owned(values);
        }
    }

    /// The values of the parameter `buffer`, after a check.
    pub(super) fn view(&self, buffer: &Buffer) -> Result<View<'_>> {
        let values = self.values.get(&buffer.name).ok_or_else(|| Error::NotGiven { name: buffer.name.clone() })?;
        check_length(buffer, values.len())?;
        let unlike = |found: &str, wanted: &str| {
            let what = format!("{:?} in {found}", buffer.name);
            Err(Error::Unsupported {
                what,
                with: format!("by a layer of {wanted} weights; `Weights::set` rounds to f16"),
            })
        };
        match (buffer.dtype, values.view()) {
            (WeightType::F16, View::F32(_)) => unlike("f32", "f16"),
            (WeightType::F32, View::F16(_)) => unlike("f16", "f32"),
            (_, view) => Ok(view),
        }
    }
}

/// The store of a run: `&weights` for programs that only read parameters, `&mut weights` for programs that update them,
/// as training does.
#[derive(Debug)]
pub enum Store<'w, 'v> {
    /// The run only reads it.
    Shared(&'w Weights<'v>),
    /// The run updates it. What was borrowed or is shared is copied once, before.
    Updated(&'w mut Weights<'v>),
}

impl<'w, 'v> From<&'w Weights<'v>> for Store<'w, 'v> {
    fn from(weights: &'w Weights<'v>) -> Self {
        Self::Shared(weights)
    }
}

impl<'w, 'v> From<&'w mut Weights<'v>> for Store<'w, 'v> {
    fn from(weights: &'w mut Weights<'v>) -> Self {
        Self::Updated(weights)
    }
}

impl<'v> Store<'_, 'v> {
    pub(super) fn weights(&self) -> &Weights<'v> {
        match self {
            Self::Shared(weights) => weights,
            Self::Updated(weights) => weights,
        }
    }
}

fn check_length(buffer: &Buffer, found: usize) -> Result<()> {
    if found as u64 == buffer.shape.elements(0) { Ok(()) } else { Err(buffer.wrong_length(0, found as u64)) }
}
