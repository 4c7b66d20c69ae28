//! Orthogonal matrices.

use super::stream::Stream;

/// `rows × columns` numbers, row by row: the orthogonal factor, of positive diagonal, of a matrix of standard normal numbers.
/// The longer side's vectors are orthonormal, as Keras's are.
///
/// Gram and Schmidt's method, each vector made orthogonal twice: that is orthogonal to the last places of an f64, and its
/// diagonal is positive by construction, which Keras gets by multiplying by signs.
pub(super) fn orthogonal(rows: usize, columns: usize, stream: Stream) -> Vec<f32> {
    let (long, short) = (rows.max(columns), rows.min(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(short);
    for vector in 0..short {
        // The long vectors one after another, though Keras's matrix may stand the other way: the numbers are random in
        // any case.
        let each = long.div_ceil(4);
        let blocks = (vector as u64 * each as u64..).take(each);
        let mut values: Vec<f64> = blocks.flat_map(|block| stream.normal(block, 0)).take(long).collect();
        for _ in 0..2 {
            for other in &vectors {
                let along: f64 = values.iter().zip(other).map(|(a, b)| a * b).sum();
                values.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
            }
        }
        let norm = libm::sqrt(values.iter().map(|v| v * v).sum());
        values.iter_mut().for_each(|value| *value /= norm);
        vectors.push(values);
    }
    if rows <= columns {
        return vectors.iter().flatten().map(|&value| value as f32).collect();
    }
    (0..rows).flat_map(|row| vectors.iter().map(move |v| v.get(row).copied().unwrap_or_default() as f32)).collect()
}
