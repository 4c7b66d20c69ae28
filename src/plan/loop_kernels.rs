//! Chooses the kernel of the loop variant for a dispatch, with its register tile and number of workgroups, by the sizes
//! in `Params` and the device's `Strategy`. What is chosen is always in the kernel's space.

use super::local::Local;
use super::tiles::Products;
use super::{Form, PlanOptions, Strategy};
use crate::config::Activation;
use crate::kernels::{
    CHANNELS, DEPTH, Declared, FILTERS, IMAGES, LoopForward, LoopForwardSplit, LoopForwardTiled, LoopGradInput,
    LoopGradInputSplit, LoopGradInputStrips, LoopGradInputTiled, LoopGradWeights, LoopGradWeightsTiled, MOST_FOURS,
    MOST_SUMS, Params, SPLIT_IMAGES, SPLIT_THREADS, THREADS, Tile, TileShape, Variant, Workgroup, fused_code, width,
};
use crate::{Error, Result};

/// The least share of a strip's products that must count, in per cent, where the sums are too short to be split. With lcnn-180k's 16 filters strips
/// are 1.7 times as fast as tiles in registers with 10 %, and less than half as fast with 2.5 % (docs/performance.md).
const SHORT_STRIP_USE: u32 = 8;

/// A variant and how many workgroups it takes.
pub(super) type Chosen = (Variant, u64);

/// The largest of `sizes` up to `most` that is at most twice `count`, so that little work is wasted.
pub(super) fn largest(sizes: &[u32], most: u32, count: u32) -> u32 {
    sizes.iter().copied().filter(|&size| size <= most && size < 2 * count).max().unwrap_or(1)
}

/// The largest of `sizes` up to `most` that divides `count`.
fn divisor(sizes: &[u32], most: u32, count: u32) -> u32 {
    sizes.iter().copied().filter(|&size| size <= most && count.is_multiple_of(size)).max().unwrap_or(1)
}

/// Samples of a thread where a sum is split: if possible all, since each sample uses the same weights.
fn split_images(count: u32) -> u32 {
    SPLIT_IMAGES.into_iter().find(|&images| images >= count).unwrap_or(SPLIT_IMAGES[2])
}

/// Whether filters, with `channels` also channels, lie in aligned fours everywhere in this dispatch.
pub(super) fn in_fours(p: &Params, channels: bool) -> bool {
    let fours = |sizes: &[u32]| sizes.iter().all(|size| size.is_multiple_of(4));
    let filters = p.y_filter == 1 && fours(&[p.filters, p.first_filter, p.group_filters, p.y_base]);
    filters && (!channels || p.x_channel == 1 && fours(&[p.group_channels, p.x_base]))
}

/// The vector widths along filters and along channels in this dispatch.
pub(super) fn widths(p: &Params) -> [u32; 2] {
    [width(in_fours(p, false)), width(in_fours(p, true))]
}

/// A tile of these widths.
pub(super) fn tile(shape: TileShape, [width, input_width]: [u32; 2]) -> Tile {
    Tile { shape, width, input_width }
}

fn workgroups(threads: u64, each: u32) -> u64 {
    threads.div_ceil(each.into())
}

impl Local<'_> {
    /// The forward kernel and its workgroups.
    pub(super) fn forward_kernel(&self, p: &Params, fused: Activation) -> Result<Chosen> {
        let chosen = self.preferred_forward(p, fused)?;
        Ok(self.within_turns(chosen, p, || self.widest_forward_split(p)))
    }

    /// The preferred kernel, unless a driver would end its loops before the sums are done: then the kernel that divides
    /// a sum among the most threads.
    fn within_turns(&self, preferred: Chosen, p: &Params, split: impl FnOnce() -> Option<Chosen>) -> Chosen {
        if self.planner.turns_fit(&preferred.0, p) { preferred } else { split().unwrap_or(preferred) }
    }

    fn preferred_forward(&self, p: &Params, fused: Activation) -> Result<Chosen> {
        let dtype = self.layer.config().dtype;
        #[cfg(feature = "models")]
        if let Some(chosen) = self.forward_of_locations(p) {
            return Ok(chosen);
        }
        let (cells, batch) = (u64::from(p.cells), p.batch);
        let tiled = || {
            // Of sums of one step nothing is loaded while another is multiplied. lcnn-180k, of ten terms, is 1.4 to 1.5 times as fast in
            // registers on an H100.
            if p.window <= DEPTH && self.planner.strategy().tile_use > 0 {
                return None;
            }
            let products = Products::whole(cells, [batch, p.filters], p.window.into());
            let shape = self.tiled(batch, &products)?;
            let tile = tile(shape, widths(p));
            let kernel = LoopForwardTiled { tile, weights: dtype }.listed().ok()?;
            Some((kernel, cells * shape.tiles(batch, p.filters)))
        };
        if let Some(shared) = self.shared(batch, || self.forward_split(p), tiled) {
            return Ok(shared);
        }
        let [width, input_width] = widths(p);
        let (activation, threads) = (fused_code(fused), self.workgroup(width).threads);
        let units = p.filters / width;
        let most = if width == 4 && units == 1 { MOST_FOURS } else { MOST_FOURS / 2 };
        let workgroups = |size: u32| workgroups(cells * u64::from(units.div_ceil(size)), threads);
        let least = if width == 4 { 1 } else { largest(&FILTERS, 8, units) };
        let images = self.images(most, batch, workgroups(least));
        let tiles = u64::from(batch.div_ceil(images));
        // As many units as registers hold, so that a thread's weights lie side by side, unless processors would then be
        // idle.
        let busy = |size: u32| size <= 2 || workgroups(size) * tiles >= self.planner.strategy().busy_groups.into();
        let few = |size: u32| if width == 4 { size == 1 || size < 2 * units && busy(size) } else { size == least };
        let of = |filters| LoopForward { images, filters, activation, threads, width, input_width, weights: dtype };
        let fitting = FILTERS.into_iter().rev().find(|&size| few(size) && of(size).is_listed());
        let filters = fitting.ok_or(Error::NoKernel { kernel: LoopForward::NAME })?;
        Ok((of(filters).listed()?, workgroups(filters) * tiles))
    }

    /// The forward kernel whose tiles have rows of all locations, where these share the weights: a location alone has too
    /// few rows. It isn't possible where padding clips windows, because then the place of a tap isn't the sum of what the
    /// row decides and what the tap decides.
    #[cfg(feature = "models")]
    fn forward_of_locations(&self, p: &Params) -> Option<Chosen> {
        let (layer, count) = (&self.layer, u64::from(p.cell_groups));
        if !layer.shares_weights() || layer.locations() == 1 || p.b_location != 0 || !layer.windows_within() {
            return None;
        }
        let rows = p.batch.checked_mul(layer.locations())?;
        let shape = self.tiled(rows, &Products::whole(count, [rows, p.filters], p.window.into()))?;
        let kernel = crate::kernels::LoopForwardShared { tile: tile(shape, widths(p)), weights: layer.config().dtype };
        Some((kernel.listed().ok()?, count * shape.tiles(rows, p.filters)))
    }

    /// A kernel whose threads share their work, if one is possible: for few samples by splitting sums, for more samples
    /// by tiles, unless few filters or channels would leave the tiles half empty.
    fn shared<T>(&self, batch: u32, split: impl FnOnce() -> Option<T>, tiled: impl FnOnce() -> Option<T>) -> Option<T> {
        match self.planner.strategy().split_batch {
            0 => tiled(),
            most if batch <= most => split().or_else(tiled),
            _ => tiled().or_else(split),
        }
    }

    /// The forward kernel that splits each sum, with its workgroups, where the sums are long enough.
    fn forward_split(&self, p: &Params) -> Option<Chosen> {
        let fours = p.filters.is_multiple_of(4);
        let units = p.filters / width(fours);
        let images = split_images(p.batch);
        let products = u64::from(p.cells) * u64::from(p.batch.div_ceil(images));
        let sizes = LoopForwardSplit::LANES.into_iter().filter(|&lanes| fours || lanes <= 8);
        let lanes = self.split_lanes(sizes, units, products);
        let workgroups = products * u64::from(units.div_ceil(lanes));
        // If there are enough workgroups with this many lanes, each thread has whole sums and none are added in the
        // end.
        let alone = lanes == LoopForwardSplit::MOST_LANES;
        let threads = if alone { lanes } else { self.split_threads(workgroups, p.window.into(), lanes)? };
        self.split_of(p, lanes, threads)
    }

    /// The forward kernel that splits each sum among the most threads.
    fn widest_forward_split(&self, p: &Params) -> Option<Chosen> {
        let threads =
            SPLIT_THREADS.into_iter().filter(|&threads| threads <= self.planner.profile.max_threads()).max()?;
        self.split_of(p, 1, threads)
    }

    fn split_of(&self, p: &Params, lanes: u32, threads: u32) -> Option<Chosen> {
        let (images, weights) = (split_images(p.batch), self.layer.config().dtype);
        let (width, input_width) = (width(p.filters.is_multiple_of(4)), width(in_fours(p, true)));
        let kernel = LoopForwardSplit { images, lanes, threads, width, input_width, weights }.listed();
        let units = p.filters / width;
        let workgroups = u64::from(p.cells) * u64::from(p.batch.div_ceil(images)) * u64::from(units.div_ceil(lanes));
        self.fitting(kernel.ok()?, workgroups)
    }

    /// A variant and its workgroups, if the device's limits allow it.
    fn fitting(&self, variant: Variant, workgroups: u64) -> Option<Chosen> {
        self.planner.profile.check_variant(&variant).is_ok().then_some((variant, workgroups))
    }

    /// The kernel of the input gradient that splits each sum, with its workgroups, where the sums are long enough.
    fn grad_input_split(&self, p: &Params) -> Option<Chosen> {
        let fours = p.filters / 4;
        if !in_fours(p, false) || fours < LoopGradInputSplit::LANES[0] {
            return None;
        }
        let products = u64::from(p.positions) * u64::from(p.groups);
        let lanes = self.split_lanes(LoopGradInputSplit::LANES, fours, products);
        let rows = width(p.group_channels.is_multiple_of(4));
        let side = largest(&LoopGradInputSplit::CHANNELS, 4, p.group_channels / rows);
        let images = split_images(p.batch);
        let workgroups =
            products * u64::from(p.batch.div_ceil(images)) * u64::from(p.group_channels.div_ceil(side * rows));
        let terms = self.layer.most_readers() * u64::from(fours.div_ceil(lanes));
        let threads = self.split_threads(workgroups, terms, lanes * side)?;
        let weights = self.layer.config().dtype;
        let kernel = LoopGradInputSplit { images, lanes, channels: side, threads, rows, weights }.listed();
        self.fitting(kernel.ok()?, workgroups)
    }

    /// The input gradient's kernel and its workgroups.
    pub(super) fn grad_input_kernel(&self, p: &Params) -> Result<Chosen> {
        let options = PlanOptions { form: Some(Form::Split), ..self.planner.options };
        let preferred = self.preferred_grad_input(p)?;
        Ok(self.within_turns(preferred, p, || self.with_options(options).grad_input_split(p)))
    }

    fn preferred_grad_input(&self, p: &Params) -> Result<Chosen> {
        let (channels, batch) = (p.group_channels, p.batch);
        if let Some(shared) = self.shared(batch, || self.grad_input_split(p), || self.grad_input_tiled(p)) {
            return Ok(shared);
        }
        // Sums that are too short to be split. A register kernel's neighbouring threads would read outputs that are far apart.
        let strategy = self.planner.strategy();
        let short = strategy.tile_batch < u32::MAX && in_fours(p, false);
        if short && let Some(strips) = self.grad_input_strips(p, SHORT_STRIP_USE) {
            return Ok(strips);
        }
        let dtype = self.layer.config().dtype;
        let products = u64::from(p.positions) * u64::from(p.groups);
        let side = divisor(&CHANNELS, 8, channels);
        let [width, _] = widths(p);
        let workgroup = self.workgroup(width);
        let columns = workgroups(products * u64::from(channels / side), workgroup.threads);
        let images = self.images(MOST_SUMS / side.max(4), batch, columns);
        let kernel = LoopGradInput { images, channels: side, workgroup, width, weights: dtype }.listed()?;
        Ok((kernel, columns * u64::from(batch.div_ceil(images))))
    }

    /// The input gradient's kernel by tiles: of each position alone or, where these would mostly be empty, of strips of neighbours.
    fn grad_input_tiled(&self, p: &Params) -> Option<Chosen> {
        let depth = self.layer.most_readers() * u64::from(p.filters);
        let count = u64::from(p.positions) * u64::from(p.groups);
        let products = Products::whole(count, [p.batch, p.group_channels], depth);
        if let Some(shape) = self.tiled(p.batch, &products) {
            let kernel = LoopGradInputTiled { tile: tile(shape, widths(p)), weights: self.layer.config().dtype };
            return Some((kernel.listed().ok()?, products.tiles(shape)));
        }
        let strategy = self.planner.strategy();
        if p.batch < strategy.tile_batch { None } else { self.grad_input_strips(p, strategy.strip_use) }
    }

    /// The positions of each line along the inner axis as one product, of which a tile takes some, if at least `least_use` per cent of the
    /// tiles' multiplications count.
    fn grad_input_strips(&self, p: &Params, least_use: u32) -> Option<Chosen> {
        let [first, second, inner] = self.layer.axes()?;
        let columns = p.input[2].checked_mul(p.group_channels)?;
        // Places in the band are told from those before its beginning, which wrap around, by their highest bit.
        let places = columns.checked_mul(p.filters).filter(|&places| places < 1 << 31);
        // Without common readers there is nothing to gain.
        if !inner.reads_neighbours() || inner.most_readers() == 1 || places.is_none() {
            return None;
        }
        let outer = (first.most_readers() * second.most_readers()).saturating_mul(p.filters.into());
        let of = |shape| Products {
            count: u64::from(p.input[0]) * u64::from(p.input[1]) * u64::from(p.groups),
            rows: p.batch,
            columns,
            depth: outer.saturating_mul(LoopGradInputStrips::windows(p, shape).into()),
            counting: outer.saturating_mul(inner.most_readers()),
        };
        let shape = self.used(least_use, &of)?;
        let kernel = LoopGradInputStrips { tile: tile(shape, widths(p)), weights: self.layer.config().dtype };
        self.fitting(kernel.listed().ok()?, of(shape).tiles(shape))
    }

    /// The kernel of the weights' gradient, and its workgroups.
    pub(super) fn grad_weights_kernel(&self, p: &Params) -> Result<Chosen> {
        let cells = u64::from(p.cells);
        let products = Products::whole(cells, [p.window, p.filters], p.batch.into());
        if let Some(shape) = self.tiled(p.batch, &products) {
            let tile = tile(shape, widths(p));
            let kernel = LoopGradWeightsTiled { tile }.listed()?;
            return Ok((kernel, cells * shape.tiles(p.window, p.filters)));
        }
        let [width, input_width] = widths(p);
        let (units, inputs) = (p.filters / width, p.group_channels / input_width);
        // With few samples nearly all time goes into writing the gradient: whole cache lines side by side.
        let few = p.batch <= self.planner.strategy().split_batch;
        let fours = largest(&FILTERS, if few { (p.filters / 32).clamp(1, 4) } else { 4 }, units);
        // The most channels, then taps, then filters that divide the sizes and stay in registers.
        let channels = CHANNELS.into_iter().rev().filter(|&channels| inputs.is_multiple_of(channels));
        let taps = LoopGradWeights::TAPS.into_iter().rev().filter(|&taps| p.taps_2.is_multiple_of(taps));
        let filters =
            FILTERS.into_iter().rev().filter(|&size| size < 2 * units.max(1) && (width == 1 || size == fours));
        let mut kernels = channels.flat_map(|channels| {
            let filters = filters.clone();
            let of = move |taps, filters| LoopGradWeights { taps, channels, filters, width, input_width };
            taps.clone().flat_map(move |taps| filters.clone().map(move |filters| of(taps, filters)))
        });
        let kernel = kernels.find(Declared::is_listed).ok_or(Error::NoKernel { kernel: LoopGradWeights::NAME })?;
        let rows = u64::from(p.taps / kernel.taps) * u64::from(inputs / kernel.channels);
        let all = cells * rows * u64::from(units.div_ceil(kernel.filters));
        Ok((kernel.listed()?, workgroups(all, THREADS)))
    }

    /// Sizes of the register kernels' workgroups: weights that don't come in fours are few.
    fn workgroup(&self, width: u32) -> Workgroup {
        let wanted = if width == 4 { self.planner.strategy().group_threads } else { THREADS };
        if wanted < Workgroup::GPU.threads { Workgroup::CPU } else { Workgroup::GPU }
    }

    /// Samples of a thread's register tile: as many as registers hold, so that a loaded weight is used as often as
    /// possible. Fewer where `workgroups` workgroups for each tile of samples would leave processors idle.
    pub(super) fn images(&self, most: u32, batch: u32, workgroups: u64) -> u32 {
        let most = largest(&IMAGES, most, batch);
        let busy = |images: &u32| {
            workgroups * u64::from(batch.div_ceil(*images)) >= self.planner.strategy().busy_groups.into()
        };
        IMAGES.into_iter().filter(|&images| images <= most).rfind(busy).unwrap_or(1)
    }

    /// How many threads share a sum of `terms` terms, in each of `workgroups` workgroups of which `side_by_side`
    /// threads have different sums. Each thread's part must be added in the end, so that more than a few threads pay
    /// only on a device that would otherwise be idle.
    fn split_threads(&self, workgroups: u64, terms: u64, side_by_side: u32) -> Option<u32> {
        let Strategy { split_terms, busy_groups, .. } = self.planner.strategy();
        let most = self.planner.profile.max_threads();
        let enough = |threads: &u32| *threads <= most && terms >= u64::from(split_terms * threads / side_by_side);
        let mut fitting = SPLIT_THREADS.into_iter().filter(enough);
        if workgroups < 4 * u64::from(busy_groups) { fitting.max() } else { fitting.next() }
    }

    /// The tiles for these products, unless there are few samples or the tiles would mostly be empty.
    fn tiled(&self, samples: u32, products: &Products) -> Option<TileShape> {
        let strategy = self.planner.strategy();
        if samples < strategy.tile_batch { None } else { self.used(strategy.tile_use, &|_| *products) }
    }

    /// The best tile for products that may depend on it, if at least `least_use` per cent of the multiplications count.
    fn used(&self, least_use: u32, products: &dyn Fn(TileShape) -> Products) -> Option<TileShape> {
        let shape = self.planner.best_shape(products).ok()?;
        products(shape).use_at_least(shape, least_use).then_some(shape)
    }

    /// How many units stand side by side where a sum is split. Few give more workgroups, but there must be enough for
    /// whole cache lines.
    fn split_lanes(&self, sizes: impl IntoIterator<Item = u32>, units: u32, products: u64) -> u32 {
        let wanted = |lanes: u32| {
            8 * products * u64::from(units.div_ceil(lanes))
                >= u64::from(self.planner.strategy().busy_groups) * u64::from(lanes)
        };
        let fitting = sizes.into_iter().filter(|&lanes| lanes <= units);
        fitting.filter(|&lanes| lanes <= 4 || wanted(lanes)).max().unwrap_or(1)
    }
}
