//! `Activate` and `ActivateGrad`.

use super::functions;
use super::team::{Piece, Team};
use crate::config::Activation;
use crate::ops::{Activate, ActivateGrad};

/// Nanoseconds for a value, as a guess between e^z and the like, which take more, and moves and sums, which take less.
const EACH: u64 = 4;
/// Values of a piece of an array whose values don't depend on each other.
const PIECE: usize = 1024;

/// An activation of `input`.
pub(super) fn activate(team: &Team, o: &Activate, input: &[f32], output: &mut [f32]) {
    let of = piece(o.activation, o.row, output.len());
    team.pieces(output, of, |index, piece| {
        let input = &input[index * of.elements..][..piece.len()];
        match o.activation {
            Activation::Softmax => functions::softmax(input, piece),
            Activation::LogSoftmax => functions::log_softmax(input, piece),
            _ => {
                piece.copy_from_slice(input);
                functions::activate(piece, o.activation);
            }
        }
    });
}

/// The gradient by the value before an activation, from what [`Activation::saved`] says.
pub(super) fn activate_grad(team: &Team, o: &ActivateGrad, operands: [&[f32]; 2], grad_input: &mut [f32]) {
    let of = piece(o.activation, o.row, grad_input.len());
    team.pieces(grad_input, of, |index, piece| {
        let [saved, grad_output] = operands.map(|values| &values[index * of.elements..][..piece.len()]);
        match o.activation {
            Activation::Softmax => functions::softmax_grad(saved, grad_output, piece),
            Activation::LogSoftmax => functions::log_softmax_grad(saved, grad_output, piece),
            _ => {
                piece.copy_from_slice(grad_output);
                functions::times_derivative(piece, saved, o.activation);
            }
        }
    });
}

/// How the written array is divided: into rows, or into pieces where values don't depend on each other.
fn piece(activation: Activation, row: u64, length: usize) -> Piece {
    let elements = if activation.over_rows() { row as usize } else { PIECE };
    Piece { elements, nanoseconds: EACH * elements.min(length.max(1)) as u64 }
}
