//! What operations need besides their operands: found once, when a program is bound.

use super::layers::Layers;
use super::local::{self, Layer, gradient_needs};
use super::team::Needs;
use super::{constrain, total};
use crate::Result;
use crate::config::DataFormat;
use crate::geometry::{Geometry, Members};
use crate::ops::{BufferId, Operation};
use crate::program::Program;
use crate::room::room;
use std::sync::Arc;

/// What an operation needs besides its operands.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Its layer, if it has one.
    pub(super) layer: Option<Arc<Layer>>,
    /// The buffers that it updates, without the first.
    pub(super) states: Vec<BufferId>,
    /// Which rows of weights share a norm.
    pub(super) members: Option<Members>,
}

/// What the operations of a program need.
#[derive(Debug, Default)]
pub(super) struct Preparation {
    pub(super) operations: Vec<Prepared>,
    /// How much room each thread needs.
    pub(super) needs: Needs,
    /// A guess of the nanoseconds that the longest operation takes.
    pub(super) longest: u64,
    /// Most elements of inputs, of outputs and of biases that are transposed.
    pub(super) staged: [u64; 3],
    /// How many numbers the parts of sums need.
    pub(super) parts: u64,
}

impl Preparation {
    /// For a program that was checked.
    ///
    /// # Errors
    /// [`Error::OverBudget`](crate::Error::OverBudget) and [`Error::OutOfMemory`](crate::Error::OutOfMemory) for what its layers look up.
    pub(super) fn new(program: &Program, batch: u32) -> Result<Self> {
        let layers = Layers::of(program)?;
        let mut prepared: Vec<Prepared> = room("what operations look up", program.operations.len() as u64)?;
        let (mut needs, mut longest, mut staged, mut parts) = (Needs::default(), 0u64, [0u64; 3], 0u64);
        for (place, operation) in program.operations.iter().enumerate() {
            let layer = layers.of_operation(place);
            if let Some(layer) = &layer {
                needs = needs.most(layer.needs());
                if matches!(operation, Operation::LocalUpdate(_)) {
                    needs = needs.most(gradient_needs(layer));
                }
                let geometry = &layer.geometry;
                if is_staged(geometry) {
                    let samples = |elements: u64| elements.saturating_mul(batch.into());
                    let sizes = [samples(geometry.inputs()), samples(geometry.outputs()), geometry.biases()];
                    staged = std::array::from_fn(|i| staged[i].max(sizes[i]));
                }
            }
            let elements = |id: BufferId| program.buffer(id).map_or(0, |buffer| buffer.shape.elements(batch));
            let members = match operation {
                Operation::GroupSquares(o) => Some(o.groups.members(0..o.groups.rows(), constrain::PART_ROWS)?),
                _ => None,
            };
            let summed = match (operation, &members) {
                (Operation::GroupSquares(o), Some(members)) => {
                    let (filters, by_filter) = (o.shape.filters() as usize, o.groups.by_filter());
                    constrain::Rows { members, filters, by_filter }.parts() as u64
                }
                (Operation::Total(o), _) => elements(o.input).div_ceil(total::PART as u64),
                (Operation::Orthogonal(o), _) => 2 * o.vectors().count,
                (Operation::OrthogonalGrad(o), _) => {
                    needs = needs.most(Needs { floats: o.vectors().count as usize, ..Needs::default() });
                    o.vectors().count
                }
                _ => 0,
            };
            parts = parts.max(summed);
            let states: Vec<BufferId> = operation.updates().into_iter().skip(1).collect();
            let written = elements(operation.writes()).saturating_mul(1 + states.len() as u64);
            let read = match summed {
                0 => 0,
                _ => operation.reads().into_iter().map(elements).sum::<u64>() / 4,
            };
            longest = longest.max(match &layer {
                Some(layer) => local::nanoseconds(layer, batch as usize),
                None => written.saturating_add(read),
            });
            prepared.push(Prepared { layer, states, members });
        }
        Ok(Self { operations: prepared, needs, longest, staged, parts })
    }
}

/// Whether a layer's operands are ordered otherwise in channels_last.
pub(super) fn is_staged(layer: &Geometry) -> bool {
    layer.config().data_format == DataFormat::ChannelsFirst
        && (layer.channels() > 1 && layer.positions() > 1 || layer.filters() > 1 && layer.locations() > 1)
}
