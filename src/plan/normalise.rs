//! Plans of normalisations.

use super::elementwise::{Elementwise, Operand};
use super::planner::Launch;
use super::{Plan, Planner, Resource, Slice};
use crate::Result;
use crate::config::Activation;
use crate::kernels::{self, Params, THREADS};
use crate::ops::{LayerNorm, LayerNormGrad, NormFactor, Normalise, NormaliseGrad};

impl Planner<'_> {
    pub(super) fn norm_factor(&self, o: &NormFactor) -> Result<Plan> {
        let mut plan = Plan::default();
        self.profile.check_piece("the variance", 4 * o.channels)?;
        let params = Params {
            count: o.channels as u32,
            use_scale: o.gamma.is_some().into(),
            epsilon: o.epsilon,
            ..Params::default()
        };
        let operands = [o.variance, o.gamma.unwrap_or(o.variance), o.factor];
        let bindings = operands.map(|id| Slice::whole(Resource::Buffer(id))).into();
        let variant = kernels::NormFactor {}.listed()?;
        self.dispatch(&mut plan, Launch::per_element(variant, params, bindings))?;
        Ok(plan)
    }

    pub(super) fn normalise(&self, o: &Normalise, batch: u32) -> Result<Plan> {
        let params = Params {
            channels: o.channels as u32,
            inner: o.inner as u32,
            use_bias: o.beta.is_some().into(),
            ..Params::default()
        };
        let params = params.with_activation(o.activation);
        let [mean, factor, beta] =
            [o.mean, o.factor, o.beta.unwrap_or(o.mean)].map(|id| Operand::Fixed(id, o.channels));
        let operands = [Operand::Samples(o.input), mean, factor, beta, Operand::Samples(o.output)];
        let variant = kernels::Normalise { activation: params.activation }.listed()?;
        let (elements, per_workgroup) = (o.elements, THREADS.into());
        self.elementwise(&Elementwise { variant, params, elements, per_workgroup, operands: &operands }, batch)
    }

    /// First the gradient as for given statistics; for the batch's own statistics a second step, in the same place,
    /// takes away the part that flows through them.
    pub(super) fn normalise_grad(&self, o: &NormaliseGrad, batch: u32) -> Result<Plan> {
        let &NormaliseGrad { elements, channels, inner, mean, factor, grad_output, grad_input, .. } = o;
        let (input, beta, output, activation) = (grad_output, None, grad_input, Activation::Linear);
        let by_given = Normalise { elements, channels, inner, input, mean, factor, beta, activation, output };
        let mut plan = self.normalise(&by_given, batch)?;
        let params = Params { channels: channels as u32, inner: inner as u32, ..Params::default() };
        let [slope, factor] = [o.slope, factor].map(|id| Operand::Fixed(id, channels));
        let operands = [Operand::Samples(o.normalised), slope, factor, Operand::Samples(grad_input)];
        let (variant, per_workgroup) = (kernels::NormaliseGrad {}.listed()?, THREADS.into());
        let own = Elementwise { variant, params, elements, per_workgroup, operands: &operands };
        plan.dispatches.extend(self.elementwise(&own, batch)?.dispatches);
        Ok(plan)
    }

    pub(super) fn layer_norm(&self, o: &LayerNorm, batch: u32) -> Result<Plan> {
        let params = Params {
            row: o.row as u32,
            use_scale: o.gamma.is_some().into(),
            use_bias: o.beta.is_some().into(),
            epsilon: o.epsilon,
            ..Params::default()
        };
        let [gamma, beta] =
            [o.gamma, o.beta].map(|id| id.map_or(Operand::Samples(o.input), |id| Operand::Fixed(id, o.row)));
        let operands = [Operand::Samples(o.input), gamma, beta, Operand::Samples(o.output)];
        let (variant, elements, per_workgroup) = (kernels::LayerNorm {}.listed()?, o.elements, o.row);
        self.elementwise(&Elementwise { variant, params, elements, per_workgroup, operands: &operands }, batch)
    }

    pub(super) fn layer_norm_grad(&self, o: &LayerNormGrad, batch: u32) -> Result<Plan> {
        let params =
            Params { row: o.row as u32, use_scale: o.gamma.is_some().into(), epsilon: o.epsilon, ..Params::default() };
        let gamma = o.gamma.map_or(Operand::Samples(o.input), |id| Operand::Fixed(id, o.row));
        let operands =
            [Operand::Samples(o.input), gamma, Operand::Samples(o.grad_output), Operand::Samples(o.grad_input)];
        let (variant, elements, per_workgroup) = (kernels::LayerNormGrad {}.listed()?, o.elements, o.row);
        self.elementwise(&Elementwise { variant, params, elements, per_workgroup, operands: &operands }, batch)
    }
}
