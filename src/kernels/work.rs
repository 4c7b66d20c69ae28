//! The work of a dispatch in numbers: for the cost model, and for drivers that end long loops.

use super::Params;

/// Threads of a dispatch, the operations of each, and the bytes that all of them together must move.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Work {
    /// Threads.
    pub(crate) threads: f64,
    /// Loads and multiply-adds of a thread, counted in loads of one element.
    pub(crate) operations: f64,
    /// The least bytes that must be read or written.
    pub(crate) bytes: f64,
    /// Loads of a thread that must each wait for the one before.
    pub(crate) waits: f64,
}

/// The cost of loads on a device. The unit is a load of one element that lies beside those of neighbouring threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loads {
    /// A load of four elements.
    pub(crate) four: f64,
    /// A load far from those of neighbouring threads.
    pub(crate) scattered: f64,
}

impl Loads {
    /// A load of `width` elements.
    pub(super) fn of(self, width: u32) -> f64 {
        if width == 4 { self.four } else { 1.0 }
    }

    /// A thread's loads of so many filters one by one. The neighbouring thread's are as far away as they are many.
    pub(super) fn apart(self, filters: u32) -> f64 {
        if filters > 1 { self.scattered * of(filters) } else { 1.0 }
    }
}

/// What a multiply-add costs, as a share of a load.
const MULTIPLY: f64 = 0.05;

/// Turns of the loops that activate a thread's stored results: up to 64 results, each with up to 48 turns of erf's
/// loops.
pub(crate) const FINISHING: u64 = 64 * 48;

/// Bytes of workgroup memory of `join.wgsl`, where each thread joins `at_once` values of `width` elements at a time.
pub(super) fn joined(at_once: u32, threads: u32, width: u32) -> u32 {
    at_once * (threads / 2) * 4 * width
}

pub(super) fn of(value: u32) -> f64 {
    f64::from(value)
}

/// How many tiles of this size it takes.
pub(super) fn tiles(count: u32, tile: u32) -> f64 {
    of(count.div_ceil(tile.max(1)))
}

/// One step of sums in registers: its loads, and `x` times `y` multiply-adds.
pub(super) fn product(x: f64, y: f64, loads: f64) -> f64 {
    loads + x * y * MULTIPLY
}

/// The work for a window's taps: three table loads, the test for padding and the loops around them.
pub(super) fn taps(p: &Params) -> f64 {
    10.0 * of(p.taps)
}

/// How many taps read an input position, on average.
pub(super) fn readers(p: &Params) -> f64 {
    of(p.cells) / of(p.cell_groups.max(1)) * of(p.taps) / of(p.positions.max(1))
}

/// The product of all factors; none on overflow.
pub(super) fn products<const N: usize>(factors: [u32; N]) -> Option<u64> {
    Some(factors.into_iter().fold(1, |product: u64, factor| product.saturating_mul(factor.into())))
}

/// Number of products of all windows with their weights.
pub(super) fn window_products(p: &Params) -> Option<u64> {
    products([p.batch, p.cells, p.window, p.filters])
}

/// Number of products of the samples with a dense matrix.
pub(super) fn dense_products(p: &Params) -> Option<u64> {
    products([p.batch, p.dense_rows, p.dense_columns])
}

/// Number of products of the samples with the weights of connections.
pub(super) fn sparse_products(p: &Params) -> Option<u64> {
    products([p.batch, p.entries, p.filters])
}

/// Bytes of the weights.
pub(super) fn weights(p: &Params) -> f64 {
    4.0 * (of(p.entries) * of(p.filters)).max(of(p.weight_cells) * of(p.window) * of(p.filters))
}

/// Bytes of inputs and outputs.
pub(super) fn operands(p: &Params) -> (f64, f64) {
    (4.0 * of(p.batch) * of(p.x_sample), 4.0 * of(p.batch) * of(p.cells) * of(p.filters))
}

/// Bytes of inputs, weights and outputs.
pub(super) fn traffic(p: &Params) -> f64 {
    let (inputs, outputs) = operands(p);
    inputs + weights(p) + outputs
}

/// Bytes of inputs, the dense matrix and outputs.
pub(super) fn dense_traffic(p: &Params) -> f64 {
    let (inputs, outputs) = operands(p);
    inputs + 4.0 * (of(p.dense_rows) * of(p.dense_columns)) + outputs
}

/// The work of an element-wise kernel.
pub(super) fn elementwise(p: &Params) -> Work {
    Work { threads: of(p.count), operations: 4.0, bytes: 12.0 * of(p.count), ..Work::default() }
}

/// The work of an optimizer's step: a gradient is read, a weight and its states are read and written.
pub(super) fn updated(p: &Params, loads: Loads, width: u32, states: u32) -> Work {
    Work {
        threads: of(p.count),
        operations: of(3 + 2 * states) * loads.of(width),
        bytes: 4.0 * of(width) * of(p.count) * of(3 + 2 * states),
        ..Work::default()
    }
}

/// The work of a gradient's sums and the update by them: weights and states are read and written, where the gradient
/// alone would be written.
pub(super) fn with_update(gradient: Work, p: &Params, states: u32) -> Work {
    Work { bytes: gradient.bytes + of(1 + 2 * states) * weights(p), ..gradient }
}

/// Turns of the loops over a window's taps and, `step` at a time, its channels.
pub(super) fn window_turns(p: &Params, step: u32) -> u64 {
    let of = |value: u32| u64::from(value);
    2 * (of(p.taps_0) + of(p.taps_0) * of(p.taps_1) + of(p.taps)) + of(p.window) / of(step)
}

/// Turns of the loops over an input's readers, each with `each` turns of its own.
pub(super) fn reader_turns(p: &Params, each: u64) -> u64 {
    2 * u64::from(p.outer_readers) + u64::from(p.most_readers) * (2 + each)
}

/// Turns of the loops where `parts` threads share `all` steps of a sum, four at a time, whose offsets are loaded in
/// blocks.
pub(super) fn split_turns(blocks: u64, all: u64, parts: u32) -> u64 {
    blocks * (1 + 8) + all.div_ceil(parts.into()) + 16 + 32
}

/// Turns where the threads of a workgroup go through `all` elements `passes` times and join values `joins` times.
pub(super) fn shared_turns(all: u32, passes: u64, joins: u64) -> u64 {
    passes * u64::from(all.div_ceil(super::THREADS)) + 6 * joins
}

/// Loads for one window of a pool.
pub(super) fn pooled(p: &Params) -> f64 {
    6.0 + positions_of_window(p).into_iter().map(of).product::<f64>()
}

/// Bytes that are moved for `count` windows of a pool, counting the inputs of these windows.
pub(super) fn pooled_bytes(p: &Params) -> f64 {
    let (inputs, outputs) = positions_and_windows(p);
    4.0 * of(p.count) * (1.0 + inputs / outputs)
}

/// Bytes that are moved for `count` inputs of a pool: each is read `inputs_read` times, its windows' values
/// `windows_read` times.
pub(super) fn read_by_bytes(p: &Params, inputs_read: f64, windows_read: f64) -> f64 {
    let (inputs, outputs) = positions_and_windows(p);
    4.0 * of(p.count) * (1.0 + inputs_read + windows_read * outputs / inputs)
}

fn positions_and_windows(p: &Params) -> (f64, f64) {
    let product = |sizes: [u32; 3]| sizes.map(|size| of(size.max(1))).iter().product();
    (product([p.input_0, p.input_1, p.input_2]), product([p.output_0, p.output_1, p.output_2]))
}

/// Turns of the loops over a window's positions.
pub(super) fn pooled_turns(p: &Params) -> u64 {
    nested_turns(positions_of_window(p))
}

/// The most positions of a window along each axis; kernels leave out those outside the input.
fn positions_of_window(p: &Params) -> [u32; 3] {
    [p.taps_0.min(p.input_0), p.taps_1.min(p.input_1), p.taps_2.min(p.input_2)]
}

/// Loads for the windows that contain a position.
pub(super) fn read_by(p: &Params) -> f64 {
    10.0 + readers_of_position(p).into_iter().map(of).product::<f64>()
}

/// Turns of the loops over the windows that contain a position.
pub(super) fn read_by_turns(p: &Params) -> u64 {
    nested_turns(readers_of_position(p))
}

fn readers_of_position(p: &Params) -> [u32; 3] {
    let axes =
        [(p.taps_0, p.stride_0, p.output_0), (p.taps_1, p.stride_1, p.output_1), (p.taps_2, p.stride_2, p.output_2)];
    axes.map(|(window, stride, windows)| window.div_ceil(stride.max(1)).min(windows))
}

/// Turns of three nested loops, including the turns in which they end.
fn nested_turns([a, b, c]: [u32; 3]) -> u64 {
    let [a, b, c] = [a, b, c].map(u64::from);
    a.saturating_mul(b.saturating_mul(c.saturating_add(1)).saturating_add(1)).saturating_add(1)
}
