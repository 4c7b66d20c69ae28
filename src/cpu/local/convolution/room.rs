//! Which layers are depthwise convolutions, and how much room their tasks need. `Layer` asks this before it is made.

use crate::geometry::Geometry;

/// Channels whose gradients a task sums.
pub(super) const CHANNELS: usize = 64;

/// Whether a layer is computed by the depthwise routines.
pub(in crate::cpu::local) fn is_depthwise(layer: &Geometry) -> bool {
    layer.shares_weights() && layer.groups() > 1 && layer.group_channels() == 1 && layer.group_filters() == 1
}

/// How many floats of room a task needs.
pub(in crate::cpu::local) fn floats(layer: &Geometry) -> usize {
    let (taps, channels) = (layer.taps() as usize, layer.channels() as usize);
    // Either all weights by taps and one channel's, or the sums of some channels.
    if is_depthwise(layer) { taps.saturating_mul(channels + 1).max(taps.saturating_mul(CHANNELS)) } else { 0 }
}
