//! The rows of groups of weights, in the order in which they are summed.

use super::Groups;
use crate::Result;
use crate::room::{reserve, room, zeroes};
use std::ops::Range;

/// The rows of some groups, in ascending order and in parts. Each part is summed by itself, and the sums of a group's
/// parts are added in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    /// The groups' numbers.
    pub(crate) groups: Vec<u32>,
    /// The first part of each group, followed by the number of all parts.
    pub(crate) parts: Vec<u32>,
    /// Where each part's rows begin in `rows`, followed by the number of all rows.
    pub(crate) starts: Vec<u32>,
    /// Rows, counted from the first one that was asked for.
    pub(crate) rows: Vec<u32>,
}

impl Groups {
    /// The members of the groups among some rows, in parts of at most `most` rows.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn members(&self, rows: Range<usize>, most: usize) -> Result<Members> {
        let what = "the rows of groups of weights";
        let own = &self.of_row()[rows];
        let mut next = zeroes(what, self.count().into())?;
        let there = || own.iter().zip(0u32..).filter(|(group, _)| **group != Self::NONE);
        there().for_each(|(group, _)| next[*group as usize] += 1);
        let (mut groups, mut first_parts) =
            (room(what, self.count().into())?, room(what, u64::from(self.count()) + 1)?);
        first_parts.push(0);
        let (mut starts, mut all) = (vec![0], 0u32);
        for (count, group) in next.iter_mut().zip(0..).filter(|(count, _)| **count > 0) {
            let end = all + *count;
            let parts = (all..end).step_by(most.max(1)).map(|first| end.min(first.saturating_add(most as u32)));
            reserve(what, &mut starts, parts.len())?;
            starts.extend(parts);
            groups.push(group);
            first_parts.push(starts.len() as u32 - 1);
            *count = all;
            all = end;
        }
        let mut rows = zeroes(what, all.into())?;
        for (group, row) in there() {
            let at = &mut next[*group as usize];
            rows[*at as usize] = row;
            *at += 1;
        }
        Ok(Members { groups, parts: first_parts, starts, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    #[test]
    fn members_are_in_parts() -> Result<()> {
        let groups = Groups::new(vec![1, 0, 1, Groups::NONE, 1, 0, 2], false)?;
        let members = groups.members(0..7, 2)?;
        assert_eq!(members.groups, [0, 1, 2]);
        assert_eq!(members.rows, [1, 5, 0, 2, 4, 6]);
        assert_eq!(members.starts, [0, 2, 4, 5, 6]);
        assert_eq!(members.parts, [0, 1, 3, 4]);
        let some = groups.members(2..5, 9)?;
        assert_eq!((some.groups, some.rows, some.starts, some.parts), (vec![1], vec![0, 2], vec![0, 2], vec![0, 1]));
        Ok(())
    }
}
