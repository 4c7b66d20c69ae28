//! Which kernels to prefer on a device: one set of numbers for GPUs, one for CPUs, and the forms that a caller can ask
//! for.

use crate::kernels::TileShape;

/// Numbers by which the planner chooses among the kernels of the loop variant, and tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Strategy {
    /// Most samples for which the threads of a workgroup divide a sum among them (`loop_*_split`).
    pub split_batch: u32,
    /// Least terms of a sum for each thread that shares it.
    pub split_terms: u32,
    /// Least samples for which products are computed by tiles in workgroup memory (`loop_*_tiled`).
    pub tile_batch: u32,
    /// The least share of a tile that must be filled for tiles to be used, in per cent.
    pub tile_use: u32,
    /// The least share of a strip's products that must count, in per cent, for strips of neighbouring positions to be used
    /// (`loop_grad_input_strips`) where the tile of a single position would be mostly empty. The others are of windows that read only some
    /// of the strip's positions.
    pub strip_use: u32,
    /// The shape of all tiles; none takes for each product the shape that is expected to be fastest.
    pub tile_shape: Option<TileShape>,
    /// Threads of a workgroup of `loop_forward` and `loop_grad_input`: 8 or 64.
    pub group_threads: u32,
    /// How many workgroups keep the device busy.
    pub busy_groups: u32,
    /// Entries of a row that a thread of `sparse_forward` loads together, where rows are long enough: 1 or 4.
    pub sparse_ahead: u32,
}

impl Strategy {
    /// With few samples the time goes into loading weights, with more into arithmetic; hundreds of processors want
    /// several workgroups each. On an H100 no other tried value of `split_batch`, `tile_batch`, `busy_groups`,
    /// `split_terms` or `sparse_ahead` was 2 % better. Strips of which 39 % counted were faster there than what they replace, of
    /// which 37 % did slower (docs/performance.md).
    pub const GPU: Self = Self {
        split_batch: 8,
        split_terms: 2,
        tile_batch: 9,
        tile_use: 50,
        strip_use: 38,
        tile_shape: None,
        group_threads: 64,
        busy_groups: 512,
        sparse_ahead: 4,
    };
    /// A CPU has few threads, and its workgroup memory is ordinary memory, so only register tiles pay. It runs a
    /// workgroup's threads from first to last: with the fewest threads that fill its vectors, threads that share
    /// weights run while these are in its cache.
    pub const CPU: Self = Self {
        split_batch: 0,
        split_terms: 2,
        tile_batch: u32::MAX,
        tile_use: 50,
        strip_use: 38,
        tile_shape: None,
        group_threads: 8,
        busy_groups: 8,
        sparse_ahead: 1,
    };
}

/// Forms of the loop variant's kernels: the same sums, divided in different ways and kept in different memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Form {
    /// Each thread keeps a tile of results in registers.
    Register,
    /// The threads of a workgroup divide each sum (`loop_*_split`).
    Split,
    /// Workgroups compute tiles of products in workgroup memory (`loop_*_tiled`).
    Tiled,
}

impl Form {
    /// All three forms.
    pub const ALL: [Self; 3] = [Self::Register, Self::Split, Self::Tiled];

    /// The strategy that takes this form wherever it has a kernel, and register kernels elsewhere.
    #[must_use]
    pub const fn strategy(self, own: Strategy) -> Strategy {
        let none = Strategy { split_batch: 0, tile_batch: u32::MAX, ..own };
        match self {
            Self::Register => none,
            Self::Split => Strategy { split_batch: u32::MAX, split_terms: 0, ..none },
            Self::Tiled => Strategy { tile_batch: 1, tile_use: 0, ..none },
        }
    }
}
