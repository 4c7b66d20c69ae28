//! Constraints of parameters.

use crate::geometry::Groups;
use crate::ops::{Constrain, EPSILON, GroupSquares, NormLimit, Radial};

/// For each weight the number of its norm, if it has one.
fn norm_of(groups: &Groups, filters: usize) -> impl Iterator<Item = Option<usize>> {
    let norms = if groups.by_filter() { filters } else { 1 };
    groups.of_row().iter().flat_map(move |&group| {
        (0..filters).map(move |filter| (group != Groups::NONE).then_some(group as usize * norms + filter % norms))
    })
}

/// The sum of squares of each group.
#[must_use]
pub fn group_squares(o: &GroupSquares, parameter: &[f64]) -> Vec<f64> {
    let filters = o.shape.filters();
    let mut squares = vec![0.0; o.groups.norms(filters) as usize];
    for (norm, w) in norm_of(&o.groups, filters as usize).zip(parameter) {
        if let Some(norm) = norm {
            squares[norm] += w * w;
        }
    }
    squares
}

/// Each weight, multiplied by the factor that its norm needs.
#[must_use]
pub fn constrain(o: &Constrain, parameter: &[f64], squares: &[f64]) -> Vec<f64> {
    let factor = |norm: f64| match o.limit {
        // Not `clamp`: NaN must stay, and a largest norm below the least counts as the least, as in Keras.
        NormLimit::AtMost { max } => norm.min(f64::from(max).max(0.0)) / (EPSILON + norm),
        NormLimit::Unit => 1.0 / (EPSILON + norm),
        NormLimit::Between { min, max, rate } => {
            let [min, max, rate] = [min, max.max(min), rate].map(f64::from);
            (rate * norm.min(max).max(min) + (1.0 - rate) * norm) / (EPSILON + norm)
        }
    };
    let weights = norm_of(&o.groups, o.shape.filters() as usize).zip(parameter);
    weights.map(|(norm, w)| norm.map_or(*w, |norm| w * factor(squares[norm].sqrt()))).collect()
}

/// Negative weights become 0.
#[must_use]
pub fn non_negative(parameter: &[f64]) -> Vec<f64> {
    parameter.iter().map(|&w| w * if w >= 0.0 { 1.0 } else { 0.0 }).collect()
}

/// Weights whose taps are equally far from the middle become equal.
#[must_use]
pub fn radial(o: &Radial, parameter: &[f64]) -> Vec<f64> {
    let [size, channels, filters] = [o.size, o.channels, o.filters].map(|size| size as usize);
    let row = channels * filters;
    let mut equal = parameter.to_vec();
    for (window, from) in equal.chunks_exact_mut(size * size * row).zip(parameter.chunks_exact(size * size * row)) {
        for (tap, to) in window.chunks_exact_mut(row).enumerate() {
            let distance = o.distance((tap / size) as u64).max(o.distance((tap % size) as u64));
            let source = o.source(distance) as usize;
            to.copy_from_slice(&from[(source * size + source) * row..][..row]);
        }
    }
    equal
}
