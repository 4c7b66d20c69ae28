//! `GroupSquares`, `Constrain` and `Radial`.

use super::shared::Shared;
use super::team::{Piece, Span, Team};
use crate::geometry::{Groups, Members};
use crate::ops::{Constrain, EPSILON, NormLimit, Radial};
use pulp::{Simd, WithSimd};

/// Most rows of a part of a sum.
pub(super) const PART_ROWS: usize = 1024;

/// Rows of weights, and how they are grouped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) members: &'a Members,
    pub(super) by_filter: bool,
    pub(super) filters: usize,
}

impl Rows<'_> {
    /// How many sums a part has.
    fn width(&self) -> usize {
        if self.by_filter { self.filters } else { 1 }
    }

    /// How many numbers all parts have.
    pub(super) fn parts(&self) -> usize {
        (self.members.starts.len() - 1) * self.width()
    }
}

/// The sums of squares of the parts of all groups, in f64; `parts` has room for [`Rows::parts`] numbers.
pub(super) fn square_parts(team: &Team, rows: Rows<'_>, parameter: &[f32], parts: &mut [f64]) {
    let parts = &mut parts[..rows.parts()];
    parts.fill(0.0);
    let (members, shared) = (rows.members, Shared::new(parts));
    let count = members.starts.len() - 1;
    let terms = members.rows.len() * rows.filters / count.max(1);
    team.each(count, terms as u64, |span| Squares { span, rows, parameter, parts: shared });
}

/// The sums of squares of groups, from those of their parts in order.
pub(super) fn group_squares(rows: Rows<'_>, parts: &[f64], squares: &mut [f32]) {
    let (members, width) = (rows.members, rows.width());
    for (group, at) in members.groups.iter().zip(0..) {
        let own = members.parts[at] as usize * width..members.parts[at + 1] as usize * width;
        let to = &mut squares[*group as usize * width..][..width];
        for (filter, to) in to.iter_mut().enumerate() {
            *to = parts[own.clone()].iter().skip(filter).step_by(width).sum::<f64>() as f32;
        }
    }
}

struct Squares<'a> {
    span: Span,
    rows: Rows<'a>,
    parameter: &'a [f32],
    parts: Shared<'a, f64>,
}

impl WithSimd for Squares<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Rows { members, by_filter, filters } = self.rows;
        let width = self.rows.width();
        for part in self.span.first..self.span.end {
            // SAFETY: parts are apart.
            let sums = unsafe { self.parts.part(part * width, width) };
            for &row in &members.rows[members.starts[part] as usize..members.starts[part + 1] as usize] {
                let weights = self.parameter[row as usize * filters..][..filters].iter().map(|&w| f64::from(w));
                match (by_filter, &mut *sums) {
                    (true, sums) => sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += w * w),
                    (false, [sum, ..]) => weights.for_each(|w| *sum += w * w),
                    (false, []) => {}
                }
            }
        }
    }
}

/// Multiplies each weight by the factor that its group's norm asks for.
pub(super) fn constrain(team: &Team, o: &Constrain, squares: &[f32], parameter: &mut [f32]) {
    // Not `clamp`: as in Keras, a largest norm below the least one counts as the least.
    let wanted = |norm: f32| match o.limit {
        NormLimit::AtMost { max } => norm.min(max.max(0.0)),
        NormLimit::Unit => 1.0,
        NormLimit::Between { min, max, rate } => rate * norm.min(max.max(min)).max(min) + (1.0 - rate) * norm,
    };
    let (filters, epsilon) = (o.shape.filters() as usize, EPSILON as f32);
    let factor = |square: f32| {
        let norm = square.sqrt();
        wanted(norm) / (epsilon + norm)
    };
    team.pieces(parameter, Piece { elements: filters, nanoseconds: filters as u64 }, |row, weights| {
        let group = o.groups.of_row()[row];
        if group == Groups::NONE {
            return;
        }
        if o.groups.by_filter() {
            let squares = &squares[group as usize * filters..][..filters];
            weights.iter_mut().zip(squares).for_each(|(w, square)| *w *= factor(*square));
        } else {
            let factor = factor(squares[group as usize]);
            weights.iter_mut().for_each(|w| *w *= factor);
        }
    });
}

/// Makes weights equal whose taps are equally far from the middle.
pub(super) fn radial(team: &Team, o: &Radial, parameter: &mut [f32]) {
    let [size, channels, filters] = [o.size, o.channels, o.filters].map(|size| size as usize);
    let row = channels * filters;
    let middle = o.source(0) as usize * (size + 1) * row;
    let windows = Piece { elements: size * size * row, nanoseconds: (size * size * row) as u64 };
    team.pieces(parameter, windows, |_, window| {
        for column in 0..row {
            // From the outer ring inwards each value is read before it is written, except the middle's source.
            let first = window[middle + column];
            for distance in (0..=o.distance(0)).rev() {
                let source = o.source(distance) as usize * (size + 1) * row;
                let value = if distance == 0 { first } else { window[source + column] };
                for tap in 0..size * size {
                    if o.distance((tap / size) as u64).max(o.distance((tap % size) as u64)) == distance {
                        window[tap * row + column] = value;
                    }
                }
            }
        }
    });
}
