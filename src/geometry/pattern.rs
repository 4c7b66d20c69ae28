//! Arbitrary connectivity given by the user, as data.

use super::size::fits_u32;
use crate::room::{check_room, room, zeroes};
use crate::{Error, Result};
use std::sync::Arc;

/// What is said where they don't fit.
const WHAT: &str = "the tables of a pattern";

/// Which input elements each row of outputs reads: a sparse matrix in compressed rows, without the values.
///
/// A row is one output location with all its filters. An entry is one connected input, with a weight for each filter.
/// In GenNet's gene layers rows are genes, and a gene's entries are its SNPs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    inputs: u32,
    starts: Arc<[u32]>,
    columns: Vec<u32>,
    most_readers: u32,
}

/// The most rows that read one input. Inputs may be many more than connections: then these are sorted, since counts of all inputs would
/// take more memory than all else.
fn most_readers(inputs: usize, columns: &[u32]) -> Result<u32> {
    if inputs <= columns.len() {
        let mut counts: Vec<u32> = zeroes(WHAT, inputs as u64)?;
        columns.iter().for_each(|&column| counts[column as usize] += 1);
        return Ok(counts.into_iter().max().unwrap_or(0));
    }
    let mut sorted = room(WHAT, columns.len() as u64)?;
    sorted.extend(columns);
    sorted.sort_unstable();
    Ok(sorted.chunk_by(u32::eq).map(|of_one| of_one.len() as u32).max().unwrap_or(0))
}

impl Pattern {
    fn new(inputs: usize, starts: Vec<u32>, columns: Vec<u32>) -> Result<Self> {
        let most_readers = most_readers(inputs, &columns)?;
        // What is shared is copied once, by what can't be refused.
        check_room(WHAT, starts.len() as u64)?;
        Ok(Self { inputs: inputs as u32, starts: starts.into(), columns, most_readers })
    }

    /// From connections `(row, input)` of `rows` rows to `inputs` inputs. Weights are ordered by row and, within a row,
    /// as given here; the second result says where each connection went. 500,000 connections take milliseconds.
    ///
    /// # Errors
    /// [`Error::Shape`] for a pair out of range; [`Error::InputAxis`] without rows or inputs;
    /// [`Error::OutOfMemory`] where its tables don't fit.
    pub fn from_coo(rows: usize, inputs: usize, pairs: &[(u32, u32)]) -> Result<(Self, Vec<u32>)> {
        Self::check_sizes(rows, inputs, pairs.len())?;
        let mut starts: Vec<u32> = zeroes(WHAT, rows as u64 + 1)?;
        for &(row, input) in pairs {
            if row as usize >= rows || input as usize >= inputs {
                return Err(Error::Shape {
                    what: format!("the connection (row {row}, input {input})"),
                    expected: format!("rows below {rows} and inputs below {inputs}"),
                    found: vec![row as usize, input as usize],
                });
            }
            starts[row as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut columns = zeroes(WHAT, pairs.len() as u64)?;
        let mut order = room(WHAT, pairs.len() as u64)?;
        // Where a row begins moves to where the next one does.
        order.extend(pairs.iter().map(|&(row, input)| {
            let slot = starts[row as usize];
            starts[row as usize] += 1;
            columns[slot as usize] = input;
            slot
        }));
        starts.copy_within(..rows, 1);
        starts[0] = 0;
        Ok((Self::new(inputs, starts, columns)?, order))
    }

    /// From compressed rows: row `r` reads the inputs `columns[starts[r]..starts[r + 1]]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the starts don't ascend from 0 to the number of columns, or a column is out of range;
    /// [`Error::OutOfMemory`].
    pub fn from_csr(inputs: usize, starts: Vec<u32>, columns: Vec<u32>) -> Result<Self> {
        let rows = starts.len().saturating_sub(1);
        Self::check_sizes(rows, inputs, columns.len())?;
        let ascends = starts.first() == Some(&0)
            && starts.windows(2).all(|pair| pair[0] <= pair[1])
            && starts.last().is_some_and(|&end| end as usize == columns.len());
        if !ascends || columns.iter().any(|&column| column as usize >= inputs) {
            return Err(Error::Shape {
                what: "the compressed rows".into(),
                expected: format!("starts ascending from 0 to {} and columns below {inputs}", columns.len()),
                found: vec![starts.len(), columns.len()],
            });
        }
        Self::new(inputs, starts, columns)
    }

    /// From a mask `[inputs][rows]` (the orientation of a dense kernel in Keras): true where an input is connected.
    ///
    /// # Errors
    /// [`Error::Length`] if the mask has another size.
    pub fn from_mask(rows: usize, inputs: usize, mask: &[bool]) -> Result<Self> {
        Self::check_sizes(rows, inputs, 0)?;
        if mask.len() as u128 != rows as u128 * inputs as u128 {
            let (expected, found) = ((rows as u64).saturating_mul(inputs as u64), mask.len() as u64);
            return Err(Error::Length { what: "mask", expected, found, shape: vec![inputs, rows] });
        }
        let pairs: Vec<(u32, u32)> = mask
            .chunks_exact(rows)
            .zip(0u32..)
            .flat_map(|(row, input)| row.iter().zip(0u32..).filter(|(on, _)| **on).map(move |(_, r)| (r, input)))
            .collect();
        Ok(Self::from_coo(rows, inputs, &pairs)?.0)
    }

    fn check_sizes(rows: usize, inputs: usize, connections: usize) -> Result<()> {
        if rows == 0 || inputs == 0 {
            return Err(Error::InputAxis { axis: usize::from(rows > 0), shape: vec![rows, inputs] });
        }
        fits_u32("the number of rows", rows as u128)?;
        fits_u32("the number of inputs", inputs as u128)?;
        fits_u32("the number of connections", connections as u128).map(drop)
    }

    /// Number of inputs.
    #[must_use]
    pub fn inputs(&self) -> u32 {
        self.inputs
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    /// Number of connections.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.columns.len() as u32
    }

    /// `[rows + 1]`: first entry of each row.
    #[must_use]
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Entries of the longest row.
    pub(crate) fn most_entries(&self) -> u64 {
        self.starts.windows(2).map(|pair| u64::from(pair[1] - pair[0])).max().unwrap_or(0)
    }

    /// The most rows that read one input.
    pub(crate) fn most_readers(&self) -> u64 {
        self.most_readers.into()
    }

    /// [`Pattern::starts`], shared.
    pub(crate) fn shared_starts(&self) -> Arc<[u32]> {
        self.starts.clone()
    }

    /// The input of each entry.
    #[must_use]
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_counted_among_few_inputs_and_many() {
        let pairs = [(0, 2), (1, 2), (1, 0), (2, 2), (0, 1)];
        for inputs in [3, 5, 6, 1_000_000] {
            let most = Pattern::from_coo(3, inputs, &pairs).map(|(pattern, _)| pattern.most_readers());
            assert_eq!(most, Ok(3), "{inputs} inputs");
        }
        assert_eq!(Pattern::from_coo(3, 5, &[]).map(|(pattern, _)| pattern.most_readers()), Ok(0));
    }
}
