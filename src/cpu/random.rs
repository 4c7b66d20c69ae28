//! `Random` and `RandomGrad`.

use super::shared::Shared;
use super::team::{Span, Team};
use crate::ops::{Effect, Noise};
use pulp::{Simd, WithSimd};
use std::f32::consts::FRAC_PI_2;

/// Nanoseconds for an element: a quarter of Philox's ten rounds.
const EACH: u64 = 6;

/// Normally distributed numbers, by Box and Muller from pairs of words; each word's first 23 bits, plus a half, are a
/// number between 0 and 1. All operations are in one order, so that bits are the same on every platform. They are
/// within 2·10⁻⁶ of the true numbers. `shaders/shared/normal.wgsl` does the same.
fn normals(words: [u32; 4]) -> [f32; 4] {
    let [a, b, c, d] = words;
    let pair = |radius: u32, angle: u32| {
        let radius = (-2.0 * logarithm(radius >> 9)).sqrt();
        let [cosine, sine] = cosine_and_sine(angle >> 9);
        [radius * cosine, radius * sine]
    };
    let ([a, b], [c, d]) = (pair(a, b), pair(c, d));
    [a, b, c, d]
}

/// The natural logarithm of `(k + 0.5) / 2²³`, by the polynomial of Cephes's `logf`.
fn logarithm(k: u32) -> f32 {
    // Exact, since it has 24 bits.
    let u = (k as f32 + 0.5) / 8_388_608.0;
    let bits = u.to_bits();
    let (mut exponent, mut m) = ((bits >> 23) as i32 - 126, f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000));
    if m < std::f32::consts::FRAC_1_SQRT_2 {
        (exponent, m) = (exponent - 1, m + m);
    }
    let (x, e) = (m - 1.0, exponent as f32);
    let square = x * x;
    let polynomial = LOGARITHM.iter().fold(0.0, |sum, term| sum * x + term);
    let more = polynomial * x * square + e * -2.121_944_4e-4 - 0.5 * square;
    x + more + e * 0.693_359_4
}

const LOGARITHM: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_9e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_5e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];

/// The cosine and sine of `(k + 0.5) / 2²³` of a turn, by polynomials within an eighth of a turn around the nearest
/// quarter.
fn cosine_and_sine(k: u32) -> [f32; 2] {
    let quarter = (k + (1 << 20)) >> 21;
    let turned = ((k as i32 - (quarter << 21) as i32) as f32 + 0.5) / 2_097_152.0;
    let x = turned * FRAC_PI_2;
    let z = x * x;
    let sine = ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * x + x;
    let cosine = ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    match quarter % 4 {
        0 => [cosine, sine],
        1 => [-sine, cosine],
        2 => [-cosine, -sine],
        _ => [sine, -cosine],
    }
}

/// A block of four random numbers.
struct Block {
    number: u64,
    words: [u32; 4],
    normals: [f32; 4],
}

/// A noise, and how it changes values.
#[derive(Clone, Copy)]
pub(super) struct Drawn<'a> {
    pub(super) noise: &'a Noise,
    /// The number of the draw.
    pub(super) draw: u32,
    pub(super) effect: Effect,
}

/// Changes values at random, or gradients as the values were changed.
pub(super) fn random(team: &Team, drawn: Drawn<'_>, values: &[f32], written: &mut [f32]) {
    let row = drawn.noise.sizes[3] as usize;
    let rows = written.len() / row;
    let written = Shared::new(written);
    team.each(rows, EACH * row as u64, |span| Rows { span, row, drawn, values, written });
}

struct Rows<'a> {
    span: Span,
    row: usize,
    drawn: Drawn<'a>,
    values: &'a [f32],
    written: Shared<'a>,
}

impl Rows<'_> {
    /// The random number of a row's first element, and the step from one element to the next.
    fn numbers(&self, row: usize) -> (u64, u64) {
        let [s0, s1, s2, _] = self.drawn.noise.sizes.map(|size| size as usize);
        let place = [row / (s2 * s1) % s0, row / s2 % s1, row % s2];
        let strides = self.drawn.noise.strides();
        let within: u64 = place.iter().zip(strides).map(|(index, stride)| *index as u64 * stride).sum();
        ((row / (s0 * s1 * s2)) as u64 * self.drawn.noise.sample() + within, strides[3])
    }

    fn block(&self, number: u64) -> Block {
        let words = self.drawn.noise.words(number, self.drawn.draw);
        let is_mask = matches!(self.drawn.effect, Effect::Mask { .. });
        Block { number, words, normals: if is_mask { [0.0; 4] } else { normals(words) } }
    }
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut block = self.block(self.numbers(self.span.first).0 / 4);
        for index in self.span.first..self.span.end {
            // SAFETY: rows are apart.
            let written = unsafe { self.written.part(index * self.row, self.row) };
            let (first, step) = self.numbers(index);
            for ((to, &value), i) in written.iter_mut().zip(&self.values[index * self.row..]).zip(0..) {
                let number = first + i * step;
                if number / 4 != block.number {
                    block = self.block(number / 4);
                }
                let at = (number % 4) as usize;
                *to = match self.drawn.effect {
                    Effect::Mask { below, dropped, .. } if block.words[at] < below => dropped as f32,
                    Effect::Mask { factor, addend, .. } => value * factor as f32 + addend as f32,
                    Effect::Times { stddev } => value * (1.0 + stddev as f32 * block.normals[at]),
                    Effect::Plus { stddev } => value + stddev as f32 * block.normals[at],
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_are_those_of_64_bits() {
        let mut worst = 0f64;
        let word = |i: u32| i.wrapping_mul(2_654_435_761);
        let ends = [0, 511, 512, u32::MAX, u32::MAX - 511, u32::MAX - 512, 1 << 31, (1 << 31) - 1, 1 << 30, 3 << 30];
        let pairs = ends.into_iter().flat_map(|a| ends.map(|b| [a, b]));
        for [a, b] in pairs.chain((0..200_000).map(|i| [word(2 * i), word(2 * i + 1)])) {
            let between = |word: u32| (f64::from(word >> 9) + 0.5) / f64::from(1 << 23);
            let (radius, angle) = ((-2.0 * between(a).ln()).sqrt(), std::f64::consts::TAU * between(b));
            let [cosine, sine, ..] = normals([a, b, a, b]);
            let off = |found: f32, true_one: f64| (f64::from(found) - true_one).abs();
            worst = worst.max(off(cosine, radius * angle.cos())).max(off(sine, radius * angle.sin()));
        }
        assert!(worst < 1.5e-6, "off by {worst:e}");
    }
}
