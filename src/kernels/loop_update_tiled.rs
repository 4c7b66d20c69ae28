//! `loop_update` by tiles.

use super::loop_grad_weights_tiled::LoopGradWeightsTiled;
use super::loop_update::{LoopUpdate, bindings};
use super::prelude::*;

kernel! {
    /// Updates weights by the gradient that it sums by tiles in workgroup memory, in the loop variant.
    LoopUpdateTiled: "loop_update_tiled", [Read, Read, Read, Read, Write, Write, Write],
    /// States that the optimizer keeps of a weight.
    states: u32 in LoopUpdate::STATES,
    /// Its tile.
    tile: Tile in Tile::space();
    if |kernel: &Self| kernel.tile.width == 4
}

impl LoopUpdateTiled {
    fn gradient(&self) -> LoopGradWeightsTiled {
        LoopGradWeightsTiled { tile: self.tile }
    }
}

impl Kernel for LoopUpdateTiled {
    fn bindings(&self) -> &'static [Access] {
        bindings(self.states)
    }

    fn work(&self, p: &Params, loads: Loads) -> Work {
        with_update(self.gradient().work(p, loads), p, self.states)
    }

    fn tile(&self) -> Option<TileShape> {
        Some(self.tile.shape)
    }
}
