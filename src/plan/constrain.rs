//! Plans of constraints: norms of groups of weights, and weights with the norms that they are to have.

use super::planner::{Launch, OwnScratch};
use super::{Chunk, Plan, Planner, Resource, Slice, cut};
use crate::Result;
use crate::kernels::{self, JoinGroups, Params};
use crate::ops::{BufferId, Constrain, EPSILON, GroupSquares, NormLimit, Radial, Shape};
use std::sync::Arc;

/// Sums of squares before they are joined.
const PARTS: OwnScratch = OwnScratch { resource: Resource::Between(0), what: "the parts of norms" };

/// A parameter's chunks, with how plans refer to them.
struct Cut {
    chunk: Chunk,
    weights: Slice,
}

impl Planner<'_> {
    /// A parameter's chunks. One that isn't shaped as weights has a single chunk, whose rows are its elements.
    fn chunks(&self, shape: &Shape, id: BufferId) -> Result<Vec<Cut>> {
        let piece = |index| if shape.is_cut() { Resource::Chunk(id, index) } else { Resource::Buffer(id) };
        let chunks = cut(shape, self.profile)?.into_iter().zip(0..);
        let chunks = chunks.filter(|(chunk, _)| !chunk.is_empty());
        Ok(chunks.map(|(chunk, index)| Cut { chunk, weights: Slice::whole(piece(index)) }).collect())
    }

    /// Adds constants that belong to an operation, after a check that a dispatch can bind them.
    fn data(&self, plan: &mut Plan, words: impl Into<Arc<[u32]>>) -> Result<Slice> {
        let words = words.into();
        self.profile.check_piece("the groups of a parameter's weights", 4 * words.len() as u64)?;
        Ok(plan.data(words))
    }

    pub(super) fn group_squares(&self, o: &GroupSquares) -> Result<Plan> {
        let mut plan = Plan::default();
        let (all_filters, by_filter) = (o.shape.filters(), o.groups.by_filter());
        let norms = o.groups.norms(all_filters);
        self.profile.check_piece("the norms of a parameter's weights", 4 * norms)?;
        if norms == 0 {
            return Ok(plan);
        }
        self.fill(&mut plan, Resource::Buffer(o.output), norms)?;
        for Cut { chunk, weights } in self.chunks(&o.shape, o.parameter)? {
            let rows = chunk.first_entry as usize..(chunk.first_entry + chunk.entries) as usize;
            let each = if by_filter { 1 } else { chunk.filters.into() };
            let members = o.groups.members(rows, (kernels::GroupSquares::PART / each).max(1) as usize)?;
            if members.groups.is_empty() {
                continue;
            }
            let most = |starts: &[u32]| starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            let (terms, parts) = (most(&members.starts), most(&members.parts));
            let width = if by_filter { u64::from(chunk.filters) } else { 1 };
            let count = (members.starts.len() as u64 - 1) * width;
            let groups_here = members.groups.len() as u64;
            let sums = self.between(&mut plan, PARTS, count)?;
            let [starts, rows] = [members.starts, members.rows].map(|words| self.data(&mut plan, words));
            let params =
                Params { count: count as u32, filters: chunk.filters, terms, y_base: sums.base, ..Params::default() };
            let bindings = vec![starts?, rows?, weights, sums.slice];
            let variant = kernels::GroupSquares { by_filter }.listed()?;
            self.dispatch(&mut plan, Launch::per_element(variant, params, bindings))?;

            let [groups, starts] = [members.groups, members.parts].map(|words| self.data(&mut plan, words));
            let params = Params {
                count: (groups_here * width) as u32,
                filters: width as u32,
                group_filters: if by_filter { all_filters as u32 } else { 1 },
                first_filter: if by_filter { chunk.first_filter } else { 0 },
                parts,
                x_base: sums.base,
                ..Params::default()
            };
            let bindings = vec![groups?, starts?, sums.slice, Slice::whole(Resource::Buffer(o.output))];
            self.dispatch(&mut plan, Launch::per_element(JoinGroups {}.listed()?, params, bindings))?;
        }
        Ok(plan)
    }

    pub(super) fn constrain(&self, o: &Constrain) -> Result<Plan> {
        let mut plan = Plan::default();
        let by_filter = o.groups.by_filter();
        let (limit, [least, most, rate]) = match o.limit {
            // A largest norm below the least one counts as the least, as in Keras.
            NormLimit::AtMost { max } => (kernels::Constrain::AT_MOST, [0.0, max.max(0.0), 0.0]),
            NormLimit::Unit => (kernels::Constrain::UNIT, [0.0; 3]),
            NormLimit::Between { min, max, rate } => (kernels::Constrain::BETWEEN, [min, max.max(min), rate]),
        };
        if o.groups.count() == 0 {
            return Ok(plan);
        }
        for Cut { chunk, weights } in self.chunks(&o.shape, o.parameter)? {
            let rows = chunk.first_entry as usize..(chunk.first_entry + chunk.entries) as usize;
            let whole = rows.len() == o.groups.rows();
            let groups = if whole { o.groups.shared_rows().clone() } else { o.groups.of_row()[rows].into() };
            let groups = self.data(&mut plan, groups)?;
            let params = Params {
                count: chunk.len() as u32,
                filters: chunk.filters,
                group_filters: o.shape.filters() as u32,
                first_filter: chunk.first_filter,
                least,
                most,
                rate,
                epsilon: EPSILON as f32,
                ..Params::default()
            };
            let bindings = vec![groups, Slice::whole(Resource::Buffer(o.squares)), weights];
            let variant = kernels::Constrain { limit, by_filter }.listed()?;
            self.dispatch(&mut plan, Launch::per_element(variant, params, bindings))?;
        }
        Ok(plan)
    }

    pub(super) fn radial(&self, o: &Radial) -> Result<Plan> {
        let mut plan = Plan::default();
        for Cut { chunk, weights } in self.chunks(&o.shape, o.parameter)? {
            let columns = o.channels * u64::from(chunk.filters);
            let count = columns * u64::from(chunk.cells);
            let params =
                Params { count: count as u32, taps_0: o.size as u32, columns: columns as u32, ..Params::default() };
            let variant = kernels::Radial {}.listed()?;
            self.dispatch(&mut plan, Launch::per_element(variant, params, vec![weights]))?;
        }
        Ok(plan)
    }
}
