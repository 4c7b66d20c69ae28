//! What plans are made with: a device's numbers, the caller's wishes, and the steps that all plans take.

use super::{DeviceProfile, Dispatch, Form, Plan, Resource, Slice, Strategy, TuneTable};
use crate::kernels::{Params, Variant};
use crate::{Error, Result};
use std::num::NonZeroU64;

/// What the caller decides about plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Most bytes of scratch memory; none is no limit but the device's.
    pub memory_budget: Option<u64>,
    /// Which form of the loop variant's kernels to take where there is one; none leaves it to the device's [`Strategy`].
    pub form: Option<Form>,
    /// Most floating-point operations of a dispatch, as [`Dispatch::flops`] counts them: a longer one is cut into several,
    /// which a host may record into several submits, and the bits stay the same. None leaves dispatches whole.
    pub max_dispatch_flops: Option<u64>,
    /// Numbers to choose kernels by in place of the device's own [`DeviceProfile::strategy`].
    pub strategy: Option<Strategy>,
}

/// Plans operations on one device. Pure: no device is touched.
#[derive(Debug, Clone, Copy)]
pub struct Planner<'a> {
    /// The device.
    pub profile: &'a DeviceProfile,
    /// The caller's wishes.
    pub options: PlanOptions,
    pub(super) tuned: Option<&'a TuneTable>,
}

/// Elements of a buffer that a dispatch binds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) slice: Slice,
    /// The distance of the first of them from the binding's start, in elements.
    pub(super) base: u32,
    pub(super) count: u64,
}

/// What a dispatch reads and what it writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranges {
    pub(super) x: Range,
    pub(super) y: Range,
}

/// What a step of an operation keeps for the next, in scratch of the operation's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnScratch<'a> {
    pub(super) resource: Resource,
    /// Its name in errors.
    pub(super) what: &'a str,
}

/// A kernel and what it works on: a dispatch before its workgroups are folded.
pub(super) struct Launch<V> {
    pub(super) variant: V,
    pub(super) params: Params,
    pub(super) workgroups: u64,
    pub(super) bindings: Vec<Slice>,
}

/// A run of samples that a dispatch can bind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples {
    pub(super) first: u64,
    pub(super) count: u32,
}

impl<'a> Planner<'a> {
    /// A planner for the device `profile`, without wishes of the caller's.
    #[must_use]
    pub fn new(profile: &'a DeviceProfile) -> Self {
        Self { profile, options: PlanOptions::default(), tuned: None }
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

    /// The numbers by which kernels are chosen: the device's or the caller's, for the form that is asked for.
    pub(super) fn strategy(&self) -> Strategy {
        let own = self.options.strategy.unwrap_or(self.profile.strategy);
        self.options.form.map_or(own, |form| form.strategy(own))
    }

    /// The range of `count` elements from element `first` of a buffer, as an aligned binding and the distance of the
    /// first element from its start.
    pub(super) fn slice(&self, resource: Resource, first: u64, count: u64) -> (Slice, u32) {
        let alignment = u64::from(self.profile.storage_alignment.max(4));
        let offset = 4 * first / alignment * alignment;
        let size = NonZeroU64::new(4 * (first + count) - offset);
        (Slice { resource, offset, size }, (first - offset / 4) as u32)
    }

    /// The range of some samples of so many elements.
    pub(super) fn range(&self, resource: Resource, samples: Samples, elements: u64) -> Range {
        let count = elements * u64::from(samples.count);
        let (slice, base) = self.slice(resource, elements * samples.first, count);
        Range { slice, base, count }
    }

    /// Reserves scratch of an operation's own for so many elements, and binds them.
    pub(super) fn between(&self, plan: &mut Plan, own: OwnScratch<'_>, count: u64) -> Result<Range> {
        let OwnScratch { resource, what } = own;
        self.profile.check_piece(what, 4 * count)?;
        self.reserve(plan, OwnScratch { resource, what }, 4 * count)?;
        let (slice, base) = self.slice(resource, 0, count);
        Ok(Range { slice, base, count })
    }

    /// Cuts the batch so that a range of samples of so many elements fits a binding, whatever its alignment, and is no
    /// longer than `most` samples.
    pub(super) fn samples(
        &self,
        batch: u32,
        elements: u64,
        most: u64,
    ) -> Result<impl Iterator<Item = Samples> + use<>> {
        let sample = 4 * elements;
        let slack = u64::from(self.profile.storage_alignment);
        // A binding that starts at the buffer's first byte needs no slack.
        let at_once = if sample.saturating_mul(u64::from(batch)) <= self.profile.max_piece() {
            u64::from(batch)
        } else {
            self.profile.max_piece().saturating_sub(slack) / sample
        };
        if at_once == 0 && batch > 0 {
            return Err(self.profile.over_piece("one sample", sample + slack));
        }
        let at_once = at_once.min(most).max(1);
        let batch = u64::from(batch);
        Ok((0..batch)
            .step_by(at_once as usize)
            .map(move |first| Samples { first, count: at_once.min(batch - first) as u32 }))
    }

    /// Reserves a scratch buffer of an operation's own.
    pub(super) fn reserve(&self, plan: &mut Plan, own: OwnScratch<'_>, bytes: u64) -> Result<()> {
        let OwnScratch { resource, what } = own;
        self.profile.check_buffer(what, bytes)?;
        // The same scratch may serve several steps of a plan.
        match plan.scratch.iter_mut().find(|(other, _)| *other == resource) {
            Some((_, most)) => *most = bytes.max(*most),
            None => plan.scratch.push((resource, bytes)),
        }
        self.check_budget(what, plan.scratch_bytes())
    }

    /// Whether so much scratch is within the caller's budget.
    pub(super) fn check_budget(&self, what: &str, needed: u64) -> Result<()> {
        match self.options.memory_budget {
            Some(budget) if needed > budget => Err(Error::OverBudget { what: what.into(), needed, budget }),
            _ => Ok(()),
        }
    }

    /// Whether a driver lets a thread's loops turn as often as this variant's would.
    pub(super) fn turns_fit(&self, variant: &Variant, p: &Params) -> bool {
        variant.turns(p) <= self.profile.max_iterations
    }

    /// Appends a dispatch, its workgroups folded near-square over x and y.
    pub(super) fn dispatch<V: Into<Variant>>(&self, plan: &mut Plan, launch: Launch<V>) -> Result<()> {
        let Launch { variant, mut params, workgroups, bindings } = launch;
        let limit = u64::from(self.profile.max_workgroups);
        let (x, y) = if workgroups <= limit {
            (workgroups, 1)
        } else {
            // A device without compute shaders has a limit of none.
            let y = workgroups.div_ceil(limit.max(1));
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
        self.profile.check_variant(&variant)?;
        params.workgroups = workgroups as u32;
        params.workgroups_x = x as u32;
        if !self.turns_fit(&variant, &params) {
            return Err(Error::Limit {
                what: "a sum of this layer".into(),
                needed: variant.turns(&params),
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
