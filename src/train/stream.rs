//! The random numbers that new layers' values are drawn from.

use crate::ops::philox;

/// The stream of random numbers of a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream(pub(super) u64);

impl Stream {
    /// Four numbers `(k + ½) · 2⁻³²`, strictly between 0 and 1.
    pub(super) fn uniform(self, block: u64, attempt: u32) -> [f64; 4] {
        let counter = [block as u32, (block >> 32) as u32, attempt, 0];
        let words = philox(counter, [self.0 as u32, (self.0 >> 32) as u32]);
        words.map(|word| (f64::from(word) + 0.5) / 4_294_967_296.0)
    }

    /// Four standard normal numbers, by Box and Muller.
    pub(super) fn normal(self, block: u64, attempt: u32) -> [f64; 4] {
        let [a, b, c, d] = self.uniform(block, attempt);
        let pair = |a: f64, b: f64| {
            let (radius, angle) = (libm::sqrt(-2.0 * libm::log(a)), std::f64::consts::TAU * b);
            [radius * libm::cos(angle), radius * libm::sin(angle)]
        };
        let ([a, b], [c, d]) = (pair(a, b), pair(c, d));
        [a, b, c, d]
    }
}
