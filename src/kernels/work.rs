//! The work of a dispatch in numbers: for the cost model, for dispatches that are cut, and for drivers that end long loops.

use super::Params;

/// What a dispatch does: its threads, the operations of each, and the bytes that all of them together must move.
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
    /// Number of products that the dispatch sums; none for a kernel that sums no products.
    pub(crate) products: Option<u64>,
    /// An upper bound of the turns of all loops of one thread. Unrolled loops don't count.
    pub(crate) turns: u64,
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
    /// Each element that is loaded is one.
    pub(crate) const BY_ELEMENTS: Self = Self { four: 4.0, scattered: 1.0 };

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

/// The work of a kernel with a thread for each of `count` elements: a thread's operations, and the bytes of all of them.
pub(super) fn per_element(p: &Params, operations: f64, bytes: f64) -> Work {
    Work { threads: of(p.count), operations, bytes, ..Work::default() }
}

/// The work of an element-wise kernel.
pub(super) fn elementwise(p: &Params) -> Work {
    per_element(p, 4.0, 12.0 * of(p.count))
}

/// The work of a kernel with a workgroup for each of `count` rows: a thread's operations for each of its elements.
pub(super) fn rows(p: &Params, operations: f64) -> Work {
    let operations = operations * of(p.row.div_ceil(super::THREADS));
    Work { threads: of(p.count) * of(super::THREADS), ..per_element(p, operations, 8.0 * (of(p.count) * of(p.row))) }
}

/// The work of a kernel that reduces the elements along an axis in parts, and reads `besides` values more for each result.
pub(super) fn reduced(p: &Params, besides: f64) -> Work {
    let each = p.length.div_ceil(p.parts.max(1));
    let bytes = 4.0 * of(p.count) * (of(each) + besides);
    Work { turns: u64::from(each) + 1, ..per_element(p, of(each), bytes) }
}

/// The work of an optimizer's step: a gradient is read, a weight and its states are read and written.
pub(super) fn updated(p: &Params, loads: Loads, width: u32, states: u32) -> Work {
    per_element(p, of(3 + 2 * states) * loads.of(width), 4.0 * of(width) * of(p.count) * of(3 + 2 * states))
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

/// The work of a kernel that goes through `count` windows of a pool, `width` elements at once. Their inputs are moved once.
pub(super) fn pooled(p: &Params, loads: Loads, width: u32) -> Work {
    // The most positions of a window along each axis; kernels leave out those outside the input.
    let positions = [p.taps_0.min(p.input[0]), p.taps_1.min(p.input[1]), p.taps_2.min(p.input[2])];
    let (inputs, outputs) = positions_and_windows(p);
    let operations = (6.0 + positions.into_iter().map(of).product::<f64>()) * loads.of(width);
    let bytes = of(width) * (4.0 * of(p.count) * (1.0 + inputs / outputs));
    Work { turns: nested_turns(positions), ..per_element(p, operations, bytes) }
}

/// The work of a kernel that goes through the windows that contain each of `count` inputs of a pool. An input is read
/// `inputs_read` times, its windows' values `windows_read` times.
pub(super) fn read_by(p: &Params, inputs_read: f64, windows_read: f64) -> Work {
    let taps = [p.taps_0, p.taps_1, p.taps_2];
    let readers = std::array::from_fn(|axis| taps[axis].div_ceil(p.stride[axis].max(1)).min(p.output[axis]));
    let (inputs, outputs) = positions_and_windows(p);
    let bytes = 4.0 * of(p.count) * (1.0 + inputs_read + windows_read * outputs / inputs);
    Work { turns: nested_turns(readers), ..per_element(p, 10.0 + readers.into_iter().map(of).product::<f64>(), bytes) }
}

fn positions_and_windows(p: &Params) -> (f64, f64) {
    let product = |sizes: [u32; 3]| sizes.map(|size| of(size.max(1))).iter().product();
    (product(p.input), product(p.output))
}

/// Turns of three nested loops, including the turns in which they end.
fn nested_turns([a, b, c]: [u32; 3]) -> u64 {
    let [a, b, c] = [a, b, c].map(u64::from);
    a.saturating_mul(b.saturating_mul(c.saturating_add(1)).saturating_add(1)).saturating_add(1)
}
