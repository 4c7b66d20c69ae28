//! `LocalGradWeights` with shared weights: a long sum over samples and locations. A thread has some rows of weights. It
//! takes their sums over one piece of locations after the other and adds them up, so that no single sum is long.

use super::depthwise;
use super::room::is_depthwise;
use super::rows::AllRows;
use crate::cpu::local::GradWeightsOperands as Operands;
use crate::cpu::local::gradient::Kept;
use crate::cpu::local::layer::Layer;
use crate::cpu::local::products::GradProducts;
use crate::cpu::local::tile::{self, Begin, Sums};
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use pulp::{Simd, WithSimd};

/// How many pieces the weights' rows are divided into, so that all threads get some.
const PIECES: usize = 16;
/// The fewest rows of a piece: those of a tile.
const LEAST_ROWS: usize = 8;
/// Inputs and outputs of the samples that all pieces go through before the next samples: they stay in a cache that
/// cores share.
const TOGETHER: usize = 1 << 19;

/// Each weight's gradient: a sum over samples and locations of inputs times gradients by outputs.
pub(in crate::cpu::local) fn grad_weights(team: &Team, layer: &Layer, operands: Operands<'_>, kept: Kept<'_>) {
    let geometry = &layer.geometry;
    if is_depthwise(geometry) {
        return depthwise::grad_weights(team, layer, operands, kept);
    }
    let grad_weights = kept.values;
    if !kept.accumulate {
        // SAFETY: no thread has any of it yet.
        unsafe { grad_weights.part(0, geometry.weights() as usize) }.fill(0.0);
    }
    let (groups, window) = (geometry.groups() as usize, geometry.window() as usize);
    let sample = (geometry.inputs() + geometry.outputs()) as usize;
    let samples = (TOGETHER / sample).max(1);
    let together = window.div_ceil(PIECES).next_multiple_of(LEAST_ROWS).min(window);
    let pieces = window.div_ceil(together);
    for first in (0..operands.batch).step_by(samples) {
        let rows = AllRows::new(layer, first, samples.min(operands.batch - first));
        let products = rows.count() * rows.of_piece() * together * geometry.group_filters() as usize;
        team.each(groups * pieces, 20 + products as u64 / 32, |span| Pieces {
            layer,
            operands,
            grad_weights,
            span,
            rows,
            pieces,
            together,
        });
    }
}

struct Pieces<'a> {
    layer: &'a Layer,
    operands: Operands<'a>,
    grad_weights: Shared<'a>,
    span: Span,
    rows: AllRows<'a>,
    /// How many pieces a group's rows of weights are divided into.
    pieces: usize,
    /// How many rows a piece has.
    together: usize,
}

impl WithSimd for Pieces<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, operands, .. } = self;
        let (filters, window) = (layer.geometry.group_filters() as usize, layer.geometry.window() as usize);
        for index in 0..self.rows.count() {
            let Some(rows) = self.rows.piece(index) else { continue };
            for piece in self.span.first..self.span.end {
                let (group, first) = (piece / self.pieces, piece % self.pieces * self.together);
                let end = window.min(first + self.together);
                let grad_output = &operands.grad_output[rows.output + group * filters..];
                for run in rows.runs(layer, group, first..end) {
                    let sums = Sums {
                        values: self.grad_weights,
                        first: (group * window + run.row) * filters,
                        stride: filters,
                        rows: run.length,
                        columns: filters,
                        begin: Begin::Apart,
                    };
                    let products = GradProducts {
                        batch: rows.count,
                        input: &operands.input[rows.input + run.input..],
                        inputs: rows.input_step,
                        grad_output,
                        apart: rows.output_step,
                        filters,
                        streamed: false,
                    };
                    tile::all(simd, sums, &products);
                }
            }
        }
    }
}
