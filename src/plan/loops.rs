//! Plans of the loop variant (Keras's implementation 1): forward, input gradient, kernel gradient.

use super::elementwise::{FUSED, fused_code};
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

/// The largest of `sizes` up to `most` that isn't over twice what there is to do, so that little is done in vain.
pub(super) fn tile(sizes: &[u32], most: u32, count: u32) -> u32 {
    sizes.iter().copied().filter(|&size| size <= most && size < 2 * count).max().unwrap_or(1)
}

/// The largest of `sizes` up to `most` that divides `count`.
fn divisor(sizes: &[u32], most: u32, count: u32) -> u32 {
    sizes.iter().copied().filter(|&size| size <= most && count.is_multiple_of(size)).max().unwrap_or(1)
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
                let (variant, lanes, images) = if self.in_quads(chunk, &params, true) {
                    let quads = tile(&QUADS, 2, chunk.filters / 4);
                    let images = tile(&IMAGES, 16 / quads, samples.count);
                    (
                        Kernel::LoopForwardVec4.variant(&[images, quads, activation]),
                        (chunk.filters / 4).div_ceil(quads),
                        images,
                    )
                } else {
                    let filters = tile(&FILTERS, 8, chunk.filters);
                    let images = tile(&IMAGES, 8, samples.count);
                    (
                        Kernel::LoopForward.variant(&[images, filters, activation]),
                        chunk.filters.div_ceil(filters),
                        images,
                    )
                };
                let columns = u64::from(chunk.cells) * u64::from(lanes);
                let groups = columns.div_ceil(THREADS) * u64::from(samples.count.div_ceil(images));
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
                let (kernel, images) = if self.in_quads(chunk, &params, false) {
                    (Kernel::LoopGradInputVec4, tile(&IMAGES, 8, samples.count))
                } else {
                    (Kernel::LoopGradInput, tile(&IMAGES, 8, samples.count))
                };
                let channels = divisor(&CHANNELS, 8, params.group_channels);
                let columns = self.geometry.inputs() / u64::from(channels);
                let groups = columns.div_ceil(THREADS) * u64::from(samples.count.div_ceil(images));
                let bindings = vec![Slice::whole(Role::Kernel(index)), dz, Slice::whole(Role::Tables), dx];
                self.dispatch(plan, kernel.variant(&[images, channels]), params, groups, bindings)?;
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
                let (variant, rows, lanes) = if self.in_quads(chunk, &params, true) {
                    let quads = tile(&QUADS, 4, chunk.filters / 4);
                    let rows = divisor(&ROWS, 4 / quads, params.group_channels / 4);
                    (
                        Kernel::LoopGradKernelVec4.variant(&[rows, quads]),
                        self.geometry.window() / (4 * rows),
                        (chunk.filters / 4).div_ceil(quads),
                    )
                } else {
                    let filters = tile(&FILTERS, 8, chunk.filters);
                    let channels = divisor(&CHANNELS, 8, params.group_channels);
                    let variant = Kernel::LoopGradKernel.variant(&[channels, filters]);
                    (variant, self.geometry.window() / channels, chunk.filters.div_ceil(filters))
                };
                let threads = u64::from(chunk.cells) * u64::from(rows) * u64::from(lanes);
                let bindings = vec![x, dz, Slice::whole(Role::Tables), Slice::whole(Role::GradKernel(index))];
                self.dispatch(plan, variant, params, threads.div_ceil(THREADS), bindings)?;
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
    variants
}
