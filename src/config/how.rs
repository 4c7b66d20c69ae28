//! How two values are combined, for operations and for kernels.

/// How two values are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum How {
    /// `a + b`; also for several gradients of one value.
    Add,
    /// `a − b`.
    Subtract,
    /// `a · b`.
    Multiply,
    /// The larger; NaN where either is.
    Maximum,
    /// The smaller; NaN where either is.
    Minimum,
    /// `a` where it is positive, else `a · b`: Keras's `PReLU`, `b` its slopes.
    PRelu,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Add, Self::Subtract, Self::Multiply, Self::Maximum, Self::Minimum, Self::PRelu];

    /// Its code in `shaders/shared/operands.wgsl`.
    #[must_use]
    pub(crate) const fn code(self) -> u32 {
        self as u32
    }
}
