//! Dropout and noise.

use super::combine::places;
use crate::ops::{Effect, Noise, Random, RandomGrad, StepNumbers};

/// Word `element % 4` of its block of four, and the normally distributed number, by Box and Muller from its pair of
/// words; each word's first 23 bits, plus a half, are a number between 0 and 1.
fn numbers(noise: &Noise, draw: u32, element: usize) -> (u32, f64) {
    let (words, at) = (noise.words(element as u64 / 4, draw), element % 4);
    let between = |word: u32| (f64::from(word >> 9) + 0.5) / f64::from(1 << 23);
    let [radius, angle] = [words[at / 2 * 2], words[at / 2 * 2 + 1]].map(between);
    let (radius, angle) = ((-2.0 * radius.ln()).sqrt(), std::f64::consts::TAU * angle);
    (words[at], radius * if at % 2 == 0 { angle.cos() } else { angle.sin() })
}

fn changed(noise: &Noise, to_gradient: bool, values: &[f64], step: StepNumbers) -> Vec<f64> {
    let effect = noise.kind.effect(to_gradient);
    let batch = values.len() / noise.elements() as usize;
    let change = |((sample, place), value): ((usize, [usize; 4]), &f64)| {
        let along = place.iter().zip(noise.strides()).map(|(index, stride)| index * stride as usize).sum::<usize>();
        let (word, normal) = numbers(noise, step.draw, sample * noise.sample() as usize + along);
        match effect {
            Effect::Mask { below, dropped, .. } if word < below => dropped,
            Effect::Mask { factor, addend, .. } => value * factor + addend,
            Effect::Times { stddev } => value * (1.0 + stddev * normal),
            Effect::Plus { stddev } => value + stddev * normal,
        }
    };
    places(noise.sizes, batch).zip(values).map(change).collect()
}

/// Values, changed at random.
#[must_use]
pub fn random(o: &Random, input: &[f64], step: StepNumbers) -> Vec<f64> {
    changed(&o.noise, false, input, step)
}

/// The gradient by values that were changed at random, by the same numbers.
#[must_use]
pub fn random_grad(o: &RandomGrad, grad_output: &[f64], step: StepNumbers) -> Vec<f64> {
    changed(&o.noise, true, grad_output, step)
}
