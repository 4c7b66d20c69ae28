//! What a configuration means for an input shape: sizes, tap tables, weight layouts. Pure numbers, no device.
//!
//! A convolution or a dense layer is a [`Geometry`] whose locations share their weights ([`Sharing`]).

mod convolution;
mod groups;
mod layout;
#[cfg(feature = "models")]
mod members;
mod pattern;
mod reader_table;
mod shared_layout;
mod sharing;
mod size;
mod sparse_index;
mod taps;
#[cfg(feature = "serde")]
mod written;

pub use crate::config::KerasLayout;
pub use groups::Groups;
#[cfg(feature = "cpu")]
pub(crate) use members::Members;
pub use pattern::Pattern;
pub(crate) use reader_table::ReaderTable;
pub use shared_layout::SharedLayout;
pub use sharing::Sharing;
pub use sparse_index::SparseIndex;
pub use taps::AxisTaps;
pub(crate) use taps::NO_TAP;

use crate::config::{Activation, Bias, Config, DataFormat, Implementation, Padding};
use crate::{Error, Result};
use size::fits_u32;
use std::sync::Arc;
use taps::Axis;

/// A layer's configuration and the input shape that it was built for, checked.
///
/// Words: `P` output locations, `G` groups, `T` taps of a window, `K = T · C/G` weights of one filter at one location
/// in the order `[taps][channels of the group]`, `F` filters. A *cell* is one location of one group, number `p · G +
/// g`: one `N×K · K×F/G` product. Missing spatial axes come first and have size 1.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "written::Written", into = "written::Written"))]
pub struct Geometry {
    config: Config,
    input_shape: Vec<usize>,
    channels: u32,
    connectivity: Connectivity,
    sharing: Sharing,
}

/// Which inputs an output location reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Connectivity {
    /// Windows: the taps of the three axes, outermost first. Missing axes come first and have size 1.
    Windows(Arc<[AxisTaps; 3]>),
    /// A user's connections. Locations are rows, and neither they nor the inputs have places in space.
    Pattern(Arc<Pattern>),
}

/// Bytes of a batch whose samples have so many elements, as f32.
pub(crate) fn batch_bytes(elements: u64, batch: u32) -> u64 {
    elements.saturating_mul(u64::from(batch)).saturating_mul(4)
}

impl Geometry {
    /// Checks `config` against `input_shape` (without the batch; channels where `config.data_format` says). It takes no memory
    /// to speak of, however long the axes are.
    ///
    /// # Errors
    /// Every condition under which Keras refuses to build the layer (docs/keras-semantics.md §9), and sizes beyond 32-bit
    /// indices within one sample, one window or one location.
    pub fn new(config: &Config, input_shape: &[usize]) -> Result<Self> {
        Self::with_sharing(config, input_shape, Sharing::Unshared)
    }

    fn with_sharing(config: &Config, input_shape: &[usize], sharing: Sharing) -> Result<Self> {
        config.check()?;
        let rank = config.rank();
        if input_shape.len() != rank + 1 {
            return Err(Error::InputRank { expected: rank + 1, shape: input_shape.to_vec() });
        }
        if let Some(axis) = input_shape.iter().position(|&n| n == 0) {
            return Err(Error::InputAxis { axis, shape: input_shape.to_vec() });
        }
        let (channels, spatial) = match config.data_format {
            DataFormat::ChannelsLast => (input_shape[rank], &input_shape[..rank]),
            DataFormat::ChannelsFirst => (input_shape[0], &input_shape[1..]),
        };
        if !channels.is_multiple_of(config.groups) || !config.filters.is_multiple_of(config.groups) {
            return Err(Error::Groups { groups: config.groups, channels, filters: config.filters });
        }

        let product = |values: &[usize]| values.iter().try_fold(1u128, |a, &b| a.checked_mul(b as u128));
        let huge = u128::MAX;
        fits_u32("the number of elements of one input sample", product(input_shape).unwrap_or(huge))?;
        let taps = fits_u32("the number of taps of a window", product(&config.kernel_size).unwrap_or(huge))?;
        fits_u32("the number of filters", config.filters as u128)?;
        let per_cell = u128::from(taps) * (channels / config.groups) as u128;
        fits_u32("the number of weights of one filter at one location", per_cell)?;

        let dims = |values: &[usize]| values.iter().map(|&v| v as u64).collect::<Vec<_>>();
        let (n, k, s, d) =
            (dims(spatial), dims(&config.kernel_size), dims(&config.strides), dims(&config.dilation_rate));
        let padding = &config.padding;
        let axis =
            |index| Axis { input: n[index], taps: k[index], stride: s[index], dilation: d[index], padding, index };
        for Axis { input, taps, stride, dilation, index, .. } in (0..rank).map(axis) {
            fits_u32("a stride", stride.into())?;
            let pads = match padding {
                Padding::Explicit(pads) => pads[index][0] as u128 + pads[index][1] as u128,
                _ => 0,
            };
            // Then everything that the tap tables compute is far within i64.
            fits_u32("a padded axis", u128::from(input) + pads)?;
            fits_u32("the span of a dilated window", u128::from(taps - 1) * u128::from(dilation) + 1)?;
        }
        let output: Vec<i64> = (0..rank).map(|index| axis(index).output()).collect();
        if output.iter().any(|&o| o <= 0) {
            return Err(Error::EmptyOutput {
                input: spatial.into(),
                kernel: config.kernel_size.as_slice().into(),
                strides: config.strides.as_slice().into(),
                dilation: config.dilation_rate.as_slice().into(),
                output: output.into(),
            });
        }
        let locations: u128 = output.iter().map(|&o| o as u128).product();
        fits_u32("the number of elements of one output sample", locations * config.filters as u128)?;
        fits_u32("the number of locations times groups", locations * config.groups as u128)?;
        let weights = per_cell * config.filters as u128 * if sharing == Sharing::Unshared { locations } else { 1 };
        if weights * 4 > i64::MAX as u128 {
            return Err(Error::TooLarge { what: "the number of weights", value: weights, limit: i64::MAX as u64 / 4 });
        }
        // The tables that devices are given, in words: at most 256 MiB. Browsers bind half of that.
        let tables: u128 = (0..rank).map(|a| 3 * output[a] as u128 * u128::from(k[a]) + u128::from(n[a]) + 1).sum();
        let limit = (1 << 26) - 1;
        if tables > u128::from(limit) {
            return Err(Error::TooLarge { what: "the tap tables' size", value: tables, limit });
        }

        let axes =
            [0, 1, 2].map(|place: usize| AxisTaps::new(&(place + rank).checked_sub(3).map_or(Axis::MISSING, axis)));
        Ok(Self {
            config: config.clone(),
            input_shape: input_shape.to_vec(),
            channels: channels as u32,
            connectivity: Connectivity::Windows(Arc::new(axes)),
            sharing,
        })
    }

    /// A layer of arbitrary connectivity with `filters` outputs per row: inputs `[inputs]`, outputs `[rows][filters]`,
    /// weights `[connections][filters]` in the order of the pattern's entries. It is executed by
    /// [`Implementation::SparseGather`] only.
    ///
    /// # Errors
    /// [`Error::NotPositive`] for no filters, [`Error::TooLarge`] for sizes beyond 32-bit indices.
    pub fn from_pattern(pattern: Pattern, filters: usize, bias: Bias, activation: Activation) -> Result<Self> {
        let implementation = Implementation::SparseGather;
        let config = Config::new(filters, [1]).bias(bias).activation(activation).implementation(implementation);
        config.check()?;
        fits_u32("the number of elements of one output sample", u128::from(pattern.rows()) * filters as u128)?;
        fits_u32("the number of weights", u128::from(pattern.connections()) * filters as u128)?;
        Ok(Self {
            config,
            input_shape: vec![pattern.inputs() as usize, 1],
            channels: 1,
            connectivity: Connectivity::Pattern(Arc::new(pattern)),
            sharing: Sharing::Unshared,
        })
    }

    /// The user's connections, if the layer has those instead of windows.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        match &self.connectivity {
            Connectivity::Windows(_) => None,
            Connectivity::Pattern(pattern) => Some(pattern),
        }
    }

    /// The taps of the three axes, outermost first, if the layer has windows.
    #[must_use]
    pub fn axes(&self) -> Option<&[AxisTaps; 3]> {
        match &self.connectivity {
            Connectivity::Windows(axes) => Some(axes),
            Connectivity::Pattern(_) => None,
        }
    }

    /// Which inputs an output location reads.
    #[must_use]
    pub fn connectivity(&self) -> &Connectivity {
        &self.connectivity
    }

    /// The configuration this was made from.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of entries of the longest row.
    #[must_use]
    pub(crate) fn most_entries(&self) -> u64 {
        self.pattern().map_or(self.window().into(), Pattern::most_entries)
    }

    /// The most readers of an input along the outer axis, plus the most along the two outer axes.
    #[must_use]
    pub(crate) fn outer_readers(&self) -> u64 {
        match &self.connectivity {
            Connectivity::Windows(axes) => {
                let [first, second, _] = axes.each_ref().map(AxisTaps::most_readers);
                first + first * second
            }
            Connectivity::Pattern(_) => 2,
        }
    }

    /// The most readers of any input element, as [`AxisTaps::most_readers`] counts them.
    #[must_use]
    pub(crate) fn most_readers(&self) -> u64 {
        match &self.connectivity {
            Connectivity::Windows(axes) => axes.iter().map(AxisTaps::most_readers).product(),
            Connectivity::Pattern(pattern) => pattern.most_readers(),
        }
    }

    /// Whether both connect the same inputs to the same outputs, so that their tap tables and sparse indices are equal.
    #[must_use]
    pub(crate) fn connects_as(&self, other: &Self) -> bool {
        let numbers =
            |layer: &Self| (layer.channels, layer.groups(), layer.filters(), layer.config.data_format, layer.sharing);
        std::ptr::eq(self, other) || numbers(self) == numbers(other) && self.connectivity == other.connectivity
    }

    /// The same geometry for a layer that is executed by `implementation`; none is the planner's choice.
    #[must_use]
    pub fn with_implementation(&self, implementation: impl Into<Option<Implementation>>) -> Self {
        let config = self.config.clone().implementation(implementation);
        Self { config, ..self.clone() }
    }

    /// The same geometry with another activation.
    #[must_use]
    pub fn with_activation(&self, activation: Activation) -> Self {
        let config = self.config.clone().activation(activation);
        Self { config, ..self.clone() }
    }

    /// All that decides how fast the layer runs, on one line: the key of tuning tables.
    #[must_use]
    pub fn signature(&self) -> String {
        let Config { filters, kernel_size, strides, padding, dilation_rate, groups, .. } = &self.config;
        let Config { data_format, bias, activation, dtype, .. } = &self.config;
        let connections = self.connections();
        format!(
            "input {:?} {data_format:?} filters {filters} kernel {kernel_size:?} strides {strides:?} padding {padding} \
             dilation {dilation_rate:?} groups {groups} {bias:?} {activation:?} {dtype:?} connections {connections}{}",
            self.input_shape,
            if self.sharing == Sharing::Unshared { "" } else { " shared" }
        )
    }

    /// Shape of one input sample, without the batch.
    #[must_use]
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Shape of one output sample, without the batch.
    #[must_use]
    pub fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.output_spatial();
        match self.config.data_format {
            DataFormat::ChannelsLast => shape.push(self.config.filters),
            DataFormat::ChannelsFirst => shape.insert(0, self.config.filters),
        }
        shape
    }

    /// Output sizes of the spatial axes.
    #[must_use]
    pub fn output_spatial(&self) -> Vec<usize> {
        match &self.connectivity {
            Connectivity::Windows(axes) => {
                axes[3 - self.config.rank()..].iter().map(|axis| axis.output as usize).collect()
            }
            Connectivity::Pattern(pattern) => vec![pattern.rows() as usize],
        }
    }

    /// Keras's bias shape: the spatial axes, then the filters, in either data format; `[filters]` for a shared bias;
    /// none without a bias.
    #[must_use]
    pub fn bias_shape(&self) -> Option<Vec<usize>> {
        match self.config.bias {
            Bias::None => None,
            Bias::PerFilter => Some(vec![self.config.filters]),
            Bias::PerLocation => {
                let mut shape = self.output_spatial();
                shape.push(self.config.filters);
                Some(shape)
            }
        }
    }

    /// Input channels.
    #[must_use]
    pub fn channels(&self) -> u32 {
        self.channels
    }

    /// Input channels of one group.
    #[must_use]
    pub fn group_channels(&self) -> u32 {
        self.channels / self.groups()
    }

    /// Channel groups.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.config.groups as u32
    }

    /// Filters.
    #[must_use]
    pub fn filters(&self) -> u32 {
        self.config.filters as u32
    }

    /// Filters of one group.
    #[must_use]
    pub fn group_filters(&self) -> u32 {
        self.filters() / self.groups()
    }

    /// Output locations `P`.
    #[must_use]
    pub fn locations(&self) -> u32 {
        match &self.connectivity {
            Connectivity::Windows(axes) => axes.iter().map(|axis| axis.output).product(),
            Connectivity::Pattern(pattern) => pattern.rows(),
        }
    }

    /// Cells: locations times groups.
    #[must_use]
    pub fn cells(&self) -> u32 {
        self.locations() * self.groups()
    }

    /// Output locations along the innermost axis; all locations of a pattern.
    #[must_use]
    pub(crate) fn line(&self) -> u32 {
        match &self.connectivity {
            Connectivity::Windows(axes) => axes[2].output,
            Connectivity::Pattern(pattern) => pattern.rows(),
        }
    }

    /// Input positions: the product of the input's spatial sizes.
    #[must_use]
    pub fn positions(&self) -> u32 {
        match &self.connectivity {
            Connectivity::Windows(axes) => axes.iter().map(|axis| axis.input).product(),
            Connectivity::Pattern(pattern) => pattern.inputs(),
        }
    }

    /// Whether every window lies within the input.
    #[cfg(feature = "models")]
    pub(crate) fn windows_within(&self) -> bool {
        self.axes().is_some_and(|axes| axes.iter().all(AxisTaps::is_unpadded))
    }

    /// Taps of a window; a pattern has none.
    #[must_use]
    pub fn taps(&self) -> u32 {
        self.axes().map_or(0, |axes| axes.iter().map(|axis| axis.taps).product())
    }

    /// `K`: weights of one filter at one location, clipped taps included.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.taps() * self.group_channels()
    }

    /// Elements of one input sample.
    #[must_use]
    pub fn inputs(&self) -> u64 {
        u64::from(self.positions()) * u64::from(self.channels)
    }

    /// Elements of one output sample.
    #[must_use]
    pub fn outputs(&self) -> u64 {
        u64::from(self.locations()) * u64::from(self.filters())
    }

    /// Bytes of `batch` input samples, f32: what a host's buffer needs.
    #[must_use]
    pub fn input_bytes(&self, batch: u32) -> u64 {
        batch_bytes(self.inputs(), batch)
    }

    /// Bytes of `batch` output samples, f32.
    #[must_use]
    pub fn output_bytes(&self, batch: u32) -> u64 {
        batch_bytes(self.outputs(), batch)
    }

    /// Bytes of the bias or of its gradient, f32; 0 without a bias.
    #[must_use]
    pub fn bias_bytes(&self) -> u64 {
        batch_bytes(self.biases(), 1)
    }

    /// Elements of the canonical weights `[weight cells][K][F/G]`, clipped taps included.
    #[must_use]
    pub fn weights(&self) -> u64 {
        self.entries() * u64::from(self.group_filters())
    }

    /// Rows of weights, of `F/G` each: the taps and channels of all cells with weights of their own, or a pattern's
    /// connections.
    #[must_use]
    pub fn entries(&self) -> u64 {
        match &self.connectivity {
            Connectivity::Pattern(pattern) => pattern.connections().into(),
            Connectivity::Windows(_) => u64::from(self.weight_cells()) * u64::from(self.window()),
        }
    }

    /// Pairs of an input element and a cell that reads it: the entries without clipped taps. If locations share
    /// weights, an entry counts once for each of them.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connected_taps() * u64::from(self.channels)
    }

    /// Elements of the bias.
    #[must_use]
    pub fn biases(&self) -> u64 {
        match self.config.bias {
            Bias::None => 0,
            Bias::PerFilter => self.filters().into(),
            Bias::PerLocation => self.outputs(),
        }
    }

    /// Taps that read the input, over all locations: connected pairs of output and input positions.
    #[must_use]
    pub(crate) fn connected_taps(&self) -> u64 {
        match &self.connectivity {
            Connectivity::Windows(axes) => axes.iter().map(AxisTaps::connected).product(),
            Connectivity::Pattern(pattern) => pattern.connections().into(),
        }
    }

    /// Products of one sample: weights of taps that read the input, not counting that some are shared. It is what
    /// Keras's implementation 3 stores.
    #[must_use]
    pub fn connected_weights(&self) -> u64 {
        self.connections() * u64::from(self.group_filters())
    }

    /// Index of an input element within its sample.
    #[must_use]
    pub fn input_index(&self, position: u32, channel: u32) -> u64 {
        let (p, c) = (u64::from(position), u64::from(channel));
        match self.config.data_format {
            DataFormat::ChannelsLast => p * u64::from(self.channels) + c,
            DataFormat::ChannelsFirst => c * u64::from(self.positions()) + p,
        }
    }

    /// Index of an output element within its sample.
    #[must_use]
    pub fn output_index(&self, location: u32, filter: u32) -> u64 {
        let (p, f) = (u64::from(location), u64::from(filter));
        match self.config.data_format {
            DataFormat::ChannelsLast => p * u64::from(self.filters()) + f,
            DataFormat::ChannelsFirst => f * u64::from(self.locations()) + p,
        }
    }

    /// The input position that tap `tap` (row-major over the window) of output location `location` reads; none if the
    /// tap is clipped, or if the layer has no windows.
    #[must_use]
    pub fn tap(&self, location: u32, tap: u32) -> Option<u32> {
        let [a, b, c] = self.axes()?;
        let i0 = a.tap(location / (b.output * c.output), tap / (b.taps * c.taps))?;
        let i1 = b.tap(location / c.output % b.output, tap / c.taps % b.taps)?;
        let i2 = c.tap(location % c.output, tap % c.taps)?;
        Some((i0 * b.input + i1) * c.input + i2)
    }

    /// Length of the rows that softmax normalises: the output's last axis.
    #[must_use]
    pub(crate) fn softmax_row(&self) -> u32 {
        match self.config.data_format {
            DataFormat::ChannelsLast => self.filters(),
            DataFormat::ChannelsFirst => self.line(),
        }
    }
}
