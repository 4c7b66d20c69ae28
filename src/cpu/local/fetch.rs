//! What is fetched from memory before it is needed: products then needn't wait for it.

use crate::cpu::stream::LINE;

/// Whether anything is fetched on this processor.
pub(super) const FETCHES: bool = cfg!(target_arch = "x86_64");

/// How many numbers before they are written their lines are fetched. Stores wait for memory otherwise: it first gives what was there.
pub(super) const WRITTEN_AHEAD: usize = 512;

/// Fetches a line of the cache to the second level, wherever that is.
#[inline(always)]
pub(super) fn fetch(place: *const f32) {
    fetch_to::<false>(place);
}

/// Fetches a line of the cache to the first level, wherever that is: for what is read very soon.
#[inline(always)]
pub(super) fn fetch_near(place: *const f32) {
    fetch_to::<true>(place);
}

#[inline(always)]
fn fetch_to<const FIRST_LEVEL: bool>(place: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch of any place, within memory or not, is allowed and changes nothing.
        unsafe {
            if FIRST_LEVEL {
                _mm_prefetch::<_MM_HINT_T0>(place.cast());
            } else {
                _mm_prefetch::<_MM_HINT_T1>(place.cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Fetches the lines of the cache of neighbouring numbers, wherever they are.
#[inline(always)]
pub(super) fn fetch_lines(first: *const f32, count: usize) {
    for number in (0..count).step_by(LINE) {
        fetch(first.wrapping_add(number));
    }
}

/// Fetches the lines of the cache of neighbouring numbers, which will be written.
#[inline(always)]
pub(super) fn fetch_lines_to_write(first: *const f32, count: usize) {
    for number in (0..count).step_by(LINE) {
        fetch_to_write::<1>(first.wrapping_add(number), LINE);
    }
}

/// Fetches the lines of the cache that vectors of `lanes` numbers lie in from a place on, which will be written.
#[inline(always)]
pub(super) fn fetch_to_write<const VECTORS: usize>(place: *const f32, lanes: usize) {
    #[cfg(target_arch = "x86_64")]
    for vector in 0..VECTORS {
        let line = place.wrapping_add(vector * lanes);
        // SAFETY: a prefetch of any place changes nothing. Processors without this one do nothing.
        unsafe { std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (place, lanes);
}
