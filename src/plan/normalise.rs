//! Plans of normalisations.

use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::config::Activation;
use crate::kernels::{self, Kernel, Params, THREADS, Variant};
use crate::ops::{BufferId, LayerNorm, LayerNormGrad, NormFactor, Normalise, NormaliseGrad};

/// An operand: one for all samples, or one for each.
enum Bound {
    Fixed(BufferId, u64),
    Samples(BufferId),
}

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
        self.dispatch(&mut plan, variant, params, o.channels.div_ceil(THREADS.into()), bindings)?;
        Ok(plan)
    }

    pub(super) fn normalise(&self, o: &Normalise, batch: u32) -> Result<Plan> {
        let params = Params {
            channels: o.channels as u32,
            inner: o.inner as u32,
            use_bias: o.beta.is_some().into(),
            ..Params::default().with_activation(o.activation)
        };
        let [mean, factor, beta] = [o.mean, o.factor, o.beta.unwrap_or(o.mean)].map(|id| Bound::Fixed(id, o.channels));
        let operands = [Bound::Samples(o.input), mean, factor, beta, Bound::Samples(o.output)];
        let kernel = kernels::Normalise { activation: params.activation };
        self.rows(kernel.listed()?, params, (o.elements, THREADS.into()), &operands, batch)
    }

    /// What normalising by given statistics leaves of the gradient, and then, where it lies, what the batch's own statistics take from it.
    pub(super) fn normalise_grad(&self, o: &NormaliseGrad, batch: u32) -> Result<Plan> {
        let &NormaliseGrad { elements, channels, inner, mean, factor, grad_output, grad_input, .. } = o;
        let (input, beta, output, activation) = (grad_output, None, grad_input, Activation::Linear);
        let by_given = Normalise { elements, channels, inner, input, mean, factor, beta, activation, output };
        let mut plan = self.normalise(&by_given, batch)?;
        let params = Params { channels: channels as u32, inner: inner as u32, ..Params::default() };
        let [slope, factor] = [o.slope, factor].map(|id| Bound::Fixed(id, channels));
        let operands = [Bound::Samples(o.normalised), slope, factor, Bound::Samples(grad_input)];
        let own = kernels::NormaliseGrad {}.listed()?;
        plan.dispatches.extend(self.rows(own, params, (elements, THREADS.into()), &operands, batch)?.dispatches);
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
            [o.gamma, o.beta].map(|id| id.map_or(Bound::Samples(o.input), |id| Bound::Fixed(id, o.row)));
        let operands = [Bound::Samples(o.input), gamma, beta, Bound::Samples(o.output)];
        self.rows(kernels::LayerNorm {}.listed()?, params, (o.elements, o.row), &operands, batch)
    }

    pub(super) fn layer_norm_grad(&self, o: &LayerNormGrad, batch: u32) -> Result<Plan> {
        let params =
            Params { row: o.row as u32, use_scale: o.gamma.is_some().into(), epsilon: o.epsilon, ..Params::default() };
        let gamma = o.gamma.map_or(Bound::Samples(o.input), |id| Bound::Fixed(id, o.row));
        let operands = [Bound::Samples(o.input), gamma, Bound::Samples(o.grad_output), Bound::Samples(o.grad_input)];
        self.rows(kernels::LayerNormGrad {}.listed()?, params, (o.elements, o.row), &operands, batch)
    }

    /// One kernel over all samples of so many elements, of which a workgroup does some, the batch cut as bindings need.
    fn rows(
        &self,
        variant: impl Into<Variant>,
        params: Params,
        (elements, per_group): (u64, u64),
        operands: &[Bound],
        batch: u32,
    ) -> Result<Plan> {
        let mut plan = Plan::default();
        let variant = variant.into();
        for Samples { first, count } in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let all = elements * u64::from(count);
            let (mut bindings, mut base) = (Vec::with_capacity(operands.len()), 0);
            for operand in operands {
                let (slice, own) = match *operand {
                    Bound::Samples(id) => self.slice(Resource::Buffer(id), elements * first, all),
                    Bound::Fixed(id, length) => {
                        self.profile.check_piece("what is normalised by", 4 * length)?;
                        (Slice::whole(Resource::Buffer(id)), base)
                    }
                };
                // All that has samples has the same ranges and so the same base.
                base = own;
                bindings.push(slice);
            }
            let params = Params { count: all as u32, x_base: base, y_base: base, ..params };
            self.dispatch(&mut plan, variant, params, all.div_ceil(per_group), bindings)?;
        }
        Ok(plan)
    }
}
