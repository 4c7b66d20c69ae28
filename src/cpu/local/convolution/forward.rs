//! `LocalForward` with shared weights.

use super::depthwise;
use super::room::is_depthwise;
use super::rows::{AllRows, Rows};
use crate::config::{Activation, Bias};
use crate::cpu::functions;
use crate::cpu::local::ForwardOperands as Operands;
use crate::cpu::local::block::SHARED_BLOCK_WEIGHTS;
use crate::cpu::local::layer::Layer;
use crate::cpu::local::products::{Ahead, Products};
use crate::cpu::local::tile::{self, Begin, Sums};
use crate::cpu::local::windows::{BLOCK, Run};
use crate::cpu::shared::Shared;
use crate::cpu::team::{Span, Team};
use crate::cpu::weights::View;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// With this many weights they no longer stay in a core's second-level cache; a task then has more rows.
const MANY_WEIGHTS: usize = 100_000;
/// Rows of a task with that many weights.
const TASK_ROWS: usize = 256;
/// Enough tasks to keep all threads busy. If there are fewer, filters are divided among tasks, too.
const MANY_TASKS: usize = 64;
/// Filters of a task if filters are divided.
const FILTERS: usize = 64;

/// `output = activation(weights · window of input + bias)`.
pub(in crate::cpu::local) fn forward(team: &Team, layer: &Layer, operands: Operands<'_>, output: &mut [f32]) {
    let geometry = &layer.geometry;
    if is_depthwise(geometry) {
        return depthwise::forward(team, layer, operands, output);
    }
    let rows = AllRows::new(layer, 0, operands.batch);
    let (groups, filters) = (geometry.groups() as usize, geometry.group_filters() as usize);
    let weights = geometry.window() as usize * filters;
    let wanted = if weights > MANY_WEIGHTS { TASK_ROWS.div_ceil(rows.of_piece().max(1)) } else { 1 };
    let together = wanted.min(rows.count().div_ceil(MANY_TASKS)).max(1);
    let tasks = rows.count().div_ceil(together);
    let some_filters = if tasks * groups < MANY_TASKS { FILTERS.min(filters) } else { filters };
    let pieces = filters.div_ceil(some_filters);
    let products = (rows.of_piece() * together * weights / pieces) as u64;
    let output = Shared::new(output);
    team.each(tasks * groups * pieces, 20 + products / 32, |span| Tasks {
        team,
        layer,
        operands,
        output,
        span,
        rows,
        together,
        tasks,
        pieces,
        some_filters,
    });
}

struct Tasks<'a> {
    team: &'a Team,
    layer: &'a Layer,
    operands: Operands<'a>,
    output: Shared<'a>,
    span: Span,
    rows: AllRows<'a>,
    /// How many pieces of rows a task has.
    together: usize,
    /// How many tasks go through all rows.
    tasks: usize,
    /// How many pieces a group's filters are divided into.
    pieces: usize,
    /// How many filters a piece has.
    some_filters: usize,
}

impl WithSimd for Tasks<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut room = self.team.room();
        for index in self.span.first..self.span.end {
            let (product, task) = (index / self.tasks, index % self.tasks);
            let (group, piece) = (product / self.pieces, product % self.pieces);
            let rows = task * self.together..((task + 1) * self.together).min(self.rows.count());
            self.task(simd, Task { group, filter: piece * self.some_filters, rows }, &mut room.floats);
        }
    }
}

/// Some pieces of rows, for a group's filters from `filter` on.
struct Task {
    group: usize,
    filter: usize,
    rows: Range<usize>,
}

impl Tasks<'_> {
    #[inline(always)]
    fn task<S: Simd>(&self, simd: S, Task { group, filter, rows: all }: Task, room: &mut [f32]) {
        let Self { layer, operands, .. } = self;
        let (filters, window) = (layer.geometry.group_filters() as usize, layer.geometry.window() as usize);
        let columns = self.some_filters.min(filters - filter);
        let first_filter = group * filters + filter;
        let some = first_filter..first_filter + columns;
        let own = operands.weights.from(group * window * filters);
        let together = match own {
            View::F32(_) => (SHARED_BLOCK_WEIGHTS / filters).max(1),
            View::F16(_) => layer.block_rows(),
        };
        for first in (0..window).step_by(together) {
            let end = window.min(first + together);
            // The block's rows of weights, and the number of the first of them.
            let (weights, base) = match own {
                View::F32(values) => (values, 0),
                View::F16(_) => (own.from(first * filters).wide((end - first) * filters, room), first),
            };
            for rows in all.clone().filter_map(|index| self.rows.piece(index)) {
                let mut sums = Sums {
                    values: self.output,
                    first: rows.output + first_filter,
                    stride: rows.output_step,
                    rows: rows.count,
                    columns,
                    begin: if first == 0 { self.begin(&rows, some.clone()) } else { Begin::Held },
                };
                let input = &operands.input[rows.input..];
                let mut runs = rows.runs(layer, group, first..end);
                // The first block stores its sums even where it reads nothing.
                let mut is_due = first == 0;
                loop {
                    let (mut block, mut count) = (BLOCK, 0);
                    for (to, run) in block.iter_mut().zip(&mut runs) {
                        *to = Run { row: run.row - base, ..run };
                        count += 1;
                    }
                    if count == 0 && !is_due {
                        break;
                    }
                    let runs = &block[..count];
                    let products = Products {
                        input,
                        inputs: rows.input_step,
                        weights,
                        filters,
                        filter,
                        runs,
                        ahead: Ahead::Weights { further: together * filters },
                    };
                    tile::all(simd, sums, &products);
                    (sums.begin, is_due) = (Begin::Held, false);
                }
            }
        }
        for rows in all.filter_map(|index| self.rows.piece(index)).filter(|_| operands.activation != Activation::Linear)
        {
            for row in 0..rows.count {
                let first = rows.output + row * rows.output_step + first_filter;
                // SAFETY: tasks are apart, and this one's tiles are done.
                functions::activate(unsafe { self.output.part(first, columns) }, operands.activation);
            }
        }
    }

    /// The initial values of the sums of some rows and filters.
    #[inline(always)]
    fn begin(&self, rows: &Rows<'_>, some: Range<usize>) -> Begin<'_> {
        match (self.operands.bias, self.layer.geometry.config().bias) {
            (None, _) | (_, Bias::None) => Begin::Zero,
            (Some(bias), Bias::PerFilter) => Begin::Row(&bias[some]),
            (Some(bias), Bias::PerLocation) => {
                rows.put_bias(bias, self.output, some);
                Begin::Held
            }
        }
    }
}
