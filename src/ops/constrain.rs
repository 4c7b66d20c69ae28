//! What parameters are brought back to after an update: Keras's constraints.
//!
//! Norms are two operations: [`GroupSquares`] sums the squares of the weights of each group ([`Groups`] says which are one), and
//! [`Constrain`] multiplies each weight by what its group's norm asks for.

use super::{BufferId, Describe, Operand, Shape};
use crate::geometry::Groups;
use std::sync::Arc;

/// Added to norms that are divided by: Keras's `epsilon()`.
pub(crate) const EPSILON: f64 = 1e-7;

/// The sum of the squares of the weights of each group.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupSquares {
    /// Which weights are of one group.
    pub groups: Arc<Groups>,
    /// The parameter's shape.
    pub shape: Shape,
    /// The parameter whose weights are summed.
    pub parameter: BufferId,
    /// `[groups][filters]`, or `[groups]` where filters share their norms: [`Groups::norms`].
    pub output: BufferId,
}

/// What a norm `n` becomes; weights are multiplied by what it becomes, divided by `n` + 10⁻⁷.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum NormLimit {
    /// Keras's `MaxNorm`: the norm, or the largest one.
    AtMost {
        /// The largest norm; those below 0 are 0.
        max: f32,
    },
    /// Keras's `UnitNorm`: 1.
    Unit,
    /// Keras's `MinMaxNorm`: `rate` times the norm between the two, plus `1 − rate` times itself.
    Between {
        /// The least norm.
        min: f32,
        /// The largest one.
        max: f32,
        /// How much of the way is gone.
        rate: f32,
    },
}

/// Multiplies each weight by what its group's norm asks for, in place. Weights of no group stay.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Constrain {
    /// What norms become.
    pub limit: NormLimit,
    /// Which weights are of one group.
    pub groups: Arc<Groups>,
    /// The parameter's shape.
    pub shape: Shape,
    /// The sums of the squares, as [`GroupSquares`] makes them.
    pub squares: BufferId,
    /// The parameter, which is changed.
    pub parameter: BufferId,
}

/// `w·(w ≥ 0)`, Keras's `NonNeg`, in place.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NonNegative {
    /// The parameter's shape.
    pub shape: Shape,
    /// The parameter, which is changed.
    pub parameter: BufferId,
}

/// Keras's `RadialConstraint` of a square window, in place: all taps that are as far from the middle get the value of one of
/// them, for each channel and filter. Which one is Keras's ([`Radial::source`]).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Radial {
    /// Taps along each of both axes of a window, two at least: of one, Keras fails.
    pub size: u64,
    /// Windows of the parameter: its groups.
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

    /// Where, along both axes, the value of the taps at this distance stands.
    #[must_use]
    pub fn source(&self, distance: u64) -> u64 {
        let half = self.size / 2;
        match (self.size % 2, distance) {
            (_, 0) => half - 1,
            // Keras counts the rings of an odd window from the middle tap, whose value the first of them gets.
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
