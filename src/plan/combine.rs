//! Plans of combinations of two values and of sums along axes.

use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::{self, Kernel, Params, THREADS, Variant};
use crate::ops::{Combine, CombineGrad, Part, Sizes, Sum, product, strides};

impl Planner<'_> {
    pub(super) fn combine(&self, o: &Combine, batch: u32) -> Result<Plan> {
        let variant = kernels::Combine { how: o.how }.listed()?;
        let output = Part { buffer: o.output, sizes: o.sizes, batched: o.a.batched || o.b.batched };
        self.combined(variant, &[o.a, o.b, output], Params { divisor: o.divisor, ..Params::default() }, batch)
    }

    pub(super) fn combine_grad(&self, o: &CombineGrad, batch: u32) -> Result<Plan> {
        let variant = kernels::CombineGrad { how: o.how, of_second: o.of_second }.listed()?;
        let [dy, grad] = [o.grad_output, o.grad].map(|buffer| Part::samples(buffer, o.sizes));
        self.combined(variant, &[o.a, o.b, dy, grad], Params::default(), batch)
    }

    /// One kernel over all elements of the last operand, the batch cut as bindings need. Those behind the first two lie as it does.
    fn combined(&self, variant: impl Into<Variant>, operands: &[Part], params: Params, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let ([a, b, ..], Some(output)) = (operands, operands.last()) else { return Ok(plan) };
        let variant = variant.into();
        for part in operands.iter().filter(|part| !part.batched) {
            self.profile.check_piece("a value that all samples share", 4 * part.elements())?;
        }
        let elements = output.elements();
        let batch = if output.batched { batch } else { 1 };
        for Samples { first, count } in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let range = |part: &Part| {
                let (first, count) = if part.batched { (first, u64::from(count)) } else { (0, 1) };
                self.slice(Resource::Buffer(part.buffer), first * part.elements(), count * part.elements())
            };
            let (bindings, bases): (Vec<Slice>, Vec<u32>) = operands.iter().map(range).unzip();
            let count = elements * u64::from(count);
            let params = Params {
                count: count as u32,
                x_base: bases[0],
                w_base: bases[1],
                // Those that lie as the output does have its ranges, and so its base.
                y_base: bases.last().copied().unwrap_or(0),
                ..with_second(with_first(params, a), b)
            };
            let params = with_sizes(params, &output.sizes);
            self.dispatch(&mut plan, variant, params, count.div_ceil(THREADS.into()), bindings)?;
        }
        Ok(plan)
    }

    pub(super) fn sum(&self, o: &Sum, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let (left, summed) = (o.left(), o.summed());
        let (elements, results, terms) = (product(&o.sizes), product(&left), product(&summed));
        if o.over_batch {
            self.profile.check_piece("a sum over all samples", 4 * results)?;
            if batch == 0 && !o.accumulate {
                self.fill(&mut plan, Resource::Buffer(o.output), results)?;
            }
        }
        for Samples { first, count: samples } in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let samples = u64::from(samples);
            let (x, x_base) = self.slice(Resource::Buffer(o.input), elements * first, elements * samples);
            let output = Resource::Buffer(o.output);
            // One sum runs over these samples, or each sample has its own.
            let (y, y_base, count, all) = if o.over_batch {
                (Slice::whole(output), 0, results, terms * samples)
            } else {
                let (y, base) = self.slice(output, results * first, results * samples);
                (y, base, results * samples, terms)
            };
            let parts = parts(&summed, count, all);
            let variant = kernels::Sum { parts }.listed()?;
            for (part, index) in self.parts(all, parts.into(), 1).zip(0u32..) {
                let adds = o.accumulate || index > 0 || o.over_batch && first > 0;
                let (input, own) = (strides(&o.sizes), |along: bool| move |stride: u64| if along { stride } else { 0 });
                let along =
                    |summed: bool| -> Sizes { std::array::from_fn(|axis| own(o.along[axis] == summed)(input[axis])) };
                let [a, b] = [along(false), along(true)].map(|strides| strides.map(|stride| stride as u32));
                let params = Params {
                    count: count as u32,
                    x_base,
                    y_base,
                    accumulate: u32::from(adds),
                    divisor: o.divisor,
                    terms: part.count,
                    first_term: part.first,
                    term_1: summed[1] as u32,
                    term_2: summed[2] as u32,
                    term_3: summed[3] as u32,
                    term_elements: terms as u32,
                    a_sample: if o.over_batch { 0 } else { elements as u32 },
                    b_sample: elements as u32,
                    ..strided(a, b)
                };
                let groups = count.div_ceil(u64::from(THREADS / parts));
                self.dispatch(&mut plan, variant, with_sizes(params, &left), groups, vec![x, y])?;
            }
        }
        Ok(plan)
    }
}

/// Threads for each result: neighbours load neighbours where terms lie side by side, and few results have many terms each.
fn parts(summed: &Sizes, results: u64, terms: u64) -> u32 {
    let side_by_side = summed[3] > 1;
    match terms {
        64.. if side_by_side || results < 1024 => 64,
        8.. => 8,
        _ => 1,
    }
}

fn with_sizes(params: Params, sizes: &Sizes) -> Params {
    let [_, size_1, size_2, size_3] = sizes.map(|size| size as u32);
    Params { size_1, size_2, size_3, elements: product(sizes) as u32, ..params }
}

fn strided([a_0, a_1, a_2, a_3]: [u32; 4], [b_0, b_1, b_2, b_3]: [u32; 4]) -> Params {
    Params { a_0, a_1, a_2, a_3, b_0, b_1, b_2, b_3, ..Params::default() }
}

fn with_first(params: Params, part: &Part) -> Params {
    let [a_0, a_1, a_2, a_3] = part.strides().map(|stride| stride as u32);
    Params { a_sample: part.sample() as u32, a_0, a_1, a_2, a_3, ..params }
}

fn with_second(params: Params, part: &Part) -> Params {
    let [b_0, b_1, b_2, b_3] = part.strides().map(|stride| stride as u32);
    Params { b_sample: part.sample() as u32, b_0, b_1, b_2, b_3, ..params }
}
