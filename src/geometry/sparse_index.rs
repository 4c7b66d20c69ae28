//! The connections of windows, or of a user's pattern, as the sparse kernels read them.

use super::{Connectivity, Geometry, NO_TAP};
use crate::Result;
use crate::room::{room, zeroes};

/// What is said where an index doesn't fit.
const WHAT: &str = "the sparse index";

/// The sparse index of a layer: its entries by row and by input, as `shaders/shared/sparse_index.wgsl` describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseIndex {
    /// `[rows + 1]`: first entry of each row.
    pub starts: Vec<u32>,
    /// `(offset into an input sample or NO_TAP, row)` of each entry.
    pub entries: Vec<[u32; 2]>,
    /// `[inputs + 1]`: first reader of each input element.
    pub inverse_starts: Vec<u32>,
    /// The entries that read each input element, ascending.
    pub inverse: Vec<u32>,
}

impl SparseIndex {
    /// The index of a layer. It takes time linear in the layer's connections, not its weights, since filters share an
    /// entry.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn new(geometry: &Geometry) -> Result<Self> {
        let mut starts = room(WHAT, u64::from(geometry.cells()) + 1)?;
        let mut entries;
        match geometry.connectivity() {
            Connectivity::Pattern(pattern) => {
                entries = room(WHAT, pattern.connections().into())?;
                for row in 0..pattern.rows() {
                    let range = pattern.starts()[row as usize] as usize..pattern.starts()[row as usize + 1] as usize;
                    entries.extend(pattern.columns()[range].iter().map(|&column| [column, row]));
                }
                starts.extend(pattern.starts());
            }
            Connectivity::Windows(_) => {
                let (groups, channels) = (geometry.groups(), geometry.group_channels());
                entries = room(WHAT, u64::from(geometry.cells()) * u64::from(geometry.window()))?;
                for cell in 0..geometry.cells() {
                    for t in 0..geometry.taps() {
                        let position = geometry.tap(cell / groups, t);
                        for c in 0..channels {
                            let input = position.map_or(u64::from(NO_TAP), |position| {
                                geometry.input_index(position, cell % groups * channels + c)
                            });
                            entries.push([input as u32, cell]);
                        }
                    }
                }
                starts.extend((0..=geometry.cells()).map(|cell| cell * geometry.window()));
            }
        }
        let mut inverse_starts: Vec<u32> = zeroes(WHAT, geometry.inputs() + 1)?;
        for [input, _] in entries.iter().filter(|[input, _]| *input != NO_TAP) {
            inverse_starts[*input as usize + 1] += 1;
        }
        for i in 0..geometry.inputs() as usize {
            inverse_starts[i + 1] += inverse_starts[i];
        }
        let mut inverse = zeroes(WHAT, inverse_starts[geometry.inputs() as usize].into())?;
        // Where an input's readers begin moves to where the next one's do.
        for ([input, _], entry) in entries.iter().zip(0u32..) {
            if *input != NO_TAP {
                let slot = &mut inverse_starts[*input as usize];
                inverse[*slot as usize] = entry;
                *slot += 1;
            }
        }
        inverse_starts.copy_within(..geometry.inputs() as usize, 1);
        inverse_starts[0] = 0;
        Ok(Self { starts, entries, inverse_starts, inverse })
    }

    /// Number of elements of a geometry's index, without building it.
    #[must_use]
    pub fn len_of(geometry: &Geometry) -> u64 {
        u64::from(geometry.cells()) + 1 + 2 * geometry.entries() + geometry.inputs() + 1 + geometry.connections()
    }

    /// The index in one array, as it is on the device.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn data(&self) -> Result<Vec<u32>> {
        let words = self.starts.len() + 2 * self.entries.len() + self.inverse_starts.len() + self.inverse.len();
        let mut data = room(WHAT, words as u64)?;
        data.extend(&self.starts);
        data.extend(self.entries.iter().flatten());
        data.extend(&self.inverse_starts);
        data.extend(&self.inverse);
        Ok(data)
    }
}
