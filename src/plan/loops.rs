//! Plans of the loop variant (Keras's implementation 1): forward, input gradient, kernel gradient.

use super::elementwise::{FUSED, fused_code};
use super::tiles::{TILE_SHAPES, TileShape};
use super::{Plan, Planner, Role, Samples, Slice};
use crate::Result;
use crate::config::{Activation, Bias};
use crate::kernel::{Kernel, Params, Variant};

/// Threads of a workgroup in these kernels.
pub(super) const THREADS: u64 = 64;

/// Sizes of register tiles: a kernel is compiled for each of them.
pub(super) const IMAGES: [u32; 5] = [1, 2, 4, 8, 16];
pub(super) const FILTERS: [u32; 4] = [1, 2, 4, 8];
const QUADS: [u32; 3] = [1, 2, 4];
const CHANNELS: [u32; 5] = [1, 2, 3, 4, 8];
const ROWS: [u32; 3] = [1, 2, 4];
/// Quads side by side, channels, and samples of the kernels that split K.
const SPLIT_LANES: [u32; 3] = [2, 4, 8];
const SPLIT_CHANNELS: [u32; 3] = [1, 4, 16];
const SPLIT_IMAGES: [u32; 3] = [1, 4, 8];
const SPLIT_THREADS: [u32; 2] = [64, 256];

/// The largest of `sizes` up to `most` that isn't over twice what there is to do, so that little is done in vain.
pub(super) fn tile(sizes: &[u32], most: u32, count: u32) -> u32 {
    sizes.iter().copied().filter(|&size| size <= most && size < 2 * count).max().unwrap_or(1)
}

/// The largest of `sizes` up to `most` that divides `count`.
fn divisor(sizes: &[u32], most: u32, count: u32) -> u32 {
    sizes.iter().copied().filter(|&size| size <= most && count.is_multiple_of(size)).max().unwrap_or(1)
}

/// Samples of a thread where K is split: all of them if it can, since each reads the same weights.
fn split_images(count: u32) -> u32 {
    SPLIT_IMAGES.into_iter().find(|&images| images >= count).unwrap_or(SPLIT_IMAGES[2])
}

impl Planner<'_> {
    /// Input and output ranges of some samples: bindings and bases in `params`.
    pub(super) fn operands(&self, params: &mut Params, samples: Samples, x: Role, y: Role) -> (Slice, Slice) {
        let count = u64::from(samples.count);
        let range = |role, elements: u64| self.slice(role, samples.first * elements, count * elements);
        let (x, x_base) = range(x, self.geometry.inputs());
        let (y, y_base) = range(y, self.geometry.outputs());
        (params.batch, params.x_base, params.y_base) = (samples.count, x_base, y_base);
        (x, y)
    }

    pub(super) fn chunk_params(&self, chunk: &super::Chunk) -> Params {
        Params {
            first_cell: chunk.first_cell,
            cells: chunk.cells,
            first_filter: chunk.first_filter,
            filters: chunk.filters,
            first_entry: chunk.first_entry as u32,
            entries: chunk.entries as u32,
            ..self.params()
        }
    }

    /// Threads of a workgroup that divides a sum of `rows` terms among those of its threads that do not stand side by
    /// side, where samples are few.
    fn split_threads(&self, samples: u32, rows: u64, side_by_side: u32) -> Option<u32> {
        let terms = self.profile.strategy.split_terms;
        let enough = |threads: &u32| rows >= u64::from(terms * threads / side_by_side);
        if samples > self.profile.strategy.split_batch {
            return None;
        }
        SPLIT_THREADS.into_iter().filter(enough).max()
    }

    /// The tiles for so many samples and products of this size, unless most of their work would be in vain.
    fn tiled(&self, samples: u32, products: u64, rows: u32, columns: u32) -> Option<TileShape> {
        if samples < self.profile.strategy.tile_batch {
            return None;
        }
        let shape = TileShape::best(&self.profile.strategy, products, rows, columns);
        let computed = shape.tiles(rows, columns) * u64::from(shape.rows()) * u64::from(shape.columns());
        let wanted = u64::from(rows) * u64::from(columns);
        (100 * wanted >= u64::from(self.profile.strategy.tile_use) * computed).then_some(shape)
    }

    /// Quads that stand side by side where K is split: few where workgroups would be too few, but enough for whole cache
    /// lines.
    fn split_lanes(&self, quads: u32, products: u64) -> u32 {
        let wanted =
            |lanes: u32| products * u64::from(quads.div_ceil(lanes)) >= u64::from(self.profile.strategy.busy_groups);
        let fitting = SPLIT_LANES.into_iter().filter(|&lanes| lanes <= quads);
        fitting.clone().filter(|&lanes| lanes <= 4 || wanted(lanes)).max().unwrap_or(1)
    }

    /// Whether filters, and channels too where `channels` says so, lie in aligned fours everywhere in this dispatch.
    fn in_quads(&self, chunk: &super::Chunk, params: &Params, channels: bool) -> bool {
        let fours = |sizes: &[u32]| sizes.iter().all(|size| size.is_multiple_of(4));
        let filters = fours(&[chunk.filters, chunk.first_filter, params.group_filters, params.y_base]);
        filters
            && params.y_filter == 1
            && (!channels || params.x_channel == 1 && fours(&[params.group_channels, params.x_base]))
    }

    pub(super) fn loop_forward(&self, plan: &mut Plan, batch: u32, fused: Activation, target: Role) -> Result<()> {
        let bias = if self.geometry.config().bias == Bias::None { Role::Tables } else { Role::Bias };
        let activation = fused_code(fused);
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk).with_activation(fused);
                let (x, y) = self.operands(&mut params, samples, Role::Input, target);
                let cells = u64::from(chunk.cells);
                let quads = chunk.filters / 4;
                let images = split_images(samples.count);
                let tiles = cells * u64::from(samples.count.div_ceil(images));
                let lanes = self.split_lanes(quads, tiles);
                let split = self.split_threads(samples.count, params.window.into(), lanes);
                let (variant, groups) = if let (Some(threads), 0) = (split, chunk.filters % 4) {
                    let variant = Kernel::LoopForwardSplit.variant(&[images, lanes, activation, threads]);
                    (variant, tiles * u64::from(quads.div_ceil(lanes)))
                } else if let Some(shape) = self.tiled(samples.count, cells, samples.count, chunk.filters) {
                    let [a, b, c] = shape.constants();
                    let variant = Kernel::LoopForwardTiled.variant(&[a, b, c, activation]);
                    (variant, cells * shape.tiles(samples.count, chunk.filters))
                } else {
                    let (variant, lanes, images) = if self.in_quads(chunk, &params, true) {
                        let quads = tile(&QUADS, 2, chunk.filters / 4);
                        let images = tile(&IMAGES, 16 / quads, samples.count);
                        let variant = Kernel::LoopForwardVec4.variant(&[images, quads, activation]);
                        (variant, (chunk.filters / 4).div_ceil(quads), images)
                    } else {
                        let filters = tile(&FILTERS, 8, chunk.filters);
                        let images = tile(&IMAGES, 8, samples.count);
                        let variant = Kernel::LoopForward.variant(&[images, filters, activation]);
                        (variant, chunk.filters.div_ceil(filters), images)
                    };
                    let columns = cells * u64::from(lanes);
                    (variant, columns.div_ceil(THREADS) * u64::from(samples.count.div_ceil(images)))
                };
                let bindings =
                    vec![Slice::whole(Role::Kernel(index)), x, Slice::whole(bias), Slice::whole(Role::Tables), y];
                self.dispatch(plan, variant, params, groups, bindings)?;
            }
        }
        Ok(())
    }

    pub(super) fn loop_grad_input(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk);
                params.accumulate = u32::from(index > 0);
                let (dx, dz) = self.operands(&mut params, samples, Role::GradInput, dz);
                let quads = self.in_quads(chunk, &params, false);
                let (channels, count) = (params.group_channels, samples.count);
                let products = u64::from(params.positions) * u64::from(params.groups);
                let lanes = self.split_lanes(chunk.filters / 4, products);
                let side = tile(&SPLIT_CHANNELS, 16, channels);
                let turns = self.most_readers() * u64::from((chunk.filters / 4).div_ceil(lanes));
                let split = self.split_threads(count, turns, lanes * side);
                let (variant, groups) = if let (Some(threads), true) = (split, quads) {
                    let images = split_images(count);
                    let variant = Kernel::LoopGradInputSplit.variant(&[images, lanes, side, threads]);
                    (variant, products * u64::from(count.div_ceil(images)) * u64::from(channels.div_ceil(side)))
                } else if let Some(shape) = self.tiled(count, products, count, channels) {
                    let variant = Kernel::LoopGradInputTiled.variant(&shape.constants());
                    (variant, products * shape.tiles(count, channels))
                } else {
                    let kernel = if quads { Kernel::LoopGradInputVec4 } else { Kernel::LoopGradInput };
                    let images = tile(&IMAGES, 8, count);
                    let channels = divisor(&CHANNELS, 8, channels);
                    let columns = self.geometry.inputs() / u64::from(channels);
                    let variant = kernel.variant(&[images, channels]);
                    (variant, columns.div_ceil(THREADS) * u64::from(count.div_ceil(images)))
                };
                let bindings = vec![Slice::whole(Role::Kernel(index)), dz, Slice::whole(Role::Tables), dx];
                self.dispatch(plan, variant, params, groups, bindings)?;
            }
        }
        Ok(())
    }

    pub(super) fn loop_grad_kernel(&self, plan: &mut Plan, batch: u32, dz: Role) -> Result<()> {
        for samples in self.samples(batch)? {
            for (chunk, index) in self.chunks.iter().zip(0..) {
                let mut params = self.chunk_params(chunk);
                params.accumulate = u32::from(samples.first > 0);
                let (x, dz) = self.operands(&mut params, samples, Role::Input, dz);
                let (cells, window) = (u64::from(chunk.cells), self.geometry.window());
                let (variant, groups) = if let Some(shape) = self.tiled(samples.count, cells, window, chunk.filters) {
                    let variant = Kernel::LoopGradKernelTiled.variant(&shape.constants());
                    (variant, cells * shape.tiles(window, chunk.filters))
                } else {
                    let (variant, rows, lanes) = if self.in_quads(chunk, &params, true) {
                        let quads = tile(&QUADS, 4, chunk.filters / 4);
                        let rows = divisor(&ROWS, 4 / quads, params.group_channels / 4);
                        let variant = Kernel::LoopGradKernelVec4.variant(&[rows, quads]);
                        (variant, window / (4 * rows), (chunk.filters / 4).div_ceil(quads))
                    } else {
                        let filters = tile(&FILTERS, 8, chunk.filters);
                        let channels = divisor(&CHANNELS, 8, params.group_channels);
                        let variant = Kernel::LoopGradKernel.variant(&[channels, filters]);
                        (variant, window / channels, chunk.filters.div_ceil(filters))
                    };
                    (variant, (cells * u64::from(rows) * u64::from(lanes)).div_ceil(THREADS))
                };
                let bindings = vec![x, dz, Slice::whole(Role::Tables), Slice::whole(Role::GradKernel(index))];
                self.dispatch(plan, variant, params, groups, bindings)?;
            }
        }
        Ok(())
    }
}

/// Every variant of these kernels that a plan can ask for.
pub(super) fn variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut all = |kernel: Kernel, first: &[u32], second: &[u32], third: &[u32]| {
        for (&a, &b) in first.iter().flat_map(|a| second.iter().map(move |b| (a, b))) {
            variants.extend(third.iter().map(|&c| kernel.variant(&[a, b, c])));
        }
    };
    all(Kernel::LoopForward, &IMAGES[..4], &FILTERS, &FUSED);
    // 16 vectors of sums at most.
    all(Kernel::LoopForwardVec4, &IMAGES, &QUADS[..1], &FUSED);
    all(Kernel::LoopForwardVec4, &IMAGES[..4], &QUADS[1..2], &FUSED);
    all(Kernel::LoopGradInput, &IMAGES[..4], &CHANNELS, &[0]);
    all(Kernel::LoopGradInputVec4, &IMAGES[..4], &CHANNELS, &[0]);
    all(Kernel::LoopGradKernel, &CHANNELS, &FILTERS, &[0]);
    // 4 rows by quads at most.
    for (rows, most) in ROWS.iter().zip((1..=QUADS.len()).rev()) {
        all(Kernel::LoopGradKernelVec4, &[*rows], &QUADS[..most], &[0]);
    }
    for (images, lanes) in SPLIT_IMAGES.into_iter().flat_map(|images| SPLIT_LANES.map(|lanes| (images, lanes))) {
        for threads in SPLIT_THREADS {
            let forward =
                FUSED.map(|activation| Kernel::LoopForwardSplit.variant(&[images, lanes, activation, threads]));
            let grad_input =
                SPLIT_CHANNELS.map(|side| Kernel::LoopGradInputSplit.variant(&[images, lanes, side, threads]));
            variants.extend([forward, grad_input].concat());
        }
    }
    for shape in TILE_SHAPES {
        let [a, b, c] = shape.constants();
        variants.extend(FUSED.map(|activation| Kernel::LoopForwardTiled.variant(&[a, b, c, activation])));
        variants.push(Kernel::LoopGradInputTiled.variant(&[a, b, c]));
        variants.push(Kernel::LoopGradKernelTiled.variant(&[a, b, c]));
    }
    variants
}
