//! THE table of kernels: every WGSL entry point with its source, bindings and workgroup size.
//!
//! A kernel's WGSL is `shaders/<name>.wgsl`, its CPU twin `reference::<name>`, its dispatches are planned in `plan`.

mod compose;
mod expression;
mod params;

use crate::config::WeightType;
use crate::{Error, Result};
pub use params::{Params, Tables, Uniform};

/// A kernel: one WGSL file with the entry point `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kernel {
    /// Forward of the loop variant, with bias and activation.
    LoopForward,
    /// The same by tiles in workgroup memory.
    LoopForwardTiled,
    /// The same with K split among the threads of a workgroup.
    LoopForwardSplit,
    /// Input gradient of the loop variant.
    LoopGradInput,
    /// The same by tiles in workgroup memory.
    LoopGradInputTiled,
    /// The same with the sum split among the threads of a workgroup.
    LoopGradInputSplit,
    /// Kernel gradient of the loop variant.
    LoopGradKernel,
    /// The same by tiles in workgroup memory.
    LoopGradKernelTiled,
    /// Weights to their places in the dense matrix.
    DenseScatter,
    /// Gradients from their places in the dense matrix.
    DenseGather,
    /// Forward of the dense variant, with bias and activation.
    DenseForward,
    /// Input gradient of the dense variant.
    DenseGradInput,
    /// Gradient of the dense matrix.
    DenseGradKernel,
    /// Forward of the sparse variant, with bias and activation.
    SparseForward,
    /// Input gradient of the sparse variant.
    SparseGradInput,
    /// Kernel gradient of the sparse variant.
    SparseGradKernel,
    /// Gradient of a bias per location, of every variant.
    GradBias,
    /// Gradient of a bias that all locations share.
    GradBiasShared,
    /// An activation on its own.
    Activate,
    /// Output gradient to pre-activation gradient.
    ActivateGrad,
    /// Softmax over rows.
    Softmax,
    /// Its gradient.
    SoftmaxGrad,
    /// Zeroes.
    Fill,
}

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// What the table says of a kernel.
#[derive(Debug)]
pub struct KernelInfo {
    /// Which kernel.
    pub kernel: Kernel,
    /// Name of the file in `shaders/`, of the CPU twin and of the pipeline.
    pub name: &'static str,
    /// Its WGSL, as it is written.
    source: &'static str,
    /// Whether it reads the weights, which are binding 1 then.
    pub weights: bool,
    /// Storage bindings 1, 2, … of group 0; binding 0 is the [`Params`] uniform.
    pub bindings: &'static [Access],
    /// Names of the constants that a variant sets, in front of the source.
    pub constants: &'static [&'static str],
    /// Constants of every variant.
    fixed: &'static [(&'static str, u32)],
}

use Access::{Read, Write};

macro_rules! kernel {
    ($kernel:ident, $name:literal, $weights:expr, [$($access:ident),*], $constants:expr, $fixed:expr) => {
        KernelInfo {
            kernel: Kernel::$kernel,
            name: $name,
            source: include_str!(concat!("../../shaders/", $name, ".wgsl")),
            weights: $weights,
            bindings: &[$($access),*],
            constants: &$constants,
            fixed: &$fixed,
        }
    };
}

/// `plan::TileShape`'s, and elements that a thread loads or stores at once: along filters, and along channels.
const TILE_CONSTANTS: [&str; 7] =
    ["ROWS", "COLUMNS", "THREAD_ROWS", "THREAD_COLUMNS", "WIDTH", "INPUT_WIDTH", "SLICES"];

/// Threads of a workgroup in kernels whose variants don't set it.
pub const THREADS: u32 = 64;
const THREADS_FIXED: [(&str, u32); 1] = [("THREADS", THREADS)];

/// Terms of a sum that a tile takes in workgroup memory at a time.
pub const DEPTH: u32 = 16;
const TILE_FIXED: [(&str, u32); 1] = [("DEPTH", DEPTH)];

/// Every kernel, in the order of [`Kernel`].
pub const KERNELS: [KernelInfo; 23] = [
    kernel!(
        LoopForward,
        "loop_forward",
        true,
        [Read, Read, Read, Read, Write],
        ["IMAGES", "FILTERS", "ACTIVATION", "THREADS", "WIDTH", "INPUT_WIDTH"],
        []
    ),
    kernel!(LoopForwardTiled, "loop_forward_tiled", true, [Read, Read, Read, Read, Write], TILE_CONSTANTS, TILE_FIXED),
    kernel!(
        LoopForwardSplit,
        "loop_forward_split",
        true,
        [Read, Read, Read, Read, Write],
        ["IMAGES", "LANES", "THREADS", "WIDTH", "INPUT_WIDTH"],
        []
    ),
    kernel!(
        LoopGradInput,
        "loop_grad_input",
        true,
        [Read, Read, Read, Write],
        ["IMAGES", "CHANNELS", "THREADS", "WIDTH"],
        []
    ),
    kernel!(LoopGradInputTiled, "loop_grad_input_tiled", true, [Read, Read, Read, Write], TILE_CONSTANTS, TILE_FIXED),
    kernel!(
        LoopGradInputSplit,
        "loop_grad_input_split",
        true,
        [Read, Read, Read, Write],
        ["IMAGES", "LANES", "CHANNELS", "THREADS", "ROWS"],
        []
    ),
    kernel!(
        LoopGradKernel,
        "loop_grad_kernel",
        false,
        [Read, Read, Read, Write],
        ["TAPS", "CHANNELS", "FILTERS", "WIDTH", "INPUT_WIDTH"],
        THREADS_FIXED
    ),
    kernel!(
        LoopGradKernelTiled,
        "loop_grad_kernel_tiled",
        false,
        [Read, Read, Read, Write],
        TILE_CONSTANTS,
        TILE_FIXED
    ),
    kernel!(DenseScatter, "dense_scatter", true, [Read, Read, Write], [], THREADS_FIXED),
    kernel!(DenseGather, "dense_gather", false, [Read, Read, Write], [], THREADS_FIXED),
    kernel!(DenseForward, "dense_forward", false, [Read, Read, Read, Write], TILE_CONSTANTS, TILE_FIXED),
    kernel!(DenseGradInput, "dense_grad_input", false, [Read, Read, Write], TILE_CONSTANTS, TILE_FIXED),
    kernel!(DenseGradKernel, "dense_grad_kernel", false, [Read, Read, Write], TILE_CONSTANTS, TILE_FIXED),
    kernel!(
        SparseForward,
        "sparse_forward",
        true,
        [Read, Read, Read, Read, Write],
        ["IMAGES", "FILTERS", "ACTIVATION", "AHEAD"],
        THREADS_FIXED
    ),
    kernel!(SparseGradInput, "sparse_grad_input", true, [Read, Read, Read, Write], ["IMAGES"], THREADS_FIXED),
    kernel!(SparseGradKernel, "sparse_grad_kernel", false, [Read, Read, Read, Write], ["FILTERS"], THREADS_FIXED),
    kernel!(GradBias, "grad_bias", false, [Read, Write], ["PARTS", "WIDTH"], THREADS_FIXED),
    kernel!(GradBiasShared, "grad_bias_shared", false, [Read, Write], [], THREADS_FIXED),
    kernel!(Activate, "activate", false, [Read, Write], ["ACTIVATION"], THREADS_FIXED),
    kernel!(ActivateGrad, "activate_grad", false, [Read, Read, Write], ["ACTIVATION"], THREADS_FIXED),
    kernel!(Softmax, "softmax", false, [Write], ["LOGARITHM"], THREADS_FIXED),
    kernel!(SoftmaxGrad, "softmax_grad", false, [Read, Read, Write], ["LOGARITHM"], THREADS_FIXED),
    kernel!(Fill, "fill", false, [Write], [], THREADS_FIXED),
];

/// Most constants of a kernel.
pub const MOST_CONSTANTS: usize = 7;

/// A kernel with its constants: what a pipeline is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant {
    /// Which kernel.
    pub kernel: Kernel,
    /// Values of [`KernelInfo::constants`], in their order.
    pub constants: [u32; MOST_CONSTANTS],
    /// How the weights are stored, where the kernel reads them.
    pub dtype: WeightType,
}

impl Kernel {
    /// The kernel's row in the table.
    #[must_use]
    pub fn info(self) -> &'static KernelInfo {
        &KERNELS[self as usize]
    }

    /// The kernel with these constants; missing ones are 0.
    #[must_use]
    pub fn variant(self, constants: &[u32]) -> Variant {
        let mut all = [0; MOST_CONSTANTS];
        for (to, from) in all.iter_mut().zip(constants) {
            *to = *from;
        }
        Variant { kernel: self, constants: all, dtype: WeightType::F32 }
    }
}

impl Variant {
    /// The variant for weights stored as `dtype`; the same where the kernel reads none.
    #[must_use]
    pub fn with_dtype(self, dtype: WeightType) -> Self {
        if self.kernel.info().weights { Self { dtype, ..self } } else { self }
    }

    /// Name for labels and reports: the kernel's with the constants behind it.
    #[must_use]
    pub fn name(&self) -> String {
        let info = self.kernel.info();
        let mut name = info.name.to_owned();
        for (constant, value) in info.constants.iter().zip(self.constants) {
            name.push_str(&format!("_{}{value}", constant.to_lowercase()));
        }
        if self.dtype == WeightType::F16 {
            name.push_str("_f16");
        }
        name
    }

    /// The whole WGSL, and its uniform.
    ///
    /// # Errors
    /// [`Error::Shader`] where a mark of its files can't be obeyed.
    pub fn shader(&self) -> Result<Shader> {
        let info = self.kernel.info();
        let mut constants = info.fixed.to_vec();
        constants.extend(info.constants.iter().copied().zip(self.constants));
        if info.weights {
            constants.push(("WEIGHT_BITS", if self.dtype == WeightType::F16 { 16 } else { 32 }));
        }
        let text = compose::compose(&constants, info.source)
            .map_err(|message| Error::Shader { kernel: self.name(), message })?;
        let uniform = Uniform::read_by(&text);
        Ok(Shader { wgsl: uniform.wgsl() + &text, uniform })
    }
}

/// What a pipeline is compiled from.
#[derive(Debug, Clone)]
pub struct Shader {
    /// WGSL with the entry point `main`.
    pub wgsl: String,
    /// Its binding 0.
    pub uniform: Uniform,
}
