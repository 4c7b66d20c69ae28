//! Plans of pooling: over windows, and along an axis of any length.

use super::planner::{Launch, OwnScratch, Range, Ranges};
use super::{Plan, Planner, Resource};
use crate::Result;
use crate::kernels::{
    Params, Pool, PoolGradAverage, PoolGradEvery, PoolGradFirst, PoolIndex, Reduce, ReduceGradAverage, ReduceGradMax,
    ReduceTies, Variant, width,
};
use crate::ops::{self, Along, PoolAxis, PoolKind, Ties, Windows};

/// The longest axis that one thread goes along. A longer axis is cut into about √length parts, on every device alike,
/// so that sums round the same everywhere.
const MOST_ALONG: u64 = 256;

/// What a step of a pool leaves to the next one: the largest value of each window, or where it is.
const LARGEST: OwnScratch = OwnScratch { resource: Resource::Between(0), what: "the largest values of a pool" };
/// The same along an axis.
const LARGEST_ALONG: OwnScratch = OwnScratch { what: "the largest values along an axis", ..LARGEST };
/// The results of the parts that a long axis is cut into.
const PARTS: OwnScratch = OwnScratch { resource: Resource::Between(1), what: "the parts of a long axis" };
/// How many values are the largest.
const TIES: OwnScratch =
    OwnScratch { resource: Resource::Between(2), what: "how many values along an axis are the largest" };

/// A kind of pooling with its windows, over samples that lie as `[outer][positions][inner]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pooled {
    /// One of [`Pool`]'s kinds.
    pub(super) kind: u32,
    /// As kernels have them: `before` is the bits of an `i32`.
    pub(super) axes: [PoolAxis; 3],
    pub(super) inner: u32,
}

impl Pooled {
    fn new(windows: &Windows, kind: u32) -> Self {
        Self { kind, axes: windows.three_axes(), inner: windows.inner() }
    }

    fn params(&self) -> Params {
        let [taps_0, taps_1, taps_2] = self.axes.map(|axis| axis.window);
        let [a, b, c] = self.axes.map(|axis| axis.before);
        Params {
            input: self.axes.map(|axis| axis.input),
            output: self.axes.map(|axis| axis.output),
            taps_0,
            taps_1,
            taps_2,
            stride: self.axes.map(|axis| axis.stride),
            before: [a, b, c, 0, 0],
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
        let (x, y) = ((o.input, o.windows.inputs()), (o.output, o.windows.outputs()));
        let pooled = Pooled::new(&o.windows, if o.kind == PoolKind::Max { Pool::LARGEST } else { Pool::AVERAGE });
        self.by_samples(batch, [x, y], |plan, _, ranges| self.pooled(plan, &pooled, ranges))
    }

    pub(super) fn pooled(&self, plan: &mut Plan, windows: &Pooled, Ranges { x, y }: Ranges) -> Result<()> {
        let kind = windows.kind;
        let width = width([windows.inner, x.base, y.base].iter().all(|size| size.is_multiple_of(4)));
        let params = windows.params().with(|p| {
            (p.count, p.inner) = (y.count as u32 / width, windows.inner / width);
            (p.x_base, p.y_base) = (x.base / width, y.base / width);
        });
        self.dispatch(plan, Launch::per_element(Pool { kind, width }.listed()?, params, vec![x.slice, y.slice]))
    }

    pub(super) fn pool_grad(&self, o: &ops::PoolGrad, batch: u32) -> Result<Plan> {
        let (inputs, outputs) = (o.windows.inputs(), o.windows.outputs());
        let windows = Pooled::new(&o.windows, Pool::LARGEST);
        let operands = [(o.grad_output, outputs), (o.grad_input, inputs)];
        self.by_samples(batch, operands, |plan, samples, Ranges { x: dy, y: dx }| {
            let params = windows.params().with(|p| (p.count, p.x_base, p.y_base) = (dx.count as u32, dx.base, dy.base));
            let Some(input) = o.input else {
                let average = PoolGradAverage {}.listed()?;
                return self.dispatch(plan, Launch::per_element(average, params, vec![dy.slice, dx.slice]));
            };
            let x = self.range(Resource::Buffer(input), samples, inputs);
            let largest = self.between(plan, LARGEST, dy.count)?;
            match o.ties {
                Ties::First => {
                    let of_windows = params.with(|p| p.count = dy.count as u32);
                    let index = PoolIndex {}.listed()?;
                    self.dispatch(plan, Launch::per_element(index, of_windows, vec![x.slice, largest.slice]))?;
                    let bindings = vec![largest.slice, dy.slice, dx.slice];
                    self.dispatch(plan, Launch::per_element(PoolGradFirst {}.listed()?, params, bindings))
                }
                Ties::Every => {
                    self.pooled(plan, &windows, Ranges { x, y: largest })?;
                    let bindings = vec![x.slice, largest.slice, dy.slice, dx.slice];
                    self.dispatch(plan, Launch::per_element(PoolGradEvery {}.listed()?, params, bindings))
                }
            }
        })
    }

    pub(super) fn reduce(&self, o: &ops::Reduce, batch: u32) -> Result<Plan> {
        let (kind, divisor) = match o.kind {
            PoolKind::Max => (Reduce::LARGEST, 1.0),
            PoolKind::Average => (Reduce::SUM, o.along.length as f32),
        };
        let reduced = Reduced { kind, divisor, along: o.along };
        let operands = [(o.input, o.along.inputs()), (o.output, o.along.outputs())];
        self.by_samples(batch, operands, |plan, _, ranges| self.reduced(plan, reduced, ranges))
    }

    /// Reduces `x` along an axis.
    pub(super) fn reduced(&self, plan: &mut Plan, reduced: Reduced, Ranges { x, y }: Ranges) -> Result<()> {
        let Reduced { kind, divisor, along } = reduced;
        let variant = Reduce { kind }.listed()?;
        self.in_parts(plan, Step { variant, joins: variant, operands: &[x], axis: Axis::of(along), divisor }, y)
    }

    /// Reduces along an axis, and where it is cut into parts then along these.
    fn in_parts(&self, plan: &mut Plan, step: Step<'_>, y: Range) -> Result<()> {
        let parts = step.axis.parts;
        if parts == 1 {
            return self.along(plan, step, y);
        }
        let between = self.between(plan, PARTS, y.count * parts)?;
        self.along(plan, Step { divisor: 1.0, ..step }, between)?;
        let axis = Axis { length: parts, parts: 1, ..step.axis };
        self.along(plan, Step { variant: step.joins, operands: &[between], axis, ..step }, y)
    }

    fn along(&self, plan: &mut Plan, step: Step<'_>, y: Range) -> Result<()> {
        let params = step.axis.params(Ranges { x: step.operands[0], y }).with(|p| p.divisor = step.divisor);
        let bindings = step.operands.iter().chain([&y]).map(|range| range.slice).collect();
        self.dispatch(plan, Launch::per_element(step.variant, params, bindings))
    }

    pub(super) fn reduce_grad(&self, o: &ops::ReduceGrad, batch: u32) -> Result<Plan> {
        let operands = [(o.grad_output, o.along.outputs()), (o.grad_input, o.along.inputs())];
        self.by_samples(batch, operands, |plan, samples, Ranges { x: dy, y: dx }| {
            let axis = Axis { parts: 1, ..Axis::of(o.along) };
            let params = axis.params(Ranges { x: dx, y: dy }).with(|p| p.count = dx.count as u32);
            let Some(input) = o.input else {
                let average = ReduceGradAverage {}.listed()?;
                return self.dispatch(plan, Launch::per_element(average, params, vec![dy.slice, dx.slice]));
            };
            let x = self.range(Resource::Buffer(input), samples, o.along.inputs());
            let largest = self.between(plan, LARGEST_ALONG, dy.count)?;
            let most = Reduced { kind: Reduce::LARGEST, divisor: 1.0, along: o.along };
            self.reduced(plan, most, Ranges { x, y: largest })?;
            let ties = self.between(plan, TIES, dy.count)?;
            let (variant, joins) = (ReduceTies {}.listed()?, Reduce { kind: Reduce::SUM }.listed()?);
            let operands = &[x, largest];
            let counting = Step { variant, joins, operands, axis: Axis::of(o.along), divisor: 1.0 };
            self.in_parts(plan, counting, ties)?;
            let bindings = [x, largest, ties, dy, dx].map(|range| range.slice).into();
            self.dispatch(plan, Launch::per_element(ReduceGradMax {}.listed()?, params, bindings))
        })
    }
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
    fn of(Along { length, inner, .. }: Along) -> Self {
        Self { length, parts: if length <= MOST_ALONG { 1 } else { length.isqrt() }, inner }
    }

    /// The numbers of a dispatch that reduces `x` to the elements of `y`.
    fn params(self, Ranges { x, y }: Ranges) -> Params {
        let [length, parts, inner] = [self.length, self.parts, self.inner].map(|size| size as u32);
        Params { count: y.count as u32, length, parts, inner, x_base: x.base, y_base: y.base, ..Params::default() }
    }
}

/// A reduction of its first operand along an axis.
#[derive(Debug, Clone, Copy)]
struct Step<'a> {
    variant: Variant,
    /// Reduces the results of parts.
    joins: Variant,
    operands: &'a [Range],
    axis: Axis,
    divisor: f32,
}
