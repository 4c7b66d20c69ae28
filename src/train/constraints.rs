//! What parameters are brought back to, as operations.

use crate::config::{Axes, Constraint};
use crate::geometry::Groups;
use crate::model::Stored;
use crate::ops::{Buffer, BufferId, Constrain, GroupSquares, NonNegative, NormLimit, Operation, Radial, Shape, Usage};
use crate::program::Program;
use crate::{Error, Result};
use std::sync::Arc;

/// A constraint as the operations that compute it need it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Norms { limit: NormLimit, groups: Arc<Groups> },
    NonNegative,
    Radial { size: u64, cells: u64, channels: u64, filters: u64 },
}

impl Bound {
    /// The constraint of a parameter that Keras stores as `stored` says.
    pub(super) fn new(constraint: &Constraint, stored: &Stored) -> Result<Self> {
        let norms = |limit, axes: &Axes| {
            let groups = match stored {
                Stored::Plain(shape) => Groups::of_variable(shape, axes),
                Stored::Local(geometry, layout) => Groups::of_local(geometry, *layout, axes),
                Stored::Shared(geometry, layout) => Groups::of_shared(geometry, *layout, axes),
                Stored::Connections(_) => Groups::of_rows(&stored.shape(), axes),
            };
            Ok(Self::Norms { limit, groups: Arc::new(groups?) })
        };
        match *constraint {
            Constraint::MaxNorm { max_value: max, ref axis } => norms(NormLimit::AtMost { max }, axis),
            Constraint::UnitNorm { ref axis } => norms(NormLimit::Unit, axis),
            Constraint::MinMaxNorm { min_value: min, max_value: max, rate, ref axis } => {
                norms(NormLimit::Between { min, max, rate }, axis)
            }
            Constraint::NonNeg => Ok(Self::NonNegative),
            Constraint::Radial => Self::radial(stored),
            Constraint::Custom(ref description) => {
                let what = format!("the constraint {description}");
                Err(Error::Unsupported { what, with: "in training: it is none of Keras's".into() })
            }
        }
    }

    fn radial(stored: &Stored) -> Result<Self> {
        let shape = stored.shape();
        let refused = |with: &str| {
            let with = format!("for a variable of shape {shape:?}: {with}");
            Err(Error::Unsupported { what: "the radial constraint".into(), with })
        };
        match (stored, &shape[..]) {
            (Stored::Shared(geometry, _), &[size, other, ..]) if shape.len() == 4 && size == other && size > 1 => {
                let [cells, channels, filters] =
                    [geometry.groups(), geometry.group_channels(), geometry.group_filters()].map(u64::from);
                Ok(Self::Radial { size: size as u64, cells, channels, filters })
            }
            (Stored::Shared(..), [_, _, _, _]) => refused("it takes square windows of two taps and more"),
            (_, [_, _, _, _]) => refused("only windows that locations share are constrained so here"),
            _ => refused("Keras's takes four axes"),
        }
    }

    /// Adds its operations on `parameter` to the program.
    pub(super) fn push(&self, program: &mut Program, parameter: BufferId) {
        let Some(Buffer { name, shape, .. }) = program.buffer(parameter).cloned() else { return };
        match *self {
            Self::Norms { limit, ref groups } => {
                let norms = Shape::Fixed(groups.norms(shape.filters()));
                let squares = program.add(format!("{name}/squares"), Usage::Scratch, norms);
                let (groups, of) = (groups.clone(), shape.clone());
                let sums = GroupSquares { groups: groups.clone(), shape: of, parameter, output: squares };
                program.operations.push(Operation::GroupSquares(sums));
                program.operations.push(Operation::Constrain(Constrain { limit, groups, shape, squares, parameter }));
            }
            Self::NonNegative => {
                program.operations.push(Operation::NonNegative(NonNegative { shape, parameter }));
            }
            Self::Radial { size, cells, channels, filters } => {
                let radial = Radial { size, cells, channels, filters, shape, parameter };
                program.operations.push(Operation::Radial(radial));
            }
        }
    }
}
