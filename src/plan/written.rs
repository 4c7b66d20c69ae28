//! Programs with their plans as data that any WebGPU code can run: buffers, shaders and dispatches, every size said.

use crate::kernels::Access;
#[cfg(doc)]
use crate::program::Program;

/// A program with its plan, for code that knows WebGPU and nothing of this crate: make the buffers, upload what is given,
/// make a pipeline of each shader, record the dispatches in order into one compute pass. `web/src/gpu.ts` is such code.
///
/// It holds for a batch, and for devices with at least the limits and at most the alignments of the profile that it was
/// planned for. Places count from 0. All numbers are exact as 64-bit floats. Written by serde (feature `serde`) it is JSON
/// of these names.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WrittenPlan {
    /// [`WrittenPlan::VERSION`] of the crate that wrote it; a reader refuses any that it doesn't know, as this crate's does.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "known_version"))]
    pub version: u32,
    /// Samples of a run.
    pub batch: u32,
    /// All that the dispatches bind. Each is a storage buffer of its own, since WebGPU refuses a dispatch that reads
    /// one range of a buffer and writes another.
    pub buffers: Vec<WrittenBuffer>,
    /// The shaders, each once.
    pub shaders: Vec<WrittenShader>,
    /// In order; each may read what those before it wrote.
    pub dispatches: Vec<WrittenDispatch>,
}

#[cfg(feature = "serde")]
fn known_version<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let version = <u32 as serde::Deserialize>::deserialize(from)?;
    if version == WrittenPlan::VERSION {
        return Ok(version);
    }
    let known = WrittenPlan::VERSION;
    Err(serde::de::Error::custom(format!("a plan of version {version}, but this reads version {known}")))
}

/// What a buffer of a [`WrittenPlan`] is to those who run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum WrittenUsage {
    /// Given with every run.
    Input,
    /// A result of the run.
    Output,
    /// The model's: uploaded once, shared by all of its programs under the same name. A program that trains changes it.
    Parameter,
    /// An optimizer's state: zero at first, kept from run to run, and shared by all of the model's programs under the
    /// same name.
    State,
    /// The gradient of a parameter; an [accumulating](Program::accumulating) program adds to what it holds.
    Gradient,
    /// Values between dispatches, which nobody reads afterwards.
    Scratch,
    /// Given by [`WrittenBuffer::words`], and shared by all of a model's programs under the same name.
    Constant,
}

/// How a buffer's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum WrittenType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, the first of two in a word's lower half.
    F16,
    /// 32-bit unsigned integers.
    U32,
}

/// A buffer of a [`WrittenPlan`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WrittenBuffer {
    /// The program's name of the buffer; only the buffers that one array is cut into have the same name. A buffer that
    /// isn't the program's has a name for debugging.
    pub name: String,
    /// What it is used for.
    pub usage: WrittenUsage,
    /// How its elements are stored.
    pub dtype: WrittenType,
    /// Elements that it holds.
    pub elements: u64,
    /// Its size in bytes: a whole number of words and at least one, so that it may have more than its elements.
    pub bytes: u64,
    /// Which part of an array of weights or of their gradient it holds; none is all of it, in order.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub part: Option<WrittenPart>,
    /// A constant's contents; empty for others.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub words: Vec<u32>,
}

/// The part of an array of weights, `[all entries][all filters]` in canonical order, that a buffer holds as
/// `[entries][filters]`: its element `e * filters + f` is the array's `(first_entry + e) * all_filters + first_filter + f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WrittenPart {
    /// First entry of the array.
    pub first_entry: u64,
    /// Number of entries.
    pub entries: u64,
    /// First filter of each entry.
    pub first_filter: u32,
    /// Number of filters of each entry.
    pub filters: u32,
    /// Filters of an entry of the whole array.
    pub all_filters: u64,
}

/// A shader of a [`WrittenPlan`]: what a compute pipeline is made of, bind group 0 being all that it binds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WrittenShader {
    /// For labels; unique in the plan.
    pub name: String,
    /// The whole WGSL. It asks for no feature of the device's.
    pub wgsl: String,
    /// Its entry point.
    pub entry_point: String,
    /// The storage bindings 1, 2, …; binding 0 is the uniform.
    pub bindings: Vec<Access>,
}

/// A dispatch of a [`WrittenPlan`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WrittenDispatch {
    /// Place in [`WrittenPlan::shaders`].
    pub shader: u32,
    /// Binding 0: the words of the uniform, floats by their bits.
    pub uniform: Vec<u32>,
    /// Storage bindings 1, 2, … of group 0.
    pub bindings: Vec<WrittenBinding>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// A range of a buffer that a dispatch binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct WrittenBinding {
    /// Place in [`WrittenPlan::buffers`].
    pub buffer: u32,
    /// First byte, aligned as the profile asks for.
    pub offset: u64,
    /// Number of bytes.
    pub size: u64,
}

impl WrittenPlan {
    /// The version that is written now. It changes whenever a reader must be changed.
    pub const VERSION: u32 = 2;
}
