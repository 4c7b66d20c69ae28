//! The CPU executor as a target: its name, its caches, and what this processor can do at most.

use super::ceiling::{Cache, Ceiling, Footprint, Roof};
use super::record::Adapter;
use crate::device;
use locally_connected::headless::Cpu;
use std::hint::black_box;
use std::ops::RangeInclusive;
use std::sync::Barrier;
use std::time::Instant;

/// Sizes of the memory that is moved, in bytes in all: from what a core's caches hold to what no cache holds.
const FOOTPRINTS: [u64; 7] = [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];
/// Bytes beyond the caches of most processors.
const CACHES: u64 = 256 << 20;
/// Seconds for which a probe samples.
const PROBE: f64 = 0.02;
/// Independent sums of a thread: enough vectors to hide the latency of multiply-adds.
const SUMS: usize = 192;

/// The CPU executor, as reports name it.
pub(super) fn adapter(cpu: &Cpu) -> Adapter {
    let threads = device::count(cpu.executor().threads().count());
    Adapter {
        name: "CPU executor".into(),
        backend: device::CPU.into(),
        driver: format!("{:?}, {threads}", cpu.instructions()),
        device_type: "Cpu".into(),
    }
}

/// Runs `work` on so many threads at once, each with the same number of repetitions; gives the seconds of the slowest.
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

/// Clears the caches before each timed run.
pub(super) struct Caches {
    /// More memory than they hold; none if they aren't cleared.
    beyond: Option<Vec<u64>>,
    threads: usize,
}

impl Caches {
    pub(super) fn new(cpu: &Cpu, cache: Cache) -> Self {
        let threads = cpu.executor().threads().count();
        // Pages that were never written may all be the same page of zeroes.
        let beyond = (cache == Cache::Cold).then(|| (0..CACHES / 8).collect());
        Self { beyond, threads }
    }

    pub(super) fn state(&self) -> Cache {
        if self.beyond.is_some() { Cache::Cold } else { Cache::Hot }
    }

    /// Reads more than the caches hold: each thread its part, since cores have caches of their own.
    pub(super) fn clear(&self) {
        let Some(beyond) = &self.beyond else { return };
        let part = beyond.len().div_ceil(self.threads);
        on_all(self.threads, 1, |thread, _| {
            let words = beyond.chunks(part).nth(thread).unwrap_or_default();
            // One word of each 64-byte cache line.
            black_box(words.iter().step_by(8).fold(0u64, |sum, &word| sum.wrapping_add(word)));
        });
    }
}

/// The best rate of some samples, where a repetition does `amount` of work; in 10⁹ a second.
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
        // Enough repetitions that a sample is long compared with the clock's resolution and the threads' start.
        while seconds < PROBE / 4.0 {
            repetitions *= 2;
            seconds = sample(repetitions);
        }
    }
    let samples = (0..9).map(|_| sample(repetitions)).chain([seconds]);
    amount * repetitions as f64 / samples.fold(f64::INFINITY, f64::min) / 1e9
}

/// Rates of multiplying, and of moving memory of about the sizes that are measured.
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
        // The largest size, beyond all caches, gives what a report calls the rate of copying.
        at == last || !below && !above
    };
    let swept = (0..=last).filter(|&at| near(at));
    let footprints: Vec<Footprint> = swept.map(|at| footprint(threads, FOOTPRINTS[at], caches)).collect();
    let copy_gb_s = footprints.last().map_or(0.0, |footprint| footprint.copy_gb_s);
    let ceiling = Ceiling { copy_gb_s, f32_gflop_s: flops };
    Roof { adapter: name.to_owned(), ceiling, cache: caches.state(), footprints }
}

/// Stores four words at a time past the caches, as the executor stores large results: no line is read first. A few words at either end
/// are left out.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "no safe function stores past the caches")]
fn store_past_caches(target: &mut [u32], four: impl Fn(usize) -> [u32; 4]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    // SAFETY: a vector is four words, whatever they are.
    let (_, vectors, _) = unsafe { target.align_to_mut::<std::arch::x86_64::__m128i>() };
    for (at, vector) in vectors.iter_mut().enumerate() {
        let four = four(at);
        // SAFETY: four words are read, and a vector is written at its place.
        unsafe { _mm_stream_si128(vector, _mm_loadu_si128(four.as_ptr().cast())) };
    }
    // SAFETY: it waits for stores, and does nothing else.
    unsafe { _mm_sfence() };
}

/// The same by ordinary stores, where there are no others.
#[cfg(not(target_arch = "x86_64"))]
fn store_past_caches(target: &mut [u32], four: impl Fn(usize) -> [u32; 4]) {
    target.as_chunks_mut().0.iter_mut().enumerate().for_each(|(at, words)| *words = four(at));
}

/// The rates at which all threads together read, write and copy `bytes` bytes.
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
    // Either way may be the faster one, by the processor and by what its caches hold.
    let better = |ways: [f64; 2]| ways[0].max(ways[1]);
    let write_gb_s = better([false, true].map(|past_caches| {
        best_rate(threads, amount, Some(caches), |thread, repetitions| {
            let mut target = locked(thread);
            for repetition in 0..repetitions {
                let (target, value) = (black_box(&mut *target), repetition as u32);
                if past_caches { store_past_caches(target, |_| [value; 4]) } else { target.fill(value) }
            }
        })
    }));
    // A copy reads half of the bytes and writes the other half, so that it touches as many as the others.
    let half = words / 2;
    let copy_gb_s = better([false, true].map(|past_caches| {
        best_rate(threads, (8 * half * threads) as f64, Some(caches), |thread, repetitions| {
            let mut target = locked(thread);
            for _ in 0..repetitions {
                let (target, source) = (black_box(&mut target[..half]), black_box(&sources[thread][..half]));
                if past_caches {
                    let (fours, _) = source.as_chunks();
                    store_past_caches(target, |at| fours[at]);
                } else {
                    target.copy_from_slice(source);
                }
            }
        })
    }));
    Footprint { bytes, read_gb_s, write_gb_s, copy_gb_s }
}
