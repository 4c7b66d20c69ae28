//! How long a layer's operations take, by guess: whether other threads are worth waking is decided by it.

use super::layer::Layer;
use super::narrow::Narrow;

/// A guess of the nanoseconds that one of a layer's operations takes on one thread.
pub(in crate::cpu) fn nanoseconds(layer: &Layer, batch: usize) -> u64 {
    match Narrow::of(layer, batch) {
        Some(narrow) => narrow.nanoseconds().saturating_mul(narrow.strips() as u64),
        None => products(layer.geometry.connected_weights(), batch),
    }
}

/// A guess of the nanoseconds that the products of so many weights with `batch` samples take: for reading the weights from memory and for
/// computing.
pub(super) fn products(weights: u64, batch: usize) -> u64 {
    (weights / 4).saturating_add((weights / 32).saturating_mul(batch as u64))
}
