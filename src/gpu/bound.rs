//! What a program became on a device: dispatches ready to be recorded, as a whole or in parts.

use super::Pipeline;
use crate::plan::ProgramPlan;
use std::ops::Range;
use std::sync::Arc;

/// A program ready to be recorded: bind groups, uniforms and scratch memory. Cheap to clone: clones share all of these.
///
/// Recordings of the same `Bound` share its scratch memory, as do those of all that were bound with one
/// [`ScratchPool`](crate::ScratchPool); within one queue they run one after the other.
#[derive(Debug, Clone)]
pub struct Bound {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    steps: Vec<Step>,
    operations: Vec<Recorded>,
    /// Entry `i` counts the floating-point operations of all steps before step `i`; one more entry counts all.
    flops: Vec<u64>,
    plan: ProgramPlan,
    features: wgpu::Features,
    /// The buffers that were made for it: uniforms, and scratch unless that is a pool's.
    own: Vec<wgpu::Buffer>,
}

/// What a program's dispatches are recorded from.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) steps: Vec<Step>,
    pub(super) operations: Vec<Recorded>,
    pub(super) uniforms: wgpu::Buffer,
    /// What is to be written there.
    pub(super) params: Vec<u8>,
}

/// The dispatches of an operation.
#[derive(Debug)]
pub(super) struct Recorded {
    /// Name of the debug group that they are recorded in: the layer, and what the operation does.
    pub(super) label: String,
    pub(super) steps: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) pipeline: Arc<Pipeline>,
    /// Shared by neighbouring steps that bind the same ranges.
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) params_offset: u32,
    pub(super) workgroups: [u32; 3],
    pub(super) flops: u64,
}

/// A run of the dispatches of a [`Bound`], from [`Bound::parts`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Which dispatches.
    pub dispatches: Range<usize>,
    /// Their floating-point operations.
    pub flops: u64,
    /// Floating-point operations of this part and all parts before it.
    pub done: u64,
    /// Floating-point operations of all parts.
    pub total: u64,
}

impl Part {
    /// How far the pass is when this part is done, up to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        if self.total == 0 { 1.0 } else { self.done as f64 / self.total as f64 }
    }
}

impl Bound {
    /// `own` is scratch that was made for it.
    pub(super) fn new(made: Made, plan: ProgramPlan, features: wgpu::Features, mut own: Vec<wgpu::Buffer>) -> Self {
        let Made { steps, operations, uniforms, .. } = made;
        own.push(uniforms);
        let mut flops = vec![0];
        let mut sum = 0u64;
        flops.extend(steps.iter().map(|step| {
            sum = sum.saturating_add(step.flops);
            sum
        }));
        Self { shared: Arc::new(Shared { steps, operations, flops, plan, features, own }) }
    }

    /// Frees the buffers that were made for it (uniforms, and scratch unless that is a [`ScratchPool`](crate::ScratchPool)'s) at
    /// once, for all clones. What is recorded and not submitted is refused then. In a browser a buffer that is only dropped
    /// keeps its memory until JavaScript collects it.
    pub fn destroy(self) {
        self.shared.own.iter().for_each(wgpu::Buffer::destroy);
    }

    /// Records the dispatches into the host's pass, those of an operation in a debug group.
    ///
    /// Afterwards the pipeline and bind group 0 are those of the last dispatch, so the host sets both before a dispatch
    /// of its own. Bind groups from 1 on stay as the host set them, and all debug groups are closed. Nothing has to be
    /// set before. The host needs no barrier on either side: wgpu puts one before each dispatch that reads what was
    /// written.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_dispatches(pass, 0..self.dispatches());
    }

    /// Number of dispatches.
    #[must_use]
    pub fn dispatches(&self) -> usize {
        self.shared.steps.len()
    }

    /// Floating-point operations of all dispatches, as [`Dispatch::flops`](crate::plan::Dispatch::flops) counts them.
    #[must_use]
    pub fn flops(&self) -> u64 {
        self.flops_before(self.dispatches())
    }

    fn flops_before(&self, dispatch: usize) -> u64 {
        self.shared.flops.get(dispatch).copied().unwrap_or_default()
    }

    /// Cuts the recording into parts of at most `flops` floating-point operations each. A part has at least one
    /// dispatch; [`PlanOptions::max_dispatch_flops`](crate::PlanOptions::max_dispatch_flops) keeps dispatches short.
    /// The host records the parts in order, with submits of its own between them as it likes.
    ///
    /// A host that stops after some parts has overwritten some of what the pass writes. It may record the pass again
    /// from its first part, unless the pass adds to gradients: some terms would then be added twice. Between two parts,
    /// record nothing that uses the pass's scratch memory or writes what the pass reads.
    ///
    /// ```no_run
    /// # use locally_connected::{Bound, wgpu};
    /// # fn run(bound: &Bound, device: &wgpu::Device, queue: &wgpu::Queue, cancelled: impl Fn() -> bool) {
    /// for part in bound.parts(2_000_000_000) {
    ///     let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    ///     let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    ///     bound.record_part(&mut pass, &part);
    ///     drop(pass);
    ///     queue.submit([encoder.finish()]);
    ///     println!("{:.0} % are on their way", 100.0 * part.progress());
    ///     if cancelled() {
    ///         break;
    ///     }
    /// }
    /// # }
    /// ```
    pub fn parts(&self, flops: u64) -> impl Iterator<Item = Part> + use<> {
        let (bound, mut first) = (self.clone(), 0);
        std::iter::from_fn(move || {
            let (all, before) = (bound.dispatches(), bound.flops_before(first));
            if first == all {
                return None;
            }
            let fits = |&end: &usize| bound.flops_before(end) - before <= flops;
            let end = (first + 2..=all).take_while(fits).last().unwrap_or(first + 1);
            let (done, total) = (bound.flops_before(end), bound.flops());
            let part = Part { dispatches: first..end, flops: done - before, done, total };
            first = end;
            Some(part)
        })
    }

    /// Records one part from [`Bound::parts`], otherwise as [`Bound::record`] does.
    pub fn record_part(&self, pass: &mut wgpu::ComputePass<'_>, part: &Part) {
        self.record_dispatches(pass, part.dispatches.clone());
    }

    fn record_dispatches(&self, pass: &mut wgpu::ComputePass<'_>, dispatches: Range<usize>) {
        self.record_with(pass, dispatches, |_, _| {});
    }

    /// Records these dispatches, and after each one calls `after` with its number.
    pub(super) fn record_with(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        dispatches: Range<usize>,
        mut after: impl FnMut(&mut wgpu::ComputePass<'_>, usize),
    ) {
        for Recorded { label, steps } in &self.shared.operations {
            let numbers = steps.start.max(dispatches.start)..steps.end.min(dispatches.end);
            if numbers.is_empty() {
                continue;
            }
            pass.push_debug_group(label);
            for (step, number) in self.shared.steps[numbers.clone()].iter().zip(numbers) {
                pass.set_pipeline(&step.pipeline.pipeline);
                pass.set_bind_group(0, &step.bind_group, &[step.params_offset]);
                let [x, y, z] = step.workgroups;
                pass.dispatch_workgroups(x, y, z);
                after(pass, number);
            }
            pass.pop_debug_group();
        }
    }

    /// What was planned.
    #[must_use]
    pub fn plan(&self) -> &ProgramPlan {
        &self.shared.plan
    }

    /// Bytes of the buffers made for this program: uniforms, and scratch memory unless a
    /// [`ScratchPool`](crate::ScratchPool) has it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.own.iter().map(wgpu::Buffer::size).sum()
    }

    /// The operations, with the dispatches of each.
    pub(super) fn operations(&self) -> &[Recorded] {
        &self.shared.operations
    }

    /// The variant of a dispatch and its floating-point operations.
    pub(super) fn described(&self, dispatch: usize) -> Option<(String, u64)> {
        let planned = self.shared.plan.dispatches().nth(dispatch)?;
        Some((planned.variant.name(), planned.flops()))
    }

    /// The features that the device was made with.
    pub(super) fn features(&self) -> wgpu::Features {
        self.shared.features
    }
}
