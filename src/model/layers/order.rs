//! Values with their axes in another order, for layers that go along rows.

use super::call::{Scope, Value, elements};
use crate::ops::{AxisMap, BufferId, Operation, Rearrange};

/// An order of axes in which those that a layer goes along come last.
pub(super) struct Order(Vec<usize>);

impl Order {
    /// The order for a value of `rank` axes in which `last` come last; none if they do already.
    pub(super) fn with_last(rank: usize, last: &[usize]) -> Option<Self> {
        let (over, others): (Vec<usize>, Vec<usize>) = (0..rank).partition(|axis| last.contains(axis));
        let order = [others, over].concat();
        (!order.is_sorted()).then_some(Self(order))
    }

    /// A value with its axes in this order.
    pub(super) fn moved(&self, scope: &mut Scope<'_>, role: &str, value: Value<'_>) -> BufferId {
        let Value { buffer: input, shape } = value;
        let axes = self.0.iter().map(|&of| AxisMap::whole(shape[of] as u32, of)).collect();
        let output = scope.scratch(role, elements(shape));
        scope.push(Operation::Rearrange(Rearrange { axes, input, output }));
        output
    }

    /// The operation that restores the previous order.
    pub(super) fn back(&self, shape: &[usize], input: BufferId, output: BufferId) -> Operation {
        let place = |axis: usize| self.0.iter().position(|&of| of == axis).unwrap_or(axis);
        let axes = (0..shape.len()).map(|axis| AxisMap::whole(shape[axis] as u32, place(axis))).collect();
        Operation::Rearrange(Rearrange { axes, input, output })
    }
}

/// Elements of a row along these axes.
pub(super) fn row(shape: &[usize], axes: &[usize]) -> u64 {
    axes.iter().filter_map(|&axis| shape.get(axis)).map(|&size| size as u64).product()
}

/// Whether there are axes, all of a value of that rank, each once.
pub(super) fn are_axes(rank: usize, axes: &[usize]) -> bool {
    let once = |(at, axis): (usize, &usize)| *axis < rank && !axes[..at].contains(axis);
    !axes.is_empty() && axes.iter().enumerate().all(once)
}
