//! `Transpose`, and the transposing of operands of channels_first layers.

use super::shared::Shared;
use super::team::{Span, Team};
use pulp::{Simd, WithSimd};

/// Rows and columns of the blocks that are moved at a time: their cache lines stay in the first-level cache.
const BLOCK: usize = 16;

/// Transposes each sample from `[rows][columns]` to `[columns][rows]`.
pub(super) fn transpose(team: &Team, [rows, columns]: [usize; 2], input: &[f32], output: &mut [f32]) {
    let sample = rows * columns;
    if rows == 1 || columns == 1 {
        output.copy_from_slice(input);
        return;
    }
    // A strip is some columns of one sample, which are rows of its output.
    let strips = columns.div_ceil(BLOCK);
    let count = input.len() / sample * strips;
    let output = Shared::new(output);
    team.each(count, (rows * BLOCK.min(columns)) as u64, |span| Strips { span, strips, rows, columns, input, output });
}

struct Strips<'a> {
    span: Span,
    /// How many strips a sample has.
    strips: usize,
    rows: usize,
    columns: usize,
    input: &'a [f32],
    output: Shared<'a>,
}

impl WithSimd for Strips<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rows, columns, .. } = self;
        for index in self.span.first..self.span.end {
            let (sample, first) = (index / self.strips * rows * columns, index % self.strips * BLOCK);
            let width = BLOCK.min(columns - first);
            let input = &self.input[sample..][..rows * columns];
            // SAFETY: strips are apart.
            let output = unsafe { self.output.part(sample + first * rows, width * rows) };
            for above in (0..rows).step_by(BLOCK) {
                for row in above..rows.min(above + BLOCK) {
                    let values = &input[row * columns + first..][..width];
                    for (value, to) in values.iter().zip(output[row..].iter_mut().step_by(rows)) {
                        *to = *value;
                    }
                }
            }
        }
    }
}
