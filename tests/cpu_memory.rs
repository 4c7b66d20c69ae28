//! What the CPU executor allocates: nothing in its runs, and no second copy of the weights.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use locally_connected::config::Axes;
use locally_connected::cpu::{Executor, Threads, Weights};
use locally_connected::geometry::Groups;
use locally_connected::model::{Convolution, Flatten, Graph, Layer, Reshape, Sequential, Wanted, names};
use locally_connected::ops::{
    Along, AxisMap, Columns, Concatenate, GroupSquares, Operation, Pool, PoolGrad, PoolKind, Pooled, Rearrange,
    RearrangeGrad, Reduce, ReduceGrad, Shape, Ties, Usage, Windows,
};
use locally_connected::plan::Planner;
use locally_connected::program::Program;
use locally_connected::{
    Activation, Bias, Config, DataFormat, DeviceProfile, Error, Geometry, Padding, Pattern, WeightType,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

thread_local! {
    /// Of this thread alone: the test's own program allocates on another when it likes.
    static OWN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    /// The most bytes that this thread is given at once.
    static MOST: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it; this only counts, and refuses what is too long.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST.try_with(std::cell::Cell::get).unwrap_or(usize::MAX) {
            return std::ptr::null_mut();
        }
        COUNT.fetch_add(1, Relaxed);
        // A thread that ends has none any more.
        let _ = OWN.try_with(|own| own.set(own.get() + 1));
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
fn graph() -> Graph {
    let first = Config::new(40, [3, 3]).data_format(DataFormat::ChannelsFirst).activation(Activation::Swish);
    let layers = Sequential::new([12, 12, 4])
        .add(Config::new(32, [3, 3]).activation(Activation::RELU))
        .add(Reshape(vec![100, 32]))
        .add(Flatten { data_format: DataFormat::ChannelsFirst })
        .add(Reshape(vec![32, 10, 10]))
        .add(first)
        .add(Reshape(vec![40 * 64, 1]))
        .add(Config::new(16, [40]).strides([40]).dtype(WeightType::F16))
        .add(Convolution(Config::new(8, [3]).padding(Padding::SameUpper).bias(Bias::PerFilter)))
        .add(Convolution(Config::new(24, [1]).bias(Bias::PerFilter)))
        .add(Convolution(Config::new(48, [3]).groups(24).dtype(WeightType::F16)))
        .add(Activation::Softmax);
    layers.graph().expect("layers")
}

/// One test, so that no other allocates meanwhile.
#[test]
fn runs_allocate_nothing_and_weights_are_there_once() {
    long_axes_take_memory_where_they_are_read();
    windows_of_many_taps_are_refused();
    what_does_not_fit_is_said();
    let graph = graph();
    let program = graph.backward(Wanted::All);
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

    let x = vec![0.5; program.find(names::INPUT).map_or(0, |_| batch as usize * graph.inputs()[0].elements() as usize)];
    let dy = vec![0.5; batch as usize * graph.outputs()[0].elements() as usize];
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
                let before = (COUNT.load(Relaxed), OWN.get());
                for _ in 0..times {
                    let inputs = [(names::INPUT, x.as_slice()), (names::GRAD_OUTPUT, dy.as_slice())];
                    // As many as the program has: the caller's array, on the stack.
                    let mut outputs = written.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice()));
                    let mut outputs: [_; 14] = std::array::from_fn(|_| outputs.next().expect("an output"));
                    bound.run(&store, &inputs, &mut outputs).expect("it runs");
                }
                (COUNT.load(Relaxed) - before.0, OWN.get() - before.1)
            };
            run(3);
            let (count, by_caller) = run(130);
            // rayon queues what comes from outside of a pool, and takes memory for 63 such calls at once.
            match own {
                // The test's own program says on another thread that this one takes long.
                1 => assert_eq!(by_caller, 0),
                _ => assert!(count <= 7, "{count} allocations in 130 runs on {own} threads"),
            }
        });
    }
    assert!(written.iter().all(|(_, values)| values.iter().all(|value| value.is_finite())));
    around_layers_allocate_nothing();
}

/// The operations that aren't a layer's, each from the one input to an output of its own.
fn around_layers() -> Program {
    let mut program = Program::default();
    let pooled = Pooled { strides: &[1, 2], channels: 5, ..Pooled::new(&[6, 4], &[3, 2]) };
    let windows = Windows::new(&pooled).expect("windows");
    let along = Along { outer: 6, length: 4, inner: 5 };
    let (inputs, axes) =
        (windows.inputs(), vec![AxisMap::whole(4, 1), AxisMap::repeated(6, 2, 0), AxisMap::whole(5, 2)]);
    let input = program.add("input", Usage::Input, Shape::Samples(inputs));
    let mut add = |name: &str, usage, elements| program.add(name, usage, Shape::Samples(elements));
    let of_pool = add("of pool", Usage::Output, windows.outputs());
    let of_axis = add("of axis", Usage::Output, along.outputs());
    let moved = add("moved", Usage::Output, 2 * inputs);
    let joined = add("joined", Usage::Output, 2 * inputs);
    let grads = ["pool", "axis", "moved"].map(|of| add(&format!("gradient of {of}"), Usage::Output, inputs));
    let kind = PoolKind::Max;
    let columns = Columns { input, columns: 20 };
    let (saved, grad_output, grad_input) = (Some(input), of_pool, grads[0]);
    let pool_grad =
        PoolGrad { kind, ties: Ties::First, windows: windows.clone(), input: saved, grad_output, grad_input };
    let reduce_grad = ReduceGrad { kind, along, input: saved, grad_output: of_axis, grad_input: grads[1] };
    let moved_grad = RearrangeGrad { axes: axes.clone(), grad_output: moved, grad_input: grads[2] };
    program.operations = vec![
        Operation::Pool(Pool { kind, windows, input, output: of_pool }),
        Operation::PoolGrad(pool_grad),
        Operation::Reduce(Reduce { kind, along, input, output: of_axis }),
        Operation::ReduceGrad(reduce_grad),
        Operation::Rearrange(Rearrange { axes, input, output: moved }),
        Operation::RearrangeGrad(moved_grad),
        Operation::Concatenate(Concatenate { rows: 6, inputs: vec![columns, columns], output: joined }),
    ];
    program
}

fn around_layers_allocate_nothing() {
    let program = around_layers();
    let mut written: Vec<(String, Vec<f32>)> = program
        .used_as(Usage::Output)
        .map(|buffer| (buffer.name.clone(), vec![0.0; buffer.shape.elements(3) as usize]))
        .collect();
    let (store, x) = (Weights::new(), vec![0.5; 3 * 120]);
    let mut bound = Executor::new(Threads::caller()).bind(&program, 3).expect("a program");
    let before = OWN.get();
    let mut outputs = written.iter_mut().map(|(name, values)| (name.as_str(), values.as_mut_slice()));
    let mut outputs: [_; 7] = std::array::from_fn(|_| outputs.next().expect("an output"));
    bound.run(&store, &[("input", x.as_slice())], &mut outputs).expect("it runs");
    assert_eq!(OWN.get() - before, 0);
    assert!(written.iter().all(|(_, values)| values.iter().any(|value| *value > 0.0)));
}

/// What a thread allocates meanwhile.
fn allocated<T>(body: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.load(Relaxed);
    let made = body();
    (made, BYTES.load(Relaxed) - before)
}

/// A file of some lines may name axes of any length. Neither that, nor checking nor planning them takes memory of that length; a forward
/// pass on the CPU takes a run for each position, and input gradients a table of each position's readers.
fn long_axes_take_memory_where_they_are_read() {
    let (positions, taps) = (400_000, 5);
    let layers = Sequential::new([positions, 1]);
    let layers =
        (0..4).fold(layers, |layers, _| layers.add(Convolution(Config::new(1, [taps]).padding(Padding::Same))));
    let (programs, named) = allocated(|| {
        let graph = layers.graph().expect("four convolutions");
        let programs = [graph.forward(), graph.backward(Wanted::All)];
        let profile = DeviceProfile::webgpu_defaults();
        for program in &programs {
            Planner::new(&profile).program(program, 1).expect("it is planned");
        }
        programs
    });
    assert!(named < 1_000_000, "{named} bytes");
    // Four equal layers have one table. Runs have an input, a row and a length, and each location has a place among them.
    let runs = positions * (12 + 4);
    let readers = positions * (8 * taps + 4);
    for (program, expected) in programs.iter().zip([runs, runs + readers]) {
        let (bound, bytes) = allocated(|| Executor::new(Threads::caller()).bind(program, 1).expect("a program"));
        let tables = bytes - bound.bytes() as usize;
        assert!((expected..expected + 400_000).contains(&tables), "{tables} bytes, not {expected}");
    }
    // Again as many, if each were a layer of its own.
    let mut read = programs[1].clone();
    for operation in &mut read.operations {
        let own = operation.layer().map(|layer| Arc::new((**layer).clone()));
        match operation {
            Operation::LocalForward(o) => o.layer = own.expect("its layer"),
            Operation::LocalGradInput(o) => o.layer = own.expect("its layer"),
            Operation::LocalGradWeights(o) => o.layer = own.expect("its layer"),
            _ => {}
        }
    }
    let (bound, bytes) = allocated(|| Executor::new(Threads::caller()).bind(&read, 1).expect("a program"));
    let tables = bytes - bound.bytes() as usize;
    assert!(tables < runs + readers + 400_000, "{tables} bytes");
}

/// 500·500 locations that read up to 100·100 taps each, along two outer axes: tens of gigabytes.
fn windows_of_many_taps_are_refused() {
    let config = Config::new(1, [100, 100, 1]).padding(Padding::Same).bias(Bias::None);
    let graph = Sequential::new([500, 500, 1, 1]).add(Convolution(config)).graph().expect("a convolution");
    let (bound, bytes) = allocated(|| Executor::new(Threads::caller()).bind(&graph.forward(), 1));
    let Err(error) = bound else { panic!("it is bound with {bytes} bytes") };
    let Error::OverBudget { needed, budget, .. } = error.cause() else { panic!("{error}") };
    assert!(*needed > 10 << 30 && *budget == 1 << 30 && bytes < 100_000, "{error}");
}

/// Where there is no memory for what binding makes, that is an error, whatever it is.
fn what_does_not_fit_is_said() {
    let of = |layers: Sequential| layers.graph().expect("layers").backward(Wanted::All);
    let circular = Config::new(2, [40, 3]).dilation_rate([3, 5]).padding(Padding::Circular);
    let halves = Config::new(2, [3]).strides([2]).padding(Padding::Same).dtype(WeightType::F16);
    let pairs: Vec<(u32, u32)> = (0..40_000).map(|at| (at % 9_000, at * 7 % 20_000)).collect();
    let pattern = Pattern::from_coo(9_000, 20_000, &pairs).expect("a pattern").0;
    let pattern = Geometry::from_pattern(pattern, 3, Bias::None, Activation::Linear).expect("a layer");
    // Rows of two each share a norm.
    let groups = Arc::new(Groups::of_variable(&[30_000, 2], &Axes::One(1)).expect("groups"));
    let (shape, mut norms) = (Shape::Fixed(60_000), Program::default());
    let parameter = norms.add("kernel", Usage::Parameter, shape.clone());
    let output = norms.add("squares", Usage::Output, Shape::Fixed(groups.norms(1)));
    norms.operations = vec![Operation::GroupSquares(GroupSquares { groups, shape, parameter, output })];
    let programs = [
        of(Sequential::new([500, 80, 3]).add(circular)),
        of(Sequential::new([20_000, 1]).add(halves.data_format(DataFormat::ChannelsLast))),
        of(Sequential::new([3, 9_000]).add(Convolution(Config::new(5, [30]).data_format(DataFormat::ChannelsFirst)))),
        of(Sequential::new([20_000, 1]).add(Layer::new(Arc::new(pattern)))),
        norms,
    ];
    for program in &programs {
        let (mut refused, mut most) = (0, 16 << 10);
        loop {
            MOST.set(most);
            let bound = Executor::new(Threads::caller()).bind(program, 2);
            MOST.set(usize::MAX);
            match bound {
                Ok(_) => break,
                Err(error) => assert!(
                    matches!(error, Error::OutOfMemory { bytes, .. } if bytes > most as u64),
                    "{error}, of {most}"
                ),
            }
            refused += 1;
            most += most / 8;
        }
        assert!(refused > 5, "{refused}");
    }
}
