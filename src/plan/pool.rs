//! Plans of pooling: over windows, and along an axis of any length.

use super::planner::{Launch, OwnScratch, Ranges};
use super::{Plan, Planner, Resource};
use crate::Result;
use crate::kernels::{
    Kernel, Params, Pool, PoolGradAverage, PoolGradEvery, PoolGradFirst, PoolIndex, Reduce, ReduceGradAverage,
    ReduceGradMax, ReduceTies, THREADS, width,
};
use crate::ops::{self, Along, PoolKind, Ties, Windows};

/// The longest axis that one thread goes along. A longer axis is cut into about √length parts, on every device alike,
/// so that sums round the same everywhere.
const MOST_ALONG: u64 = 256;

/// What a step of a pool leaves to the next one: the largest value of each window, or where it is.
const LARGEST: Resource = Resource::Between(0);
/// The results of the parts that a long axis is cut into.
const PARTS: Resource = Resource::Between(1);
/// How many values are the largest.
const TIES: Resource = Resource::Between(2);

/// Windows along an axis, as kernels count them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spans {
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) window: u32,
    pub(super) stride: u32,
    pub(super) before: i32,
}

/// A kind of pooling with its windows, over samples that lie as `[outer][positions][inner]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pooled {
    /// One of [`Pool`]'s kinds.
    pub(super) kind: u32,
    pub(super) axes: [Spans; 3],
    pub(super) inner: u32,
}

impl Pooled {
    fn new(windows: &Windows, kind: u32) -> Self {
        let axes = windows.three_axes().map(|axis| {
            let ops::PoolAxis { input, output, window, stride, before } = axis;
            Spans { input, output, window, stride, before: before as i32 }
        });
        Self { kind, axes, inner: windows.inner() }
    }

    fn params(&self) -> Params {
        let [a, b, c] = self.axes;
        Params {
            input_0: a.input,
            input_1: b.input,
            input_2: c.input,
            output_0: a.output,
            output_1: b.output,
            output_2: c.output,
            taps_0: a.window,
            taps_1: b.window,
            taps_2: c.window,
            stride_0: a.stride,
            stride_1: b.stride,
            stride_2: c.stride,
            before_0: a.before as u32,
            before_1: b.before as u32,
            before_2: c.before as u32,
            inner: self.inner,
            ..Params::default()
        }
    }
}

/// A kind of reduction along an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reduced {
    /// One of [`Reduce`]'s kinds.
    pub(super) kind: u32,
    /// What the sum is divided by.
    pub(super) divisor: f32,
    pub(super) along: Along,
}

impl Planner<'_> {
    pub(super) fn pool(&self, o: &ops::Pool, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let (inputs, outputs) = (o.windows.inputs(), o.windows.outputs());
        let pooled = Pooled::new(&o.windows, if o.kind == PoolKind::Max { Pool::LARGEST } else { Pool::AVERAGE });
        for samples in self.samples(batch, inputs.max(outputs), u64::MAX)? {
            let x = self.range(Resource::Buffer(o.input), samples, inputs);
            let y = self.range(Resource::Buffer(o.output), samples, outputs);
            self.pooled(&mut plan, &pooled, Ranges { x, y })?;
        }
        Ok(plan)
    }

    pub(super) fn pooled(&self, plan: &mut Plan, windows: &Pooled, Ranges { x, y }: Ranges) -> Result<()> {
        let kind = windows.kind;
        let width = width([windows.inner, x.base, y.base].iter().all(|size| size.is_multiple_of(4)));
        let (count, inner) = (y.count as u32 / width, windows.inner / width);
        let params = windows.params().with(|p| {
            (p.count, p.inner, p.x_base, p.y_base) = (count, inner, x.base / width, y.base / width);
        });
        let workgroups = count.div_ceil(THREADS).into();
        self.dispatch(
            plan,
            Launch { variant: Pool { kind, width }.listed()?, params, workgroups, bindings: vec![x.slice, y.slice] },
        )
    }

    pub(super) fn pool_grad(&self, o: &ops::PoolGrad, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let (inputs, outputs) = (o.windows.inputs(), o.windows.outputs());
        let windows = Pooled::new(&o.windows, Pool::LARGEST);
        for samples in self.samples(batch, inputs.max(outputs), u64::MAX)? {
            let dy = self.range(Resource::Buffer(o.grad_output), samples, outputs);
            let dx = self.range(Resource::Buffer(o.grad_input), samples, inputs);
            let params = windows.params().with(|p| (p.count, p.x_base, p.y_base) = (dx.count as u32, dx.base, dy.base));
            let workgroups = dx.count.div_ceil(THREADS.into());
            let Some(input) = o.input else {
                let bindings = vec![dy.slice, dx.slice];
                self.dispatch(
                    &mut plan,
                    Launch { variant: PoolGradAverage {}.listed()?, params, workgroups, bindings },
                )?;
                continue;
            };
            let x = self.range(Resource::Buffer(input), samples, inputs);
            let largest = self.between(
                &mut plan,
                OwnScratch { resource: LARGEST, what: "the largest values of a pool" },
                dy.count,
            )?;
            match o.ties {
                Ties::First => {
                    let of_windows = params.with(|p| p.count = dy.count as u32);
                    let bindings = vec![x.slice, largest.slice];
                    let windows = dy.count.div_ceil(THREADS.into());
                    self.dispatch(
                        &mut plan,
                        Launch { variant: PoolIndex {}.listed()?, params: of_windows, workgroups: windows, bindings },
                    )?;
                    let bindings = vec![largest.slice, dy.slice, dx.slice];
                    self.dispatch(
                        &mut plan,
                        Launch { variant: PoolGradFirst {}.listed()?, params, workgroups, bindings },
                    )?;
                }
                Ties::Every => {
                    self.pooled(&mut plan, &windows, Ranges { x, y: largest })?;
                    let bindings = vec![x.slice, largest.slice, dy.slice, dx.slice];
                    self.dispatch(
                        &mut plan,
                        Launch { variant: PoolGradEvery {}.listed()?, params, workgroups, bindings },
                    )?;
                }
            }
        }
        Ok(plan)
    }

    pub(super) fn reduce(&self, o: &ops::Reduce, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let (kind, divisor) = match o.kind {
            PoolKind::Max => (Reduce::LARGEST, 1.0),
            PoolKind::Average => (Reduce::SUM, o.along.length as f32),
        };
        let reduced = Reduced { kind, divisor, along: o.along };
        for samples in self.samples(batch, o.along.inputs(), u64::MAX)? {
            let x = self.range(Resource::Buffer(o.input), samples, o.along.inputs());
            let y = self.range(Resource::Buffer(o.output), samples, o.along.outputs());
            self.reduced(&mut plan, reduced, Ranges { x, y })?;
        }
        Ok(plan)
    }

    /// Reduces `x` along an axis.
    pub(super) fn reduced(&self, plan: &mut Plan, reduced: Reduced, Ranges { x, y }: Ranges) -> Result<()> {
        let Reduced { kind, divisor, along } = reduced;
        let parts = parts(along.length);
        let step = |plan: &mut Plan, axis: Axis, divisor, ranges: Ranges| {
            let params = axis.params(ranges).with(|p| p.divisor = divisor);
            let (bindings, workgroups) =
                (vec![ranges.x.slice, ranges.y.slice], ranges.y.count.div_ceil(THREADS.into()));
            self.dispatch(plan, Launch { variant: Reduce { kind }.listed()?, params, workgroups, bindings })
        };
        let (length, inner) = (along.length, along.inner);
        if parts == 1 {
            return step(plan, Axis { length, parts, inner }, divisor, Ranges { x, y });
        }
        let between =
            self.between(plan, OwnScratch { resource: PARTS, what: "the parts of a long axis" }, y.count * parts)?;
        step(plan, Axis { length, parts, inner }, 1.0, Ranges { x, y: between })?;
        step(plan, Axis { length: parts, parts: 1, inner }, divisor, Ranges { x: between, y })
    }

    pub(super) fn reduce_grad(&self, o: &ops::ReduceGrad, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let Along { length, inner, .. } = o.along;
        for samples in self.samples(batch, o.along.inputs(), u64::MAX)? {
            let dy = self.range(Resource::Buffer(o.grad_output), samples, o.along.outputs());
            let dx = self.range(Resource::Buffer(o.grad_input), samples, o.along.inputs());
            let axis = Axis { length, parts: 1, inner };
            let params = axis.params(Ranges { x: dx, y: dy }).with(|p| p.count = dx.count as u32);
            let workgroups = dx.count.div_ceil(THREADS.into());
            let Some(input) = o.input else {
                let bindings = vec![dy.slice, dx.slice];
                self.dispatch(
                    &mut plan,
                    Launch { variant: ReduceGradAverage {}.listed()?, params, workgroups, bindings },
                )?;
                continue;
            };
            let x = self.range(Resource::Buffer(input), samples, o.along.inputs());
            let largest = self.between(
                &mut plan,
                OwnScratch { resource: LARGEST, what: "the largest values along an axis" },
                dy.count,
            )?;
            let most = Reduced { kind: Reduce::LARGEST, divisor: 1.0, along: o.along };
            self.reduced(&mut plan, most, Ranges { x, y: largest })?;
            let ties = self.between(
                &mut plan,
                OwnScratch { resource: TIES, what: "how many values along an axis are the largest" },
                dy.count,
            )?;
            let parts = parts(length);
            let counted = if parts == 1 {
                ties
            } else {
                self.between(
                    &mut plan,
                    OwnScratch { resource: PARTS, what: "the parts of a long axis" },
                    dy.count * parts,
                )?
            };
            let bindings = vec![x.slice, largest.slice, counted.slice];
            let threads = counted.count.div_ceil(THREADS.into());
            let of_parts = Axis { length, parts, inner }.params(Ranges { x, y: counted });
            self.dispatch(
                &mut plan,
                Launch { variant: ReduceTies {}.listed()?, params: of_parts, workgroups: threads, bindings },
            )?;
            if parts > 1 {
                let axis = Axis { length: parts, parts: 1, inner };
                let params = axis.params(Ranges { x: counted, y: ties }).with(|p| p.divisor = 1.0);
                let (sum, threads) = (Reduce { kind: Reduce::SUM }.listed()?, dy.count.div_ceil(THREADS.into()));
                self.dispatch(
                    &mut plan,
                    Launch { variant: sum, params, workgroups: threads, bindings: vec![counted.slice, ties.slice] },
                )?;
            }
            let bindings = vec![x.slice, largest.slice, ties.slice, dy.slice, dx.slice];
            self.dispatch(&mut plan, Launch { variant: ReduceGradMax {}.listed()?, params, workgroups, bindings })?;
        }
        Ok(plan)
    }
}

/// How many parts an axis is reduced in.
fn parts(length: u64) -> u64 {
    if length <= MOST_ALONG { 1 } else { length.isqrt() }
}

/// An axis as kernels reduce it.
#[derive(Debug, Clone, Copy)]
struct Axis {
    length: u64,
    /// How many parts it is reduced in.
    parts: u64,
    inner: u64,
}

impl Axis {
    /// The numbers of a dispatch that reduces `x` to the elements of `y`.
    fn params(self, Ranges { x, y }: Ranges) -> Params {
        let [length, parts, inner] = [self.length, self.parts, self.inner].map(|size| size as u32);
        Params { count: y.count as u32, length, parts, inner, x_base: x.base, y_base: y.base, ..Params::default() }
    }
}
