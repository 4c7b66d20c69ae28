//! The table of kernels: every WGSL entry point is a type with its constants as fields, in a file of its own.
//!
//! A kernel's WGSL is `shaders/<name>.wgsl`, and its dispatches are planned in `plan`. `tests/shaders.rs` says which
//! operation of `ops` each kernel computes, or is a step of.

#![cfg_attr(not(feature = "models"), allow(dead_code, reason = "some of it is of kernels of whole models"))]

mod compose;
mod constants;
mod expression;
mod listed;
mod params;
mod prelude;
mod sizes;
mod tap_tables;
mod text;
mod tile;
mod work;

pub use constants::Constants;
pub(crate) use constants::THREADS;
pub use listed::Access;
pub(crate) use listed::{Declared, Kernel};
pub use params::{Params, Uniform};
pub(crate) use sizes::{
    CHANNELS, FILTERS, IMAGES, MOST_FOURS, MOST_SUMS, SPLIT_IMAGES, SPLIT_THREADS, Workgroup, fused_code, width,
};
pub use tap_tables::{tap_tables, tap_tables_length};
pub(crate) use tile::{DEPTH, Tile};
pub use tile::{TILE_SHAPES, TileShape};
#[cfg(feature = "models")]
pub(crate) use update::rules;
pub(crate) use work::{FINISHING, Loads, Work};

use crate::config::{WeightType, codes};
use crate::{Error, Result};

/// The numbers that element-wise activations have in WGSL, by their names there.
pub const ACTIVATION_CODES: &[(&str, u32)] = &codes::ALL;

/// A kernel's row of the table.
#[derive(Debug)]
pub struct KernelInfo {
    /// Name of its files and of its pipelines.
    pub name: &'static str,
    source: &'static str,
    /// Storage bindings 1, 2, … of bind group 0; binding 0 is the [`Uniform`]. In [`KERNELS`] they are those of the
    /// variant that has most.
    pub bindings: &'static [Access],
}

/// Makes the enum of all kernels, their table and the list of their variants, and asks any of them what a `Kernel`
/// tells. The second list is of whole models and their training.
macro_rules! kernels {
    ($($file:ident::$kernel:ident),*; models: $($other:ident::$of_model:ident),* $(,)?) => {
        kernels! { @all $($file::$kernel)* $(#[cfg(feature = "models")] $other::$of_model)* }
    };
    (@all $($(#[$on:meta])? $file:ident::$kernel:ident)*) => {
        $($(#[$on])? mod $file;)*
        $($(#[$on])? pub(crate) use $file::$kernel;)*

        /// Any kernel, with its constants.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum AnyKernel { $($(#[$on])? $kernel($kernel)),* }

        /// Every kernel.
        pub const KERNELS: &[KernelInfo] = &[$($(#[$on])? KernelInfo::of::<$kernel>()),*];

        $($(#[$on])?
        impl $kernel {
            /// The variant, if it is in the kernel's space.
            ///
            /// # Errors
            /// [`Error::NoKernel`] where it isn't.
            pub(crate) fn listed(self) -> Result<Variant> {
                if !self.is_listed() {
                    return Err(Error::NoKernel { kernel: Self::NAME });
                }
                Ok(Variant(AnyKernel::$kernel(self)))
            }
        })*

        /// Every variant that may be planned; the shader tests compile all of them.
        #[must_use]
        pub fn variants() -> Vec<Variant> {
            let mut all = Vec::new();
            $($(#[$on])? $kernel::each(&mut |kernel| all.push(Variant(AnyKernel::$kernel(kernel))));)*
            all
        }

        impl Variant {
            /// Its row of the table.
            #[must_use]
            pub fn info(&self) -> KernelInfo {
                match &self.0 {
                    $($(#[$on])? AnyKernel::$kernel(kernel) => KernelInfo {
                        bindings: kernel.bindings(),
                        ..KernelInfo::of::<$kernel>()
                    }),*
                }
            }

            /// Its constants.
            #[must_use]
            pub fn constants(&self) -> Constants {
                let mut constants = Constants::default();
                match &self.0 { $($(#[$on])? AnyKernel::$kernel(kernel) => kernel.constants(&mut constants)),* }
                constants
            }

            /// What a dispatch does and costs.
            #[must_use]
            pub(crate) fn work(&self, p: &Params, loads: Loads) -> Work {
                match &self.0 { $($(#[$on])? AnyKernel::$kernel(kernel) => kernel.work(p, loads)),* }
            }

            /// Threads of a workgroup.
            #[must_use]
            pub fn threads(&self) -> u32 {
                match &self.0 { $($(#[$on])? AnyKernel::$kernel(kernel) => kernel.threads()),* }
            }

            /// Bytes of workgroup memory.
            #[must_use]
            pub fn workgroup_memory(&self) -> u32 {
                match &self.0 { $($(#[$on])? AnyKernel::$kernel(kernel) => kernel.workgroup_memory()),* }
            }

            /// The tile that a workgroup computes, for kernels that work by tiles.
            #[must_use]
            pub fn tile(&self) -> Option<TileShape> {
                match &self.0 { $($(#[$on])? AnyKernel::$kernel(kernel) => kernel.tile()),* }
            }
        }
    };
}

kernels! {
    loop_forward::LoopForward,
    loop_forward_tiled::LoopForwardTiled,
    loop_forward_split::LoopForwardSplit,
    loop_grad_input::LoopGradInput,
    loop_grad_input_tiled::LoopGradInputTiled,
    loop_grad_input_strips::LoopGradInputStrips,
    loop_grad_input_split::LoopGradInputSplit,
    loop_grad_weights::LoopGradWeights,
    loop_grad_weights_tiled::LoopGradWeightsTiled,
    dense_scatter::DenseScatter,
    dense_gather::DenseGather,
    dense_forward::DenseForward,
    dense_grad_input::DenseGradInput,
    dense_grad_weights::DenseGradWeights,
    sparse_forward::SparseForward,
    sparse_grad_input::SparseGradInput,
    sparse_grad_weights::SparseGradWeights,
    grad_bias::GradBias,
    grad_bias_shared::GradBiasShared,
    activate::Activate,
    activate_grad::ActivateGrad,
    softmax::Softmax,
    softmax_grad::SoftmaxGrad,
    transpose::Transpose,
    fill::Fill;
    models:
    loop_forward_shared::LoopForwardShared,
    loop_grad_weights_shared::LoopGradWeightsShared,
    add_parts::AddParts,
    loop_update::LoopUpdate,
    loop_update_tiled::LoopUpdateTiled,
    update::Update,
    update_1::Update1,
    update_2::Update2,
    update_3::Update3,
    total::Total,
    combine::Combine,
    combine_grad::CombineGrad,
    sum::Sum,
    variance::Variance,
    norm_factor::NormFactor,
    normalise::Normalise,
    normalise_grad::NormaliseGrad,
    layer_norm::LayerNorm,
    layer_norm_grad::LayerNormGrad,
    loss_elements::LossElements,
    loss_rows::LossRows,
    loss_grad_elements::LossGradElements,
    loss_grad_rows::LossGradRows,
    hits_rows::HitsRows,
    random::Random,
    pool::Pool,
    pool_index::PoolIndex,
    pool_grad_first::PoolGradFirst,
    pool_grad_every::PoolGradEvery,
    pool_grad_average::PoolGradAverage,
    reduce::Reduce,
    reduce_ties::ReduceTies,
    reduce_grad_max::ReduceGradMax,
    reduce_grad_average::ReduceGradAverage,
    rearrange::Rearrange,
    concatenate::Concatenate,
    moving_average::MovingAverage,
    penalty_grad::PenaltyGrad,
    clip_scale::ClipScale,
    orthogonal_factors::OrthogonalFactors,
    orthogonal_products::OrthogonalProducts,
    orthogonal_grad::OrthogonalGrad,
    group_squares::GroupSquares,
    join_groups::JoinGroups,
    constrain::Constrain,
    non_negative::NonNegative,
    radial::Radial,
}

/// A listed kernel with its constants: each is one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant(AnyKernel);

impl KernelInfo {
    const fn of<K: Declared>() -> Self {
        Self { name: K::NAME, source: K::SOURCE, bindings: K::BINDINGS }
    }
}

impl Variant {
    /// Name for labels and reports: the kernel's name, followed by its constants.
    #[must_use]
    pub fn name(&self) -> String {
        let constants = self.constants();
        let mut name = self.info().name.to_owned();
        for (constant, value) in constants.named {
            name.push_str(&format!("_{constant}{value}"));
        }
        if constants.weights == Some(WeightType::F16) {
            name.push_str("_f16");
        }
        name
    }

    /// The kernel that updates weights, with `states` states of each, by the gradients that this one sums; none where
    /// no such kernel is compiled.
    #[cfg(feature = "models")]
    pub(crate) fn updating(&self, states: usize) -> Option<Self> {
        let states = u32::try_from(states).ok()?;
        match self.0 {
            AnyKernel::LoopGradWeights(gradient) => LoopUpdate::by(gradient, states).listed().ok(),
            AnyKernel::LoopGradWeightsTiled(LoopGradWeightsTiled { tile }) => {
                LoopUpdateTiled { states, tile }.listed().ok()
            }
            _ => None,
        }
    }

    /// The whole WGSL, and the uniform that it reads.
    ///
    /// # Errors
    /// [`Error::Shader`] where a mark of its files can't be obeyed.
    pub fn shader(&self) -> Result<Shader> {
        let Constants { mut named, derived, .. } = self.constants();
        named.extend(derived);
        if named.iter().all(|(name, _)| *name != "threads") {
            named.push(("threads", self.threads()));
        }
        let text = compose::compose(&named, self.info().source)
            .map_err(|message| Error::Shader { kernel: self.name(), message })?;
        let uniform = Uniform::read_by(&text);
        Ok(Shader { wgsl: uniform.wgsl() + &text, uniform })
    }
}

/// What a pipeline is compiled from, and what it reads at binding 0.
#[derive(Debug, Clone)]
pub struct Shader {
    /// WGSL with the entry point `main`.
    pub wgsl: String,
    /// Its binding 0.
    pub uniform: Uniform,
}
