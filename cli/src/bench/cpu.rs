//! Times the passes of workloads on the CPU executor, and what this processor can do at most.

use super::ceiling::{Cache, Ceiling, Footprint, Roof};
use super::clock::Spread;
use super::measure::{Selection, in_turns};
use super::noise;
use super::record::{Adapter, Key, Row};
use super::skips::Skip;
use super::workloads::{Pass, Workload, work};
use crate::failure::Failure;
use crate::{device, memory};
use locally_connected::headless::Cpu;
use locally_connected::model::{Gradients, layer_backward, layer_forward, layer_names as names};
use locally_connected::{Error, cpu};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

/// Bytes in all of the footprints that are swept: from what a core's caches hold to what none does.
const FOOTPRINTS: [u64; 7] = [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];
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

/// The best rate of some samples of `amount` a repetition, in units of 10⁹ a second.
fn best_rate(threads: usize, amount: f64, work: impl Fn(usize, u64) + Sync) -> f64 {
    // As many repetitions as make a sample long enough for the clock and the threads' start.
    let mut repetitions = 1;
    let mut seconds = on_all(threads, repetitions, &work);
    while seconds < PROBE / 4.0 {
        repetitions *= 2;
        seconds = on_all(threads, repetitions, &work);
    }
    let samples = (0..5).map(|_| on_all(threads, repetitions, &work)).chain([seconds]);
    amount * repetitions as f64 / samples.fold(f64::INFINITY, f64::min) / 1e9
}

/// Rates of multiplying, and of moving footprints of all sizes.
pub(super) fn roof(cpu: &Cpu, name: &str) -> Roof {
    let threads = cpu.executor().threads().count();
    let arch = pulp::Arch::new();
    let flops = best_rate(threads, (threads * 2 * SUMS * 1024) as f64, |_, repetitions| {
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
    let footprints: Vec<Footprint> = FOOTPRINTS.iter().map(|&bytes| footprint(threads, bytes)).collect();
    let copy_gb_s = footprints.last().map_or(0.0, |footprint| footprint.copy_gb_s);
    let ceiling = Ceiling { copy_gb_s, f32_gflop_s: flops };
    Roof { adapter: name.to_owned(), ceiling, cache: Cache::Hot, footprints }
}

/// The rates at which all threads together read, write and copy `bytes`.
fn footprint(threads: usize, bytes: u64) -> Footprint {
    let words = (bytes / 4) as usize / threads;
    let sources: Vec<Vec<u32>> = (0..threads).map(|thread| vec![thread as u32; words]).collect();
    let targets: Vec<std::sync::Mutex<Vec<u32>>> = (0..threads).map(|_| vec![1; words].into()).collect();
    let arch = pulp::Arch::new();
    let amount = (4 * words * threads) as f64;
    let locked = |thread: usize| targets[thread].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let read_gb_s = best_rate(threads, amount, |thread, repetitions| {
        arch.dispatch(|| {
            for _ in 0..repetitions {
                black_box(black_box(&sources[thread]).iter().fold(0u32, |sum, &word| sum.wrapping_add(word)));
            }
        });
    });
    let write_gb_s = best_rate(threads, amount, |thread, repetitions| {
        let mut target = locked(thread);
        for repetition in 0..repetitions {
            black_box(&mut *target).fill(repetition as u32);
        }
    });
    // Half is read and half is written, so that the footprint is as large as that of the others.
    let half = words / 2;
    let copy_gb_s = best_rate(threads, (8 * half * threads) as f64, |thread, repetitions| {
        let mut target = locked(thread);
        for _ in 0..repetitions {
            black_box(&mut target[..half]).copy_from_slice(black_box(&sources[thread][..half]));
        }
    });
    Footprint { bytes, read_gb_s, write_gb_s, copy_gb_s }
}

/// A pass of a workload, ready to run again and again.
struct Case {
    pass: Pass,
    dtype: super::workloads::Dtype,
    bound: Vec<cpu::Bound>,
    samples: Vec<f64>,
    seconds: f64,
}

/// What the passes of a batch read and write. The gradient of the output is the output, as on adapters.
struct Operands {
    x: Vec<f32>,
    y: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
    db: Vec<f32>,
}

impl Case {
    /// Runs it once; the milliseconds that it took.
    fn time(&mut self, weights: &cpu::Weights<'_>, operands: &mut Operands) -> Result<f64, Error> {
        let Operands { x, y, dx, dw, db } = operands;
        let began = Instant::now();
        let mut bound = self.bound.iter_mut();
        if self.pass.has_forward()
            && let Some(forward) = bound.next()
        {
            forward.run(weights, &[(names::INPUT, x)], &mut [(names::OUTPUT, y)])?;
        }
        if let Some(backward) = bound.next() {
            let inputs: [(&str, &[f32]); 2] = [(names::INPUT, x), (names::GRAD_OUTPUT, y)];
            let outputs: &mut [(&str, &mut [f32])] =
                &mut [(names::GRAD_INPUT, dx), (names::GRAD_WEIGHTS, dw), (names::GRAD_BIAS, db)];
            backward.run(weights, &inputs, outputs)?;
        }
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }
}

/// The rows of a workload, batch by batch; what can't run goes to `skipped`.
pub(super) fn rows(
    cpu: &Cpu,
    roof: &Roof,
    (workload, selection): (&Workload, &Selection),
    batches: &[u32],
    skipped: &mut Vec<Skip>,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for &dtype in &selection.dtypes {
        let layer = Arc::new(workload.geometry(None, dtype)?);
        let program = layer_forward(&layer, false);
        let backward = layer_backward(&layer, Gradients::ALL);
        let mut weights = cpu::Weights::new();
        let needed = |batch: u32| 4 * (2 * layer.weights() + u64::from(batch) * (2 * layer.inputs() + layer.outputs()));
        let skip = |pass, batch, why: String| Skip { how: dtype.name().to_owned(), pass, batch, why };
        if memory::available().is_some_and(|available| needed(1) > available) {
            skipped.push(skip(None, 0, "its weights and gradients need more memory than is free".into()));
            continue;
        }
        weights.set(&program, names::WEIGHTS, noise::values(layer.weights()))?;
        weights.set(&program, names::BIAS, noise::values(layer.biases()))?;
        for &batch in batches {
            if memory::available().is_some_and(|available| needed(batch) > available) {
                skipped.push(skip(None, batch, "samples and gradients need more memory than is free".into()));
                continue;
            }
            let samples = |elements: u64| noise::values(u64::from(batch) * elements);
            let mut operands = Operands {
                x: samples(layer.inputs()),
                y: samples(layer.outputs()),
                dx: samples(layer.inputs()),
                dw: vec![0.0; layer.weights() as usize],
                db: vec![0.0; layer.biases() as usize],
            };
            let mut cases = Vec::new();
            for &pass in &selection.passes {
                let programs = [pass.has_forward().then_some(&program), pass.has_backward().then_some(&backward)];
                let bound = programs.into_iter().flatten().map(|program| cpu.executor().bind(program, batch));
                match bound.collect() {
                    Ok(bound) => cases.push(Case { pass, dtype, bound, samples: Vec::new(), seconds: 0.0 }),
                    Err(error) => skipped.push(skip(Some(pass), batch, Error::to_string(&error))),
                }
            }
            measure(&mut cases, &weights, &mut operands, selection)?;
            rows.extend(cases.iter().filter_map(|case| {
                let key = Key {
                    workload: &workload.name,
                    pass: case.pass,
                    implementation: None,
                    auto: false,
                    batch,
                    dtype: case.dtype,
                    setup: None,
                };
                let wall = Spread::of(case.samples.clone())?;
                Some(Row::new(key, (wall, None), work(&layer, case.pass, batch, case.dtype), roof))
            }));
        }
    }
    Ok(rows)
}

/// Takes samples of all cases in turns until each has enough. The first run of each touches its memory and doesn't count.
fn measure(
    cases: &mut [Case],
    weights: &cpu::Weights<'_>,
    operands: &mut Operands,
    selection: &Selection,
) -> Result<(), Failure> {
    for case in cases.iter_mut() {
        case.time(weights, operands)?;
    }
    let taken = |case: &Case| (case.samples.len(), case.seconds);
    in_turns(cases, &selection.seconds, taken, |case| {
        let milliseconds = case.time(weights, operands)?;
        case.samples.push(milliseconds);
        case.seconds += milliseconds / 1e3;
        Ok(())
    })
}
