//! Values with axes. A value of one element along an axis is repeated along it.

use super::{BufferId, Operand, Shape};

/// Sizes of a sample's axes, the innermost last. A value with fewer axes has ones in front.
pub type Sizes = [u64; 4];

/// An operand and its axes. Along each axis it is as long as the result, or its one element is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Part {
    /// The buffer.
    pub buffer: BufferId,
    /// Sizes of the axes.
    pub sizes: Sizes,
    /// Whether each sample has its own values (`[batch][sizes]`), or all samples share them (`[sizes]`), as those of a
    /// parameter.
    pub batched: bool,
}

impl Part {
    /// An operand with values for each sample.
    #[must_use]
    pub fn samples(buffer: BufferId, sizes: Sizes) -> Self {
        Self { buffer, sizes, batched: true }
    }

    /// An operand whose values all samples share.
    #[must_use]
    pub fn fixed(buffer: BufferId, sizes: Sizes) -> Self {
        Self { buffer, sizes, batched: false }
    }

    /// Elements of a sample.
    #[must_use]
    pub fn elements(&self) -> u64 {
        product(&self.sizes)
    }

    pub(super) fn operand(&self) -> Operand {
        let shape = if self.batched { Shape::Samples } else { Shape::Fixed };
        Operand::of(self.buffer, shape(self.elements()))
    }

    pub(super) fn repeats_to(&self, sizes: &Sizes) -> bool {
        self.sizes.iter().zip(sizes).all(|(own, size)| own == size || *own == 1)
    }

    /// Distance between neighbours along each axis; 0 along axes where an element is repeated.
    pub(crate) fn strides(&self) -> Sizes {
        strides(&self.sizes)
    }

    /// Distance between samples; 0 if all samples share the values.
    pub(crate) fn sample(&self) -> u64 {
        if self.batched { self.elements() } else { 0 }
    }
}

pub(crate) fn product(sizes: &Sizes) -> u64 {
    sizes.iter().fold(1, |all, size| all.saturating_mul(*size))
}

pub(crate) fn strides(sizes: &Sizes) -> Sizes {
    let mut step = 1u64;
    let mut strides = [0; 4];
    for (stride, size) in strides.iter_mut().zip(sizes).rev() {
        *stride = if *size == 1 { 0 } else { step };
        step = step.saturating_mul(*size);
    }
    strides
}

/// The axes of values that are combined element by element as in Keras's merging layers, and those of the result.
/// Shapes are of samples, shorter ones have ones in front, and sizes of 1 are repeated. Neighbouring axes along which
/// the same operands are repeated become one. None if sizes differ otherwise, or if more than four axes are left.
#[must_use]
pub fn broadcast(shapes: &[&[u64]]) -> Option<(Vec<Sizes>, Sizes)> {
    let rank = shapes.iter().map(|shape| shape.len()).max()?;
    let size = |shape: &[u64], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let mut axes: Vec<(u64, Vec<u64>)> = Vec::new();
    for axis in 0..rank {
        let own: Vec<u64> = shapes.iter().map(|shape| size(shape, axis)).collect();
        let all = own.iter().copied().find(|size| *size != 1).unwrap_or(1);
        if own.iter().any(|size| *size != all && *size != 1) {
            return None;
        }
        if all == 1 {
            continue;
        }
        match axes.last_mut() {
            Some((last, sizes)) if sizes.iter().zip(&own).all(|(a, b)| (*a == 1) == (*b == 1)) => {
                *last = last.checked_mul(all)?;
                for (size, more) in sizes.iter_mut().zip(own) {
                    *size = size.checked_mul(more)?;
                }
            }
            _ => axes.push((all, own)),
        }
    }
    let front = 4usize.checked_sub(axes.len())?;
    let mut parts = vec![[1; 4]; shapes.len()];
    let mut whole = [1; 4];
    for ((all, own), at) in axes.into_iter().zip(front..) {
        whole[at] = all;
        for (part, size) in parts.iter_mut().zip(own) {
            part[at] = size;
        }
    }
    Some((parts, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_as_keras_merges_them() {
        let two = |a: &[u64], b: &[u64]| broadcast(&[a, b]).map(|(parts, whole)| (parts[0], parts[1], whole));
        assert_eq!(two(&[3, 4], &[3, 4]), Some(([1, 1, 1, 12], [1, 1, 1, 12], [1, 1, 1, 12])));
        assert_eq!(two(&[3, 4], &[4]), Some(([1, 1, 3, 4], [1, 1, 1, 4], [1, 1, 3, 4])));
        assert_eq!(two(&[5, 1, 4], &[3, 1]), Some(([1, 5, 1, 4], [1, 1, 3, 1], [1, 5, 3, 4])));
        assert_eq!(two(&[3, 4], &[3]), None);
        assert_eq!(two(&[2, 3, 1, 5, 1], &[3, 4, 1, 6]).map(|(.., whole)| whole), None);
        assert_eq!(two(&[1], &[1]), Some(([1; 4], [1; 4], [1; 4])));
        assert_eq!(broadcast(&[]), None);
    }
}
