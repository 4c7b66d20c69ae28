//! What the CPU executor allocates: nothing in its runs, and no second copy of the weights.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use locally_connected::cpu::{Executor, Threads, Weights};
use locally_connected::model::{Chain, Kind, Layer, Wanted, names};
use locally_connected::ops::Usage;
use locally_connected::{Activation, Bias, Config, DataFormat, Geometry, Padding, WeightType};
use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it; this only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Every kind of operation; the second layer in channels_first, the third in 16 bits.
fn chain() -> Chain {
    let local = |name: &str, config: Config, shape: &[usize]| {
        let geometry = Geometry::new(&config, shape).expect("a layer").into();
        Layer { name: name.into(), kind: Kind::Local { geometry, trainable: true } }
    };
    let shared = |name: &str, config: Config, shape: &[usize]| {
        let geometry = Geometry::convolution(&config, shape).expect("a layer").into();
        Layer { name: name.into(), kind: Kind::Local { geometry, trainable: true } }
    };
    let other = |name: &str, kind| Layer { name: name.into(), kind };
    let first = Config::new(40, [3, 3]).data_format(DataFormat::ChannelsFirst).activation(Activation::Swish);
    let layers = vec![
        local("a", Config::new(32, [3, 3]).activation(Activation::RELU), &[12, 12, 4]),
        other("flip", Kind::Transpose { rows: 100, columns: 32 }),
        local("b", first, &[32, 10, 10]),
        local("c", Config::new(16, [40]).strides([40]).dtype(WeightType::F16), &[40 * 64, 1]),
        shared("d", Config::new(8, [3]).padding(Padding::SameUpper).bias(Bias::PerFilter), &[64, 16]),
        shared("e", Config::new(24, [1]).bias(Bias::PerFilter), &[64, 8]),
        shared("f", Config::new(48, [3]).groups(24).dtype(WeightType::F16), &[64, 24]),
        other("softmax", Kind::Activation { activation: Activation::Softmax, row: 48 }),
    ];
    Chain { inputs: 12 * 12 * 4, layers }
}

/// One test, so that no other allocates meanwhile.
#[test]
fn runs_allocate_nothing_and_weights_are_there_once() {
    let chain = chain();
    let program = chain.backward(Wanted::All);
    let batch = 3;
    let values: Vec<(String, Vec<f32>)> = program
        .used_as(Usage::Parameter)
        .map(|buffer| (buffer.name.clone(), vec![0.01; buffer.shape.elements(0) as usize]))
        .collect();
    let mut store = Weights::new();
    let before = BYTES.load(Relaxed);
    for (name, values) in &values {
        store.set(&program, name, values).expect("a parameter");
    }
    let half = 2 * 64 * 40 * 16;
    let stored = BYTES.load(Relaxed) - before;
    assert!((half..half + 4096).contains(&stored), "{stored} bytes for f32 weights that are borrowed");

    let x = vec![0.5; program.find(names::INPUT).map_or(0, |_| batch as usize * chain.inputs as usize)];
    let dy = vec![0.5; batch as usize * chain.outputs() as usize];
    let outputs = program.used_as(Usage::Output).chain(program.used_as(Usage::Gradient));
    let mut written: Vec<(String, Vec<f32>)> =
        outputs.map(|b| (b.name.clone(), vec![0.0; b.shape.elements(batch) as usize])).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
    for threads in
        [Threads::caller(), Threads::current_pool(), Threads::own(NonZeroUsize::MIN.saturating_add(1)).expect("a pool")]
    {
        let own = threads.count();
        pool.install(|| {
            let before = BYTES.load(Relaxed);
            let mut bound = Executor::new(threads.clone()).bind(&program, batch).expect("a program");
            let (bound_bytes, known) = ((BYTES.load(Relaxed) - before) as u64, bound.bytes());
            assert!(bound_bytes < known + 400_000, "{bound_bytes} bytes, {known} of them said");
            let mut run = |times: usize| {
                let before = COUNT.load(Relaxed);
                for _ in 0..times {
                    let inputs = [(names::INPUT, x.as_slice()), (names::GRAD_OUTPUT, dy.as_slice())];
                    // As many as the program has: the caller's array, on the stack.
                    let mut outputs = written.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice()));
                    let mut outputs: [_; 14] = std::array::from_fn(|_| outputs.next().expect("an output"));
                    bound.run(&store, &inputs, &mut outputs).expect("it runs");
                }
                COUNT.load(Relaxed) - before
            };
            run(3);
            let count = run(130);
            // rayon queues what comes from outside of a pool, and takes memory for 63 such calls at once.
            assert!(count <= 4, "{count} allocations in 130 runs on {own} threads");
            if matches!(own, 1) {
                assert_eq!(count, 0);
            }
        });
    }
    assert!(written.iter().all(|(_, values)| values.iter().all(|value| value.is_finite())));
}
