//! Plans of combinations of two values and of sums along axes.

use super::planner::{Launch, Range, Ranges};
use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::{self, Params, THREADS, Variant};
use crate::ops::{BufferId, Combine, CombineGrad, Part, Sizes, Sum, Variance, product, strides};

impl Planner<'_> {
    pub(super) fn combine(&self, o: &Combine, batch: u32) -> Result<Plan> {
        let variant = kernels::Combine { how: o.how }.listed()?;
        let output = Part { buffer: o.output, sizes: o.sizes, batched: o.a.batched || o.b.batched };
        let params = Params { divisor: o.divisor, ..Params::default() };
        self.combined(&Combined { variant, params, operands: &[o.a, o.b, output] }, batch)
    }

    pub(super) fn combine_grad(&self, o: &CombineGrad, batch: u32) -> Result<Plan> {
        let variant = kernels::CombineGrad { how: o.how, of_second: o.of_second }.listed()?;
        let [dy, grad] = [o.grad_output, o.grad].map(|buffer| Part::samples(buffer, o.sizes));
        self.combined(&Combined { variant, params: Params::default(), operands: &[o.a, o.b, dy, grad] }, batch)
    }

    /// One kernel over all elements of the last operand, the batch cut as bindings need. Operands after the first two
    /// are laid out as the last one.
    fn combined(&self, over: &Combined<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let &Combined { variant, params, operands } = over;
        let ([a, b, ..], Some(output)) = (operands, operands.last()) else { return Ok(plan) };
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
            let params = params.with(|p| {
                (p.count, p.x_base, p.w_base) = (count as u32, bases[0], bases[1]);
                // Operands laid out as the output are bound to the same ranges, and so have the same base.
                p.y_base = bases.last().copied().unwrap_or(0);
                (p.a_sample, p.b_sample) = (a.sample() as u32, b.sample() as u32);
                (p.size, p.elements) = (output.sizes.map(|size| size as u32), elements as u32);
                [p.a, p.b] = [a, b].map(|part| part.strides().map(|stride| stride as u32));
            });
            self.dispatch(&mut plan, Launch::per_element(variant, params, bindings))?;
        }
        Ok(plan)
    }

    pub(super) fn sum(&self, o: &Sum, batch: u32) -> Result<Plan> {
        let samples = if o.by_batch { batch.max(1) } else { 1 };
        let sums = Sums {
            axes: Axes { sizes: o.sizes, left: o.left(), summed: o.summed() },
            over_batch: o.over_batch,
            divisor: (f64::from(o.divisor) * f64::from(samples)) as f32,
            accumulate: o.accumulate,
            mean: None,
        };
        self.sums(&sums, [o.input, o.output], batch)
    }

    pub(super) fn variance(&self, o: &Variance, batch: u32) -> Result<Plan> {
        let axes = Axes { sizes: o.sizes, left: o.left(), summed: o.taken() };
        let divisor = (o.terms() as f64 * f64::from(batch.max(1))) as f32;
        let sums = Sums { axes, over_batch: true, divisor, accumulate: false, mean: Some(o.mean) };
        self.sums(&sums, [o.input, o.output], batch)
    }

    /// Sums along axes. The batch is cut as bindings need, and sums as drivers limit loops.
    fn sums(&self, sums: &Sums, [input, output]: [BufferId; 2], batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let Axes { sizes, left, summed } = &sums.axes;
        let (elements, results, terms) = (product(sizes), product(left), product(summed));
        let output = Resource::Buffer(output);
        if sums.over_batch {
            let what = if sums.mean.is_some() { "a variance over all samples" } else { "a sum over all samples" };
            self.profile.check_piece(what, 4 * results)?;
            if batch == 0 && !sums.accumulate {
                self.fill(&mut plan, output, results)?;
            }
        }
        for samples in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let x = self.range(Resource::Buffer(input), samples, elements);
            // Either one sum runs over all these samples, or each sample has sums of its own.
            let (y, terms) = if sums.over_batch {
                (Range { slice: Slice::whole(output), base: 0, count: results }, terms * u64::from(samples.count))
            } else {
                (self.range(output, samples, results), terms)
            };
            self.sums_of(&mut plan, sums, Bound { x, y, terms, adds: samples.first > 0 })?;
        }
        Ok(plan)
    }

    /// The sums within the bound ranges.
    fn sums_of(&self, plan: &mut Plan, sums: &Sums, of: Bound) -> Result<()> {
        let Bound { x, y, terms: all, adds: more } = of;
        let Axes { sizes, left, summed } = &sums.axes;
        let (elements, terms) = (product(sizes), product(summed));
        let parts = parts(summed, y.count, all);
        let variant = match sums.mean {
            None => kernels::Sum { parts }.listed(),
            Some(_) => kernels::Variance { parts }.listed(),
        }?;
        let mean = sums.mean.map(|mean| Slice::whole(Resource::Buffer(mean)));
        let bindings: Vec<Slice> = [x.slice].into_iter().chain(mean).chain([y.slice]).collect();
        for (part, index) in self.parts(all, parts.into(), 1).zip(0u32..) {
            let adds = sums.accumulate || index > 0 || sums.over_batch && more;
            let input = strides(sizes).map(|stride| stride as u32);
            let along = |is_summed: bool| -> [u32; 4] {
                std::array::from_fn(|axis| if (summed[axis] > 1) == is_summed { input[axis] } else { 0 })
            };
            let params = Params {
                count: y.count as u32,
                x_base: x.base,
                y_base: y.base,
                accumulate: u32::from(adds),
                divisor: sums.divisor,
                terms: part.count,
                first_term: part.first,
                term: summed.map(|size| size as u32),
                term_elements: terms as u32,
                a_sample: if sums.over_batch { 0 } else { elements as u32 },
                b_sample: elements as u32,
                size: left.map(|size| size as u32),
                elements: product(left) as u32,
                a: along(false),
                b: along(true),
                ..Params::default()
            };
            let workgroups = y.count.div_ceil(u64::from(THREADS / parts));
            self.dispatch(plan, Launch { variant, params, workgroups, bindings: bindings.clone() })?;
        }
        Ok(())
    }

    /// The sum of each row of `terms` neighbours. A row is no longer than a sample.
    pub(super) fn sums_of_rows(&self, plan: &mut Plan, Ranges { x, y }: Ranges, terms: u64) -> Result<()> {
        let row = [1, 1, 1, terms];
        let axes = Axes { sizes: row, left: [1; 4], summed: row };
        let sums = Sums { axes, over_batch: false, divisor: 1.0, accumulate: false, mean: None };
        self.sums_of(plan, &sums, Bound { x, y, terms, adds: false })
    }
}

/// The axes of a sample: all, those that are left, and those that are summed along.
struct Axes {
    sizes: Sizes,
    left: Sizes,
    summed: Sizes,
}

/// Sums of values, or of the squared differences to a `mean`.
struct Sums {
    axes: Axes,
    over_batch: bool,
    divisor: f32,
    accumulate: bool,
    mean: Option<BufferId>,
}

/// Sums that a dispatch can bind.
struct Bound {
    x: Range,
    y: Range,
    /// Terms of each sum.
    terms: u64,
    /// Whether a sum over the batch continues that of the samples before.
    adds: bool,
}

/// A kernel over two operands and others that are laid out as its result. The last one is the result.
struct Combined<'a> {
    variant: Variant,
    params: Params,
    operands: &'a [Part],
}

/// How many threads share a sum, by its terms: the most where terms lie side by side, so that neighbouring threads load
/// neighbours, or where there are few results.
fn parts(summed: &Sizes, results: u64, terms: u64) -> u32 {
    let side_by_side = summed[3] > 1;
    match terms {
        64.. if side_by_side || results < 1024 => 64,
        8.. => 8,
        _ => 1,
    }
}
