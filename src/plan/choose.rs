//! Plans operations: whether an implementation is possible, which is preferred, and the plan of the one taken.

use super::local::Local;
use super::{Estimate, Plan, PlanOptions, Planner, TuneKey, TunedChoice};
use crate::config::Implementation;
use crate::geometry::{Geometry, Sharing};
use crate::kernels::{Declared, DenseForward, LoopForward, SparseForward};
use crate::ops::{Choosable, LocalForward, LocalGradInput, Operation};
use crate::{Error, Result};

/// A `match` with an arm for each operation, those of the second list where there are whole models.
macro_rules! by_operation {
    (
        $of:expr; $($operation:ident($o:ident) => $plan:expr),*;
        models: $($of_model:ident($m:ident) => $planned:expr),* $(,)?
    ) => {
        match $of {
            $(Operation::$operation($o) => $plan,)*
            $(#[cfg(feature = "models")] Operation::$of_model($m) => $planned,)*
        }
    };
}

impl Planner<'_> {
    /// How the device does an operation on `batch` samples.
    ///
    /// # Errors
    /// [`Error::Program`] for one that is wrong in itself; [`Error::Limit`], [`Error::OverBudget`];
    /// [`Error::Unsupported`] for an implementation that was asked for and isn't possible; [`Error::LongWorkgroup`]
    /// where one workgroup takes more than [`PlanOptions::max_dispatch_flops`].
    pub fn plan(&self, operation: &Operation, batch: u32) -> Result<Plan> {
        self.cut_long(self.uncut(operation, batch)?)
    }

    /// The plan before long dispatches are cut.
    fn uncut(&self, operation: &Operation, batch: u32) -> Result<Plan> {
        if let Some(why) = operation.fault() {
            return Err(Error::Program { what: format!("operation {}", operation.name()), why });
        }
        by_operation! { operation;
            LocalForward(o) => self.choose(o.implementation, operation, batch),
            LocalGradInput(o) => self.choose(o.implementation, operation, batch),
            LocalGradWeights(o) => self.choose(o.implementation, operation, batch),
            GradBias(o) => Local::new(*self, &o.layer)?.grad_bias(o, batch),
            Activate(o) => self.activate(o, batch),
            ActivateGrad(o) => self.activate_grad(o, batch),
            Transpose(o) => self.transpose(o, batch);
            models:
            LocalUpdate(o) => self.choose(o.implementation, operation, batch),
            Pool(o) => self.pool(o, batch),
            PoolGrad(o) => self.pool_grad(o, batch),
            Reduce(o) => self.reduce(o, batch),
            ReduceGrad(o) => self.reduce_grad(o, batch),
            Rearrange(o) => self.rearrange(o, batch),
            RearrangeGrad(o) => self.rearrange_grad(o, batch),
            Concatenate(o) => self.concatenate(o, batch),
            Combine(o) => self.combine(o, batch),
            CombineGrad(o) => self.combine_grad(o, batch),
            Sum(o) => self.sum(o, batch),
            NormFactor(o) => self.norm_factor(o),
            Normalise(o) => self.normalise(o, batch),
            LayerNorm(o) => self.layer_norm(o, batch),
            LayerNormGrad(o) => self.layer_norm_grad(o, batch),
            Update(o) => self.update(o),
            MovingAverage(o) => self.moving_average(o, batch),
            PenaltyGrad(o) => self.penalty_grad(o, batch),
            Total(o) => self.total(o, batch),
            ClipScale(o) => self.clip_scale(o),
            Orthogonal(o) => self.orthogonal(o),
            OrthogonalGrad(o) => self.orthogonal_grad(o),
            GroupSquares(o) => self.group_squares(o),
            Constrain(o) => self.constrain(o),
            NonNegative(o) => self.non_negative(o),
            Radial(o) => self.radial(o),
            Variance(o) => self.variance(o, batch),
            NormaliseGrad(o) => self.normalise_grad(o, batch),
            Loss(o) => self.loss(o, batch),
            LossGrad(o) => self.loss_grad(o, batch),
            Hits(o) => self.hits(o, batch),
            Random(o) => self.random(o, batch),
            RandomGrad(o) => self.random_grad(o, batch),
        }
    }

    /// The implementation asked for, else the one measured as fastest, else the one that the cost model expects to be
    /// fastest.
    fn choose(&self, forced: Option<Implementation>, operation: &Operation, batch: u32) -> Result<Plan> {
        // Shared weights are computed by loop only, whatever a whole model is asked to take.
        let shared = operation.layer().is_some_and(|layer| layer.sharing() != Sharing::Unshared);
        if let Some(implementation) = if shared { Some(Implementation::Loop) } else { forced } {
            return self.plan_by(implementation, operation, batch);
        }
        if let Some(tuned) = self.tuned(operation, batch) {
            let options = PlanOptions { form: self.options.form.or(tuned.form), ..self.options };
            let plan = self.with_options(options).plan_by(tuned.implementation, operation, batch);
            if let Ok(plan) = plan.and_then(|plan| self.check_long(&plan).map(|()| plan)) {
                return Ok(plan);
            }
        }
        let gradient = match operation {
            #[cfg(feature = "models")]
            Operation::LocalUpdate(o) => Some(Operation::LocalGradWeights(o.gradient())),
            _ => None,
        };
        let mut best: Option<(f64, Plan)> = None;
        let mut refused = None;
        for implementation in Implementation::ALL {
            // Implementations are compared before long dispatches are cut, so that cutting changes no choice, unless
            // one can't be cut.
            let plan = self.plan_by(implementation, operation, batch);
            match plan.and_then(|plan| self.check_long(&plan).map(|()| plan)) {
                Ok(plan) => {
                    let compared = gradient.as_ref().map(|gradient| self.plan_by(implementation, gradient, batch));
                    let compared = compared.transpose()?;
                    let seconds = Estimate::of(compared.as_ref().unwrap_or(&plan), self.profile).seconds;
                    if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
                        best = Some((seconds, plan));
                    }
                }
                // If none is possible, the error tells loop's reason: loop is the one that is possible most often.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        best.map(|(_, plan)| plan).ok_or_else(|| refused.unwrap_or(Error::NoImplementation))
    }

    fn tuned(&self, operation: &Operation, batch: u32) -> Option<TunedChoice> {
        let table = self.tuned.filter(|table| !table.is_empty())?;
        table.get(&TuneKey::new(self.profile, operation, batch)?)
    }

    /// The plan of an operation by one implementation.
    fn plan_by(&self, implementation: Implementation, operation: &Operation, batch: u32) -> Result<Plan> {
        let Some(choosable) = operation.choosable() else { return self.uncut(operation, batch) };
        let local = |layer| self.local(layer, implementation);
        let mut plan = match choosable {
            // Nothing is written, whichever implementation it is.
            Choosable::Forward(LocalForward { layer, .. }) | Choosable::GradInput(LocalGradInput { layer, .. })
                if batch == 0 =>
            {
                self.possible(layer, implementation).map(|()| Plan::default())
            }
            Choosable::Forward(o) => local(&o.layer)?.forward(implementation, o, batch),
            Choosable::GradInput(o) => local(&o.layer)?.grad_input(implementation, o, batch),
            Choosable::GradWeights(o) => local(&o.layer)?.grad_weights(implementation, &o.into(), batch),
            #[cfg(feature = "models")]
            Choosable::Update(o) => local(&o.layer)?.grad_weights(implementation, &o.into(), batch),
        }?;
        plan.implementation = Some(implementation);
        Ok(plan)
    }

    /// What each implementation of an operation would cost, or why it isn't possible.
    pub fn estimates(&self, operation: &Operation, batch: u32) -> [(Implementation, Result<Estimate>); 3] {
        Implementation::ALL.map(|implementation| {
            let plan = self.plan_by(implementation, operation, batch);
            (implementation, plan.map(|plan| Estimate::of(&plan, self.profile)))
        })
    }

    /// Whether the device can hold a layer at all.
    ///
    /// # Errors
    /// [`Error::Limit`] where it can't bind even one filter at one location, the bias or the tap tables.
    pub fn holds(&self, layer: &Geometry) -> Result<()> {
        Local::new(*self, layer).map(drop)
    }

    /// Whether an implementation is possible for a layer on this device.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a user's connectivity by anything but sparse, and for shared weights by anything but
    /// loop (they are executed by that instead); [`Error::OverBudget`] and [`Error::Limit`] with the bytes of the dense
    /// matrix or of the sparse index, or with the number of storage buffers of the forward pass.
    pub fn possible(&self, layer: &Geometry, implementation: Implementation) -> Result<()> {
        self.local(layer, implementation)?;
        // The kernel of each implementation that binds the most buffers and can't be replaced by another.
        let (name, bindings) = match implementation {
            Implementation::Loop => (LoopForward::NAME, LoopForward::BINDINGS),
            Implementation::DenseMatmul => (DenseForward::NAME, DenseForward::BINDINGS),
            Implementation::SparseGather => (SparseForward::NAME, SparseForward::BINDINGS),
        };
        self.profile.check_storage_buffers(name, bindings)
    }

    /// A layer that this implementation can do here.
    fn local<'l>(&'l self, layer: &'l Geometry, implementation: Implementation) -> Result<Local<'l>> {
        connects(layer, implementation)?;
        let local = Local::new(*self, layer)?;
        match implementation {
            Implementation::DenseMatmul => local.check_dense()?,
            Implementation::SparseGather => local.check_sparse()?,
            Implementation::Loop => {}
        }
        Ok(local)
    }
}

/// Whether an implementation can do a layer's connectivity: sparse alone does a user's, loop alone does shared weights.
fn connects(layer: &Geometry, implementation: Implementation) -> Result<()> {
    let of_unshared = matches!(implementation, Implementation::DenseMatmul | Implementation::SparseGather);
    if of_unshared && layer.sharing() != Sharing::Unshared {
        let what = format!("implementation {}", implementation.name());
        return Err(Error::Unsupported { what, with: "by a layer whose locations share their weights".into() });
    }
    if layer.pattern().is_none() || implementation == Implementation::SparseGather {
        return Ok(());
    }
    let what = format!("implementation {}", implementation.name());
    Err(Error::Unsupported { what, with: "with a connectivity of the user's".into() })
}
