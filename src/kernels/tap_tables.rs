//! The tap tables as the device sees them.

use crate::Result;
use crate::config::DataFormat;
use crate::geometry::{Geometry, NO_TAP, ReaderTable};
use crate::room::room;

/// Where each axis's tables begin, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TablePlaces {
    pub(super) forward: [u32; 3],
    pub(super) starts: [u32; 3],
    pub(super) inverse: [u32; 3],
    length: u32,
}

impl TablePlaces {
    pub(super) fn of(geometry: &Geometry) -> Self {
        let mut places = Self { forward: [0; 3], starts: [0; 3], inverse: [0; 3], length: 0 };
        for (axis, a) in geometry.axes().into_iter().flatten().zip(0..) {
            let mut place = |elements: u64| {
                let at = places.length;
                places.length += elements as u32;
                at
            };
            let forward = place(u64::from(axis.output) * u64::from(axis.taps));
            let (starts, inverse) = (place(u64::from(axis.input) + 1), place(2 * axis.connected()));
            (places.forward[a], places.starts[a], places.inverse[a]) = (forward, starts, inverse);
        }
        places
    }
}

/// The tap tables as one `u32` buffer, multiplied by strides so that kernels only add. An element of the forward tables
/// is an offset within an input sample (or `NO_TAP`). A pair of the inverse tables is a share of the location index and
/// a share of the tap index. A layer without windows has no tables.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn tap_tables(geometry: &Geometry) -> Result<Vec<u32>> {
    let Some(axes) = geometry.axes() else { return Ok(Vec::new()) };
    let scale = match geometry.config().data_format {
        DataFormat::ChannelsLast => geometry.channels(),
        DataFormat::ChannelsFirst => 1,
    };
    let positions = [axes[1].input * axes[2].input, axes[2].input, 1].map(|step| step * scale);
    let locations = [axes[1].output * axes[2].output, axes[2].output, 1];
    let taps = [axes[1].taps * axes[2].taps, axes[2].taps, 1];
    let mut data = room("the tap tables", tap_tables_length(geometry))?;
    for a in 0..3 {
        data.extend(axes[a].forward().map(|at| at.map_or(NO_TAP, |at| at * positions[a])));
        let readers = ReaderTable::new(&axes[a])?;
        data.extend(readers.starts());
        data.extend(readers.pairs().iter().flat_map(|&[o, t]| [o * locations[a], t * taps[a]]));
    }
    Ok(data)
}

/// Number of elements of [`tap_tables`].
#[must_use]
pub fn tap_tables_length(geometry: &Geometry) -> u64 {
    TablePlaces::of(geometry).length.into()
}
