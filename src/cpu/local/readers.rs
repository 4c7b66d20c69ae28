//! Which cells read each input: the terms of its gradient.

use crate::Result;
use crate::geometry::{Connectivity, Geometry, ReaderTable, SparseIndex};

/// A cell's tap that reads an input position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cpu) struct Reader {
    /// Where the cell's first output is in its sample, in channels_last, for the first group.
    pub(in crate::cpu) output: usize,
    /// Where the weights of the position's first channel begin, for the first group.
    pub(in crate::cpu) weight: usize,
}

/// The readers of a layer's input positions.
#[derive(Debug)]
pub(in crate::cpu) enum Readers {
    /// No operation asks for them.
    Unread,
    /// They follow from the axes' tables.
    OfAxes([ReaderTable; 3]),
    /// A list, for a connectivity of the user's.
    Listed(SparseIndex),
}

impl Readers {
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(in crate::cpu) fn new(layer: &Geometry) -> Result<Self> {
        Ok(match layer.connectivity() {
            Connectivity::Pattern(_) => Self::Listed(SparseIndex::new(layer)?),
            Connectivity::Windows(axes) => {
                let [a, b, c] = axes.each_ref().map(ReaderTable::new);
                Self::OfAxes([a?, b?, c?])
            }
        })
    }

    /// The most readers of an input position; 0 where no operation asks for them.
    pub(in crate::cpu) fn most(&self, layer: &Geometry) -> u64 {
        match self {
            Self::Unread => 0,
            Self::OfAxes(axes) => axes.iter().map(ReaderTable::most).fold(1, u64::saturating_mul),
            Self::Listed(_) => layer.most_readers(),
        }
    }

    /// The `(output position, tap)` pairs that read a position along the inner axis, if the layer has windows.
    pub(in crate::cpu) fn of_inner(&self, position: u32) -> &[[u32; 2]] {
        match self {
            Self::OfAxes([.., inner]) => inner.of(position),
            Self::Unread | Self::Listed(_) => &[],
        }
    }

    /// Lists the readers of an input position, in a fixed order, in `readers`, which has room for
    /// [`Readers::most`].
    pub(in crate::cpu) fn list(&self, layer: &Geometry, position: usize, readers: &mut Vec<Reader>) {
        readers.clear();
        let filters = layer.filters() as usize;
        let group_filters = layer.group_filters() as usize;
        match self {
            Self::Unread => {}
            Self::Listed(index) => {
                let range = index.inverse_starts[position] as usize..index.inverse_starts[position + 1] as usize;
                readers.extend(index.inverse[range].iter().map(|&entry| {
                    let [_, row] = index.entries[entry as usize];
                    Reader { output: row as usize * filters, weight: entry as usize * group_filters }
                }));
            }
            Self::OfAxes([of_a, of_b, of_c]) => {
                let Some([_, b, c]) = layer.axes() else { return };
                let position = position as u32;
                let (i_a, rest) = (position / (b.input * c.input), position % (b.input * c.input));
                let (i_b, i_c) = (rest / c.input, rest % c.input);
                let (rows, of_tap) =
                    (layer.window() as usize * layer.groups() as usize, layer.group_channels() as usize);
                let own = usize::from(!layer.shares_weights());
                for &[o_a, t_a] in of_a.of(i_a) {
                    for &[o_b, t_b] in of_b.of(i_b) {
                        let (o, t) = (o_a * b.output + o_b, t_a * b.taps + t_b);
                        readers.extend(of_c.of(i_c).iter().map(|&[o_c, t_c]| {
                            let location = o as usize * c.output as usize + o_c as usize;
                            let tap = (t * c.taps + t_c) as usize;
                            Reader {
                                output: location * filters,
                                weight: (own * location * rows + tap * of_tap) * group_filters,
                            }
                        }));
                    }
                }
            }
        }
    }
}
