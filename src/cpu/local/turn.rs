//! Moves numbers to where products need them.

/// Rows and columns of a block that is transposed at once.
const SIDE: usize = 8;

/// Transposes `[rows][columns]`: `from` gives a row's values. `put` gets, for a column and some neighbouring rows: the
/// column, the first row, and the rows' values in that column.
#[expect(clippy::needless_range_loop, reason = "the index is one of each row's values")]
#[inline(always)]
pub(super) fn turn<'a>(
    rows: usize,
    columns: usize,
    from: impl Fn(usize) -> &'a [f32],
    mut put: impl FnMut(usize, usize, &[f32]),
) {
    let mut row = 0;
    while row + SIDE <= rows {
        let of: [&[f32]; SIDE] = std::array::from_fn(|m| &from(row + m)[..columns]);
        let mut column = 0;
        while column + SIDE <= columns {
            let block: [&[f32]; SIDE] = std::array::from_fn(|m| &of[m][column..][..SIDE]);
            for i in 0..SIDE {
                put(column + i, row, &std::array::from_fn::<f32, SIDE, _>(|m| block[m][i]));
            }
            column += SIDE;
        }
        while column < columns {
            put(column, row, &std::array::from_fn::<f32, SIDE, _>(|m| of[m][column]));
            column += 1;
        }
        row += SIDE;
    }
    while row < rows {
        for (value, column) in from(row)[..columns].iter().zip(0..) {
            put(column, row, std::slice::from_ref(value));
        }
        row += 1;
    }
}

/// The part of `room` that begins at a line of the cache, so that no vector lies across two lines.
pub(super) fn aligned(room: &mut [f32]) -> &mut [f32] {
    let skipped = room.as_ptr().align_offset(64).min(room.len());
    &mut room[skipped..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        for (rows, columns) in [(1, 1), (8, 8), (7, 9), (17, 3), (3, 20), (24, 16), (9, 8)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let mut turned = vec![-1.0; rows * columns];
            let from = |row: usize| &values[row * columns..][..columns];
            turn(rows, columns, from, |column, row, values| {
                turned[column * rows + row..][..values.len()].copy_from_slice(values);
            });
            let expected = (0..columns).flat_map(|c| (0..rows).map(move |r| (r * columns + c) as f32));
            assert!(turned.into_iter().eq(expected), "{rows} by {columns}");
        }
    }
}
