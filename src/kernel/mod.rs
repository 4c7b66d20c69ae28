//! THE table of kernels: every WGSL entry point with its source, bindings and workgroup size.
//!
//! A kernel's WGSL is `shaders/<name>.wgsl`, its CPU twin `reference::<name>`, its dispatches are planned in `plan`.

mod params;
mod unroll;

use crate::config::WeightType;
pub use params::{Params, Tables};

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

/// How a kernel reads weights: `shaders/weights_*.wgsl`, of 32 or 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Not at all.
    Unused,
    /// One at a time.
    Scalar,
    /// Four filters at a time.
    Vec4,
    /// As many as the constant `WIDTH` says, 1 or 4.
    Units,
}

/// What the table says of a kernel.
#[derive(Debug)]
pub struct KernelInfo {
    /// Which kernel.
    pub kernel: Kernel,
    /// Name of the file in `shaders/`, of the CPU twin and of the pipeline.
    pub name: &'static str,
    /// WGSL behind the prelude.
    source: &'static str,
    /// WGSL between `params.wgsl` and the kernel's own.
    prelude: &'static [&'static str],
    /// How the kernel reads the weights, which are binding 1 then.
    pub weights: Weights,
    /// Storage bindings 1, 2, … of group 0; binding 0 is the [`Params`] uniform.
    pub bindings: &'static [Access],
    /// Names of the constants that a variant sets, in front of the source.
    pub constants: &'static [&'static str],
}

use Access::{Read, Write};

const PARAMS: &str = include_str!("../../shaders/params.wgsl");
const ACTIVATION: &str = include_str!("../../shaders/activation.wgsl");
const FINISH_STORED: &str = include_str!("../../shaders/finish_stored.wgsl");
const WINDOW: &str = include_str!("../../shaders/window.wgsl");
const READERS: &str = include_str!("../../shaders/readers.wgsl");
const TILE: &str = include_str!("../../shaders/tile.wgsl");
const TILE_LOAD: &str = include_str!("../../shaders/tile_load.wgsl");
const TILE_OUTPUT: &str = include_str!("../../shaders/tile_output.wgsl");
const TILE_GRADIENT: &str = include_str!("../../shaders/tile_gradient.wgsl");
const CELL_PRODUCT: &str = include_str!("../../shaders/cell_product.wgsl");
const DENSE_COLUMNS: &str = include_str!("../../shaders/dense_columns.wgsl");
const SPARSE_INDEX: &str = include_str!("../../shaders/sparse_index.wgsl");
const DERIVATIVE: &str = include_str!("../../shaders/activation_derivative.wgsl");

macro_rules! kernel {
    ($kernel:ident, $name:literal, $weights:ident, [$($prelude:expr),*], [$($access:ident),*], $constants:expr) => {
        KernelInfo {
            kernel: Kernel::$kernel,
            name: $name,
            source: include_str!(concat!("../../shaders/", $name, ".wgsl")),
            prelude: &[$($prelude),*],
            weights: Weights::$weights,
            bindings: &[$($access),*],
            constants: &$constants,
        }
    };
}

/// `plan::TileShape`'s, and elements that a thread loads or stores at once: along filters, and along channels.
const TILE_CONSTANTS: [&str; 7] =
    ["ROWS", "COLUMNS", "THREAD_ROWS", "THREAD_COLUMNS", "WIDTH", "INPUT_WIDTH", "SLICES"];

/// Every kernel, in the order of [`Kernel`].
pub const KERNELS: [KernelInfo; 23] = [
    kernel!(
        LoopForward,
        "loop_forward",
        Units,
        [WINDOW, ACTIVATION, FINISH_STORED],
        [Read, Read, Read, Read, Write],
        ["IMAGES", "FILTERS", "ACTIVATION", "THREADS", "WIDTH", "INPUT_WIDTH"]
    ),
    kernel!(
        LoopForwardTiled,
        "loop_forward_tiled",
        Units,
        [TILE, TILE_LOAD, TILE_OUTPUT, FINISH_STORED, CELL_PRODUCT, WINDOW, ACTIVATION],
        [Read, Read, Read, Read, Write],
        TILE_CONSTANTS
    ),
    kernel!(
        LoopForwardSplit,
        "loop_forward_split",
        Units,
        [WINDOW, ACTIVATION],
        [Read, Read, Read, Read, Write],
        ["IMAGES", "LANES", "THREADS", "WIDTH", "INPUT_WIDTH"]
    ),
    kernel!(
        LoopGradInput,
        "loop_grad_input",
        Units,
        [],
        [Read, Read, Read, Write],
        ["IMAGES", "CHANNELS", "THREADS", "WIDTH"]
    ),
    kernel!(
        LoopGradInputTiled,
        "loop_grad_input_tiled",
        Units,
        [TILE, TILE_LOAD, TILE_GRADIENT, READERS],
        [Read, Read, Read, Write],
        TILE_CONSTANTS
    ),
    kernel!(
        LoopGradInputSplit,
        "loop_grad_input_split",
        Vec4,
        [READERS],
        [Read, Read, Read, Write],
        ["IMAGES", "LANES", "CHANNELS", "THREADS", "ROWS"]
    ),
    kernel!(
        LoopGradKernel,
        "loop_grad_kernel",
        Unused,
        [WINDOW],
        [Read, Read, Read, Write],
        ["TAPS", "CHANNELS", "FILTERS", "WIDTH", "INPUT_WIDTH"]
    ),
    kernel!(
        LoopGradKernelTiled,
        "loop_grad_kernel_tiled",
        Unused,
        [TILE, TILE_LOAD, TILE_GRADIENT, CELL_PRODUCT, WINDOW],
        [Read, Read, Read, Write],
        TILE_CONSTANTS
    ),
    kernel!(DenseScatter, "dense_scatter", Scalar, [WINDOW], [Read, Read, Write], []),
    kernel!(DenseGather, "dense_gather", Unused, [WINDOW], [Read, Read, Write], []),
    kernel!(
        DenseForward,
        "dense_forward",
        Unused,
        [TILE, TILE_LOAD, TILE_OUTPUT, FINISH_STORED, DENSE_COLUMNS, ACTIVATION],
        [Read, Read, Read, Write],
        TILE_CONSTANTS
    ),
    kernel!(
        DenseGradInput,
        "dense_grad_input",
        Unused,
        [TILE, TILE_LOAD, TILE_GRADIENT, DENSE_COLUMNS],
        [Read, Read, Write],
        TILE_CONSTANTS
    ),
    kernel!(
        DenseGradKernel,
        "dense_grad_kernel",
        Unused,
        [TILE, TILE_LOAD, TILE_GRADIENT, DENSE_COLUMNS],
        [Read, Read, Write],
        TILE_CONSTANTS
    ),
    kernel!(
        SparseForward,
        "sparse_forward",
        Scalar,
        [SPARSE_INDEX, ACTIVATION],
        [Read, Read, Read, Read, Write],
        ["IMAGES", "FILTERS", "ACTIVATION", "AHEAD"]
    ),
    kernel!(SparseGradInput, "sparse_grad_input", Scalar, [SPARSE_INDEX], [Read, Read, Read, Write], ["IMAGES"]),
    kernel!(SparseGradKernel, "sparse_grad_kernel", Unused, [SPARSE_INDEX], [Read, Read, Read, Write], ["FILTERS"]),
    kernel!(GradBias, "grad_bias", Unused, [], [Read, Write], ["PARTS", "WIDTH"]),
    kernel!(GradBiasShared, "grad_bias_shared", Unused, [], [Read, Write], []),
    kernel!(Activate, "activate", Unused, [ACTIVATION], [Read, Write], ["ACTIVATION"]),
    kernel!(ActivateGrad, "activate_grad", Unused, [ACTIVATION, DERIVATIVE], [Read, Read, Write], ["ACTIVATION"]),
    kernel!(Softmax, "softmax", Unused, [], [Write], ["LOGARITHM"]),
    kernel!(SoftmaxGrad, "softmax_grad", Unused, [], [Read, Read, Write], ["LOGARITHM"]),
    kernel!(Fill, "fill", Unused, [], [Write], []),
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
        match self.kernel.info().weights {
            Weights::Unused => self,
            Weights::Scalar | Weights::Vec4 | Weights::Units => Self { dtype, ..self },
        }
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

    /// The whole WGSL, with loops of constant length written out, so that no compiler has to.
    #[must_use]
    pub fn wgsl(&self) -> String {
        unroll::unroll(&self.source())
    }

    /// The whole WGSL as it is written: params, constants, prelude, kernel.
    #[must_use]
    pub fn source(&self) -> String {
        let info = self.kernel.info();
        let mut wgsl = String::new();
        let mut fours = info.weights == Weights::Vec4;
        wgsl.push_str(PARAMS);
        for (name, value) in info.constants.iter().zip(self.constants) {
            wgsl.push_str(&format!("const {name} = {value}u;\n"));
            wgsl.push_str(match (*name, value) {
                ("WIDTH", 4) => include_str!("../../shaders/units_vec4.wgsl"),
                ("WIDTH", _) => include_str!("../../shaders/units_scalar.wgsl"),
                ("INPUT_WIDTH", 4) => include_str!("../../shaders/inputs_vec4.wgsl"),
                ("INPUT_WIDTH", _) => include_str!("../../shaders/inputs_scalar.wgsl"),
                _ => "",
            });
            fours |= *name == "WIDTH" && value == 4;
        }
        wgsl.push_str(match (info.weights, fours, self.dtype) {
            (Weights::Unused, ..) => "",
            (_, false, WeightType::F32) => include_str!("../../shaders/weights_f32.wgsl"),
            (_, false, WeightType::F16) => include_str!("../../shaders/weights_f16.wgsl"),
            (_, true, WeightType::F32) => include_str!("../../shaders/weights_vec4_f32.wgsl"),
            (_, true, WeightType::F16) => include_str!("../../shaders/weights_vec4_f16.wgsl"),
        });
        for part in info.prelude {
            wgsl.push_str(part);
        }
        wgsl.push_str(info.source);
        wgsl
    }
}
