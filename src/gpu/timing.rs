//! Where a pass's time goes: timestamps around dispatches or operations, on devices that write them.

use super::scoped::Making;
use super::{Bound, Context, Readback, scoped};
use crate::{Error, Result};
use std::ops::Range;
use wgpu::{Features, QuerySet};

/// What a dispatch or an operation of a pass took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Timed {
    /// Name of the operation's debug group: the layer, and what the operation does.
    pub operation: String,
    /// The kernel with its constants; none for an operation of several dispatches that was timed as a whole.
    pub kernel: Option<String>,
    /// Which of the pass's dispatches they are.
    pub dispatches: Range<usize>,
    /// Their floating-point operations, as [`Dispatch::flops`](crate::plan::Dispatch::flops) counts them.
    pub flops: u64,
    /// Seconds on the device; none where its clock didn't go forward, which happens on some.
    pub seconds: Option<f64>,
}

impl Bound {
    /// Records the dispatches as [`Bound::record`] does, with a timestamp before the first and one after each: into the
    /// queries `first`, `first + 1`, … of the host's set, [`Bound::timestamps`] of them. The host resolves them, and
    /// [`Bound::timed`] says what they mean.
    ///
    /// # Errors
    /// [`Error::Feature`] where the device was made without `TIMESTAMP_QUERY_INSIDE_PASSES`; [`Error::Queries`]. Nothing is
    /// recorded then.
    pub fn record_timed(&self, pass: &mut wgpu::ComputePass<'_>, set: &QuerySet, first: u32) -> Result<()> {
        needed(self.features(), Features::TIMESTAMP_QUERY_INSIDE_PASSES)?;
        check_place(set, first, self.timestamps())?;
        self.write_all(pass, set, first);
        Ok(())
    }

    fn write_all(&self, pass: &mut wgpu::ComputePass<'_>, set: &QuerySet, first: u32) {
        pass.write_timestamp(set, first);
        self.record_with(pass, 0..self.dispatches(), |pass, dispatch| {
            pass.write_timestamp(set, first + 1 + dispatch as u32);
        });
    }

    /// Number of timestamps of [`Bound::record_timed`].
    #[must_use]
    pub fn timestamps(&self) -> u32 {
        u32::try_from(self.dispatches()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// What the timestamps of [`Bound::record_timed`] say of each dispatch, `period` being the nanoseconds between two of
    /// them (`Queue::get_timestamp_period`).
    ///
    /// # Errors
    /// [`Error::Length`] for another number of them.
    pub fn timed(&self, timestamps: &[u64], period: f32) -> Result<Vec<Timed>> {
        let (expected, found) = (u64::from(self.timestamps()), timestamps.len() as u64);
        if expected != found {
            return Err(Error::Length { what: "timestamps", expected, found, shape: vec![expected as usize] });
        }
        let spans = timestamps.windows(2).map(|pair| [pair[0], pair[1]]);
        Ok(self.described_by(Each::Dispatch, spans, period))
    }

    fn described_by(&self, each: Each, spans: impl Iterator<Item = [u64; 2]>, period: f32) -> Vec<Timed> {
        let operations = self.operations().iter();
        let runs = operations.flat_map(|operation| {
            let runs: Vec<_> = match each {
                Each::Dispatch => operation.steps.clone().map(|step| step..step + 1).collect(),
                Each::Operation => vec![operation.steps.clone()],
            };
            runs.into_iter().map(|run| (operation.label.clone(), run))
        });
        let seconds = |[from, to]: [u64; 2]| {
            let ticks = to.checked_sub(from)?;
            (ticks > 0).then(|| ticks as f64 * f64::from(period) * 1e-9)
        };
        let timed = runs.zip(spans).map(|((operation, dispatches), span)| {
            let all: Vec<_> = dispatches.clone().filter_map(|dispatch| self.described(dispatch)).collect();
            let flops = all.iter().map(|(_, flops)| flops).fold(0u64, |sum, flops| sum.saturating_add(*flops));
            let kernel = if let [(kernel, _)] = &all[..] { Some(kernel.clone()) } else { None };
            Timed { operation, kernel, dispatches, flops, seconds: seconds(span) }
        });
        timed.collect()
    }
}

/// What each time is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Each {
    Dispatch,
    Operation,
}

/// A pass with timestamps, made once and recorded as often as the host likes: of each dispatch where the device has
/// `TIMESTAMP_QUERY_INSIDE_PASSES`, else of each operation, which are then recorded into passes of their own.
///
/// ```no_run
/// # use locally_connected::{Bound, Context, Result, Timing, wgpu};
/// # async fn time(context: &Context, bound: &Bound) -> Result<()> {
/// let mut timing = Timing::new(context, bound).await?;
/// let mut encoder = context.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
/// timing.record(&mut encoder)?; // in place of a pass with `bound.record`
/// context.queue().submit([encoder.finish()]);
/// // On native platforms somebody polls the device now.
/// for timed in timing.values().await? {
///     println!("{}: {:?} s", timed.operation, timed.seconds);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Timing {
    bound: Bound,
    set: QuerySet,
    first: u32,
    each: Each,
    resolved: wgpu::Buffer,
    readback: Readback,
    period: f32,
}

impl Timing {
    /// Timing of `bound`, with a query set of its own.
    ///
    /// # Errors
    /// [`Error::Feature`] where the device was made without `TIMESTAMP_QUERY`; [`Error::Limit`] for more timestamps than a
    /// query set has; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn new(context: &Context, bound: &Bound) -> Result<Self> {
        let device = context.device();
        needed(device.features(), Features::TIMESTAMP_QUERY)?;
        let count = queries(bound, each(device.features()));
        if count > wgpu::QUERY_SET_MAX_QUERIES {
            return Err(Error::Limit {
                what: "a pass with timestamps".into(),
                needed: count.into(),
                unit: "queries",
                limit: wgpu::QUERY_SET_MAX_QUERIES.into(),
                name: "wgpu::QUERY_SET_MAX_QUERIES",
            });
        }
        let (set, caught) = scoped(device, Making::new("timestamps", 8 * u64::from(count)), || {
            let (label, ty) = (Some("locally-connected timestamps"), wgpu::QueryType::Timestamp);
            device.create_query_set(&wgpu::QuerySetDescriptor { label, ty, count })
        });
        caught.await?;
        Self::within(context, bound, &set, 0).await
    }

    /// Timing of `bound` in a query set of the host's, from query number `first` on.
    ///
    /// # Errors
    /// [`Error::Queries`] for a set of something else or too few queries; [`Error::Refused`] for one of another device; those of
    /// [`Timing::new`].
    pub async fn within(context: &Context, bound: &Bound, set: &QuerySet, first: u32) -> Result<Self> {
        let device = context.device();
        needed(device.features(), Features::TIMESTAMP_QUERY)?;
        let each = each(device.features());
        let count = queries(bound, each);
        check_place(set, first, count)?;
        let size = u64::from(wgpu::QUERY_SIZE * count);
        let (resolved, caught) = scoped(device, Making::new("timestamps", size), || {
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let label = Some("locally-connected timestamps");
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
        });
        caught.await?;
        let readback = Readback::new(device, &resolved).await?;
        let period = context.queue().get_timestamp_period();
        let timing = Self { bound: bound.clone(), set: set.clone(), first, each, resolved, readback, period };
        // A wrong set is reported when the encoder is finished. A first encoder is thrown away, so that the host's own
        // doesn't report it.
        let ((), caught) = scoped(device, Making::new("timestamps", 0), || {
            let label = Some("locally-connected timestamps, tried");
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
            timing.write(&mut encoder);
            drop(encoder.finish());
        });
        match caught.await {
            Err(Error::Device(message)) => Err(Error::Refused { what: "the query set", message }),
            caught => caught.map(|()| timing),
        }
    }

    /// Frees its room at once, as [`Readback::destroy`] does.
    pub fn destroy(self) {
        self.resolved.destroy();
        self.readback.destroy();
    }

    /// Records the pass with its timestamps, and their way to the host, into the host's encoder.
    ///
    /// # Errors
    /// [`Error::NotTaken`] while the values of the last recording weren't; nothing is recorded then.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        if self.readback.waits() {
            return Err(Error::NotTaken);
        }
        self.write(encoder);
        self.readback.record(encoder)
    }

    fn write(&self, encoder: &mut wgpu::CommandEncoder) {
        let Self { bound, set, first, .. } = self;
        let label = Some("locally-connected timed");
        match self.each {
            Each::Dispatch => {
                let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes: None };
                bound.write_all(&mut encoder.begin_compute_pass(&descriptor), set, *first);
            }
            Each::Operation => {
                for (operation, number) in bound.operations().iter().zip(0u32..) {
                    let beginning_of_pass_write_index = Some(first + 2 * number);
                    let end_of_pass_write_index = Some(first + 2 * number + 1);
                    let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                        query_set: set,
                        beginning_of_pass_write_index,
                        end_of_pass_write_index,
                    });
                    let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes };
                    let mut pass = encoder.begin_compute_pass(&descriptor);
                    bound.record_with(&mut pass, operation.steps.clone(), |_, _| {});
                }
            }
        }
        // Only written queries are resolved: the device would wait for the others.
        let written = match self.each {
            Each::Dispatch => bound.timestamps(),
            Each::Operation => 2 * bound.operations().len() as u32,
        };
        if written > 0 {
            encoder.resolve_query_set(set, *first..first + written, &self.resolved, 0);
        }
    }

    /// Waits for the times of what was recorded, in the pass's order. On native platforms the host polls its device
    /// meanwhile.
    ///
    /// # Errors
    /// Those of [`Readback::values`].
    pub async fn values(&mut self) -> Result<Vec<Timed>> {
        let ticks: Vec<u64> = self.readback.words().await?;
        match self.each {
            Each::Dispatch => self.bound.timed(&ticks, self.period),
            Each::Operation => {
                let spans = ticks.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
                Ok(self.bound.described_by(Each::Operation, spans, self.period))
            }
        }
    }
}

fn each(features: Features) -> Each {
    if features.contains(Features::TIMESTAMP_QUERY_INSIDE_PASSES) { Each::Dispatch } else { Each::Operation }
}

/// How many queries a pass takes; at least one, since a query set can't be empty.
fn queries(bound: &Bound, each: Each) -> u32 {
    match each {
        Each::Dispatch => bound.timestamps(),
        Each::Operation => 2 * u32::try_from(bound.operations().len()).unwrap_or(u32::MAX / 2).max(1),
    }
}

fn needed(features: Features, feature: Features) -> Result<()> {
    let lacks = feature.difference(features).iter_names().next();
    lacks.map_or(Ok(()), |(feature, _)| Err(Error::Feature { what: "timestamps", feature }))
}

fn check_place(set: &QuerySet, first: u32, needed: u32) -> Result<()> {
    let (of_timestamps, of) = match set.ty() {
        wgpu::QueryType::Timestamp => (true, "timestamps"),
        wgpu::QueryType::Occlusion => (false, "occlusion queries"),
        wgpu::QueryType::PipelineStatistics(_) => (false, "pipeline statistics"),
    };
    let count = set.count();
    let fits = first.checked_add(needed).is_some_and(|end| end <= count);
    if of_timestamps && fits { Ok(()) } else { Err(Error::Queries { needed, first, count, of }) }
}
