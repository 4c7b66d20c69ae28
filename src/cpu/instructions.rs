//! Which of the processor's vector instructions are used.

use pulp::{Arch, WithSimd};

/// A set of vector instructions.
///
/// All of them take every sum in the same order. `Avx512`, `Avx2` and `Neon` round once after multiplying and adding,
/// and give the same bits as each other. `Portable` and a browser's `Simd128` round twice, and give the same bits as
/// each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Instructions {
    /// One number at a time, on any processor. Far slower than the others. Not in WebAssembly that is built for [`Simd128`](Self::Simd128).
    Portable,
    /// 8 numbers at a time: x86-64 of 2013 and later.
    Avx2,
    /// 16 numbers at a time: x86-64 servers of 2017 and later, and others.
    Avx512,
    /// 4 numbers at a time: 64-bit ARM.
    Neon,
    /// 4 numbers at a time: WebAssembly that is built with `-C target-feature=+simd128`.
    Simd128,
}

impl Instructions {
    /// The best that this processor has.
    #[must_use]
    pub fn best() -> Self {
        match best() {
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Arch::V4(_) => Self::Avx512,
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Arch::V3(_) => Self::Avx2,
            #[cfg(target_arch = "aarch64")]
            Arch::Neon(_) => Self::Neon,
            #[cfg(target_family = "wasm")]
            Arch::Simd128(_) => Self::Simd128,
            _ => Self::Portable,
        }
    }

    /// All that this processor has, the best first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let all = [Self::Avx512, Self::Avx2, Self::Neon, Self::Simd128, Self::Portable];
        all.into_iter().filter(|instructions| instructions.arch().is_some()).collect()
    }

    /// The proof that the processor has them, if it has.
    fn arch(self) -> Option<Arch> {
        match self {
            // A module with vectors runs nowhere without them: code for both would make it a quarter longer.
            Self::Portable => (!SIMD128).then_some(Arch::Scalar),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            Self::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().map(Arch::Neon),
            #[cfg(target_family = "wasm")]
            Self::Simd128 => SIMD128.then(best),
            _ => None,
        }
    }

    /// Runs `work` with these instructions, or with the best ones if the processor doesn't have them. Apart, so that what calls it from
    /// several places has the code of `work` once.
    #[inline(never)]
    pub(super) fn run<W: WithSimd>(self, work: W) -> W::Output {
        self.arch().unwrap_or_else(best).dispatch(work)
    }
}

/// Whether all of this is compiled for WebAssembly's vectors. `pulp` asks at run time, and its answer is that of its own compilation.
const SIMD128: bool = cfg!(all(target_family = "wasm", target_feature = "simd128"));

#[inline(always)]
fn best() -> Arch {
    #[cfg(target_family = "wasm")]
    if SIMD128 {
        // SAFETY: this is compiled for them.
        return Arch::Simd128(unsafe { pulp::wasm::Simd128::new_unchecked() });
    }
    Arch::new()
}
