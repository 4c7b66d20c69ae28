//! What the layer is for here: at each place it smears its input along a flow, so that noise turns into the flow's lines. No
//! convolution does that, since every place needs weights of its own.

use locally_connected::Geometry;

/// A whirl: where in the unit square, and how strong; negative turns the other way.
struct Whirl {
    at: [f64; 2],
    strength: f64,
}

const WHIRLS: [Whirl; 4] = [
    Whirl { at: [0.28, 0.33], strength: 1.0 },
    Whirl { at: [0.74, 0.24], strength: -0.7 },
    Whirl { at: [0.62, 0.72], strength: 1.0 },
    Whirl { at: [0.16, 0.82], strength: -0.5 },
];

/// How far the weights reach, in pixels: along the flow and across.
const ALONG: f64 = 4.0;
const ACROSS: f64 = 0.6;

/// The flow's velocity at a place in the unit square.
fn velocity(x: f64, y: f64) -> [f64; 2] {
    WHIRLS.iter().fold([0.0, 0.0], |[u, v], Whirl { at, strength }| {
        let (dx, dy) = (x - at[0], y - at[1]);
        let factor = strength / (dx * dx + dy * dy + 0.004);
        [u - factor * dy, v + factor * dx]
    })
}

/// The weights, `[side · side][window · window]`, and the bias, `[side · side]`, in canonical order.
pub(crate) fn parameters(layer: &Geometry, side: usize, window: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut weights, mut bias) = (Vec::with_capacity(layer.weights() as usize), Vec::with_capacity(side * side));
    let place = |i: usize| (i as f64 + 0.5) / side as f64;
    let half = window / 2;
    for row in 0..side {
        for column in 0..side {
            let [u, v] = velocity(place(column), place(row));
            let speed = u.hypot(v).max(1e-9);
            let (u, v) = (u / speed, v / speed);
            let taps: Vec<f64> = (0..window * window)
                .map(|tap| {
                    let (y, x) = (row + tap / window, column + tap % window);
                    // What the padding clips is no weight, so the others are more.
                    if y < half || x < half || y >= side + half || x >= side + half {
                        return 0.0;
                    }
                    let (dy, dx) = (y as f64 - (row + half) as f64, x as f64 - (column + half) as f64);
                    let (along, across) = ((dx * u + dy * v) / ALONG, (dx * v - dy * u) / ACROSS);
                    (-0.5 * (along * along + across * across)).exp()
                })
                .collect();
            let sum: f64 = taps.iter().sum();
            weights.extend(taps.iter().map(|tap| (tap / sum) as f32));
            // The faster, the hotter; half of it in either of two passes.
            bias.push((0.5 * (0.14 + 0.68 * (speed / 16.0).min(1.0).powf(0.8))) as f32);
        }
    }
    (weights, bias)
}

/// Noise that comes back after a `phase` of 1, around 0.
pub(crate) fn noise(side: usize, phase: f64) -> Vec<f32> {
    (0..side as u64 * side as u64)
        .map(|pixel| {
            // splitmix64's last steps
            let mut z = (pixel + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let own = (z >> 40) as f64 / f64::from(1 << 24);
            (1.1 * (std::f64::consts::TAU * (own + phase)).sin()) as f32
        })
        .collect()
}
