//! Plans of dropout and noise.

use super::planner::{Launch, Ranges};
use super::{Plan, Planner, Resource, Slice};
use crate::Result;
use crate::kernels::{self, Params, THREADS};
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
        let Drawn { effect, step, input, output } = drawn;
        let (effect, params) = effect_params(effect);
        let variant = kernels::Random { effect }.listed()?;
        let elements = noise.elements();
        self.by_samples(batch, [input, output].map(|id| (id, elements)), |plan, samples, Ranges { x, y }| {
            // Elements of a dispatch are counted in 32 bits, from a 64-bit number of the first one.
            let number = samples.first * noise.sample();
            let params = params.with(|p| {
                (p.count, p.elements, p.a_sample) = (y.count as u32, elements as u32, noise.sample() as u32);
                (p.x_base, p.y_base) = (x.base, y.base);
                (p.size, p.a) = (noise.sizes.map(|size| size as u32), noise.strides().map(|stride| stride as u32));
                [p.seed, p.noise] = [noise.seed, number].map(|words| [words as u32, (words >> 32) as u32]);
            });
            let workgroups = y.count.div_ceil(u64::from(THREADS * kernels::Random::EACH));
            let bindings = vec![x.slice, Slice::whole(Resource::Buffer(step)), y.slice];
            self.dispatch(plan, Launch { variant, params, workgroups, bindings })
        })
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
    match effect {
        Effect::Mask { below, factor, addend, dropped } => {
            let [factor, addend, otherwise] = [factor, addend, dropped].map(|number| number as f32);
            (kernels::Random::MASK, Params { below, factor, addend, otherwise, ..Params::default() })
        }
        Effect::Times { stddev } => (kernels::Random::TIMES, Params { factor: stddev as f32, ..Params::default() }),
        Effect::Plus { stddev } => (kernels::Random::PLUS, Params { factor: stddev as f32, ..Params::default() }),
    }
}
