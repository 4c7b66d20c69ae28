//! Which layers are depthwise convolutions, and the room that their tasks need: what `Layer` asks before it is there.

use crate::geometry::Geometry;

/// Channels whose gradients a task sums.
pub(super) const CHANNELS: usize = 64;

/// Whether these are the routines of a layer.
pub(in crate::cpu::local) fn is_depthwise(layer: &Geometry) -> bool {
    layer.shares_weights() && layer.groups() > 1 && layer.group_channels() == 1 && layer.group_filters() == 1
}

/// Room that a task needs.
pub(in crate::cpu::local) fn floats(layer: &Geometry) -> usize {
    let (taps, channels) = (layer.taps() as usize, layer.channels() as usize);
    // All weights by taps beside one channel's, or the sums of some channels.
    if is_depthwise(layer) { (taps * channels + taps).max(taps * CHANNELS) } else { 0 }
}
