//! The CPU executor as what is measured on: its name, its caches, and what this processor can do at most.

use super::ceiling::{Cache, Ceiling, Footprint, Roof};
use super::record::Adapter;
use crate::device;
use locally_connected::headless::Cpu;
use std::hint::black_box;
use std::ops::RangeInclusive;
use std::sync::Barrier;
use std::time::Instant;

/// Bytes in all of the footprints that are swept: from what a core's caches hold to what none does.
const FOOTPRINTS: [u64; 7] = [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];
/// Bytes beyond the caches of most processors.
const CACHES: u64 = 256 << 20;
/// Seconds of a probe's samples.
const PROBE: f64 = 0.02;
/// Independent sums of a thread: enough vectors to keep multiply-adds of any latency under way.
const SUMS: usize = 192;

/// What is measured on.
pub(super) fn adapter(cpu: &Cpu) -> Adapter {
    let threads = device::count(cpu.executor().threads().count());
    Adapter {
        name: "CPU executor".into(),
        backend: device::CPU.into(),
        driver: format!("{:?}, {threads}", cpu.instructions()),
        device_type: "Cpu".into(),
    }
}

/// Runs `work` on so many threads at once, with the repetitions that it is to make; the seconds that the slowest took.
fn on_all(threads: usize, repetitions: u64, work: impl Fn(usize, u64) + Sync) -> f64 {
    let together = Barrier::new(threads);
    let timed = |thread| {
        together.wait();
        let began = Instant::now();
        work(thread, repetitions);
        began.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || timed(thread))).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).fold(0.0, f64::max)
    })
}

/// What clears the caches before each run that is timed.
pub(super) struct Caches {
    /// More than they hold; none where they stay as they are.
    beyond: Option<Vec<u64>>,
    threads: usize,
}

impl Caches {
    pub(super) fn new(cpu: &Cpu, cache: Cache) -> Self {
        let threads = cpu.executor().threads().count();
        // Pages that were never written may all be one page of zeros.
        let beyond = (cache == Cache::Cold).then(|| (0..CACHES / 8).collect());
        Self { beyond, threads }
    }

    pub(super) fn state(&self) -> Cache {
        if self.beyond.is_some() { Cache::Cold } else { Cache::Hot }
    }

    /// Reads more than they hold, each thread its part, since cores have caches of their own.
    pub(super) fn clear(&self) {
        let Some(beyond) = &self.beyond else { return };
        let part = beyond.len().div_ceil(self.threads);
        on_all(self.threads, 1, |thread, _| {
            let words = beyond.chunks(part).nth(thread).unwrap_or_default();
            // A word of each line of 64 bytes.
            black_box(words.iter().step_by(8).fold(0u64, |sum, &word| sum.wrapping_add(word)));
        });
    }
}

/// The best rate of some samples of `amount` a repetition, in units of 10⁹ a second.
fn best_rate(threads: usize, amount: f64, caches: Option<&Caches>, work: impl Fn(usize, u64) + Sync) -> f64 {
    let mut repetitions = 1;
    let cold = caches.filter(|caches| caches.state() == Cache::Cold);
    let sample = |repetitions| {
        if let Some(caches) = cold {
            caches.clear();
        }
        on_all(threads, repetitions, &work)
    };
    let mut seconds = sample(repetitions);
    if cold.is_none() {
        // As many repetitions as make a sample long enough for the clock and the threads' start.
        while seconds < PROBE / 4.0 {
            repetitions *= 2;
            seconds = sample(repetitions);
        }
    }
    let samples = (0..9).map(|_| sample(repetitions)).chain([seconds]);
    amount * repetitions as f64 / samples.fold(f64::INFINITY, f64::min) / 1e9
}

/// Rates of multiplying, and of moving footprints about as large as what is measured moves.
pub(super) fn roof(cpu: &Cpu, name: &str, caches: &Caches, wanted: &RangeInclusive<u64>) -> Roof {
    let threads = cpu.executor().threads().count();
    let arch = pulp::Arch::new();
    let flops = best_rate(threads, (threads * 2 * SUMS * 1024) as f64, None, |_, repetitions| {
        arch.dispatch(|| {
            let mut sums = [1.0f32; SUMS];
            let (factor, term) = (black_box(0.999_f32), black_box(0.001_f32));
            for _ in 0..repetitions * 1024 {
                for sum in &mut sums {
                    *sum = sum.mul_add(factor, term);
                }
            }
            black_box(sums);
        });
    });
    let last = FOOTPRINTS.len() - 1;
    let near = |at: usize| {
        let below = at > 0 && FOOTPRINTS[at - 1] >= *wanted.end();
        let above = at < last && FOOTPRINTS[at + 1] <= *wanted.start();
        // What is beyond all caches is what a report calls the rate of copying.
        at == last || !below && !above
    };
    let swept = (0..=last).filter(|&at| near(at));
    let footprints: Vec<Footprint> = swept.map(|at| footprint(threads, FOOTPRINTS[at], caches)).collect();
    let copy_gb_s = footprints.last().map_or(0.0, |footprint| footprint.copy_gb_s);
    let ceiling = Ceiling { copy_gb_s, f32_gflop_s: flops };
    Roof { adapter: name.to_owned(), ceiling, cache: caches.state(), footprints }
}

/// The rates at which all threads together read, write and copy `bytes`.
fn footprint(threads: usize, bytes: u64, caches: &Caches) -> Footprint {
    let words = (bytes / 4) as usize / threads;
    let sources: Vec<Vec<u32>> = (0..threads).map(|thread| vec![thread as u32; words]).collect();
    let targets: Vec<std::sync::Mutex<Vec<u32>>> = (0..threads).map(|_| vec![1; words].into()).collect();
    let arch = pulp::Arch::new();
    let amount = (4 * words * threads) as f64;
    let locked = |thread: usize| targets[thread].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let read_gb_s = best_rate(threads, amount, Some(caches), |thread, repetitions| {
        arch.dispatch(|| {
            for _ in 0..repetitions {
                black_box(black_box(&sources[thread]).iter().fold(0u32, |sum, &word| sum.wrapping_add(word)));
            }
        });
    });
    let write_gb_s = best_rate(threads, amount, Some(caches), |thread, repetitions| {
        let mut target = locked(thread);
        for repetition in 0..repetitions {
            black_box(&mut *target).fill(repetition as u32);
        }
    });
    // Half is read and half is written, so that the footprint is as large as that of the others.
    let half = words / 2;
    let copy_gb_s = best_rate(threads, (8 * half * threads) as f64, Some(caches), |thread, repetitions| {
        let mut target = locked(thread);
        for _ in 0..repetitions {
            black_box(&mut target[..half]).copy_from_slice(black_box(&sources[thread][..half]));
        }
    });
    Footprint { bytes, read_gb_s, write_gb_s, copy_gb_s }
}
