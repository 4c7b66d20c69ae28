//! What a kernel declares: its WGSL, its bindings, its constants, and all values that they may have.

use super::work::joined;
use super::{Constants, Loads, Params, THREADS, TileShape, Work};

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// The declaration of a kernel, the same for all values of its constants; written by the macro `kernel!`.
pub(crate) trait Declared: Copy {
    /// Name of its files and of its pipelines.
    const NAME: &'static str;
    /// `shaders/<name>.wgsl`, as it is written.
    const SOURCE: &'static str;
    /// Storage bindings 1, 2, … of bind group 0; binding 0 is its [`Uniform`](super::Uniform).
    const BINDINGS: &'static [Access];

    /// Visits each kernel of its space: all combinations of constants that it is compiled for.
    fn each(visit: &mut dyn FnMut(Self));

    /// Whether it is in its space.
    fn is_listed(&self) -> bool;

    /// Adds its fields to the constants.
    fn constants(&self, to: &mut Constants);
}

/// A kernel: a WGSL entry point, its constants as named fields.
///
/// The planner takes listed kernels only, since a [`Variant`](super::Variant) is made from nothing else. So nothing is
/// planned that the tests don't compile.
pub(crate) trait Kernel: Declared {
    /// Values that `join_all.wgsl` joins for each thread of a workgroup: none or one.
    const JOINED: u32 = 0;

    /// What a dispatch of it does and costs.
    fn work(&self, p: &Params, loads: Loads) -> Work;

    /// The storage bindings of this variant: the first ones of the kernel's.
    fn bindings(&self) -> &'static [Access] {
        Self::BINDINGS
    }

    /// Threads of a workgroup.
    fn threads(&self) -> u32 {
        self.tile().map_or(THREADS, TileShape::threads)
    }

    /// Bytes of workgroup memory.
    fn workgroup_memory(&self) -> u32 {
        self.tile().map_or(joined(Self::JOINED, THREADS, 1), TileShape::memory)
    }

    /// The tile of a product that a workgroup computes, for kernels that work by tiles.
    fn tile(&self) -> Option<TileShape> {
        None
    }
}

/// Declares a kernel: `Name: "name", [bindings], field: type in values, …; if a function of it`. Its fields become
/// constants of its WGSL, in capitals. Its space is all combinations of their values for which the function, if there
/// is one, holds.
macro_rules! kernel {
    (
        $(#[$doc:meta])* $kernel:ident: $name:literal, [$($access:ident),*]
        $(, $(#[$field_doc:meta])* $field:ident: $type:ident in $values:expr)*
        $(; if $fits:expr)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) struct $kernel { $($(#[$field_doc])* pub(crate) $field: $type),* }

        impl crate::kernels::listed::Declared for $kernel {
            const NAME: &'static str = $name;
            const SOURCE: &'static str = crate::kernels::text::text!("../../shaders/", $name, ".wgsl");
            const BINDINGS: &'static [crate::kernels::Access] = &[$(crate::kernels::Access::$access),*];

            fn each(visit: &mut dyn FnMut(Self)) {
                let fits: &[fn(&Self) -> bool] = &[$($fits)?];
                crate::kernels::constants::every!($($field in $values),* => {
                    let kernel = Self { $($field),* };
                    if fits.iter().all(|fits| fits(&kernel)) {
                        visit(kernel);
                    }
                });
            }

            fn is_listed(&self) -> bool {
                let fits: &[fn(&Self) -> bool] = &[$($fits)?];
                $(crate::kernels::constants::Constant::is_among(&self.$field, $values) &&)* fits.iter().all(|fits| fits(self))
            }

            #[allow(unused_variables, reason = "a kernel may have no constant")]
            fn constants(&self, to: &mut crate::kernels::Constants) {
                $(crate::kernels::constants::Constant::put(self.$field, stringify!($field), to);)*
            }
        }
    };
}
pub(super) use kernel;

#[cfg(test)]
mod tests {
    use super::super::GradBias;
    use crate::Error;

    #[test]
    fn what_is_not_listed_is_no_variant() {
        let listed = GradBias { parts: 8, width: 4 }.listed();
        assert_eq!(listed.map(|variant| variant.name()), Ok("grad_bias_parts8_width4".into()));
        let refused = GradBias { parts: 3, width: 4 }.listed();
        assert_eq!(refused, Err(Error::NoKernel { kernel: "grad_bias" }));
    }
}
