//! 16-bit floats as 32-bit ones.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Widens all of `values` into as many places.
///
/// # Panics
/// If there are more places, or fewer.
pub(super) fn widen(values: &[f16], places: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("f16c") && is_x86_feature_detected!("avx") && values.len() == places.len() {
        // SAFETY: the processor has the instructions, and by the second the system keeps their registers.
        return unsafe { f16c(values, places) };
    }
    values.convert_to_f32_slice(places);
}

/// Eight numbers an instruction. The crate `half` does as much in each call, and one that isn't compiled in place: it took four times
/// as long.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
fn f16c(values: &[f16], places: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    const AT_ONCE: usize = 8;
    let (values, last_values) = values.as_chunks::<AT_ONCE>();
    let (places, last_places) = places.as_chunks_mut::<AT_ONCE>();
    for (values, place) in values.iter().zip(places) {
        // SAFETY: both have eight numbers.
        unsafe { _mm256_storeu_ps(place.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast()))) };
    }
    last_values.convert_to_f32_slice(last_places);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_are_widened_exactly() {
        let values: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        for count in [0, 1, 7, 8, 9, values.len()] {
            let mut places = vec![-1.0; count];
            widen(&values[..count], &mut places);
            for (value, place) in values.iter().zip(places) {
                assert!(value.to_f32() == place || value.is_nan() && place.is_nan(), "{value:?} is {place}");
            }
        }
    }
}
