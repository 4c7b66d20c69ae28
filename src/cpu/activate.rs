//! `Activate` and `ActivateGrad`.

use super::functions;
use super::shared::Shared;
use super::team::{Span, Team};
use crate::config::Activation;
use pulp::{Simd, WithSimd};

/// Nanoseconds that a value takes: e^z and the like more, sums over rows and moving it less.
const EACH: u64 = 4;
/// Values of a piece of an array whose values don't depend on each other.
const PIECE: usize = 1024;

/// An activation of `input`, in rows of `row` where it is one over rows.
pub(super) fn activate(team: &Team, activation: Activation, row: usize, input: &[f32], output: &mut [f32]) {
    over(team, activation, row, output, |from, piece| {
        let input = &input[from..][..piece.len()];
        match activation {
            Activation::Softmax => functions::softmax(input, piece),
            Activation::LogSoftmax => functions::log_softmax(input, piece),
            _ => {
                piece.copy_from_slice(input);
                functions::activate(piece, activation);
            }
        }
    });
}

/// The gradient before an activation, from what [`Activation::saved`] says.
pub(super) fn activate_grad(
    team: &Team,
    activation: Activation,
    row: usize,
    (saved, grad_output): (&[f32], &[f32]),
    grad_input: &mut [f32],
) {
    over(team, activation, row, grad_input, |from, piece| {
        let (saved, grad_output) = (&saved[from..][..piece.len()], &grad_output[from..][..piece.len()]);
        match activation {
            Activation::Softmax => functions::softmax_grad(saved, grad_output, piece),
            Activation::LogSoftmax => functions::log_softmax_grad(saved, grad_output, piece),
            _ => {
                piece.copy_from_slice(grad_output);
                functions::times_derivative(piece, saved, activation);
            }
        }
    });
}

/// Calls `work` with each row of `written`, or each piece of it where its values don't depend on each other.
fn over(team: &Team, activation: Activation, row: usize, written: &mut [f32], work: impl Fn(usize, &mut [f32]) + Sync) {
    let piece = if activation.over_rows() { row } else { PIECE };
    let (length, written) = (written.len(), Shared::new(written));
    let work = &work;
    team.each(length.div_ceil(piece), EACH * piece.min(length.max(1)) as u64, |span| Pieces {
        span,
        piece,
        length,
        written,
        work,
    });
}

struct Pieces<'a, W> {
    span: Span,
    piece: usize,
    length: usize,
    written: Shared<'a>,
    work: &'a W,
}

impl<W: Fn(usize, &mut [f32])> WithSimd for Pieces<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for index in self.span.first..self.span.end {
            let from = index * self.piece;
            // SAFETY: spans are apart, and so are pieces.
            let piece = unsafe { self.written.part(from, self.piece.min(self.length - from)) };
            (self.work)(from, piece);
        }
    }
}
