//! Sizes that 32-bit indices can count.

use crate::{Error, Result};

pub(super) fn fits_u32(what: &'static str, value: u128) -> Result<u64> {
    // One less than 2³²−1, which marks taps outside the input.
    let limit = u64::from(u32::MAX) - 1;
    if value > u128::from(limit) {
        return Err(Error::TooLarge { what, value, limit });
    }
    Ok(value as u64)
}
