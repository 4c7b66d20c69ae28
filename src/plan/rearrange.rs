//! Plans of operations that move values.

use super::planner::{Launch, OwnScratch, Ranges};
use super::pool::{Pooled, Reduced, Spans};
use super::{Plan, Planner, Resource};
use crate::kernels::{Concatenate, Kernel, Params, Pool, Rearrange, Reduce, THREADS, width};
use crate::ops::{self, Along, AxisMap, Moved, MovedAxes, Repetitions, in_order, put_back, repeats, repetitions};
use crate::{Error, Result};

/// Sums over repetitions, before their axes are moved.
const SUMS: Resource = Resource::Between(0);

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
        let mut plan = Plan::default();
        let [inputs, outputs] = sizes(&o.axes);
        let axes = moved(&o.axes)?;
        for samples in self.samples(batch, inputs.max(outputs), u64::MAX)? {
            let x = self.range(Resource::Buffer(o.input), samples, inputs);
            let y = self.range(Resource::Buffer(o.output), samples, outputs);
            self.moved(&mut plan, &axes, Ranges { x, y })?;
        }
        Ok(plan)
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
        let count = y.count as u32 / width;
        let params = Params {
            count,
            x_base: x.base / width,
            y_base: y.base / width,
            x_sample: sample / width,
            written_0: a.map.output,
            written_1: b.map.output,
            written_2: c.map.output,
            written_3: d.map.output,
            written_4: last.map.output,
            read_0: a.map.input,
            read_1: b.map.input,
            read_2: c.map.input,
            read_3: d.map.input,
            read_4: last.map.input,
            before_0: a.map.before as u32,
            before_1: b.map.before as u32,
            before_2: c.map.before as u32,
            before_3: d.map.before as u32,
            before_4: last.map.before as u32,
            repeat_0: a.map.repeat,
            repeat_1: b.map.repeat,
            repeat_2: c.map.repeat,
            repeat_3: d.map.repeat,
            repeat_4: last.map.repeat,
            distance_0: a.stride,
            distance_1: b.stride,
            distance_2: c.stride,
            distance_3: d.stride,
            distance_4: last.stride,
            ..Params::default()
        };
        let many = [a, b, c].iter().any(|axis| axis.map != AxisMap::whole(1, axis.map.of));
        let bindings = vec![x.slice, y.slice];
        self.dispatch(
            plan,
            Launch {
                variant: Rearrange { many, width }.listed()?,
                params,
                workgroups: count.div_ceil(THREADS).into(),
                bindings,
            },
        )
    }

    pub(super) fn rearrange_grad(&self, o: &ops::RearrangeGrad, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let [inputs, outputs] = sizes(&o.axes);
        let axes = moved(&o.axes)?;
        let summed = repeats(&o.axes).then(|| repetitions(&o.axes)).flatten();
        let back = moved(&put_back(&o.axes))?;
        for samples in self.samples(batch, inputs.max(outputs), u64::MAX)? {
            let x = self.range(Resource::Buffer(o.grad_output), samples, outputs);
            let y = self.range(Resource::Buffer(o.grad_input), samples, inputs);
            match &summed {
                None => self.moved(&mut plan, &axes.inverse(), Ranges { x, y })?,
                Some(summed) if in_order(&o.axes) => self.summed(&mut plan, summed, Ranges { x, y })?,
                Some(summed) => {
                    let sums = self.between(
                        &mut plan,
                        OwnScratch { resource: SUMS, what: "the sums over what is repeated" },
                        y.count,
                    )?;
                    self.summed(&mut plan, summed, Ranges { x, y: sums })?;
                    self.moved(&mut plan, &back, Ranges { x: sums, y })?;
                }
            }
        }
        Ok(plan)
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
        let axes = over.axes.map(|axis| Spans {
            input: axis.output,
            output: axis.input,
            window: axis.repeat,
            stride: axis.repeat,
            before: -axis.before,
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
                let count = x.count as u32 / width;
                let params = Params {
                    count,
                    columns: columns / width,
                    row: row / width,
                    x_base: x.base / width,
                    y_base: y_base / width,
                    ..Params::default()
                };
                let (workgroups, bindings) = (count.div_ceil(THREADS).into(), vec![x.slice, y.slice]);
                self.dispatch(
                    &mut plan,
                    Launch { variant: Concatenate { width }.listed()?, params, workgroups, bindings },
                )?;
                first += columns;
            }
        }
        Ok(plan)
    }
}
