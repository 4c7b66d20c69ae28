//! Times submits: by the wall clock, and by the device's timestamps if it has sane ones.

use super::ceiling::Cache;
use super::mover::{Access, Mover};
use super::scope::scoped;
use super::step::{Step, pipeline};
use crate::failure::Failure;
use locally_connected::headless::Gpu;
use locally_connected::{Error, wgpu};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Times of one submit, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// From the submit to its completion; results stay on the device.
    pub(crate) wall: f64,
    /// Between timestamps at both ends of the pass.
    pub(crate) gpu: Option<f64>,
}

impl Sample {
    /// The time by the device's clock if it has one, else by the wall clock.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.gpu.unwrap_or(self.wall)
    }
}

/// Times submits of one device.
pub(crate) struct Clock {
    device: wgpu::Device,
    queue: wgpu::Queue,
    timestamps: Option<Timestamps>,
    /// Clears the caches before each timed submit.
    cold: Option<Step>,
    /// Keeps a GPU at its speed while the host prepares something; none if the host is the device.
    busy: Option<Step>,
    lost: Arc<OnceLock<String>>,
}

struct Timestamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    mapped: wgpu::Buffer,
    /// Milliseconds of a timestamp's unit.
    tick: f64,
}

/// Bytes of a pass's two timestamps.
const BYTES: u64 = 16;
/// Bytes beyond the last-level cache of any GPU and most CPUs.
const CACHES: u64 = 256 << 20;
/// Bytes that keep a GPU busy for a moment when they are read.
const MOMENT: u64 = 64 << 20;

impl Clock {
    /// # Errors
    /// If there is no memory for what fills the caches.
    pub(crate) fn new(gpu: &Gpu, cache: Cache) -> Result<Self, Error> {
        let (device, queue) = (gpu.context().device().clone(), gpu.context().queue().clone());
        let lost = Arc::new(OnceLock::new());
        let noted = lost.clone();
        // On a lost device everything seems to take no time.
        device.set_device_lost_callback(move |reason, message| {
            let _ = noted.set(format!("{reason:?}: {message}"));
        });
        let tick = f64::from(queue.get_timestamp_period()) * 1e-6;
        let there = device.features().contains(wgpu::Features::TIMESTAMP_QUERY) && tick > 0.0;
        let timestamps = there.then(|| {
            let buffer = |usage| {
                let label = Some("locally bench timestamps");
                device.create_buffer(&wgpu::BufferDescriptor { label, size: BYTES, usage, mapped_at_creation: false })
            };
            Timestamps {
                set: device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("locally bench"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2,
                }),
                resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
                mapped: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
                tick,
            }
        });
        let cold = match cache {
            Cache::Hot => None,
            Cache::Cold => Some(reading(gpu, CACHES)?),
        };
        let busy = if gpu.context().profile().is_cpu { None } else { Some(reading(gpu, MOMENT)?) };
        Ok(Self { device, queue, timestamps, cold, busy, lost })
    }

    /// What timed passes find in the caches.
    pub(crate) fn cache(&self) -> Cache {
        if self.cold.is_some() { Cache::Cold } else { Cache::Hot }
    }

    /// Times one compute pass, submitted by itself to an idle device.
    pub(crate) fn time(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> Result<Sample, Failure> {
        if let Some(cold) = &self.cold {
            self.submit(cold);
            self.wait()?;
        }
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let timestamp_writes = self.timestamps.as_ref().map(|timestamps| wgpu::ComputePassTimestampWrites {
            query_set: &timestamps.set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes }));
        let commands = encoder.finish();
        let start = Instant::now();
        self.queue.submit([commands]);
        self.wait()?;
        let wall = start.elapsed().as_secs_f64() * 1e3;
        // Timestamps are read by another submit, so that reading them doesn't count in the wall time.
        Ok(Sample { wall, gpu: self.timestamps.as_ref().map(|t| self.read(t)).transpose()?.flatten() })
    }

    /// Times a submit of `times` runs, one after the other in one pass, and gives the time of one.
    pub(crate) fn time_each(&self, times: u32, record: impl Fn(&mut wgpu::ComputePass<'_>)) -> Result<Sample, Failure> {
        let Sample { wall, gpu } = self.time(|pass| (0..times).for_each(|_| record(pass)))?;
        let each = |milliseconds: f64| milliseconds / f64::from(times.max(1));
        Ok(Sample { wall: each(wall), gpu: gpu.map(each) })
    }

    fn submit(&self, step: &Step) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        step.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.queue.submit([encoder.finish()]);
    }

    /// Runs `prepare` while the GPU is kept busy. A GPU that waits for the host lowers its clock to a fifth or less,
    /// and takes longer to raise it again than most rows take to measure.
    pub(crate) fn keep_awake<T>(&self, prepare: impl FnOnce() -> T) -> T {
        let Some(busy) = &self.busy else { return prepare() };
        /// Tells the other thread to end, even if preparing panics.
        struct Ended<'a>(&'a AtomicBool);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // If the device fails, timing reports it.
                while !ended.load(Ordering::Relaxed) && self.lost.get().is_none() {
                    self.submit(busy);
                    if self.device.poll(wgpu::PollType::wait_indefinitely()).is_err() {
                        break;
                    }
                }
            });
            let _ended = Ended(&ended);
            prepare()
        })
    }

    /// Waits until all that was submitted is done.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|error| Error::DeviceLost(error.to_string()))?;
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(Error::DeviceLost(why.clone()).into()),
        }
    }

    /// The time between the timestamps, if they were written and count forward.
    fn read(&self, timestamps: &Timestamps) -> Result<Option<f64>, Failure> {
        let Timestamps { set, resolved, mapped, tick } = timestamps;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.resolve_query_set(set, 0..2, resolved, 0);
        encoder.copy_buffer_to_buffer(resolved, 0, mapped, 0, BYTES);
        self.queue.submit([encoder.finish()]);
        // If mapping fails, reading the range reports it.
        mapped.map_async(wgpu::MapMode::Read, .., |_| {});
        self.wait()?;
        let Ok(view) = mapped.get_mapped_range(..) else { return Ok(None) };
        let mut ends = view.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
        let ends = [ends.next().unwrap_or(0), ends.next().unwrap_or(0)];
        drop(view);
        mapped.unmap();
        Ok(milliseconds(ends, *tick))
    }
}

/// Reads more than the caches hold. Writing would fill them, too, but then they would have to be written back during
/// what is timed next.
fn reading(gpu: &Gpu, bytes: u64) -> Result<Step, Error> {
    let bytes = 1u64 << gpu.context().profile().max_piece().min(bytes).ilog2();
    let reader = Mover { access: Access::Read, width: 4, each: 4 };
    let [source, written] = scoped(gpu, bytes + bytes / 4, || [gpu.empty(bytes / 4), gpu.empty(bytes / 16)])?;
    // Pages that were never written may all be the same page of zeroes.
    gpu.submit(|encoder| encoder.clear_buffer(&source, 0, None));
    let groups = reader.workgroups(bytes).unwrap_or(1);
    Ok(Step::new(gpu, Arc::new(pipeline(gpu, &reader.source())), [&source, &written], groups))
}

/// Drivers are known to leave timestamps at zero or to count them backward (wgpu-native #625, vello #475).
fn milliseconds([start, end]: [u64; 2], tick: f64) -> Option<f64> {
    (start != 0 && end > start).then(|| (end - start) as f64 * tick)
}

/// The least, the median and the most of some samples, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// None without values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        // Clocks don't resolve less than nanoseconds.
        let [min, median, max] = [min, median, max].map(|value| (value * 1e6).round() / 1e6);
        Some(Self { min, median, max })
    }
}

/// The spreads of samples by both clocks; none for the device's clock if its timestamps can't be right.
pub(crate) fn spreads(samples: &[Sample]) -> Option<(Spread, Option<Spread>)> {
    let wall = Spread::of(samples.iter().map(|sample| sample.wall).collect())?;
    let gpu = Spread::of(samples.iter().filter_map(|sample| sample.gpu).collect());
    let some = samples.iter().filter(|sample| sample.gpu.is_some()).count() * 2 > samples.len();
    Some((wall, gpu.filter(|gpu| some && sane(gpu.median, wall.median))))
}

/// Whether the device's time fits the wall clock's: not longer, and not so small a share that no overhead explains it.
fn sane(gpu: f64, wall: f64) -> bool {
    gpu > 0.0 && gpu < 1.02 * wall + 0.01 && (gpu > 0.2 * wall || wall < 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_have_a_middle() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
    }

    #[test]
    fn timestamps_that_cannot_be_right_are_dropped() {
        assert_eq!(milliseconds([0, 0], 1e-6), None);
        assert_eq!(milliseconds([0, 7], 1e-6), None);
        assert_eq!(milliseconds([9, 7], 1e-6), None);
        assert_eq!(milliseconds([1_000_000, 3_000_000], 1e-6), Some(2.0));
        let samples = |gpu: [Option<f64>; 3]| gpu.map(|gpu| Sample { wall: 10.0, gpu });
        let gpu = |gpu| spreads(&samples(gpu)).and_then(|(_, gpu)| gpu).map(|gpu| gpu.median);
        assert_eq!(gpu([Some(9.0), Some(9.5), Some(8.0)]), Some(9.0));
        assert_eq!(gpu([Some(9.0), Some(9.0), None]), Some(9.0));
        // Times that are mostly missing, longer than the wall clock's, or next to nothing.
        assert_eq!(gpu([Some(9.0), None, None]), None);
        assert_eq!(gpu([Some(90.0); 3]), None);
        assert_eq!(gpu([Some(0.01); 3]), None);
        // A tiny dispatch may well be a small share of its submit.
        assert!(sane(0.004, 0.3));
    }
}
