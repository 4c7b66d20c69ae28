//! Plans of the operations that work element by element or row by row: activations, softmax, transposes, zeroes.

use super::planner::{Launch, Ranges};
use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Saved};
use crate::kernels::{self, Fill, Params, Softmax, SoftmaxGrad, THREADS, Variant};
use crate::ops::{Activate, ActivateGrad, BufferId, Transpose};

/// What an elementwise kernel binds.
pub(super) enum Operand {
    /// The same number of elements of each sample as the kernel computes.
    Samples(BufferId),
    /// A number of elements that all samples share.
    Fixed(BufferId, u64),
}

/// A kernel over all elements of samples.
pub(super) struct Elementwise<'a> {
    pub(super) variant: Variant,
    pub(super) params: Params,
    /// Elements of a sample.
    pub(super) elements: u64,
    /// Elements that a workgroup computes.
    pub(super) per_workgroup: u64,
    pub(super) operands: &'a [Operand],
}

impl Planner<'_> {
    pub(super) fn activate(&self, o: &Activate, batch: u32) -> Result<Plan> {
        let (variant, params, per_workgroup) = if o.activation.over_rows() {
            let softmax = Softmax { logarithm: o.activation == Activation::LogSoftmax };
            (softmax.listed()?, Params { row: o.row as u32, ..Params::default() }, o.row)
        } else {
            let params = Params::default().with_activation(o.activation);
            (kernels::Activate { activation: params.activation }.listed()?, params, THREADS.into())
        };
        let operands = &[o.input, o.output].map(Operand::Samples);
        self.elementwise(&Elementwise { variant, params, elements: o.elements, operands, per_workgroup }, batch)
    }

    pub(super) fn activate_grad(&self, o: &ActivateGrad, batch: u32) -> Result<Plan> {
        let (variant, params, per_workgroup) = if o.activation.over_rows() {
            let softmax = SoftmaxGrad { logarithm: o.activation == Activation::LogSoftmax };
            (softmax.listed()?, Params { row: o.row as u32, ..Params::default() }, o.row)
        } else {
            let from_output = u32::from(o.activation.saved() == Saved::Output);
            let params = Params { from_output, ..Params::default() }.with_activation(o.activation);
            (kernels::ActivateGrad { activation: params.activation }.listed()?, params, THREADS.into())
        };
        let operands = &[o.saved, o.grad_output, o.grad_input].map(Operand::Samples);
        self.elementwise(&Elementwise { variant, params, elements: o.elements, operands, per_workgroup }, batch)
    }

    pub(super) fn transpose(&self, o: &Transpose, batch: u32) -> Result<Plan> {
        let operands = [o.input, o.output].map(|id| (id, o.rows * o.columns));
        let sides = [o.rows as u32, o.columns as u32];
        self.by_samples(batch, operands, |plan, _, ranges| self.transposed(plan, sides, ranges))
    }

    /// Turns each `[rows][columns]` into `[columns][rows]`, for all matrices in the ranges.
    pub(super) fn transposed(&self, plan: &mut Plan, sides: [u32; 2], ranges: Ranges) -> Result<()> {
        let Ranges { x, y } = ranges;
        let ([rows, columns], side) = (sides, kernels::Transpose::SIDE);
        let squares = u64::from(rows.div_ceil(side)) * u64::from(columns.div_ceil(side));
        let samples = x.count / (u64::from(rows) * u64::from(columns));
        let params =
            Params { rows, columns, count: x.count as u32, x_base: x.base, y_base: y.base, ..Params::default() };
        let variant = kernels::Transpose { side }.listed()?;
        self.dispatch(plan, Launch { variant, params, workgroups: squares * samples, bindings: vec![x.slice, y.slice] })
    }

    /// One kernel over all elements, the batch cut as bindings need.
    pub(super) fn elementwise(&self, over: &Elementwise<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        for Samples { first, count } in
            self.samples(batch, over.elements, u64::from(u32::MAX) / over.elements.max(1))?
        {
            let elements = over.elements * u64::from(count);
            let (mut bindings, mut base) = (Vec::with_capacity(over.operands.len()), 0);
            for operand in over.operands {
                bindings.push(match *operand {
                    Operand::Samples(id) => {
                        let (slice, own) = self.slice(Resource::Buffer(id), over.elements * first, elements);
                        // All operands with samples are bound to the same ranges, and so have the same base.
                        base = own;
                        slice
                    }
                    Operand::Fixed(id, length) => {
                        self.profile.check_piece("what is normalised by", 4 * length)?;
                        Slice::whole(Resource::Buffer(id))
                    }
                });
            }
            let params = over.params.with(|p| (p.count, p.x_base, p.y_base) = (elements as u32, base, base));
            let workgroups = elements.div_ceil(over.per_workgroup);
            self.dispatch(&mut plan, Launch { variant: over.variant, params, workgroups, bindings })?;
        }
        Ok(plan)
    }

    /// `count` zeroes at the start of a buffer.
    pub(super) fn fill(&self, plan: &mut Plan, resource: Resource, count: u64) -> Result<()> {
        let (slice, y_base) = self.slice(resource, 0, count);
        let params = Params { count: count as u32, y_base, ..Params::default() };
        self.dispatch(plan, Launch::per_element(Fill {}.listed()?, params, vec![slice]))
    }
}
