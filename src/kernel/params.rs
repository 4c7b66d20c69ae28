//! The one uniform that every kernel reads, and the tap tables as the device sees them.

use crate::config::{Activation, Bias, DataFormat};
use crate::geometry::{Geometry, NO_TAP};
use bytemuck::{Pod, Zeroable};

/// The twin of `struct Params` in `shaders/params.wgsl`; `tests/shaders.rs` compares names, offsets and size.
///
/// Counts are of the range that one dispatch works on; `*_base` is the distance, in elements, of the range's first
/// element from the start of its binding. Fields a kernel has no use for are zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[allow(missing_docs, reason = "each field is explained where kernels read it, in params.wgsl")]
pub struct Params {
    pub workgroups: u32,
    pub workgroups_x: u32,
    pub batch: u32,
    pub accumulate: u32,
    pub first_cell: u32,
    pub cells: u32,
    pub first_filter: u32,
    pub filters: u32,
    pub groups: u32,
    pub group_filters: u32,
    pub group_channels: u32,
    pub taps: u32,
    pub window: u32,
    pub output_1: u32,
    pub output_2: u32,
    pub kernel_0: u32,
    pub kernel_1: u32,
    pub kernel_2: u32,
    pub input_1: u32,
    pub input_2: u32,
    pub positions: u32,
    pub x_base: u32,
    pub x_sample: u32,
    pub x_position: u32,
    pub x_channel: u32,
    pub y_base: u32,
    pub y_sample: u32,
    pub y_location: u32,
    pub y_filter: u32,
    pub w_base: u32,
    pub use_bias: u32,
    pub b_base: u32,
    pub b_location: u32,
    pub b_filter: u32,
    pub forward_0: u32,
    pub forward_1: u32,
    pub forward_2: u32,
    pub starts_0: u32,
    pub starts_1: u32,
    pub starts_2: u32,
    pub inverse_0: u32,
    pub inverse_1: u32,
    pub inverse_2: u32,
    pub activation: u32,
    pub activation_a: f32,
    pub activation_b: f32,
    pub activation_c: f32,
    pub count: u32,
    pub row: u32,
    pub from_output: u32,
    pub dense_rows: u32,
    pub dense_columns: u32,
    pub first_entry: u32,
    pub entries: u32,
}

/// The tap tables in one `u32` buffer, multiplied by strides so that kernels only add:
/// an element of the forward tables is an offset into an input sample (or [`NO_TAP`]), a pair of the inverse tables a
/// share of the location index and of the tap index.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// Everything, in the order of the offsets below.
    pub data: Vec<u32>,
    forward: [u32; 3],
    starts: [u32; 3],
    inverse: [u32; 3],
}

impl Tables {
    /// The tables of a geometry.
    #[must_use]
    pub fn new(geometry: &Geometry) -> Self {
        let axes = geometry.axes();
        let scale = match geometry.config().data_format {
            DataFormat::ChannelsLast => geometry.channels(),
            DataFormat::ChannelsFirst => 1,
        };
        let positions = geometry.position_strides().map(|s| s * scale);
        let locations = [axes[1].output * axes[2].output, axes[2].output, 1];
        let taps = [axes[1].kernel * axes[2].kernel, axes[2].kernel, 1];
        let mut tables = Self { data: Vec::new(), forward: [0; 3], starts: [0; 3], inverse: [0; 3] };
        for a in 0..3 {
            tables.forward[a] = tables.data.len() as u32;
            tables.data.extend(axes[a].forward.iter().map(|&at| if at == NO_TAP { at } else { at * positions[a] }));
            tables.starts[a] = tables.data.len() as u32;
            tables.data.extend(&axes[a].inverse_starts);
            tables.inverse[a] = tables.data.len() as u32;
            tables.data.extend(axes[a].inverse.iter().flat_map(|&[o, t]| [o * locations[a], t * taps[a]]));
        }
        tables
    }
}

impl Params {
    /// All that follows from the geometry alone, for the whole layer and no activation.
    pub(crate) fn new(geometry: &Geometry, tables: &Tables) -> Self {
        let axes = geometry.axes();
        let last = geometry.config().data_format == DataFormat::ChannelsLast;
        let pick = |when_last: u32, when_first: u32| if last { when_last } else { when_first };
        let y_location = pick(geometry.filters(), 1);
        let y_filter = pick(1, geometry.locations());
        let (use_bias, b_location, b_filter) = match geometry.config().bias {
            Bias::None => (0, 0, 0),
            Bias::PerFilter => (1, 0, 1),
            Bias::PerLocation => (1, y_location, y_filter),
        };
        Self {
            cells: geometry.cells(),
            filters: geometry.group_filters(),
            groups: geometry.groups(),
            group_filters: geometry.group_filters(),
            group_channels: geometry.group_channels(),
            taps: geometry.taps(),
            window: geometry.window(),
            output_1: axes[1].output,
            output_2: axes[2].output,
            kernel_0: axes[0].kernel,
            kernel_1: axes[1].kernel,
            kernel_2: axes[2].kernel,
            input_1: axes[1].input,
            input_2: axes[2].input,
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
            forward_0: tables.forward[0],
            forward_1: tables.forward[1],
            forward_2: tables.forward[2],
            starts_0: tables.starts[0],
            starts_1: tables.starts[1],
            starts_2: tables.starts[2],
            inverse_0: tables.inverse[0],
            inverse_1: tables.inverse[1],
            inverse_2: tables.inverse[2],
            ..Self::zeroed()
        }
    }

    pub(crate) fn with_activation(mut self, activation: Activation) -> Self {
        let (code, [a, b, c]) = activation.code();
        (self.activation, self.activation_a, self.activation_b, self.activation_c) = (code, a, b, c);
        self
    }
}
