//! Keras's constraints, which parameters are brought back to after an update.
//!
//! Constraints of norms take two operations: [`GroupSquares`] sums the squares of each group's weights ([`Groups`] says
//! which weights are a group), and [`Constrain`] multiplies each weight by the factor that its group's norm needs.

use super::{BufferId, Describe, Operand, Shape};
use crate::geometry::Groups;
use std::sync::Arc;

/// Keras's `epsilon()`, which it adds to norms before it divides by them.
pub(crate) const EPSILON: f64 = 1e-7;

/// The sum of the squares of the weights of each group.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupSquares {
    /// Which weights share a norm.
    pub groups: Arc<Groups>,
    /// The parameter's shape.
    pub shape: Shape,
    /// The parameter whose weights are summed.
    pub parameter: BufferId,
    /// `[groups][filters]`, or `[groups]` if filters share norms: [`Groups::norms`].
    pub output: BufferId,
}

/// What a norm `n` is brought to. Weights are multiplied by the new norm and divided by `n` + 10⁻⁷.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum NormLimit {
    /// Keras's `MaxNorm`: `n`, at most `max`.
    AtMost {
        /// The largest norm; a negative one counts as 0.
        max: f32,
    },
    /// Keras's `UnitNorm`: 1.
    Unit,
    /// Keras's `MinMaxNorm`: `rate` times `n` limited to the two bounds, plus `1 − rate` times `n`.
    Between {
        /// The least norm.
        min: f32,
        /// The largest norm.
        max: f32,
        /// How much of the way the norm goes.
        rate: f32,
    },
}

/// Multiplies each weight, in place, by the factor that its group's norm needs. Weights of no group stay as they are.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Constrain {
    /// What norms are brought to.
    pub limit: NormLimit,
    /// Which weights share a norm.
    pub groups: Arc<Groups>,
    /// The parameter's shape.
    pub shape: Shape,
    /// The sums of squares, as [`GroupSquares`] computes them.
    pub squares: BufferId,
    /// The parameter, which is changed.
    pub parameter: BufferId,
}

/// `w·(w ≥ 0)`, in place: Keras's `NonNeg`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NonNegative {
    /// The parameter's shape.
    pub shape: Shape,
    /// The parameter, which is changed.
    pub parameter: BufferId,
}

/// Keras's `RadialConstraint` of a square window, in place: for each channel and filter, all taps that are equally far
/// from the middle get the value of one of them, the one that Keras takes ([`Radial::source`]).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Radial {
    /// Taps along each of a window's two axes; at least two, since Keras fails with one.
    pub size: u64,
    /// Windows of the parameter: the layer's groups.
    pub cells: u64,
    /// Channels of a group.
    pub channels: u64,
    /// Filters of a group.
    pub filters: u64,
    /// The parameter's shape: `[cells][size][size][channels][filters]`.
    pub shape: Shape,
    /// The parameter, which is changed.
    pub parameter: BufferId,
}

impl Radial {
    /// How far from the middle an index along one axis is: 0 for the middle one, or the middle two.
    #[must_use]
    pub fn distance(&self, index: u64) -> u64 {
        let half = self.size / 2;
        if index >= half { index - half } else { half - index - (self.size + 1) % 2 }
    }

    /// Where, along both axes, the tap is whose value all taps at this distance get.
    #[must_use]
    pub fn source(&self, distance: u64) -> u64 {
        let half = self.size / 2;
        match (self.size % 2, distance) {
            (_, 0) => half - 1,
            // In an odd window Keras counts the rings from the middle tap, whose value the first ring gets.
            (1, _) => half + distance - 1,
            (_, _) => half + distance,
        }
    }
}

fn groups_fault(groups: &Groups, shape: &Shape) -> Option<&'static str> {
    if matches!(shape, Shape::Samples(_)) {
        return Some("samples aren't constrained");
    }
    let rows = groups.rows() as u64;
    (rows.checked_mul(shape.filters()) != Some(shape.elements(1))).then_some("its groups are of another parameter")
}

impl Describe for GroupSquares {
    fn name(&self) -> &'static str {
        "group_squares"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.parameter]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let norms = Shape::Fixed(self.groups.norms(self.shape.filters()));
        vec![Operand::of(self.parameter, self.shape.clone()), Operand::of(self.output, norms)]
    }

    fn fault(&self) -> Option<&'static str> {
        groups_fault(&self.groups, &self.shape)
    }

    fn is_of_update(&self) -> bool {
        true
    }
}

impl Describe for Constrain {
    fn name(&self) -> &'static str {
        "constrain"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.squares]
    }

    fn writes(&self) -> BufferId {
        self.parameter
    }

    fn updates(&self) -> Vec<BufferId> {
        vec![self.parameter]
    }

    fn operands(&self) -> Vec<Operand> {
        let norms = Shape::Fixed(self.groups.norms(self.shape.filters()));
        vec![Operand::of(self.squares, norms), Operand::of(self.parameter, self.shape.clone())]
    }

    fn fault(&self) -> Option<&'static str> {
        let numbers = match self.limit {
            NormLimit::AtMost { max } => [max, 0.0, 0.0],
            NormLimit::Unit => [0.0; 3],
            NormLimit::Between { min, max, rate } => [min, max, rate],
        };
        let finite = numbers.iter().all(|number| number.is_finite());
        groups_fault(&self.groups, &self.shape).or((!finite).then_some("no norm is limited to that"))
    }
}

impl Describe for NonNegative {
    fn name(&self) -> &'static str {
        "non_negative"
    }

    fn reads(&self) -> Vec<BufferId> {
        Vec::new()
    }

    fn writes(&self) -> BufferId {
        self.parameter
    }

    fn updates(&self) -> Vec<BufferId> {
        vec![self.parameter]
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::of(self.parameter, self.shape.clone())]
    }

    fn fault(&self) -> Option<&'static str> {
        matches!(self.shape, Shape::Samples(_)).then_some("samples aren't constrained")
    }
}

impl Describe for Radial {
    fn name(&self) -> &'static str {
        "radial"
    }

    fn reads(&self) -> Vec<BufferId> {
        Vec::new()
    }

    fn writes(&self) -> BufferId {
        self.parameter
    }

    fn updates(&self) -> Vec<BufferId> {
        vec![self.parameter]
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::of(self.parameter, self.shape.clone())]
    }

    fn fault(&self) -> Option<&'static str> {
        if self.size < 2 {
            return Some("a window of one tap has no radius");
        }
        let window = self.size.checked_mul(self.size).and_then(|taps| taps.checked_mul(self.channels));
        let fits = match &self.shape {
            Shape::Weights { cells, window: taps, filters } => {
                (*cells, Some(*taps), *filters) == (self.cells, window, self.filters)
            }
            Shape::Samples(_) | Shape::Fixed(_) | Shape::Connections { .. } => false,
        };
        (!fits).then_some("its parameter has other windows")
    }
}
