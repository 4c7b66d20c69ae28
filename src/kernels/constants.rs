//! A kernel's constants: their types, and lists of their values.

use crate::config::{How, WeightType};

/// Threads of a workgroup, unless a kernel says otherwise.
pub(crate) const THREADS: u32 = 64;

/// A kernel's constants, which are written in front of its WGSL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Constants {
    /// The constants in its variants' names, in small letters.
    pub named: Vec<(&'static str, u32)>,
    /// Constants that follow from the named ones.
    pub derived: Vec<(&'static str, u32)>,
    /// How its weights are stored, if it reads any.
    pub weights: Option<WeightType>,
}

/// A field that becomes a constant in WGSL, or several.
pub(super) trait Constant: PartialEq + Sized {
    /// Adds it under the field's name.
    fn put(self, name: &'static str, to: &mut Constants);

    /// Whether it is one of these.
    fn is_among(&self, values: impl IntoIterator<Item = Self>) -> bool {
        values.into_iter().any(|value| value == *self)
    }
}

impl Constant for u32 {
    fn put(self, name: &'static str, to: &mut Constants) {
        to.named.push((name, self));
    }
}

impl Constant for How {
    fn put(self, name: &'static str, to: &mut Constants) {
        to.named.push((name, self.code()));
    }
}

impl Constant for bool {
    fn put(self, name: &'static str, to: &mut Constants) {
        to.named.push((name, self.into()));
    }
}

impl Constant for WeightType {
    fn put(self, _: &'static str, to: &mut Constants) {
        to.weights = Some(self);
        to.derived.push(("weight_bits", if self == Self::F16 { 16 } else { 32 }));
    }
}

/// Goes through all combinations of values: `every!(a in A, b in B => what)`.
macro_rules! every {
    (=> $what:expr) => { $what };
    ($name:ident in $values:expr $(, $other:ident in $others:expr)* => $what:expr) => {
        for $name in $values {
            crate::kernels::constants::every!($($other in $others),* => $what);
        }
    };
}
pub(super) use every;
