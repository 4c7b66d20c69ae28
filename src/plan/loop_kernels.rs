//! Which kernel of the loop variant computes a dispatch, with which register tile, and in how many workgroups: from the
//! sizes in its `Params` and the device's `Strategy`.

use super::elementwise::{FUSED, fused_code};
use super::tiles::{Products, TileShape, WIDTH_PAIRS, WIDTHS, tile_variants, width};
use super::{Form, PlanOptions, Planner, Strategy};
use crate::config::Activation;
use crate::kernel::{Kernel, Params, Variant};

/// Threads of a workgroup in the kernels that fix it.
pub(super) const THREADS: u64 = 64;

/// Sizes of register tiles: a kernel is compiled for each of them.
pub(super) const IMAGES: [u32; 5] = [1, 2, 4, 8, 16];
pub(super) const FILTERS: [u32; 4] = [1, 2, 4, 8];
const CHANNELS: [u32; 5] = [1, 2, 3, 4, 8];
const ROWS: [u32; 3] = [1, 2, 4];
const TAPS: [u32; 6] = [1, 2, 3, 4, 5, 7];
/// Most taps by channels of a thread.
const MOST_ROWS: u32 = 9;
/// Most sums of a thread in fours, and one by one: with more, they leave the registers.
const MOST_QUADS: u32 = 16;
const MOST_SUMS: u32 = 64;
/// `Strategy::group_threads`.
const GROUP_THREADS: [u32; 2] = [8, 64];

/// Units of filters side by side in the kernels that split a sum, forward by the units' width (`WIDTHS`) and of the
/// input gradient; channels side by side, in ones or fours; samples and threads.
const SPLIT_LANES: [&[u32]; 2] = [&[1, 2, 4, 8], &[1, 2, 4, 8, 16, MOST_LANES]];
const MOST_LANES: u32 = 32;
const SPLIT_INPUT_LANES: [u32; 3] = [2, 4, 8];
const SPLIT_CHANNELS: [u32; 2] = [1, 4];
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

/// Samples of a thread where a sum is split: all of them if it can, since each reads the same weights.
fn split_images(count: u32) -> u32 {
    SPLIT_IMAGES.into_iter().find(|&images| images >= count).unwrap_or(SPLIT_IMAGES[2])
}

/// Whether filters, and channels too where `channels` says so, lie in aligned fours everywhere in this dispatch.
pub(super) fn in_quads(p: &Params, channels: bool) -> bool {
    let fours = |sizes: &[u32]| sizes.iter().all(|size| size.is_multiple_of(4));
    let filters = p.y_filter == 1 && fours(&[p.filters, p.first_filter, p.group_filters, p.y_base]);
    filters && (!channels || p.x_channel == 1 && fours(&[p.group_channels, p.x_base]))
}

/// `WIDTH` and `INPUT_WIDTH` of a dispatch.
fn widths(p: &Params) -> [u32; 2] {
    [width(in_quads(p, false)), width(in_quads(p, true))]
}

fn groups(threads: u64, of_a_group: impl Into<u64>) -> u64 {
    threads.div_ceil(of_a_group.into())
}

impl Planner<'_> {
    /// The forward kernel and its workgroups.
    pub(super) fn forward_kernel(&self, p: &Params, fused: Activation) -> (Variant, u64) {
        let chosen = self.preferred_forward(p, fused);
        self.within_turns(chosen, p, || self.widest_forward_split(p))
    }

    /// What is preferred, unless a driver would end its loops before their sums are done: then what divides the sums
    /// among most threads.
    fn within_turns(
        &self,
        preferred: (Variant, u64),
        p: &Params,
        split: impl FnOnce() -> Option<(Variant, u64)>,
    ) -> (Variant, u64) {
        if self.turns_fit(preferred.0, p) { preferred } else { split().unwrap_or(preferred) }
    }

    fn preferred_forward(&self, p: &Params, fused: Activation) -> (Variant, u64) {
        let activation = fused_code(fused);
        let (cells, batch) = (u64::from(p.cells), p.batch);
        let tiled = || {
            let products = Products { count: cells, rows: batch, columns: p.filters, depth: p.window.into() };
            let shape = self.tiled(batch, &products)?;
            let variant = Kernel::LoopForwardTiled.variant(&shape.constants(widths(p)));
            Some((variant, cells * shape.tiles(batch, p.filters)))
        };
        if let Some(shared) = self.shared(batch, || self.forward_split(p), tiled) {
            return shared;
        }
        let [width, input_width] = widths(p);
        let threads = self.threads(width);
        let units = p.filters / width;
        let most = if width == 4 && units == 1 { MOST_QUADS } else { MOST_QUADS / 2 };
        let groups = |size: u32| groups(cells * u64::from(units.div_ceil(size)), threads);
        let least = if width == 4 { 1 } else { tile(&FILTERS, 8, units) };
        let images = self.images(most, batch, groups(least));
        let tiles = u64::from(batch.div_ceil(images));
        // As many units as registers hold, so that a thread's weights lie side by side, unless that leaves processors
        // without work.
        let busy = |size: u32| size <= 2 || groups(size) * tiles >= self.strategy().busy_groups.into();
        let fitting = FILTERS.into_iter().filter(|&size| size * images <= MOST_QUADS && size < 2 * units);
        let size = if width == 4 { fitting.filter(|&size| busy(size)).max().unwrap_or(1) } else { least };
        let variant = Kernel::LoopForward.variant(&[images, size, activation, threads, width, input_width]);
        (variant, groups(size) * tiles)
    }

    /// The kernel whose threads share their work, if one is possible: for few samples rather by splitting sums, for more
    /// rather by tiles, which few filters or channels don't fill.
    fn shared<T>(&self, batch: u32, split: impl FnOnce() -> Option<T>, tiled: impl FnOnce() -> Option<T>) -> Option<T> {
        match self.strategy().split_batch {
            0 => tiled(),
            most if batch <= most => split().or_else(tiled),
            _ => tiled().or_else(split),
        }
    }

    /// The forward kernel that splits a sum, and its workgroups, where sums are long enough.
    fn forward_split(&self, p: &Params) -> Option<(Variant, u64)> {
        let fours = p.filters.is_multiple_of(4);
        let (width, sizes) = (width(fours), SPLIT_LANES[usize::from(fours)]);
        let units = p.filters / width;
        let images = split_images(p.batch);
        let products = u64::from(p.cells) * u64::from(p.batch.div_ceil(images));
        let lanes = self.split_lanes(sizes, units, products);
        let groups = products * u64::from(units.div_ceil(lanes));
        // Where there are workgroups enough for so many lanes, they are all of a workgroup: no sums to add.
        let threads = if lanes == MOST_LANES { lanes } else { self.split_threads(groups, p.window.into(), lanes)? };
        let inputs = self::width(in_quads(p, true));
        Some((Kernel::LoopForwardSplit.variant(&[images, lanes, threads, width, inputs]), groups))
    }

    /// The forward kernel whose threads each have the least part of a sum.
    fn widest_forward_split(&self, p: &Params) -> Option<(Variant, u64)> {
        let width = width(p.filters.is_multiple_of(4));
        let (images, inputs) = (split_images(p.batch), self::width(in_quads(p, true)));
        let threads = SPLIT_THREADS.into_iter().filter(|&threads| threads <= self.profile.max_workgroup_size).max()?;
        let variant = Kernel::LoopForwardSplit.variant(&[images, 1, threads, width, inputs]);
        let groups = u64::from(p.cells) * u64::from(p.batch.div_ceil(images)) * u64::from(p.filters / width);
        Some((variant, groups))
    }

    /// The input gradient's kernel that splits a sum, and its workgroups, where sums are long enough.
    fn grad_input_split(&self, p: &Params) -> Option<(Variant, u64)> {
        let quads = p.filters / 4;
        if !in_quads(p, false) || quads < SPLIT_INPUT_LANES[0] {
            return None;
        }
        let products = u64::from(p.positions) * u64::from(p.groups);
        let lanes = self.split_lanes(&SPLIT_INPUT_LANES, quads, products);
        let rows = width(p.group_channels.is_multiple_of(4));
        let side = tile(&SPLIT_CHANNELS, 4, p.group_channels / rows);
        let images = split_images(p.batch);
        let groups = products * u64::from(p.batch.div_ceil(images)) * u64::from(p.group_channels.div_ceil(side * rows));
        let terms = self.most_readers() * u64::from(quads.div_ceil(lanes));
        let threads = self.split_threads(groups, terms, lanes * side)?;
        Some((Kernel::LoopGradInputSplit.variant(&[images, lanes, side, threads, rows]), groups))
    }

    /// The input gradient's kernel and its workgroups.
    pub(super) fn grad_input_kernel(&self, p: &Params) -> (Variant, u64) {
        let options = PlanOptions { form: Some(Form::Split), ..self.options };
        self.within_turns(self.preferred_grad_input(p), p, || self.with_options(options).grad_input_split(p))
    }

    fn preferred_grad_input(&self, p: &Params) -> (Variant, u64) {
        let (channels, batch) = (p.group_channels, p.batch);
        let products = u64::from(p.positions) * u64::from(p.groups);
        let tiled = || {
            let depth = self.most_readers() * u64::from(p.filters);
            let shape = self.tiled(batch, &Products { count: products, rows: batch, columns: channels, depth })?;
            let variant = Kernel::LoopGradInputTiled.variant(&shape.constants(widths(p)));
            Some((variant, products * shape.tiles(batch, channels)))
        };
        if let Some(shared) = self.shared(batch, || self.grad_input_split(p), tiled) {
            return shared;
        }
        let side = divisor(&CHANNELS, 8, channels);
        let columns = products * u64::from(channels / side);
        let [width, _] = widths(p);
        let threads = self.threads(width);
        let columns = groups(columns, threads);
        let images = self.images(MOST_SUMS / side.max(4), batch, columns);
        let variant = Kernel::LoopGradInput.variant(&[images, side, threads, width]);
        (variant, columns * u64::from(batch.div_ceil(images)))
    }

    /// The kernel gradient's kernel and its workgroups.
    pub(super) fn grad_kernel_kernel(&self, p: &Params) -> (Variant, u64) {
        let cells = u64::from(p.cells);
        let products = Products { count: cells, rows: p.window, columns: p.filters, depth: p.batch.into() };
        if let Some(shape) = self.tiled(p.batch, &products) {
            let variant = Kernel::LoopGradKernelTiled.variant(&shape.constants(widths(p)));
            return (variant, cells * shape.tiles(p.window, p.filters));
        }
        let [width, input_width] = widths(p);
        let (units, inputs) = (p.filters / width, p.group_channels / input_width);
        // For few samples writing is all there is to it: whole cache lines side by side.
        let few = p.batch <= self.strategy().split_batch;
        let quads = tile(&FILTERS, if few { (p.filters / 32).clamp(1, 4) } else { 4 }, units);
        let (taps, channels, filters) = match [width, input_width] {
            [4, 4] => (1, divisor(&ROWS, MOST_QUADS / 4 / quads, inputs), quads),
            [4, _] => {
                let channels = divisor(&CHANNELS, MOST_QUADS / quads, inputs);
                (divisor(&TAPS, MOST_ROWS.min(MOST_QUADS / quads) / channels, p.kernel_2), channels, quads)
            }
            _ => {
                let channels = divisor(&CHANNELS, 8, inputs);
                let taps = divisor(&TAPS, MOST_ROWS / channels, p.kernel_2);
                (taps, channels, tile(&FILTERS, MOST_SUMS / (taps * channels), units))
            }
        };
        let rows = u64::from(p.taps / taps) * u64::from(inputs / channels);
        let all = cells * rows * u64::from(units.div_ceil(filters));
        (Kernel::LoopGradKernel.variant(&[taps, channels, filters, width, input_width]), groups(all, THREADS))
    }

    /// Threads of a workgroup of the register kernels: weights that don't come in fours are few.
    fn threads(&self, width: u32) -> u32 {
        if width == 4 { self.strategy().group_threads } else { THREADS as u32 }
    }

    /// Samples of a thread's register tile: as many as registers hold, so that a weight that is loaded is used as
    /// often, unless `groups` workgroups for each tile of samples leave processors without work.
    pub(super) fn images(&self, most: u32, batch: u32, groups: u64) -> u32 {
        let most = tile(&IMAGES, most, batch);
        let busy = |images: &u32| groups * u64::from(batch.div_ceil(*images)) >= self.strategy().busy_groups.into();
        IMAGES.into_iter().filter(|&images| images <= most).rfind(busy).unwrap_or(1)
    }

    /// Threads of each of `groups` workgroups that divides a sum of `terms` among those of its threads that do not
    /// stand side by side. More than a few threads are for devices that would otherwise have nothing to do: each has
    /// its sum added to the others' in the end.
    fn split_threads(&self, groups: u64, terms: u64, side_by_side: u32) -> Option<u32> {
        let Strategy { split_terms, busy_groups, .. } = self.strategy();
        let most = self.profile.max_workgroup_size;
        let enough = |threads: &u32| *threads <= most && terms >= u64::from(split_terms * threads / side_by_side);
        let mut fitting = SPLIT_THREADS.into_iter().filter(enough);
        if groups < 4 * u64::from(busy_groups) { fitting.max() } else { fitting.next() }
    }

    /// The tiles for so many samples and products of this size, unless most of their work would be in vain.
    fn tiled(&self, samples: u32, products: &Products) -> Option<TileShape> {
        if samples < self.strategy().tile_batch {
            return None;
        }
        let shape = self.best_shape(products);
        let &Products { rows, columns, .. } = products;
        let computed = shape.tiles(rows, columns) * u64::from(shape.rows()) * u64::from(shape.columns());
        let wanted = u64::from(rows) * u64::from(columns);
        (100 * wanted >= u64::from(self.strategy().tile_use) * computed).then_some(shape)
    }

    /// Units that stand side by side where a sum is split: few where workgroups would be too few, but enough for whole
    /// cache lines.
    fn split_lanes(&self, sizes: &[u32], units: u32, products: u64) -> u32 {
        let wanted = |lanes: u32| {
            8 * products * u64::from(units.div_ceil(lanes)) >= u64::from(self.strategy().busy_groups) * u64::from(lanes)
        };
        let fitting = sizes.iter().copied().filter(|&lanes| lanes <= units);
        fitting.clone().filter(|&lanes| lanes <= 4 || wanted(lanes)).max().unwrap_or(1)
    }
}

/// Every variant of these kernels that a plan can ask for.
pub(super) fn variants() -> Vec<Variant> {
    let mut variants = Vec::new();
    let threads_fit = |threads: u32, width: u32| width == 4 || u64::from(threads) == THREADS;
    for ([width, input_width], images) in WIDTH_PAIRS.into_iter().flat_map(|pair| IMAGES.map(|images| (pair, images))) {
        let fits = |filters: u32| match width {
            1 => images <= 8,
            _ => filters * images <= MOST_QUADS && (images <= 8 || filters == 1),
        };
        for (filters, fused) in FILTERS.into_iter().flat_map(|filters| FUSED.map(|fused| (filters, fused))) {
            let variant = |t| Kernel::LoopForward.variant(&[images, filters, fused, t, width, input_width]);
            variants.extend(GROUP_THREADS.into_iter().filter(|&t| fits(filters) && threads_fit(t, width)).map(variant));
        }
    }
    for (width, images) in WIDTHS.into_iter().flat_map(|width| IMAGES.map(|images| (width, images))) {
        for channels in CHANNELS.into_iter().filter(|channels| images <= 8 || *channels <= 4) {
            let threads = GROUP_THREADS.into_iter().filter(|&t| threads_fit(t, width));
            variants.extend(threads.map(|t| Kernel::LoopGradInput.variant(&[images, channels, t, width])));
        }
    }
    for (channels, filters) in CHANNELS.into_iter().flat_map(|channels| FILTERS.map(|filters| (channels, filters))) {
        for taps in TAPS {
            let rows = taps * channels;
            let fits = |width, input_width| match [width, input_width] {
                [4, 4] => taps == 1 && ROWS.contains(&channels) && channels * filters <= MOST_QUADS / 4,
                // Of channels that don't come in fours.
                [4, _] => channels <= 3 && filters <= 4 && rows <= MOST_ROWS && rows * filters <= MOST_QUADS,
                _ => rows <= MOST_ROWS && rows * filters <= MOST_SUMS,
            };
            let fitting = WIDTH_PAIRS.into_iter().filter(|&[width, input_width]| fits(width, input_width));
            variants.extend(fitting.map(|[w, i]| Kernel::LoopGradKernel.variant(&[taps, channels, filters, w, i])));
        }
    }
    for (images, threads) in SPLIT_IMAGES.into_iter().flat_map(|images| SPLIT_THREADS.map(|threads| (images, threads)))
    {
        for (sizes, width) in SPLIT_LANES.into_iter().zip(WIDTHS) {
            // Inputs come in fours only where filters do.
            let inputs = WIDTHS.into_iter().filter(|&inputs| inputs <= width);
            let sizes = sizes.iter().filter(|&&lanes| lanes < MOST_LANES || threads == SPLIT_THREADS[0]);
            variants.extend(sizes.flat_map(|&lanes| {
                let threads = if lanes == MOST_LANES { lanes } else { threads };
                inputs.clone().map(move |i| Kernel::LoopForwardSplit.variant(&[images, lanes, threads, width, i]))
            }));
        }
        for lanes in SPLIT_INPUT_LANES {
            for rows in WIDTHS {
                let variant = |side| Kernel::LoopGradInputSplit.variant(&[images, lanes, side, threads, rows]);
                variants.extend(SPLIT_CHANNELS.map(variant));
            }
        }
    }
    let tiled = [Kernel::LoopForwardTiled, Kernel::LoopGradInputTiled, Kernel::LoopGradKernelTiled];
    variants.extend(tiled.into_iter().flat_map(tile_variants));
    variants
}
