//! What a net is, and what all its parts go through.

use locally_connected::plan::Strategy;
use std::collections::BTreeMap;
use std::error::Error;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Texts by name; the first word of a name is its kind.
pub(crate) type Net = BTreeMap<String, String>;

/// Strategies under which the planner asks for every kernel: the two of its own, and sums split among threads or tiles
/// in workgroup memory wherever they are possible.
pub(crate) const STRATEGIES: [(&str, Strategy); 4] = [
    ("gpu", Strategy::GPU),
    ("cpu", Strategy::CPU),
    ("split", Strategy { split_batch: u32::MAX, split_terms: 0, tile_batch: u32::MAX, ..Strategy::GPU }),
    ("tiled", Strategy { split_batch: 0, tile_batch: 1, tile_use: 0, busy_groups: 8, ..Strategy::GPU }),
];
