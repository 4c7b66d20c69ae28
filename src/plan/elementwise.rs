//! Plans of the kernels that work element by element or row by row: activations, softmax, bias gradient, zeroes.

use super::{Plan, Planner, Role, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Bias, Saved};
use crate::kernel::{
    Activate, ActivateGrad, Fill, GradBias, GradBiasShared, Kernel, Params, Softmax, SoftmaxGrad, THREADS, Variant,
    width,
};

impl Planner<'_> {
    pub(super) fn activate(&self, plan: &mut Plan, batch: u32) -> Result<()> {
        let params = Params::default().with_activation(self.geometry.config().activation);
        let kernel = Activate { activation: params.activation }.listed()?;
        self.over_outputs(plan, batch, kernel, params, &[Role::PreActivation, Role::Output], THREADS.into())
    }

    pub(super) fn softmax(&self, plan: &mut Plan, batch: u32) -> Result<()> {
        let row = self.geometry.softmax_row();
        let params = Params { row, ..Params::default() };
        let variant = Softmax { logarithm: self.geometry.config().activation == Activation::LogSoftmax }.listed()?;
        self.over_outputs(plan, batch, variant, params, &[Role::Output], row.into())
    }

    pub(super) fn activate_grad(&self, plan: &mut Plan, batch: u32) -> Result<()> {
        let bytes = 4 * self.geometry.outputs() * u64::from(batch);
        self.reserve(plan, Role::GradPreActivation, bytes, "the gradient before the activation")?;
        let activation = self.geometry.config().activation;
        let from_output = u32::from(activation.saved() == Saved::Output);
        let saved = if from_output == 1 { Role::Output } else { Role::PreActivation };
        let roles = [saved, Role::GradOutput, Role::GradPreActivation];
        if activation.over_rows() {
            let row = self.geometry.softmax_row();
            let params = Params { row, ..Params::default() };
            let variant = SoftmaxGrad { logarithm: activation == Activation::LogSoftmax }.listed()?;
            self.over_outputs(plan, batch, variant, params, &roles, row.into())
        } else {
            let params = Params { from_output, ..Params::default().with_activation(activation) };
            let kernel = ActivateGrad { activation: params.activation }.listed()?;
            self.over_outputs(plan, batch, kernel, params, &roles, THREADS.into())
        }
    }

    /// One kernel over all output elements, the batch cut as bindings need; a workgroup takes `per_group` elements.
    fn over_outputs(
        &self,
        plan: &mut Plan,
        batch: u32,
        variant: impl Into<Variant>,
        params: Params,
        roles: &[Role],
        per_group: u64,
    ) -> Result<()> {
        let variant = variant.into();
        for Samples { first, count } in self.samples(batch)? {
            let elements = self.geometry.outputs() * u64::from(count);
            let mut base = 0;
            let bindings = roles
                .iter()
                .map(|&role| {
                    let (slice, at) = self.slice(role, self.geometry.outputs() * first, elements);
                    base = at;
                    slice
                })
                .collect();
            // All operands have the same ranges and so the same base.
            let params = Params { count: elements as u32, x_base: base, y_base: base, ..params };
            self.dispatch(plan, variant, params, elements.div_ceil(per_group), bindings)?;
        }
        Ok(())
    }

    pub(super) fn fill(&self, plan: &mut Plan, role: Role, count: u64) -> Result<()> {
        let (slice, y_base) = self.slice(role, 0, count);
        let params = Params { count: count as u32, y_base, ..Params::default() };
        self.dispatch(plan, Fill {}.listed()?, params, count.div_ceil(THREADS.into()), vec![slice])
    }

    /// Sums over the samples; where locations share the bias, over them too.
    pub(super) fn grad_bias(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        let geometry = self.geometry;
        let shared = geometry.config().bias == Bias::PerFilter;
        let outputs = geometry.outputs();
        let sums = if shared { Role::SampleSums } else { Role::GradBias };
        self.profile.check_piece("the bias", 4 * geometry.biases())?;
        if shared {
            self.reserve(plan, sums, 4 * outputs, "the sums over the samples")?;
        }
        for Samples { first, count: samples } in self.samples(batch)? {
            let (slice, y_base) = self.slice(dz, outputs * first, outputs * u64::from(samples));
            let accumulate = u32::from(first > 0);
            let width = width(outputs.is_multiple_of(4) && y_base.is_multiple_of(4));
            // Biases are too few to keep a GPU busy one by one.
            let parts = if samples > 1 && self.strategy().split_batch > 0 { GradBias::MOST_PARTS } else { 1 };
            let units = outputs / u64::from(width);
            let params = Params { batch: samples, count: units as u32, y_base, accumulate, ..self.params() };
            let variant = GradBias { parts, width }.listed()?;
            let groups = units.div_ceil(u64::from(THREADS / parts));
            self.dispatch(plan, variant, params, groups, vec![slice, Slice::whole(sums)])?;
        }
        if shared {
            let filters = geometry.biases();
            let params = Params { count: filters as u32, row: geometry.locations(), ..self.params() };
            let bindings = vec![Slice::whole(sums), Slice::whole(Role::GradBias)];
            self.dispatch(plan, GradBiasShared {}.listed()?, params, filters, bindings)?;
        }
        Ok(())
    }
}
