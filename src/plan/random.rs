//! Plans of dropout and noise.

use super::planner::Launch;
use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::{self, Kernel, Params, THREADS};
use crate::ops::{BufferId, Effect, Noise, Random, RandomGrad};

impl Planner<'_> {
    pub(super) fn random(&self, o: &Random, batch: u32) -> Result<Plan> {
        let effect = o.noise.kind.effect(false);
        self.drawn(&o.noise, Drawn { effect, step: o.step, input: o.input, output: o.output }, batch)
    }

    pub(super) fn random_grad(&self, o: &RandomGrad, batch: u32) -> Result<Plan> {
        let effect = o.noise.kind.effect(true);
        self.drawn(&o.noise, Drawn { effect, step: o.step, input: o.grad_output, output: o.grad_input }, batch)
    }

    fn drawn(&self, noise: &Noise, drawn: Drawn, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let Drawn { effect, step, input, output } = drawn;
        let (effect, params) = effect_params(effect);
        let variant = kernels::Random { effect }.listed()?;
        let [_, size_1, size_2, size_3] = noise.sizes.map(|size| size as u32);
        let [a_0, a_1, a_2, a_3] = noise.strides().map(|stride| stride as u32);
        let elements = noise.elements();
        // Elements of a dispatch are counted in 32 bits, from a 64-bit number of the first one.
        for samples in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let Samples { first, .. } = samples;
            let x = self.range(Resource::Buffer(input), samples, elements);
            let y = self.range(Resource::Buffer(output), samples, elements);
            let number = first * noise.sample();
            let params = Params {
                count: y.count as u32,
                elements: elements as u32,
                size_1,
                size_2,
                size_3,
                a_sample: noise.sample() as u32,
                a_0,
                a_1,
                a_2,
                a_3,
                x_base: x.base,
                y_base: y.base,
                seed_0: noise.seed as u32,
                seed_1: (noise.seed >> 32) as u32,
                noise_0: number as u32,
                noise_1: (number >> 32) as u32,
                ..params
            };
            let workgroups = y.count.div_ceil(u64::from(THREADS * kernels::Random::EACH));
            let bindings = vec![x.slice, Slice::whole(Resource::Buffer(step)), y.slice];
            self.dispatch(&mut plan, Launch { variant, params, workgroups, bindings })?;
        }
        Ok(plan)
    }
}

/// A random effect on values, or on the gradient that goes back through it.
struct Drawn {
    effect: Effect,
    step: BufferId,
    input: BufferId,
    output: BufferId,
}

/// The code of an effect, and the numbers in its formula.
fn effect_params(effect: Effect) -> (u32, Params) {
    let none = Params::default();
    match effect {
        Effect::Mask { below, factor, addend, dropped } => {
            let [factor, addend, otherwise] = [factor, addend, dropped].map(|number| number as f32);
            (kernels::Random::MASK, Params { below, factor, addend, otherwise, ..none })
        }
        Effect::Times { stddev } => (kernels::Random::TIMES, Params { factor: stddev as f32, ..none }),
        Effect::Plus { stddev } => (kernels::Random::PLUS, Params { factor: stddev as f32, ..none }),
    }
}
