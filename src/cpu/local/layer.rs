//! A layer, with what all of its operations look up.

use super::block::BLOCK_WEIGHTS;
use super::convolution;
use super::grad_input;
use super::readers::Readers;
use super::windows::{Band, Windows};
use crate::Result;
use crate::config::{DataFormat, WeightType};
use crate::cpu::stream::LINE;
use crate::cpu::team::Needs;
use crate::geometry::{Geometry, ReaderTable};
use std::sync::Arc;

/// Most neighbouring locations that are computed together if they share their weights.
const MOST_LOCATIONS: usize = 96;

/// Most channels of a tile of input gradients.
pub(super) const CHANNELS: usize = 8;

/// A layer, with what its operations look up.
#[derive(Debug)]
pub(in crate::cpu) struct Layer {
    pub(in crate::cpu) geometry: Arc<Geometry>,
    pub(super) windows: Windows,
    pub(super) readers: Readers,
    /// The same layer with one location, where locations can be computed as samples.
    pub(super) one_location: Option<Box<Layer>>,
    /// The bands of the inner axis, if locations share their weights.
    pub(super) bands: Vec<Band>,
}

impl Layer {
    /// What the operations of a layer look up; who reads an input only where `reads`, which is what its input's gradient asks for.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(in crate::cpu) fn new(geometry: &Arc<Geometry>, reads: bool) -> Result<Self> {
        if let Some(one) = geometry.of_one_location(DataFormat::ChannelsLast) {
            // Nothing looks up more of this one than its sizes.
            let one_location = Some(Box::new(Self::new(&Arc::new(one), reads)?));
            let (windows, readers) = (Windows::new(geometry)?, Readers::Unread);
            return Ok(Self { geometry: geometry.clone(), windows, readers, one_location, bands: Vec::new() });
        }
        let windows = Windows::new(geometry)?;
        let bands = if geometry.shares_weights() { windows.bands(MOST_LOCATIONS)? } else { Vec::new() };
        let readers = if reads { Readers::new(geometry)? } else { Readers::Unread };
        Ok(Self { geometry: geometry.clone(), windows, readers, one_location: None, bands })
    }

    /// Bytes of the tables of a layer's windows that [`Layer::new`] makes, without making them. A connectivity of the user's has tables,
    /// too, which are as long as what the user gave.
    pub(in crate::cpu) fn bytes(geometry: &Geometry, reads: bool) -> u64 {
        let Some(axes) = geometry.axes() else { return 0 };
        let read = reads && geometry.of_one_location(DataFormat::ChannelsLast).is_none();
        Windows::bytes(geometry, axes) + if read { axes.iter().map(ReaderTable::bytes).sum() } else { 0 }
    }

    /// The layer of one location that computes this one, and how many samples it then has.
    pub(super) fn as_one_location(&self, batch: usize) -> Option<(&Self, usize)> {
        self.one_location.as_deref().map(|one| (one, batch * self.geometry.locations() as usize))
    }

    /// The room that a task of any of its operations needs.
    pub(in crate::cpu) fn needs(&self) -> Needs {
        let filters = self.geometry.group_filters() as usize;
        let readers = usize::try_from(self.readers.most(&self.geometry)).unwrap_or(usize::MAX);
        let channels = CHANNELS.min(self.geometry.group_channels() as usize);
        let widened = match self.geometry.config().dtype {
            WeightType::F16 => readers.saturating_mul(channels * filters),
            WeightType::F32 => 0,
        };
        let floats = LINE + BLOCK_WEIGHTS.max(filters).max(widened).max(convolution::floats(&self.geometry));
        let own = Needs { floats: floats.max(grad_input::floats(&self.geometry)), gradient: 0, readers };
        self.one_location.as_ref().map_or(own, |one| own.most(one.needs()))
    }

    /// Rows of weights of a block.
    pub(super) fn block_rows(&self) -> usize {
        (BLOCK_WEIGHTS / self.geometry.group_filters() as usize).max(1)
    }

    /// Place of a cell's first weight.
    pub(super) fn weights_of(&self, cell: usize) -> usize {
        let rows = match self.geometry.pattern() {
            Some(pattern) => pattern.starts()[cell] as usize,
            None => cell * self.geometry.window() as usize,
        };
        rows * self.geometry.group_filters() as usize
    }

    /// Place of a cell's first output in its sample.
    pub(super) fn output_of(&self, cell: usize) -> usize {
        let groups = self.geometry.groups() as usize;
        cell / groups * self.geometry.filters() as usize + cell % groups * self.geometry.group_filters() as usize
    }

    /// A guess of the nanoseconds that a cell's products with `batch` samples take: for reading its weights from memory
    /// and for computing.
    pub(super) fn nanoseconds(&self, batch: usize) -> u64 {
        let weights = self.geometry.weights() / u64::from(self.geometry.cells());
        let outputs = u64::from(self.geometry.group_filters());
        20 + weights / 4 + (weights / 32 + outputs / 2 + 4) * batch as u64
    }
}
