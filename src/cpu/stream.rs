//! Stores past the caches, for results larger than what caches keep.
//!
//! An ordinary store first fetches its line of the cache from memory, since it might write only a part of it. A large result is gone
//! from the caches before anything reads it, so that this was for nothing. Stores past the caches write whole lines, and read none.

/// Whether processors of this architecture have such stores.
pub(super) const STREAMS: bool = cfg!(target_arch = "x86_64");

/// Numbers in a line of the cache.
pub(super) const LINE: usize = 16;

/// Results of so many numbers leave the caches before they are read again. A single result of three times as many stays in a large cache,
/// but not beside the weights that a pass reads for it.
const LARGE: u64 = 8 << 20;

/// From how many numbers on this processor writes results past its caches, if it does: on Intel's that is faster, on AMD's it was slower
/// (docs/performance.md).
pub(super) fn fastest() -> Option<u64> {
    is_intel().then_some(LARGE)
}

fn is_intel() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        #[allow(unused_unsafe, reason = "this was unsafe in Rust 1.89, which we build with, too")]
        // SAFETY: every processor of this architecture has the instruction.
        let vendor = unsafe { std::arch::x86_64::__cpuid(0) };
        [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Copies neighbouring numbers past the caches, where their place begins as such stores ask.
#[inline(always)]
pub(super) fn store(values: &[f32], place: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
        /// Numbers of a store. There are longer ones, but results begin at multiples of these at best.
        const STORE: usize = 4;
        if place.as_ptr().addr().is_multiple_of(STORE * size_of::<f32>()) {
            let (values, last) = values.as_chunks::<STORE>();
            let (places, last_place) = place.as_chunks_mut::<STORE>();
            for (values, place) in values.iter().zip(places) {
                // SAFETY: both have four numbers, and the place begins at a multiple of their bytes.
                unsafe { _mm_stream_ps(place.as_mut_ptr(), _mm_loadu_ps(values.as_ptr())) };
            }
            return last_place.copy_from_slice(last);
        }
    }
    place.copy_from_slice(values);
}

/// Ends stores past the caches: without, another thread could still see what was there before.
#[inline(always)]
pub(super) fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it waits for stores, and does nothing else.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_copied_wherever_lines_begin() {
        for first in 0..17 {
            for length in [0, 1, 3, 15, 16, 17, 40, 100] {
                let values: Vec<f32> = (0..length).map(|i| i as f32).collect();
                let mut all = [-1.0; 120];
                store(&values, &mut all[first..first + length]);
                fence();
                let copied = |i| if (first..first + length).contains(&i) { (i - first) as f32 } else { -1.0 };
                assert!(all.into_iter().eq((0..120).map(copied)), "{length} from {first} on");
            }
        }
    }
}
