//! The error type of this crate. Every message carries the numbers that explain it.

use std::fmt::{self, Display, Formatter};
use thiserror::Error;

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, from a wrong argument to a lost device.
///
/// What only a device does wrong is here with the feature `gpu`, a loss that isn't finite with `models`.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A per-axis argument has another number of elements than the layer has spatial axes.
    #[error("`{argument}` must have {expected} elements, one per spatial axis, but has {found}")]
    Rank {
        /// Name of the argument.
        argument: &'static str,
        /// Number of spatial axes.
        expected: usize,
        /// Number of elements given.
        found: usize,
    },
    /// A plan asks for a variant that the kernel doesn't have.
    #[error("no variant of {kernel} computes this layer here")]
    NoKernel {
        /// The kernel's name.
        kernel: &'static str,
    },
    /// A program's operations don't fit its buffers.
    #[error("{what} of the program: {why}")]
    Program {
        /// The buffer, or the operation by its place.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A program is run or bound without a value for one of its buffers.
    #[error("the program's buffer {} is given no values", Quoted(name))]
    NotGiven {
        /// The buffer's name.
        name: String,
    },
    /// There is no buffer or parameter of that name.
    #[error("there is no buffer {}", Quoted(name))]
    NoBuffer {
        /// The name.
        name: String,
    },
    /// A mark in a kernel's WGSL can't be obeyed, or the driver refuses the kernel.
    #[error("{kernel}: {message}")]
    Shader {
        /// The variant.
        kernel: String,
        /// Which mark and why, or the driver's message.
        message: String,
    },
    /// `kernel_size` has another number of elements than 1, 2 or 3.
    #[error("`kernel_size` must have 1, 2 or 3 elements, but has {found}")]
    UnsupportedRank {
        /// Number of elements given.
        found: usize,
    },
    /// An argument that must be at least 1 is not.
    #[error("`{argument}` must be positive, but is {value}")]
    NotPositive {
        /// Name of the argument.
        argument: &'static str,
        /// The value given.
        value: i64,
    },
    /// An argument has a value that it can't have.
    #[error("`{argument}` must be one of {expected}, but is {value}")]
    UnknownValue {
        /// Name of the argument.
        argument: &'static str,
        /// The values it may take.
        expected: &'static str,
        /// The value given.
        value: String,
    },
    /// There is no argument of that name.
    #[error("{of} has no argument `{argument}`{}", meant.map(|meant| format!("; `{meant}` is meant?")).unwrap_or_default())]
    UnknownArgument {
        /// What the argument was given to, for example one of Keras's classes.
        of: String,
        /// The name.
        argument: String,
        /// An argument with a similar name.
        meant: Option<&'static str>,
    },
    /// Channels or filters can't be divided into the groups asked for.
    #[error("{channels} channels and {filters} filters can't both be divided into {groups} groups")]
    Groups {
        /// Groups asked for.
        groups: usize,
        /// Input channels.
        channels: usize,
        /// Filters.
        filters: usize,
    },
    /// Keras allows only the padding `valid` with implementation 1, whose weights have no place for clipped taps.
    #[error("padding {padding} has no weight layout of implementation 1 (only \"valid\" has)")]
    PaddingNeedsOtherLayout {
        /// The padding of the layer.
        padding: String,
    },
    /// The layer's input has another rank than its configuration needs.
    #[error("the layer has {expected} input axes besides the batch, but the input shape {shape:?} has {found}", found = shape.len())]
    InputRank {
        /// Axes expected (spatial axes and channels).
        expected: usize,
        /// The shape given, without the batch.
        shape: Vec<usize>,
    },
    /// An axis of the input has no known, or no positive, size.
    #[error("every axis of the input must have a known, positive size, but axis {axis} of {shape:?} has not")]
    InputAxis {
        /// The axis, counted without the batch.
        axis: usize,
        /// The shape given, without the batch.
        shape: Vec<usize>,
    },
    /// An output axis would be empty.
    #[error(
        "one of the dimensions in the output is <= 0 due to downsampling: input {input:?}, kernel {kernel:?}, strides {strides:?}, dilation {dilation:?} give output {output:?}; consider increasing the input size"
    )]
    EmptyOutput {
        /// Spatial input sizes.
        input: Box<[usize]>,
        /// Kernel sizes.
        kernel: Box<[usize]>,
        /// Strides.
        strides: Box<[usize]>,
        /// Dilation rates.
        dilation: Box<[usize]>,
        /// What the output sizes would be.
        output: Box<[i64]>,
    },
    /// A size is too large for 32-bit indices or 64-bit counts of bytes.
    #[error("{what} is {value}, over the most that can be addressed, {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        value: u128,
        /// The largest size that is possible.
        limit: u64,
    },
    /// An array or buffer has another length than the geometry needs.
    #[error("{what} must have {expected} elements (shape {shape:?}), but has {found}")]
    Length {
        /// Which array.
        what: &'static str,
        /// Elements expected.
        expected: u64,
        /// Elements found.
        found: u64,
        /// The shape expected.
        shape: Vec<usize>,
    },
    /// An array has another shape than the layer needs.
    #[error("{what} must have shape {expected}, but has {found:?}")]
    Shape {
        /// Which array.
        what: String,
        /// The shape expected, with `batch` for an axis of any size.
        expected: String,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A training step's loss is infinite or NaN. The parameters are those after that step.
    #[cfg(feature = "models")]
    #[error("the loss of step {step} is {loss}, not a finite number")]
    NotFinite {
        /// The number of the step, counted from 1.
        step: u64,
        /// The loss, penalties included.
        loss: f64,
    },
    /// What was asked for isn't supported in this combination.
    #[error("{what} is not supported {with}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// The combination.
        with: String,
    },
    /// A limit of the device is exceeded.
    #[error("{what} needs {needed} {unit}, over the device's {limit} ({name})")]
    Limit {
        /// What needs it.
        what: String,
        /// How much is needed.
        needed: u64,
        /// The unit of the numbers.
        unit: &'static str,
        /// How much there is.
        limit: u64,
        /// Name of the limit.
        name: &'static str,
    },
    /// The plan would take more memory than allowed; nothing was allocated.
    #[error("{what} needs {needed} bytes ({} GB), over the budget of {budget} bytes", gigabytes(*needed))]
    OverBudget {
        /// What needs it.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// A workgroup of a kernel, which can't be cut, takes more floating-point operations than a dispatch may take.
    #[error(
        "one workgroup of {kernel} takes {needed} floating-point operations, over the {limit} of a dispatch (`max_dispatch_flops`)"
    )]
    LongWorkgroup {
        /// The variant.
        kernel: String,
        /// Floating-point operations of a workgroup.
        needed: u64,
        /// The most that [`PlanOptions::max_dispatch_flops`](crate::PlanOptions::max_dispatch_flops) lets a dispatch take.
        limit: u64,
    },
    /// The host's device was made without a feature of wgpu's that is needed.
    #[cfg(feature = "gpu")]
    #[error("{what} needs wgpu::Features::{feature}, which the device was made without")]
    Feature {
        /// What needs it.
        what: &'static str,
        /// The feature.
        feature: &'static str,
    },
    /// The host's query set has too few queries for a pass, or is for something else.
    #[cfg(feature = "gpu")]
    #[error("{needed} timestamps from number {first} on don't fit a query set of {count} {of}")]
    Queries {
        /// Timestamps of the pass.
        needed: u32,
        /// Number of the first of them in the set.
        first: u32,
        /// Queries of the set.
        count: u32,
        /// What the set's queries are of.
        of: &'static str,
    },
    /// The host's scratch buffers are too small for a pass.
    #[cfg(feature = "gpu")]
    #[error("a pass takes scratch buffers of {needed:?} bytes, but the host's are of {given:?}")]
    Scratch {
        /// Bytes of each buffer that the pass needs.
        needed: Vec<u64>,
        /// Bytes of each buffer that the host gave.
        given: Vec<u64>,
    },
    /// No implementation is possible.
    #[error("no implementation is possible for this layer on this device")]
    NoImplementation,
    /// Two operands of a pass are in one buffer, one of them is written, and either their bytes overlap or one dispatch
    /// binds both: WebGPU refuses a dispatch that reads one range of a buffer and writes another, even if the ranges
    /// are disjoint.
    #[cfg(feature = "gpu")]
    #[error(
        "{written} is written and lies in the same buffer as {with}: {}",
        if *overlap > 0 {
            format!("{overlap} bytes are of both")
        } else {
            "no bytes are of both, but one dispatch needs both, and WebGPU wants what it writes in another buffer than what it reads".into()
        }
    )]
    Aliased {
        /// The operand that is written, by its buffer's name.
        written: String,
        /// The other operand.
        with: String,
        /// Bytes that belong to both; 0 if the ranges are disjoint.
        overlap: u64,
    },
    /// A range of a buffer reaches past the buffer's end.
    #[error("the range given as {what}, {size} bytes from byte {offset}, reaches past its buffer's {buffer} bytes")]
    Range {
        /// Which operand.
        what: &'static str,
        /// First byte of the range.
        offset: u64,
        /// Bytes of the range.
        size: u64,
        /// Bytes of the buffer.
        buffer: u64,
    },
    /// A range of a buffer begins or ends where the device can't bind or copy it.
    #[cfg(feature = "gpu")]
    #[error("the range given as {what} has {of} {bytes}, which is no multiple of {alignment} bytes")]
    Alignment {
        /// Which operand.
        what: &'static str,
        /// Which number of the range: `offset` or `size`.
        of: &'static str,
        /// That number.
        bytes: u64,
        /// What it must be a multiple of: `min_storage_buffer_offset_alignment` for an operand of a pass, 4 for a copy.
        alignment: u64,
    },
    /// A buffer given by the host lacks a usage flag.
    #[cfg(feature = "gpu")]
    #[error("the buffer given as {what} lacks wgpu::BufferUsages::{lacks}")]
    Usage {
        /// Which operand.
        what: &'static str,
        /// The flag: `STORAGE` for an operand of a pass, `COPY_SRC` for a readback.
        lacks: &'static str,
    },
    /// An operand needed by this call is missing.
    #[error("{what} is needed here: {why}")]
    Missing {
        /// Which operand.
        what: &'static str,
        /// Why it is needed.
        why: &'static str,
    },
    /// There is no memory, on the device or the host, for what was to be made. Everything made before is unchanged.
    /// Something smaller may fit, for example with a smaller batch.
    #[error("out of memory: no {bytes} bytes for {what}")]
    OutOfMemory {
        /// What was to be made.
        what: String,
        /// Its bytes.
        bytes: u64,
    },
    /// The device is lost, with everything that was made on it: only a new device helps. wgpu also gives a device up if
    /// the driver has no memory for something other than a buffer.
    #[cfg(feature = "gpu")]
    #[error("the device is lost: {0}")]
    DeviceLost(String),
    /// The device refuses a buffer of the host's: it was destroyed, or belongs to another device.
    #[cfg(feature = "gpu")]
    #[error("the device refuses the buffer given as {what}: {message}")]
    Refused {
        /// Which operand.
        what: &'static str,
        /// The device's message.
        message: String,
    },
    /// The copy of a readback didn't run: it wasn't recorded, or its encoder wasn't submitted.
    #[cfg(feature = "gpu")]
    #[error("the readback's copy was not submitted")]
    NotSubmitted,
    /// A readback is recorded again before the values of the last recording were taken.
    #[cfg(feature = "gpu")]
    #[error("the readback still waits for the values of its last recording")]
    NotTaken,
    /// The device refused something that this crate made: a bug in this crate or in the driver.
    #[cfg(feature = "gpu")]
    #[error("the device reports: {0}")]
    Device(String),
    /// No backend of wgpu can be used: none is compiled in, or none of those in `WGPU_BACKEND`.
    #[cfg(feature = "gpu")]
    #[error(
        "no backend of wgpu's to run on (compiled in: {}{}): build with this crate's feature `headless`, or with wgpu's `vulkan`, `metal`, `dx12`, `gles` or `webgpu` for the platform",
        if compiled.is_empty() { "none" } else { compiled },
        wanted.as_ref().map(|wanted| format!("; wanted by WGPU_BACKEND: {wanted}")).unwrap_or_default()
    )]
    NoBackend {
        /// The backends that are compiled in.
        compiled: String,
        /// The backends in `WGPU_BACKEND`, if it is set.
        wanted: Option<String>,
    },
    /// An error in a layer of a model.
    #[error("layer {}: {error}", Quoted(layer))]
    InLayer {
        /// The layer's name.
        layer: String,
        /// The error.
        error: Box<Self>,
    },
    /// The system doesn't give so many threads.
    #[error("a pool of {wanted} threads can't be made: {why}")]
    Threads {
        /// How many were asked for.
        wanted: usize,
        /// The system's message.
        why: String,
    },
    /// A layer takes another number of values than it was given.
    #[error("it takes {expected} inputs, but is given {found}")]
    Inputs {
        /// How many it takes.
        expected: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A layer's or input's name is taken already, or is empty.
    #[error("a layer can't be named {}: {}", Quoted(name), if name.is_empty() { "a name has letters" } else { "another is" })]
    TwoLayers {
        /// The name.
        name: String,
    },
    /// There is no adapter to run on.
    #[cfg(feature = "gpu")]
    #[cfg_attr(
        target_family = "wasm",
        error(
            "no adapter: this browser has no WebGPU, or has it turned off, or the page is neither on https nor on localhost"
        )
    )]
    #[cfg_attr(
        not(target_family = "wasm"),
        error("no adapter: none found; a software adapter is Debian's mesa-vulkan-drivers")
    )]
    NoAdapter,
    /// No adapter has the name that was asked for.
    #[cfg(feature = "gpu")]
    #[error("no adapter: none matches {wanted:?} among {}", names.join(", "))]
    NoSuchAdapter {
        /// The name that was asked for.
        wanted: String,
        /// The names of all adapters.
        names: Vec<String>,
    },
}

/// A name in quotation marks, as `{:?}` writes it. In browsers, which download what writes it, all of its letters stay: which don't print is
/// told by tables of all of Unicode.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if cfg!(target_family = "wasm") { write!(f, "\"{}\"", self.0) } else { write!(f, "{:?}", self.0) }
    }
}

/// With one digit behind the point.
fn gigabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000_000) / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

impl Error {
    /// The same error, as one in the layer of this name.
    #[must_use]
    pub fn in_layer(self, layer: &str) -> Self {
        Self::InLayer { layer: layer.to_owned(), error: Box::new(self) }
    }

    /// The error itself, without the layer that it is in.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InLayer { error, .. } => error.cause(),
            error => error,
        }
    }
}
