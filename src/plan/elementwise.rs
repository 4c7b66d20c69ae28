//! Plans of the operations that work element by element or row by row: activations, softmax, transposes, zeroes.

use super::planner::Range;
use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Saved};
use crate::kernels::{self, Fill, Kernel, Params, Softmax, SoftmaxGrad, THREADS, Variant};
use crate::ops::{Activate, ActivateGrad, BufferId, Transpose};

/// A kernel over all elements of its operands, which all have the same ranges.
struct Elementwise<'a> {
    variant: Variant,
    params: Params,
    /// Elements of a sample.
    elements: u64,
    operands: &'a [BufferId],
    /// Elements of a workgroup.
    per_group: u64,
}

impl Planner<'_> {
    pub(super) fn activate(&self, o: &Activate, batch: u32) -> Result<Plan> {
        let (variant, params, per_group): (Variant, _, _) = if o.activation.over_rows() {
            let softmax = Softmax { logarithm: o.activation == Activation::LogSoftmax };
            (softmax.listed()?.into(), Params { row: o.row as u32, ..Params::default() }, o.row)
        } else {
            let params = Params::default().with_activation(o.activation);
            (kernels::Activate { activation: params.activation }.listed()?.into(), params, THREADS.into())
        };
        let operands = &[o.input, o.output];
        self.elementwise(&Elementwise { variant, params, elements: o.elements, operands, per_group }, batch)
    }

    pub(super) fn activate_grad(&self, o: &ActivateGrad, batch: u32) -> Result<Plan> {
        let (variant, params, per_group): (Variant, _, _) = if o.activation.over_rows() {
            let softmax = SoftmaxGrad { logarithm: o.activation == Activation::LogSoftmax };
            (softmax.listed()?.into(), Params { row: o.row as u32, ..Params::default() }, o.row)
        } else {
            let from_output = u32::from(o.activation.saved() == Saved::Output);
            let params = Params { from_output, ..Params::default().with_activation(o.activation) };
            (kernels::ActivateGrad { activation: params.activation }.listed()?.into(), params, THREADS.into())
        };
        let operands = &[o.saved, o.grad_output, o.grad_input];
        self.elementwise(&Elementwise { variant, params, elements: o.elements, operands, per_group }, batch)
    }

    pub(super) fn transpose(&self, o: &Transpose, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let elements = o.rows * o.columns;
        for samples in self.samples(batch, elements, u64::MAX)? {
            let x = self.range(Resource::Buffer(o.input), samples, elements);
            let y = self.range(Resource::Buffer(o.output), samples, elements);
            self.transposed(&mut plan, [o.rows as u32, o.columns as u32], x, y)?;
        }
        Ok(plan)
    }

    /// `[rows][columns]` to `[columns][rows]`, as often as there are so many elements.
    pub(super) fn transposed(&self, plan: &mut Plan, sides: [u32; 2], x: Range, y: Range) -> Result<()> {
        let ([rows, columns], side) = (sides, kernels::Transpose::SIDE);
        let squares = u64::from(rows.div_ceil(side)) * u64::from(columns.div_ceil(side));
        let samples = x.count / (u64::from(rows) * u64::from(columns));
        let params =
            Params { rows, columns, count: x.count as u32, x_base: x.base, y_base: y.base, ..Params::default() };
        let variant = kernels::Transpose { side }.listed()?;
        self.dispatch(plan, variant, params, squares * samples, vec![x.slice, y.slice])
    }

    /// One kernel over all elements, the batch cut as bindings need.
    fn elementwise(&self, over: &Elementwise<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        for Samples { first, count } in self.samples(batch, over.elements, u64::MAX)? {
            let elements = over.elements * u64::from(count);
            let ranges =
                over.operands.iter().map(|&id| self.slice(Resource::Buffer(id), over.elements * first, elements));
            // All operands have the same ranges and so the same base.
            let (bindings, bases): (Vec<Slice>, Vec<u32>) = ranges.unzip();
            let base = bases.first().copied().unwrap_or(0);
            let params = Params { count: elements as u32, x_base: base, y_base: base, ..over.params };
            self.dispatch(&mut plan, over.variant, params, elements.div_ceil(over.per_group), bindings)?;
        }
        Ok(plan)
    }

    /// `count` zeroes at the start of a buffer.
    pub(super) fn fill(&self, plan: &mut Plan, resource: Resource, count: u64) -> Result<()> {
        let (slice, y_base) = self.slice(resource, 0, count);
        let params = Params { count: count as u32, y_base, ..Params::default() };
        self.dispatch(plan, Fill {}.listed()?, params, count.div_ceil(THREADS.into()), vec![slice])
    }
}
