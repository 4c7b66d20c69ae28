//! Plans of operations that move values.

use super::planner::{Launch, OwnScratch, Ranges};
use super::pool::{Pooled, Reduced};
use super::{Plan, Planner, Resource};
use crate::kernels::{Concatenate, Params, Pool, Rearrange, Reduce, width};
use crate::ops::{
    self, Along, AxisMap, Moved, MovedAxes, PoolAxis, Repetitions, in_order, put_back, repeats, repetitions,
};
use crate::{Error, Result};

/// Sums over repetitions, before their axes are moved.
const SUMS: OwnScratch = OwnScratch { resource: Resource::Between(0), what: "the sums over what is repeated" };

/// Elements of a sample before and after its axes are rearranged: `[read, written]`.
fn sizes(axes: &[AxisMap]) -> [u64; 2] {
    let product = |size: fn(&AxisMap) -> u32| axes.iter().map(|axis| u64::from(size(axis))).product();
    [product(|axis| axis.input), product(|axis| axis.output)]
}

fn moved(axes: &[AxisMap]) -> Result<MovedAxes> {
    let too_many = || Error::Program { what: "operation rearrange".into(), why: "more than five of its axes move" };
    MovedAxes::new(axes).ok_or_else(too_many)
}

impl Planner<'_> {
    pub(super) fn rearrange(&self, o: &ops::Rearrange, batch: u32) -> Result<Plan> {
        let [inputs, outputs] = sizes(&o.axes);
        let axes = moved(&o.axes)?;
        let operands = [(o.input, inputs), (o.output, outputs)];
        self.by_samples(batch, operands, |plan, _, ranges| self.moved(plan, &axes, ranges))
    }

    /// Moves the elements of `x` along other axes.
    fn moved(&self, plan: &mut Plan, axes: &MovedAxes, Ranges { x, y }: Ranges) -> Result<()> {
        if let Some(sides) = axes.transposition() {
            return self.transposed(plan, sides, Ranges { x, y });
        }
        let [outer @ .., last] = axes.0;
        let sample: u32 = axes.0.iter().map(|axis| axis.map.input).product();
        let in_fours = |size: u32| size.is_multiple_of(4);
        let along = last.map.repeat == 1 && last.stride == 1 && last.map.before % 4 == 0;
        let far = outer.iter().filter(|axis| axis.map.input > 1).map(|axis| axis.stride);
        let all = [last.map.input, last.map.output, x.base, y.base].into_iter().chain(far);
        let width = width(along && { all }.all(in_fours));
        let last = Moved {
            map: AxisMap {
                input: last.map.input / width,
                output: last.map.output / width,
                before: last.map.before / width as i32,
                ..last.map
            },
            ..last
        };
        let [a, b, c, d] = outer.map(|axis| Moved { stride: axis.stride / width, ..axis });
        let axes = [a, b, c, d, last];
        let params = Params {
            count: y.count as u32 / width,
            x_base: x.base / width,
            y_base: y.base / width,
            x_sample: sample / width,
            written: axes.map(|axis| axis.map.output),
            read: axes.map(|axis| axis.map.input),
            before: axes.map(|axis| axis.map.before as u32),
            repeat: axes.map(|axis| axis.map.repeat),
            distance: axes.map(|axis| axis.stride),
            ..Params::default()
        };
        let many = [a, b, c].iter().any(|axis| axis.map != AxisMap::whole(1, axis.map.of));
        let variant = Rearrange { many, width }.listed()?;
        self.dispatch(plan, Launch::per_element(variant, params, vec![x.slice, y.slice]))
    }

    pub(super) fn rearrange_grad(&self, o: &ops::RearrangeGrad, batch: u32) -> Result<Plan> {
        let [inputs, outputs] = sizes(&o.axes);
        let axes = moved(&o.axes)?;
        let summed = repeats(&o.axes).then(|| repetitions(&o.axes)).flatten();
        let back = moved(&put_back(&o.axes))?;
        let operands = [(o.grad_output, outputs), (o.grad_input, inputs)];
        self.by_samples(batch, operands, |plan, _, Ranges { x, y }| match &summed {
            None => self.moved(plan, &axes.inverse(), Ranges { x, y }),
            Some(summed) if in_order(&o.axes) => self.summed(plan, summed, Ranges { x, y }),
            Some(summed) => {
                let sums = self.between(plan, SUMS, y.count)?;
                self.summed(plan, summed, Ranges { x, y: sums })?;
                self.moved(plan, &back, Ranges { x: sums, y })
            }
        })
    }

    /// Sums over repeated elements.
    fn summed(&self, plan: &mut Plan, over: &Repetitions, ranges: Ranges) -> Result<()> {
        // One element that is repeated along an axis of any length.
        if let [a, b, AxisMap { output, input: 1, before: 0, repeat, .. }] = over.axes
            && output == repeat
            && [a, b].iter().all(|axis| *axis == AxisMap::whole(1, axis.of))
        {
            let [outer, length, inner] = [over.outer, output, over.inner].map(u64::from);
            let along = Along { outer, length, inner };
            return self.reduced(plan, Reduced { kind: Reduce::SUM, divisor: 1.0, along }, ranges);
        }
        let axes = over.axes.map(|axis| PoolAxis {
            input: axis.output,
            output: axis.input,
            window: axis.repeat,
            stride: axis.repeat,
            before: -axis.before as u32,
        });
        self.pooled(plan, &Pooled { kind: Pool::SUM, axes, inner: over.inner }, ranges)
    }

    pub(super) fn concatenate(&self, o: &ops::Concatenate, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let row = o.columns();
        for samples in self.samples(batch, o.rows * row, u64::MAX)? {
            let mut first = 0;
            for part in &o.inputs {
                let x = self.range(Resource::Buffer(part.input), samples, o.rows * part.columns);
                let y = self.range(Resource::Buffer(o.output), samples, o.rows * row);
                let (columns, row, y_base) = (part.columns as u32, row as u32, y.base + first);
                let width = width([columns, row, x.base, y_base].iter().all(|size| size.is_multiple_of(4)));
                let params = Params {
                    count: x.count as u32 / width,
                    columns: columns / width,
                    row: row / width,
                    x_base: x.base / width,
                    y_base: y_base / width,
                    ..Params::default()
                };
                let variant = Concatenate { width }.listed()?;
                self.dispatch(&mut plan, Launch::per_element(variant, params, vec![x.slice, y.slice]))?;
                first += columns;
            }
        }
        Ok(plan)
    }
}
