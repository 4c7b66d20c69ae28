//! Memory that may be refused.

use crate::{Error, Result};

/// Zeroes, or an error where there is no memory for them.
pub(super) fn zeroes<T: Copy + Default>(what: &str, count: u64) -> Result<Vec<T>> {
    let none = || Error::OutOfMemory { what: what.to_owned(), bytes: count.saturating_mul(size_of::<T>() as u64) };
    let mut values = Vec::new();
    let count = usize::try_from(count).map_err(|_| none())?;
    values.try_reserve_exact(count).map_err(|_| none())?;
    values.resize(count, T::default());
    Ok(values)
}
