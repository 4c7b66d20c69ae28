//! Plans of the kernels that work element by element or row by row: activations, softmax, bias gradient, zeroes.

use super::tiles::{WIDTHS, width};
use super::{Plan, Planner, Role, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Bias, Saved, codes};
use crate::kernel::{Kernel, Params, Variant};

/// Threads of a workgroup in these kernels.
const THREADS: u64 = 64;
/// `PARTS` of the bias gradient where its threads divide the samples.
const MOST_PARTS: u32 = 8;

/// The activation as a constant of the forward kernels: the cheap ones are compiled in, the others share a pipeline.
pub(super) fn fused_code(activation: Activation) -> u32 {
    match activation.code().0 {
        cheap @ (codes::LINEAR | codes::RELU) => cheap,
        _ => codes::ANY,
    }
}

/// `LOGARITHM` of the kernels that work row by row.
fn logarithm(activation: Activation) -> u32 {
    u32::from(activation == Activation::LogSoftmax)
}

/// All that [`fused_code`] gives.
pub(super) const FUSED: [u32; 3] = [codes::LINEAR, codes::RELU, codes::ANY];

impl Planner<'_> {
    pub(super) fn activate(&self, plan: &mut Plan, batch: u32) -> Result<()> {
        let params = Params::default().with_activation(self.geometry.config().activation);
        let kernel = Kernel::Activate.variant(&[params.activation]);
        self.over_outputs(plan, batch, kernel, params, &[Role::PreActivation, Role::Output], THREADS)
    }

    pub(super) fn softmax(&self, plan: &mut Plan, batch: u32) -> Result<()> {
        let row = self.geometry.softmax_row();
        let params = Params { row, ..Params::default() };
        let variant = Kernel::Softmax.variant(&[logarithm(self.geometry.config().activation)]);
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
            let variant = Kernel::SoftmaxGrad.variant(&[logarithm(activation)]);
            self.over_outputs(plan, batch, variant, params, &roles, row.into())
        } else {
            let params = Params { from_output, ..Params::default().with_activation(activation) };
            self.over_outputs(plan, batch, Kernel::ActivateGrad.variant(&[params.activation]), params, &roles, THREADS)
        }
    }

    /// One kernel over all output elements, the batch cut as bindings need; a workgroup takes `per_group` elements.
    fn over_outputs(
        &self,
        plan: &mut Plan,
        batch: u32,
        variant: Variant,
        params: Params,
        roles: &[Role],
        per_group: u64,
    ) -> Result<()> {
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
        self.dispatch(plan, Kernel::Fill.variant(&[]), params, count.div_ceil(THREADS), vec![slice])
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
            let parts = if samples > 1 && self.strategy().split_batch > 0 { MOST_PARTS } else { 1 };
            let units = outputs / u64::from(width);
            let params = Params { batch: samples, count: units as u32, y_base, accumulate, ..self.params() };
            let variant = Kernel::GradBias.variant(&[parts, width]);
            let groups = units.div_ceil(THREADS / u64::from(parts));
            self.dispatch(plan, variant, params, groups, vec![slice, Slice::whole(sums)])?;
        }
        if shared {
            let filters = geometry.biases();
            let params = Params { count: filters as u32, row: geometry.locations(), ..self.params() };
            let bindings = vec![Slice::whole(sums), Slice::whole(Role::GradBias)];
            self.dispatch(plan, Kernel::GradBiasShared.variant(&[]), params, filters, bindings)?;
        }
        Ok(())
    }
}

/// Every variant of these kernels that a plan can ask for.
pub(super) fn variants() -> Vec<Variant> {
    use Kernel::{Activate, ActivateGrad, Fill, GradBias, GradBiasShared, Softmax, SoftmaxGrad};
    let mut variants = [Fill, GradBiasShared].map(|kernel| kernel.variant(&[])).to_vec();
    variants.extend([Softmax, SoftmaxGrad].into_iter().flat_map(|k| [0, 1].map(|logarithm| k.variant(&[logarithm]))));
    variants.extend([1, MOST_PARTS].into_iter().flat_map(|p| WIDTHS.map(|width| GradBias.variant(&[p, width]))));
    for (_, code) in codes::ALL.into_iter().filter(|(_, code)| ![codes::LINEAR, codes::ANY].contains(code)) {
        variants.push(ActivateGrad.variant(&[code]));
    }
    // Values before the activation are kept even where the backward pass could do without, softmax apart.
    for (_, code) in codes::ALL.into_iter().filter(|(_, code)| *code != codes::ANY) {
        variants.push(Activate.variant(&[code]));
    }
    variants
}
