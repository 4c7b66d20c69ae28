//! Which cells read each input: the terms of its gradient.

use crate::geometry::{Geometry, SparseIndex};

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
    /// They follow from the axes' tables.
    OfAxes,
    /// A list, for a connectivity of the user's.
    Listed(SparseIndex),
}

impl Readers {
    pub(in crate::cpu) fn new(layer: &Geometry) -> Self {
        match layer.pattern() {
            Some(_) => Self::Listed(SparseIndex::new(layer)),
            None => Self::OfAxes,
        }
    }

    /// Lists the readers of an input position, in a fixed order, in `readers`, which has room for
    /// [`Geometry::most_readers`].
    pub(in crate::cpu) fn list(&self, layer: &Geometry, position: usize, readers: &mut Vec<Reader>) {
        readers.clear();
        let filters = layer.filters() as usize;
        let group_filters = layer.group_filters() as usize;
        match self {
            Self::Listed(index) => {
                let range = index.inverse_starts[position] as usize..index.inverse_starts[position + 1] as usize;
                readers.extend(index.inverse[range].iter().map(|&entry| {
                    let [_, row] = index.entries[entry as usize];
                    Reader { output: row as usize * filters, weight: entry as usize * group_filters }
                }));
            }
            Self::OfAxes => {
                let Some([a, b, c]) = layer.axes() else { return };
                let position = position as u32;
                let (i_a, rest) = (position / (b.input * c.input), position % (b.input * c.input));
                let (i_b, i_c) = (rest / c.input, rest % c.input);
                let (rows, of_tap) =
                    (layer.window() as usize * layer.groups() as usize, layer.group_channels() as usize);
                let own = usize::from(!layer.shares_weights());
                for &[o_a, t_a] in a.readers(i_a) {
                    for &[o_b, t_b] in b.readers(i_b) {
                        let (o, t) = (o_a * b.output + o_b, t_a * b.taps + t_b);
                        readers.extend(c.readers(i_c).iter().map(|&[o_c, t_c]| {
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
