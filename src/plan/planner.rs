//! Plans passes: whether an implementation is possible, which is preferred, and the dispatches of the one taken.

use super::{Chunk, DeviceProfile, Dispatch, Estimate, Form, Pass, Plan, Role, Slice, Strategy, TuneKey, TuneTable};
use crate::config::{Activation, Bias, Implementation, Saved};
use crate::geometry::Geometry;
use crate::kernel::{Params, Tables, Variant};
use crate::{Error, Result};

/// What the caller decides about a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Most bytes of scratch memory; none is no limit but the device's.
    pub memory_budget: Option<u64>,
    /// Which form of the loop variant's kernels to take where there is one; none leaves it to the device's [`Strategy`].
    pub form: Option<Form>,
    /// Numbers to choose kernels by in place of the device's own [`DeviceProfile::strategy`].
    pub strategy: Option<Strategy>,
}

/// Which gradients a backward pass computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gradients {
    /// With respect to the input.
    pub input: bool,
    /// With respect to the kernel.
    pub kernel: bool,
    /// With respect to the bias, where there is one.
    pub bias: bool,
}

impl Gradients {
    /// All three.
    pub const ALL: Self = Self { input: true, kernel: true, bias: true };
}

/// Plans passes of one layer on one device.
#[derive(Debug, Clone, Copy)]
pub struct Planner<'a> {
    /// The layer.
    pub geometry: &'a Geometry,
    /// Its tap tables.
    pub tables: &'a Tables,
    /// Its weights' chunks.
    pub chunks: &'a [Chunk],
    /// The device.
    pub profile: &'a DeviceProfile,
    /// The caller's wishes.
    pub options: PlanOptions,
    tuned: Option<&'a TuneTable>,
}

/// A run of samples that a dispatch can bind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl<'a> Planner<'a> {
    /// A planner for the layer `geometry` on the device `profile`, without wishes of the caller's; `tables` are the
    /// layer's tap tables, `chunks` what [`chunks`](super::chunks) cuts its weights into for that device.
    #[must_use]
    pub fn new(geometry: &'a Geometry, tables: &'a Tables, chunks: &'a [Chunk], profile: &'a DeviceProfile) -> Self {
        Self { geometry, tables, chunks, profile, options: PlanOptions::default(), tuned: None }
    }

    /// The same planner with the caller's wishes.
    #[must_use]
    pub fn with_options(self, options: PlanOptions) -> Self {
        Self { options, ..self }
    }

    /// The same planner with measured choices, which go before the cost model's.
    #[must_use]
    pub fn with_tuned(self, tuned: Option<&'a TuneTable>) -> Self {
        Self { tuned, ..self }
    }

    /// The forward pass. With `pre_activation` the values before the activation are kept in a buffer of their own.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::OverBudget`].
    pub fn forward(&self, batch: u32, implementation: Implementation, pre_activation: bool) -> Result<Plan> {
        self.choose(implementation, batch, Pass::Forward, |planner, implementation| {
            planner.forward_by(implementation, batch, pre_activation)
        })
    }

    fn forward_by(&self, implementation: Implementation, batch: u32, pre_activation: bool) -> Result<Plan> {
        self.possible(implementation)?;
        let mut plan = Plan { implementation, dispatches: Vec::new(), scratch: Vec::new() };
        if batch == 0 {
            return Ok(plan);
        }
        let activation = self.geometry.config().activation;
        let (target, fused) = match (pre_activation, activation) {
            (true, _) => (Role::PreActivation, Activation::Linear),
            (false, rows) if rows.over_rows() => (Role::Output, Activation::Linear),
            (false, fused) => (Role::Output, fused),
        };
        match implementation {
            Implementation::DenseMatmul => self.dense_forward(&mut plan, batch, fused, target)?,
            Implementation::SparseGather => self.sparse_forward(&mut plan, batch, fused, target)?,
            _ => self.loop_forward(&mut plan, batch, fused, target)?,
        }
        if pre_activation {
            self.activate(&mut plan, batch)?;
        }
        if activation.over_rows() {
            self.softmax(&mut plan, batch)?;
        }
        Ok(plan)
    }

    /// The backward pass: those of the three gradients that `wanted` names, overwriting what their buffers held.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::OverBudget`].
    pub fn backward(&self, batch: u32, implementation: Implementation, wanted: Gradients) -> Result<Plan> {
        self.choose(implementation, batch, Pass::Backward, |planner, implementation| {
            planner.backward_by(implementation, batch, wanted)
        })
    }

    fn backward_by(&self, implementation: Implementation, batch: u32, wanted: Gradients) -> Result<Plan> {
        self.possible(implementation)?;
        let mut plan = Plan { implementation, dispatches: Vec::new(), scratch: Vec::new() };
        let bias = wanted.bias && self.geometry.config().bias != Bias::None;
        if batch == 0 {
            // The sums over no samples.
            if wanted.kernel {
                for (chunk, index) in self.chunks.iter().zip(0..) {
                    self.fill(&mut plan, Role::GradKernel(index), chunk.len())?;
                }
            }
            if bias {
                self.fill(&mut plan, Role::GradBias, self.geometry.biases())?;
            }
            return Ok(plan);
        }
        let dz = if self.geometry.config().activation.saved() == Saved::Nothing {
            Role::GradOutput
        } else {
            self.activate_grad(&mut plan, batch)?;
            Role::GradPreActivation
        };
        if bias {
            self.grad_bias(&mut plan, batch, dz)?;
        }
        if wanted.kernel {
            match implementation {
                Implementation::DenseMatmul => self.dense_grad_kernel(&mut plan, batch, dz)?,
                Implementation::SparseGather => self.sparse_grad_kernel(&mut plan, batch, dz)?,
                _ => self.loop_grad_kernel(&mut plan, batch, dz)?,
            }
        }
        if wanted.input {
            match implementation {
                Implementation::DenseMatmul => self.dense_grad_input(&mut plan, batch, dz)?,
                Implementation::SparseGather => self.sparse_grad_input(&mut plan, batch, dz)?,
                _ => self.loop_grad_input(&mut plan, batch, dz)?,
            }
        }
        Ok(plan)
    }

    /// A forced implementation, else the measured one, else the one that the cost model expects to be fastest.
    fn choose(
        &self,
        implementation: Implementation,
        batch: u32,
        pass: Pass,
        plan: impl Fn(&Self, Implementation) -> Result<Plan>,
    ) -> Result<Plan> {
        if implementation != Implementation::Auto {
            return plan(self, implementation);
        }
        let tuned = self.tuned.and_then(|table| table.get(&TuneKey::new(self.profile, self.geometry, batch, pass)));
        if let Some(tuned) = tuned {
            let options = PlanOptions { form: self.options.form.or(tuned.form), ..self.options };
            if let Ok(plan) = plan(&Self { options, ..*self }, tuned.implementation) {
                return Ok(plan);
            }
        }
        let mut best: Option<(f64, Plan)> = None;
        let mut refused = None;
        for implementation in Implementation::ALL {
            match plan(self, implementation) {
                Ok(plan) => {
                    let seconds = Estimate::of(&plan, self.profile).seconds;
                    if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
                        best = Some((seconds, plan));
                    }
                }
                // The loop variant's reason comes first: it is possible most often.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        best.map(|(_, plan)| plan).ok_or_else(|| refused.unwrap_or(Error::NoImplementation))
    }

    /// What each implementation would cost, or why it isn't possible: forward, and backward with all gradients.
    pub fn estimates(&self, batch: u32, pass: Pass) -> [(Implementation, Result<Estimate>); 3] {
        Implementation::ALL.map(|implementation| {
            let plan = match pass {
                Pass::Forward => self.forward_by(implementation, batch, false),
                Pass::Backward => self.backward_by(implementation, batch, Gradients::ALL),
            };
            (implementation, plan.map(|plan| Estimate::of(&plan, self.profile)))
        })
    }

    /// Whether an implementation is possible for this layer on this device.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a user's connectivity by another than sparse gather; [`Error::OverBudget`] and
    /// [`Error::Limit`] with the bytes of the dense matrix or the sparse index.
    pub fn possible(&self, implementation: Implementation) -> Result<()> {
        if self.geometry.pattern().is_some() && implementation != Implementation::SparseGather {
            return Err(Error::Unsupported {
                what: format!("implementation {}", implementation.name()),
                with: "with a connectivity of the user's".into(),
            });
        }
        match implementation {
            Implementation::DenseMatmul => self.check_dense(),
            Implementation::SparseGather => self.check_sparse(),
            Implementation::Loop | Implementation::Auto => Ok(()),
        }
    }

    /// The numbers by which kernels are chosen: the device's or the caller's, for the form that is asked for.
    pub(super) fn strategy(&self) -> Strategy {
        let own = self.options.strategy.unwrap_or(self.profile.strategy);
        self.options.form.map_or(own, |form| form.strategy(own))
    }

    pub(super) fn params(&self) -> Params {
        Params::new(self.geometry, self.tables)
    }

    /// The range of `count` elements from element `first` of a buffer, as an aligned binding and the distance of the
    /// first element from its start.
    pub(crate) fn slice(&self, role: Role, first: u64, count: u64) -> (Slice, u32) {
        let alignment = u64::from(self.profile.storage_alignment.max(4));
        let offset = 4 * first / alignment * alignment;
        (Slice { role, offset, size: 4 * (first + count) - offset }, (first - offset / 4) as u32)
    }

    /// Cuts the batch so that both an input and an output range fit a binding, whatever their alignment.
    pub(crate) fn samples(&self, batch: u32) -> Result<impl Iterator<Item = Samples> + use<>> {
        let sample = 4 * self.geometry.inputs().max(self.geometry.outputs());
        let slack = u64::from(self.profile.storage_alignment);
        // A binding that starts at the buffer's first byte needs no slack.
        let at_once = if sample.saturating_mul(u64::from(batch)) <= self.profile.max_piece() {
            u64::from(batch)
        } else {
            self.profile.max_piece().saturating_sub(slack) / sample
        };
        if at_once == 0 {
            return Err(self.profile.over_piece("one sample", sample + slack));
        }
        let at_once = at_once.min(self.most_samples());
        let batch = u64::from(batch);
        Ok((0..batch)
            .step_by(at_once as usize)
            .map(move |first| Samples { first, count: at_once.min(batch - first) as u32 }))
    }

    /// Reserves a scratch buffer.
    pub(crate) fn reserve(&self, plan: &mut Plan, role: Role, bytes: u64, what: &str) -> Result<()> {
        if bytes > self.profile.max_buffer {
            return Err(Error::Limit {
                what: what.into(),
                needed: bytes,
                unit: "bytes",
                limit: self.profile.max_buffer,
                name: "max_buffer_size",
            });
        }
        // The same scratch may serve several steps of a plan.
        match plan.scratch.iter_mut().find(|(other, _)| *other == role) {
            Some((_, most)) => *most = bytes.max(*most),
            None => plan.scratch.push((role, bytes)),
        }
        let needed = plan.scratch_bytes();
        match self.options.memory_budget {
            Some(budget) if needed > budget => Err(Error::OverBudget { what: what.into(), needed, budget }),
            _ => Ok(()),
        }
    }

    /// Appends a dispatch of `workgroups` workgroups, folded near-square over x and y.
    pub(crate) fn dispatch(
        &self,
        plan: &mut Plan,
        variant: impl Into<Variant>,
        mut params: Params,
        workgroups: u64,
        bindings: Vec<Slice>,
    ) -> Result<()> {
        let limit = u64::from(self.profile.max_workgroups);
        let (x, y) = if workgroups <= limit {
            (workgroups, 1)
        } else {
            let y = workgroups.div_ceil(limit);
            (workgroups.div_ceil(y), y)
        };
        if y > limit || workgroups > u64::from(u32::MAX) {
            return Err(Error::Limit {
                what: "a pass of this layer".into(),
                needed: workgroups,
                unit: "workgroups",
                limit: limit * limit,
                name: "max_compute_workgroups_per_dimension",
            });
        }
        let variant = variant.into();
        params.workgroups = workgroups as u32;
        params.workgroups_x = x as u32;
        if !self.turns_fit(&variant, &params) {
            return Err(Error::Limit {
                what: "a sum of this layer".into(),
                needed: variant.turns(&params, self.geometry),
                unit: "turns of a loop",
                limit: self.profile.max_iterations,
                name: "the driver ends longer loops without a word",
            });
        }
        let dispatch = Dispatch { variant, bindings, params, workgroups: [x as u32, y as u32, 1] };
        plan.dispatches.push(dispatch);
        Ok(())
    }
}
