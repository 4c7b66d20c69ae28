//! Memory of the host's that may be refused: Rust's own lists end the program where there is none.

use crate::{Error, Result};

/// An empty list with room for so many values, or an error where there is no memory for them.
pub(crate) fn room<T>(what: &str, count: u64) -> Result<Vec<T>> {
    let none = || Error::OutOfMemory { what: what.to_owned(), bytes: count.saturating_mul(size_of::<T>() as u64) };
    let mut values = Vec::new();
    let count = usize::try_from(count).map_err(|_| none())?;
    values.try_reserve_exact(count).map_err(|_| none())?;
    Ok(values)
}

/// Zeroes, or an error where there is no memory for them.
pub(crate) fn zeroes<T: Copy + Default>(what: &str, count: u64) -> Result<Vec<T>> {
    let mut values = room(what, count)?;
    values.resize(count as usize, T::default());
    Ok(values)
}

/// Makes room for so many values more in a list that grows, or an error where there is no memory for them.
#[cfg(feature = "models")]
pub(crate) fn reserve<T>(what: &str, values: &mut Vec<T>, more: usize) -> Result<()> {
    // Lists grow by doubling.
    let count = (values.len() as u64).saturating_add(more as u64).max(2 * values.capacity() as u64);
    let bytes = count.saturating_mul(size_of::<T>() as u64);
    values.try_reserve(more).map_err(|_| Error::OutOfMemory { what: what.to_owned(), bytes })
}

/// Asks for the memory of so many words, and gives it back: before the few things that can't be asked for.
pub(crate) fn check_room(what: &str, words: u64) -> Result<()> {
    room::<u32>(what, words).map(drop)
}
