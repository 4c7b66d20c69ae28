//! The pure planner: from a geometry, a batch and the numbers of a device to a list of dispatches. No device is
//! touched, nothing is allocated, so every decision can be tested with forced limits.

mod cost;
mod dense;
mod elementwise;
mod iterations;
mod loop_kernels;
mod loops;
mod profile;
mod sparse;
mod tiles;
mod weights;

pub use cost::Estimate;
pub use profile::{DeviceProfile, Form, Strategy, required_limits};
pub use tiles::{TILE_SHAPES, TileShape};
pub use weights::{Chunk, chunks};

use crate::config::{Activation, Bias, Implementation, Saved, WeightType};
use crate::geometry::Geometry;
use crate::kernel::{Params, Tables, Variant};
use crate::tune::{Pass, TuneTable};
use crate::{Error, Result};

/// What a binding of a dispatch refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Input samples, the host's.
    Input,
    /// Output samples, the host's.
    Output,
    /// Values before the activation, the host's.
    PreActivation,
    /// Gradient of the output, the host's.
    GradOutput,
    /// Gradient of the input, the host's.
    GradInput,
    /// A chunk of the weights.
    Kernel(u32),
    /// A chunk of the weights' gradient.
    GradKernel(u32),
    /// The bias.
    Bias,
    /// The bias's gradient.
    GradBias,
    /// The tap tables.
    Tables,
    /// The sparse index.
    SparseIndex,
    /// Scratch: a block of the dense matrix, or of its gradient.
    Dense,
    /// Scratch: gradient of the values before the activation.
    GradPreActivation,
    /// Scratch: output gradients summed over the samples.
    SampleSums,
}

/// A range of a buffer, in bytes; the offset is aligned as bindings must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which buffer.
    pub role: Role,
    /// First byte.
    pub offset: u64,
    /// Number of bytes; 0 is the whole buffer.
    pub size: u64,
}

impl Slice {
    pub(crate) fn whole(role: Role) -> Self {
        Self { role, offset: 0, size: 0 }
    }
}

/// One dispatch: a pipeline, its buffers, its uniform.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The pipeline.
    pub variant: Variant,
    /// Storage bindings 1, 2, … of group 0.
    pub bindings: Vec<Slice>,
    /// Binding 0.
    pub params: Params,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// The dispatches of a forward or backward pass, in order, and the memory they need besides the operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How the layer is executed; never [`Implementation::Auto`].
    pub implementation: Implementation,
    /// In order; each may read what those before it wrote.
    pub dispatches: Vec<Dispatch>,
    /// Scratch buffers and their bytes.
    pub scratch: Vec<(Role, u64)>,
}

/// What the caller decides about a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Most bytes of scratch memory; none is no limit but the device's.
    pub memory_budget: Option<u64>,
    /// Which form of the loop variant's kernels to take where there is one; none leaves it to the device's [`Strategy`].
    pub form: Option<Form>,
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
    /// Its weights' chunks, from [`chunks`].
    pub chunks: &'a [Chunk],
    /// The device.
    pub profile: &'a DeviceProfile,
    /// The caller's wishes.
    pub options: PlanOptions,
    /// Measured choices, which go before the cost model's.
    pub tuned: Option<&'a TuneTable>,
}

/// A run of samples that a dispatch can bind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl Planner<'_> {
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
            (false, Activation::Softmax) => (Role::Output, Activation::Linear),
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
        if activation == Activation::Softmax {
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
        let tuned = self.tuned.and_then(|table| table.get(&self.profile.fingerprint, self.geometry, batch, pass));
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

    /// The numbers by which kernels are chosen: the device's, or those of the form that is asked for.
    fn strategy(&self) -> Strategy {
        let own = self.profile.strategy;
        self.options.form.map_or(own, |form| form.strategy(own))
    }

    fn params(&self) -> Params {
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
        let at_once = if sample * u64::from(batch) <= self.profile.max_piece() {
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
        variant: Variant,
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
                what: variant.name(),
                needed: workgroups,
                unit: "workgroups",
                limit: limit * limit,
                name: "max_compute_workgroups_per_dimension",
            });
        }
        let variant = variant.with_dtype(self.geometry.config().dtype);
        params.workgroups = workgroups as u32;
        params.workgroups_x = x as u32;
        let dispatch = Dispatch { variant, bindings, params, workgroups: [x as u32, y as u32, 1] };
        // The bound costs some host work, and only few drivers have a limit.
        let limit = self.profile.max_iterations;
        if limit < u64::MAX {
            let needed = self.iterations(&dispatch);
            if needed > limit {
                let (what, name) = (variant.name(), "the driver ends longer loops without a word");
                return Err(Error::Limit { what, needed, unit: "turns of a thread's loops", limit, name });
            }
        }
        plan.dispatches.push(dispatch);
        Ok(())
    }
}

/// Every variant that some plan on some device can ask for: what the shader tests compile.
#[must_use]
pub fn variants() -> Vec<Variant> {
    let families = [elementwise::variants(), loop_kernels::variants(), dense::variants(), sparse::variants()];
    let all = families.concat();
    let mut halves: Vec<Variant> = all.iter().map(|variant| variant.with_dtype(WeightType::F16)).collect();
    halves.retain(|variant| variant.dtype == WeightType::F16);
    [all, halves].concat()
}

impl Plan {
    /// Bytes of all scratch buffers.
    #[must_use]
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch.iter().map(|(_, bytes)| bytes).sum()
    }
}
