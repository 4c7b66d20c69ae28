//! The numbers of a dispatch, and which of them a kernel's uniform holds.

use super::tap_tables::TablePlaces;
use crate::config::{Activation, Bias, DataFormat};
use crate::geometry::{AxisTaps, Geometry};

/// A type whose values uniforms hold in words: one, or one for each of some axes.
trait Words {
    const WGSL: &'static str;
    const AXES: Option<usize> = None;
}

impl Words for u32 {
    const WGSL: &'static str = "u32";
}

impl Words for f32 {
    const WGSL: &'static str = "f32";
}

impl<const N: usize> Words for [u32; N] {
    const WGSL: &'static str = u32::WGSL;
    const AXES: Option<usize> = Some(N);
}

/// A field of [`Params`]. In WGSL one with axes is a field for each of them: `name_0`, `name_1` and so on.
struct Field {
    name: &'static str,
    wgsl: &'static str,
    axes: Option<usize>,
}

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// All numbers that dispatches have. A kernel's uniform holds those of them that its WGSL reads ([`Uniform`]).
        ///
        /// Counts are those of the range that the dispatch works on. `*_base` is the number of elements between a
        /// binding's start and the range's first element. A cell is one location of one group, number `p * groups + g`;
        /// the weights are `[weight_cells][window][filters]`. Fields that a kernel doesn't read are zero.
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::NoUninit, bytemuck::Zeroable)]
        #[repr(C)]
        pub struct Params {
            $($(#[$doc])* pub(crate) $name: $type,)*
        }

        /// The fields, in their order.
        const FIELDS: &[Field] =
            &[$(Field { name: stringify!($name), wgsl: <$type as Words>::WGSL, axes: <$type as Words>::AXES }),*];
    };
}

params! {
    /// Workgroups of the whole dispatch, before it was folded over x and y and before it was cut.
    workgroups: u32,
    workgroups_x: u32,
    /// First workgroup of this dispatch, where a long one was cut into several.
    first_workgroup: u32,
    /// Samples.
    batch: u32,
    /// 1: results are added to what the output buffer holds.
    accumulate: u32,
    /// The first cell, as a number among the layer's cells.
    first_cell: u32,
    /// Number of cells.
    cells: u32,
    /// The first filter, as a number among those of a group.
    first_filter: u32,
    /// Filters of each cell.
    filters: u32,
    /// The layer's groups.
    groups: u32,
    /// Cells are numbered `p * cell_groups + g - first_group`. Where locations share their weights, the dispatch may be
    /// on some of the groups only.
    cell_groups: u32,
    first_group: u32,
    /// A cell's weights are number `p * w_location + g - w_first` of the `weight_cells` in the dispatch's chunk. With a
    /// `w_location` of 0 all locations of a group share them.
    w_location: u32,
    w_first: u32,
    weight_cells: u32,
    /// Number of parts that a sum is taken in. Each part is a result of its own until they are added.
    parts: u32,
    /// Where a sum over locations is taken in parts: locations of a part, and the first and the end of the dispatch's.
    part_locations: u32,
    first_location: u32,
    end_location: u32,
    /// Filters of a whole group.
    group_filters: u32,
    /// Channels of a group.
    group_channels: u32,
    /// Taps of a window.
    taps: u32,
    /// K: taps times channels of a group.
    window: u32,
    /// Output sizes along each axis; of a pool, whose samples lie as `[outer][positions][inner]`, windows.
    output: [u32; 3],
    /// Taps along each axis.
    taps_0: u32,
    taps_1: u32,
    taps_2: u32,
    /// Input sizes along each axis.
    input: [u32; 3],
    /// Input positions.
    positions: u32,
    /// Input element `(n, position, c)` is `x[x_base + n * x_sample + position * x_position + c * x_channel]`.
    x_base: u32,
    x_sample: u32,
    x_position: u32,
    x_channel: u32,
    /// Output element `(n, p, f)` is `y[y_base + n * y_sample + p * y_location + f * y_filter]`.
    y_base: u32,
    y_sample: u32,
    y_location: u32,
    y_filter: u32,
    /// The number of elements between the binding's start and the first weight.
    w_base: u32,
    /// 1: a bias is added.
    use_bias: u32,
    /// The bias of `(p, f)` is `b[b_base + p * b_location + f * b_filter]`.
    b_base: u32,
    b_location: u32,
    b_filter: u32,
    /// Where the forward tables begin, by axis: `[output][tap]`, each an offset within an input sample, or `NO_TAP`.
    forward: [u32; 3],
    /// Where the starts of the inverse tables begin, by axis: `[input + 1]`, each the number of an input position's
    /// first pair.
    starts: [u32; 3],
    /// Where the pairs of the inverse tables begin, by axis: each a share of the location index and a share of the tap
    /// index.
    inverse: [u32; 3],
    /// Code of the activation, see `shaders/shared/activation.wgsl`.
    activation: u32,
    /// Its arguments.
    activation_a: f32,
    activation_b: f32,
    activation_c: f32,
    /// Elements of an element-wise kernel.
    count: u32,
    /// Length of a softmax row.
    row: u32,
    /// Rows and columns of a matrix before it is transposed.
    rows: u32,
    columns: u32,
    /// A value has four axes besides the batch: their sizes, and the elements of a sample.
    size: [u32; 4],
    elements: u32,
    /// Element `(n, i, j, k, l)` of the first operand is `a[x_base + n * a_sample + i * a_0 + j * a_1 + k * a_2 + l *
    /// a_3]`. Of a matrix element `i` of vector `v` is `w[v * a_0 + i * a_1]`.
    a_sample: u32,
    a: [u32; 4],
    /// The same for the second operand, from `w_base` on, or for the terms of a sum.
    b_sample: u32,
    b: [u32; 4],
    /// Terms of a sum in this dispatch, the number of the first one, and the sizes of all terms along their axes.
    terms: u32,
    first_term: u32,
    term: [u32; 4],
    term_elements: u32,
    /// What a result is divided by.
    divisor: f32,
    /// Channels of a normalisation; and how many elements lie side by side within one channel, or within one position
    /// of a window.
    channels: u32,
    inner: u32,
    /// 1: values are multiplied by a gamma, or gradients by a factor.
    use_scale: u32,
    /// Added to variances, norms, roots and probabilities.
    epsilon: f32,
    /// Targets become `t * smooth_factor + smooth_addend`.
    smooth_factor: f32,
    smooth_addend: f32,
    /// Where Huber's loss becomes linear; above which a prediction counts as 1.
    delta: f32,
    /// The key of random numbers, and the number of the first element; each has two words.
    seed: [u32; 2],
    noise: [u32; 2],
    /// A value becomes `otherwise` where its random word is below this, else `value * factor + addend`; for noise
    /// `factor` is a standard deviation.
    below: u32,
    addend: f32,
    otherwise: f32,
    /// 1: derivatives are computed from the output of the activation.
    from_output: u32,
    /// Dense matrix: inputs of a sample.
    dense_rows: u32,
    /// Dense matrix: columns of this block.
    dense_columns: u32,
    /// Sparse index: first entry of this chunk of the weights.
    first_entry: u32,
    /// Sparse index: entries of this chunk.
    entries: u32,
    /// Positions from one window to the next, along each axis.
    stride: [u32; 3],
    /// Positions of the first window in front of the input, along each axis, or of what a rearrangement reads; the bits of an `i32`.
    before: [u32; 5],
    /// Length of an axis that is reduced.
    length: u32,
    /// Sizes of what a rearrangement writes and of what it reads, along each axis.
    written: [u32; 5],
    read: [u32; 5],
    /// How often each input element is repeated, along each axis.
    repeat: [u32; 5],
    /// Distance between neighbours in what is read, along each axis.
    distance: [u32; 5],
    /// 1: results are multiplied by the step's share of a sample.
    use_step: u32,
    /// The factor of a sum, or of a random number.
    factor: f32,
    /// Of an optimizer: the largest gradient (0: none), the weight decay, the momentum, an average's own share and the
    /// new value's share, and the new value's share in the average of gradients.
    limit: f32,
    decay: f32,
    momentum: f32,
    kept: f32,
    share: f32,
    mean_share: f32,
    /// The optimizer's rule, by its code in `shaders/shared/update.wgsl`.
    rule: u32,
    /// Of a penalty: the factor of signs, and twice the factor of squares; both 0 means no penalty.
    l1: f32,
    l2: f32,
    /// Of a norm: its least and largest value, and how much of the way the weights go to it.
    least: f32,
    most: f32,
    rate: f32,
    /// The most readers of any input element; and the most along the outer axis, plus the most along the two outer
    /// axes. Only for bounds on the host; no kernel reads them.
    most_readers: u32,
    outer_readers: u32,
}

/// The name and the type in WGSL of each word of [`Params`].
fn words() -> impl Iterator<Item = (String, &'static str)> {
    FIELDS.iter().flat_map(|&Field { name, wgsl, axes }| {
        (0..axes.unwrap_or(1)).map(move |axis| match axes {
            None => (name.to_owned(), wgsl),
            Some(_) => (format!("{name}_{axis}"), wgsl),
        })
    })
}

/// A shader's uniform: the words of [`Params`] that its text reads, by their places there.
#[derive(Debug, Clone)]
pub struct Uniform(Vec<usize>);

impl Uniform {
    /// Most bytes of a uniform; `tests/shaders.rs` checks all kernels. It is the largest alignment of uniforms that a
    /// device may ask for, so that a longer one would take twice the memory.
    pub const MOST_BYTES: usize = 256;

    /// The uniform of a text that calls it `params`.
    pub(super) fn read_by(wgsl: &str) -> Self {
        let code = wgsl.lines().map(|line| line.split("//").next().unwrap_or_default());
        let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let read: Vec<&str> =
            code.flat_map(|code| code.split("params.").skip(1)).map(|rest| &rest[..word(rest)]).collect();
        let places = words().zip(0..).filter(|((name, _), _)| read.contains(&name.as_str()));
        Self(places.map(|(_, place)| place).collect())
    }

    /// Its declaration in WGSL.
    pub(super) fn wgsl(&self) -> String {
        let read = words().zip(0..).filter(|(_, place)| self.0.contains(place));
        let fields: String = read.map(|((name, wgsl), _)| format!("  {name}: {wgsl},\n")).collect();
        format!("struct Params {{\n{fields}}}\n\n@group(0) @binding(0) var<uniform> params: Params;\n\n")
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        4 * self.0.len() as u64
    }

    /// Its bytes for a dispatch.
    #[must_use]
    pub fn bytes(&self, params: &Params) -> Vec<u8> {
        self.words(params).into_iter().flat_map(u32::to_le_bytes).collect()
    }

    /// Its words for a dispatch; a float is its bits.
    #[must_use]
    pub fn words(&self, params: &Params) -> Vec<u32> {
        let words: &[u32] = bytemuck::cast_slice(bytemuck::bytes_of(params));
        self.0.iter().map(|&place| words[place]).collect()
    }
}

impl Default for Params {
    fn default() -> Self {
        bytemuck::Zeroable::zeroed()
    }
}

impl Params {
    /// The same numbers but for those that are changed. They are copied as a whole: `Params { …, ..self }` would be a copy of each field,
    /// of which there are many.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// All numbers that follow from the geometry alone, for the whole layer without an activation.
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let last = geometry.config().data_format == DataFormat::ChannelsLast;
        let pick = |when_last: u32, when_first: u32| if last { when_last } else { when_first };
        let y_location = pick(geometry.filters(), 1);
        let y_filter = pick(1, geometry.locations());
        let (use_bias, b_location, b_filter) = match geometry.config().bias {
            Bias::None => (0, 0, 0),
            Bias::PerFilter => (1, 0, 1),
            Bias::PerLocation => (1, y_location, y_filter),
        };
        let mut params = Self {
            cells: geometry.cells(),
            filters: geometry.group_filters(),
            groups: geometry.groups(),
            cell_groups: geometry.groups(),
            w_location: if geometry.shares_weights() { 0 } else { geometry.groups() },
            weight_cells: geometry.weight_cells(),
            group_filters: geometry.group_filters(),
            group_channels: geometry.group_channels(),
            taps: geometry.taps(),
            window: geometry.window(),
            positions: geometry.positions(),
            x_sample: geometry.inputs() as u32,
            x_position: pick(geometry.channels(), 1),
            x_channel: pick(1, geometry.positions()),
            y_sample: geometry.outputs() as u32,
            y_location,
            y_filter,
            use_bias,
            b_location,
            b_filter,
            most_readers: geometry.most_readers().try_into().unwrap_or(u32::MAX),
            outer_readers: geometry.outer_readers().try_into().unwrap_or(u32::MAX),
            ..Self::default()
        };
        if let Some(axes) = geometry.axes() {
            params.output = axes.each_ref().map(|axis| axis.output);
            [params.taps_0, params.taps_1, params.taps_2] = axes.each_ref().map(|axis| axis.taps);
            params.input = axes.each_ref().map(|axis| axis.input);
            params.stride = axes.each_ref().map(AxisTaps::stride);
            params.before[..3].copy_from_slice(&axes.each_ref().map(AxisTaps::before));
        }
        params.with_tables(geometry)
    }

    /// The same numbers with the places of this layer's tables.
    pub(crate) fn with_tables(self, geometry: &Geometry) -> Self {
        let tables = TablePlaces::of(geometry);
        self.with(|p| (p.forward, p.starts, p.inverse) = (tables.forward, tables.starts, tables.inverse))
    }

    /// A field's word, by the field's name in WGSL; a float is its bits. None where there is no such field.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<u32> {
        let place = words().position(|(word, _)| word == name)?;
        bytemuck::cast_slice(bytemuck::bytes_of(self)).get(place).copied()
    }

    pub(crate) fn with_activation(mut self, activation: Activation) -> Self {
        let (code, [a, b, c]) = activation.code();
        (self.activation, self.activation_a, self.activation_b, self.activation_c) = (code, a, b, c);
        self
    }
}
