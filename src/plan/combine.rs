//! Plans of combinations of two values and of sums along axes.

use super::planner::Range;
use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::{self, Kernel, Params, THREADS, Variant};
use crate::ops::{BufferId, Combine, CombineGrad, Part, Sizes, Sum, Variance, product, strides};

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
        let samples = if o.by_batch { batch.max(1) } else { 1 };
        let axes = Axes { sizes: o.sizes, left: o.left(), summed: o.summed() };
        let results = product(&axes.left);
        if o.over_batch {
            self.profile.check_piece("a sum over all samples", 4 * results)?;
            if batch == 0 && !o.accumulate {
                self.fill(&mut plan, Resource::Buffer(o.output), results)?;
            }
        }
        let sums = Sums {
            axes,
            over_batch: o.over_batch,
            divisor: (f64::from(o.divisor) * f64::from(samples)) as f32,
            accumulate: o.accumulate,
            mean: None,
        };
        self.sums(&mut plan, &sums, o.input, o.output, batch)?;
        Ok(plan)
    }

    pub(super) fn variance(&self, o: &Variance, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let axes = Axes { sizes: o.sizes, left: o.left(), summed: o.taken() };
        let results = product(&axes.left);
        self.profile.check_piece("a variance over all samples", 4 * results)?;
        if batch == 0 {
            self.fill(&mut plan, Resource::Buffer(o.output), results)?;
        }
        let divisor = (o.terms() as f64 * f64::from(batch.max(1))) as f32;
        let sums = Sums { axes, over_batch: true, divisor, accumulate: false, mean: Some(o.mean) };
        self.sums(&mut plan, &sums, o.input, o.output, batch)?;
        Ok(plan)
    }

    /// Sums along axes, the batch cut as bindings need and sums as loops do.
    fn sums(&self, plan: &mut Plan, sums: &Sums, input: BufferId, output: BufferId, batch: u32) -> Result<()> {
        let Axes { sizes, left, summed } = &sums.axes;
        let (elements, results, terms) = (product(sizes), product(left), product(summed));
        for Samples { first, count: samples } in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let samples = u64::from(samples);
            let (x, x_base) = self.slice(Resource::Buffer(input), elements * first, elements * samples);
            let output = Resource::Buffer(output);
            // One sum runs over these samples, or each sample has its own.
            let (y, y_base, count, all) = if sums.over_batch {
                (Slice::whole(output), 0, results, terms * samples)
            } else {
                let (y, base) = self.slice(output, results * first, results * samples);
                (y, base, results * samples, terms)
            };
            let y = Range { slice: y, base: y_base, count };
            self.sums_of(plan, sums, (x, x_base), y, (all, first > 0))?;
        }
        Ok(())
    }

    /// Sums of `all` terms each of what is bound, added to what others left where there were some.
    fn sums_of(
        &self,
        plan: &mut Plan,
        sums: &Sums,
        (x, x_base): (Slice, u32),
        y: Range,
        (all, more): (u64, bool),
    ) -> Result<()> {
        let Axes { sizes, left, summed } = &sums.axes;
        let (elements, terms) = (product(sizes), product(summed));
        let parts = parts(summed, y.count, all);
        let variant: Variant = match sums.mean {
            None => kernels::Sum { parts }.listed()?.into(),
            Some(_) => kernels::Variance { parts }.listed()?.into(),
        };
        let mean = sums.mean.map(|mean| Slice::whole(Resource::Buffer(mean)));
        let bindings: Vec<Slice> = [x].into_iter().chain(mean).chain([y.slice]).collect();
        for (part, index) in self.parts(all, parts.into(), 1).zip(0u32..) {
            let adds = sums.accumulate || index > 0 || sums.over_batch && more;
            let input = strides(sizes).map(|stride| stride as u32);
            let along = |is_summed: bool| -> [u32; 4] {
                std::array::from_fn(|axis| if (summed[axis] > 1) == is_summed { input[axis] } else { 0 })
            };
            let params = Params {
                count: y.count as u32,
                x_base,
                y_base: y.base,
                accumulate: u32::from(adds),
                divisor: sums.divisor,
                terms: part.count,
                first_term: part.first,
                term_1: summed[1] as u32,
                term_2: summed[2] as u32,
                term_3: summed[3] as u32,
                term_elements: terms as u32,
                a_sample: if sums.over_batch { 0 } else { elements as u32 },
                b_sample: elements as u32,
                ..strided(along(false), along(true))
            };
            let groups = y.count.div_ceil(u64::from(THREADS / parts));
            self.dispatch(plan, variant, with_sizes(params, left), groups, bindings.clone())?;
        }
        Ok(())
    }

    /// The sum of each row of `terms` neighbours, which is no longer than a sample.
    pub(super) fn sums_of_rows(&self, plan: &mut Plan, x: Range, y: Range, terms: u64) -> Result<()> {
        let row = [1, 1, 1, terms];
        let axes = Axes { sizes: row, left: [1; 4], summed: row };
        let sums = Sums { axes, over_batch: false, divisor: 1.0, accumulate: false, mean: None };
        self.sums_of(plan, &sums, (x.slice, x.base), y, (terms, false))
    }
}

/// What is summed along which axes.
struct Axes {
    sizes: Sizes,
    left: Sizes,
    summed: Sizes,
}

/// Sums of values, or of the squares of what their mean leaves of them.
struct Sums {
    axes: Axes,
    over_batch: bool,
    divisor: f32,
    accumulate: bool,
    mean: Option<BufferId>,
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
