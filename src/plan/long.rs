//! Cuts long dispatches into several of at most so many floating-point operations: systems end dispatches that keep a
//! device busy for seconds. A part is a run of the same kernel's workgroups, so that cutting changes no bit.

use super::{Dispatch, Plan, Planner};
use crate::kernels::Loads;
use crate::{Error, Result};

impl Dispatch {
    /// Floating-point operations: two for each product that is summed; in a kernel without products one for each loaded
    /// element. A part of a cut dispatch has its workgroups' share of the whole.
    #[must_use]
    pub fn flops(&self) -> u64 {
        share(self.all_flops(), self.own_workgroups(), self.params.workgroups.into())
    }

    /// Floating-point operations of the dispatch before it was cut.
    fn all_flops(&self) -> u64 {
        let work = self.variant.work(&self.params, Loads::BY_ELEMENTS);
        work.products.map_or((work.threads * work.operations) as u64, |products| products.saturating_mul(2))
    }

    /// How many of its workgroups have something to do.
    fn own_workgroups(&self) -> u64 {
        let folded = self.workgroups.map(u64::from).iter().product::<u64>();
        folded.min(u64::from(self.params.workgroups.saturating_sub(self.params.first_workgroup)))
    }

    /// Which share of the dispatch before it was cut it is, from 0 to 1.
    pub(super) fn part(&self) -> f64 {
        self.own_workgroups() as f64 / f64::from(self.params.workgroups.max(1))
    }

    /// The dispatch in parts of so many workgroups each; the last part may have fewer.
    fn cut(self, workgroups: u64) -> impl Iterator<Item = Self> {
        let all = u64::from(self.params.workgroups);
        (0..all).step_by(workgroups as usize).map(move |first| {
            // All workgroups of a part lie in one row, since a folded part would reach into the next.
            let own = workgroups.min(all - first) as u32;
            let params = self.params.with(|p| (p.first_workgroup, p.workgroups_x) = (first as u32, own));
            Self { params, workgroups: [own, 1, 1], bindings: self.bindings.clone(), ..self }
        })
    }
}

/// `part` of `all` parts of a number, rounded up.
fn share(number: u64, part: u64, all: u64) -> u64 {
    (u128::from(number) * u128::from(part)).div_ceil(u128::from(all.max(1))) as u64
}

impl Plan {
    /// Floating-point operations of all dispatches, as [`Dispatch::flops`] counts them.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(Dispatch::flops).fold(0, u64::saturating_add)
    }
}

impl Planner<'_> {
    /// Most workgroups of a part of a dispatch; none where it need not be cut.
    fn most_workgroups(&self, dispatch: &Dispatch) -> Result<Option<u64>> {
        let Some(limit) = self.options.max_dispatch_flops else { return Ok(None) };
        let (flops, all) = (dispatch.all_flops(), u64::from(dispatch.params.workgroups));
        if flops <= limit {
            return Ok(None);
        }
        let fitting = (u128::from(limit) * u128::from(all) / u128::from(flops.max(1))) as u64;
        if fitting == 0 {
            let (kernel, needed) = (dispatch.variant.name(), share(flops, 1, all));
            return Err(Error::LongWorkgroup { kernel, needed, limit });
        }
        let most = fitting.min(self.profile.max_workgroups.into()).max(1);
        // All parts have about the same length.
        Ok(Some(all.div_ceil(all.div_ceil(most))))
    }

    /// Checks that no single workgroup of a plan is longer than a dispatch may be.
    pub(super) fn check_long(&self, plan: &Plan) -> Result<()> {
        plan.dispatches.iter().try_for_each(|dispatch| self.most_workgroups(dispatch).map(drop))
    }

    /// The plan with each dispatch that is longer than the caller wants cut into several.
    pub(super) fn cut_long(&self, plan: Plan) -> Result<Plan> {
        let mut dispatches = Vec::with_capacity(plan.dispatches.len());
        for dispatch in plan.dispatches {
            match self.most_workgroups(&dispatch)? {
                Some(workgroups) => dispatches.extend(dispatch.cut(workgroups)),
                None => dispatches.push(dispatch),
            }
        }
        Ok(Plan { dispatches, ..plan })
    }
}
