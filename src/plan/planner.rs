//! The planner: a device's numbers, the caller's options, and the steps that all plans are made of.

use super::{DeviceProfile, Dispatch, Form, Plan, Resource, Slice, Strategy, TuneTable};
use crate::kernels::{Loads, Params, THREADS, TILE_SHAPES, Variant};
use crate::ops::BufferId;
use crate::{Error, Result};
use std::num::NonZeroU64;

/// Rows of the largest tile, which is the first.
const MOST_TILE_ROWS: u64 = TILE_SHAPES[0].rows() as u64;

/// What the caller decides about plans. The default decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Most bytes of scratch memory; none means that only the device limits it.
    pub memory_budget: Option<u64>,
    /// Which form of the loop variant's kernels to take where it exists; none leaves it to the device's [`Strategy`].
    pub form: Option<Form>,
    /// Most floating-point operations of a dispatch, as [`Dispatch::flops`] counts them. A longer dispatch is cut into
    /// several, which a host may record into several submits; the bits stay the same. None leaves dispatches whole.
    pub max_dispatch_flops: Option<u64>,
    /// Numbers to choose kernels by in place of the device's own [`DeviceProfile::strategy`].
    pub strategy: Option<Strategy>,
}

/// Plans operations on one device. Pure: no device is touched.
#[derive(Debug, Clone, Copy)]
pub struct Planner<'a> {
    /// The device.
    pub profile: &'a DeviceProfile,
    /// The caller's options.
    pub options: PlanOptions,
    pub(super) tuned: Option<&'a TuneTable>,
}

/// A run of elements of a buffer that a dispatch binds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) slice: Slice,
    /// The number of elements between the binding's start and the first element.
    pub(super) base: u32,
    pub(super) count: u64,
}

/// The ranges that a dispatch reads and writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranges {
    pub(super) x: Range,
    pub(super) y: Range,
}

/// Scratch that belongs to an operation, for what a step leaves to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnScratch {
    pub(super) resource: Resource,
    /// Its name in errors.
    pub(super) what: &'static str,
}

/// A kernel, its bindings and numbers: a dispatch whose workgroups aren't folded yet.
pub(super) struct Launch {
    pub(super) variant: Variant,
    pub(super) params: Params,
    pub(super) workgroups: u64,
    pub(super) bindings: Vec<Slice>,
}

impl Launch {
    /// As many workgroups as have a thread for each of `params.count` elements.
    pub(super) fn per_element(variant: Variant, params: Params, bindings: Vec<Slice>) -> Self {
        Self { variant, params, workgroups: params.count.div_ceil(THREADS).into(), bindings }
    }
}

/// A run of samples that a dispatch can bind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples {
    pub(super) first: u64,
    pub(super) count: u32,
}

impl<'a> Planner<'a> {
    /// A planner for the device `profile` with the default options.
    #[must_use]
    pub fn new(profile: &'a DeviceProfile) -> Self {
        Self { profile, options: PlanOptions::default(), tuned: None }
    }

    /// The same planner with these options.
    #[must_use]
    pub fn with_options(self, options: PlanOptions) -> Self {
        Self { options, ..self }
    }

    /// The same planner with measured choices, which take precedence over the cost model's.
    #[must_use]
    pub fn with_tuned(self, tuned: Option<&'a TuneTable>) -> Self {
        Self { tuned, ..self }
    }

    /// The numbers by which kernels are chosen: the caller's or the device's, changed for the form that is asked for.
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

    /// The range of some samples of `elements` elements each.
    pub(super) fn range(&self, resource: Resource, samples: Samples, elements: u64) -> Range {
        let count = elements * u64::from(samples.count);
        let (slice, base) = self.slice(resource, elements * samples.first, count);
        Range { slice, base, count }
    }

    /// A plan whose steps go from some samples of a buffer to the same samples of another one, the batch cut as bindings
    /// need. Each buffer comes with the elements of a sample.
    pub(super) fn by_samples(
        &self,
        batch: u32,
        [(input, inputs), (output, outputs)]: [(BufferId, u64); 2],
        step: impl Fn(&mut Plan, Samples, Ranges) -> Result<()>,
    ) -> Result<Plan> {
        let mut plan = Plan::default();
        for samples in self.samples(batch, inputs.max(outputs), u64::MAX)? {
            let x = self.range(Resource::Buffer(input), samples, inputs);
            let y = self.range(Resource::Buffer(output), samples, outputs);
            step(&mut plan, samples, Ranges { x, y })?;
        }
        Ok(plan)
    }

    /// Reserves scratch of `count` elements for an operation, and gives the range that binds them.
    pub(super) fn between(&self, plan: &mut Plan, own: OwnScratch, count: u64) -> Result<Range> {
        self.profile.check_piece(own.what, 4 * count)?;
        self.reserve(plan, own, 4 * count)?;
        let (slice, base) = self.slice(own.resource, 0, count);
        Ok(Range { slice, base, count })
    }

    /// Cuts the batch into runs of at most `most` samples of `elements` elements that fit a binding, whatever their
    /// alignment.
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
        // Whole tiles of samples, where that takes no more ranges of them.
        let whole = at_once - at_once % MOST_TILE_ROWS;
        let at_once = if whole > 0 && batch.div_ceil(whole) == batch.div_ceil(at_once) { whole } else { at_once };
        Ok((0..batch)
            .step_by(at_once as usize)
            .map(move |first| Samples { first, count: at_once.min(batch - first) as u32 }))
    }

    /// Reserves a scratch buffer for an operation.
    pub(super) fn reserve(&self, plan: &mut Plan, own: OwnScratch, bytes: u64) -> Result<()> {
        let OwnScratch { resource, what } = own;
        self.profile.check_buffer(what, bytes)?;
        // The same scratch may serve several steps of a plan.
        match plan.scratch.iter_mut().find(|(other, _)| *other == resource) {
            Some((_, most)) => *most = bytes.max(*most),
            None => plan.scratch.push((resource, bytes)),
        }
        self.check_budget(what, plan.scratch_bytes())
    }

    /// Checks that so much scratch is within the caller's budget.
    pub(super) fn check_budget(&self, what: &str, needed: u64) -> Result<()> {
        match self.options.memory_budget {
            Some(budget) if needed > budget => Err(Error::OverBudget { what: what.into(), needed, budget }),
            _ => Ok(()),
        }
    }

    /// Whether the driver lets a thread's loops turn as often as this variant's do.
    pub(super) fn turns_fit(&self, variant: &Variant, p: &Params) -> bool {
        let most = self.profile.max_iterations;
        most == u64::MAX || variant.work(p, Loads::BY_ELEMENTS).turns <= most
    }

    /// Appends a dispatch, its workgroups folded near-square over x and y.
    pub(super) fn dispatch(&self, plan: &mut Plan, launch: Launch) -> Result<()> {
        let Launch { variant, mut params, workgroups, bindings } = launch;
        let limit = u64::from(self.profile.max_workgroups);
        let (x, y) = if workgroups <= limit {
            (workgroups, 1)
        } else {
            // A device without compute shaders has a limit of 0.
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
        self.profile.check_variant(&variant)?;
        params.workgroups = workgroups as u32;
        params.workgroups_x = x as u32;
        if !self.turns_fit(&variant, &params) {
            return Err(Error::Limit {
                what: "a sum of this layer".into(),
                needed: variant.work(&params, Loads::BY_ELEMENTS).turns,
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
