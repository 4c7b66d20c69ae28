//! Plans of sums over whole buffers, of what gradients are clipped by, and of how far from orthogonal a matrix is.

use super::planner::{Launch, OwnScratch, Range};
use super::{Plan, Planner, Resource, Slice};
use crate::Result;
use crate::kernels::{self, OrthogonalFactors, OrthogonalProducts, Params, THREADS};
use crate::ops::{BufferId, ClipScale, Orthogonal, OrthogonalGrad, Shape, Term, Total, Vectors};

/// The norms of a matrix's vectors, and the products of all pairs of them.
const FACTORS: OwnScratch = OwnScratch { resource: Resource::Between(0), what: "the norms of a matrix's vectors" };
const PRODUCTS: OwnScratch = OwnScratch { resource: Resource::Between(1), what: "the products of a matrix's vectors" };

/// Ranges that are summed.
struct Summed {
    of: Term,
    pieces: Vec<Range>,
    /// Numbers of [`Resource::Between`] from this one on are free for the sums of parts.
    free: u32,
}

/// What the last dispatch of a sum does.
#[derive(Debug, Clone, Copy)]
struct Ending {
    output: BufferId,
    factor: f32,
    step: Option<BufferId>,
    accumulate: bool,
}

/// A matrix's vectors, and where it lies.
struct Matrix<'a> {
    of: Vectors,
    shape: &'a Shape,
    input: BufferId,
}

/// A matrix with what the steps of its operation leave: a factor for each vector, and products of pairs of vectors.
struct Products {
    matrix: Slice,
    factors: Range,
    products: Range,
    params: Params,
}

const fn code(of: Term) -> u32 {
    match of {
        Term::Value => kernels::Total::VALUE,
        Term::Magnitude => kernels::Total::MAGNITUDE,
        Term::Square => kernels::Total::SQUARE,
    }
}

impl Planner<'_> {
    pub(super) fn total(&self, o: &Total, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let pieces = self.pieces(&o.shape, batch)?.into_iter().map(|piece| {
            let (slice, base) = piece.of(self, o.input);
            Range { slice, base, count: piece.count }
        });
        let ending = Ending { output: o.output, factor: o.factor, step: o.step, accumulate: o.accumulate };
        self.total_of(&mut plan, Summed { of: o.of, pieces: pieces.collect(), free: 0 }, ending)?;
        Ok(plan)
    }

    /// The sum of all terms of some ranges: parts are summed, then the parts' sums in parts, until one is left.
    fn total_of(&self, plan: &mut Plan, summed: Summed, ending: Ending) -> Result<()> {
        let output = Resource::Buffer(ending.output);
        let (mut of, mut pieces, mut free) = (code(summed.of), summed.pieces, summed.free);
        loop {
            let parts = |piece: &Range| piece.count.div_ceil(kernels::Total::PART);
            let all: u64 = pieces.iter().map(parts).sum();
            if all == 0 {
                // The sum of nothing.
                return if ending.accumulate { Ok(()) } else { self.fill(plan, output, 1) };
            }
            let last = all == 1;
            let to = if last {
                Range { slice: Slice::whole(output), base: 0, count: 1 }
            } else {
                self.between(plan, OwnScratch { resource: Resource::Between(free), what: "the parts of a sum" }, all)?
            };
            let mut first = 0;
            for piece in pieces {
                let params = Params {
                    count: piece.count as u32,
                    columns: piece.count.min(kernels::Total::PART) as u32,
                    x_base: piece.base,
                    y_base: to.base + first,
                    factor: if last { ending.factor } else { 1.0 },
                    accumulate: (last && ending.accumulate).into(),
                    use_step: (last && ending.step.is_some()).into(),
                    ..Params::default()
                };
                // A buffer that isn't read must be bound all the same.
                let step = ending.step.map_or(piece.slice, |step| Slice::whole(Resource::Buffer(step)));
                let bindings = vec![piece.slice, step, to.slice];
                let (variant, workgroups) = (kernels::Total { of }.listed()?, parts(&piece));
                self.dispatch(plan, Launch { variant, params, workgroups, bindings })?;
                first += parts(&piece) as u32;
            }
            if last {
                return Ok(());
            }
            (of, pieces, free) = (kernels::Total::VALUE, vec![to], free + 1);
        }
    }

    pub(super) fn clip_scale(&self, o: &ClipScale) -> Result<Plan> {
        let mut plan = Plan::default();
        let bindings = [o.squares, o.output].map(|id| Slice::whole(Resource::Buffer(id))).into();
        let params = Params { limit: o.limit, count: 1, ..Params::default() };
        let variant = kernels::ClipScale { global: o.global }.listed()?;
        self.dispatch(&mut plan, Launch::per_element(variant, params, bindings))?;
        Ok(plan)
    }

    pub(super) fn orthogonal(&self, o: &Orthogonal) -> Result<Plan> {
        let mut plan = Plan::default();
        let matrix = Matrix { of: o.vectors(), shape: &o.shape, input: o.input };
        let products = self.products(&mut plan, matrix)?.products;
        let factor = o.vectors().share(o.factor) as f32;
        let ending = Ending { output: o.output, factor, step: None, accumulate: o.accumulate };
        self.total_of(&mut plan, Summed { of: Term::Magnitude, pieces: vec![products], free: 2 }, ending)?;
        Ok(plan)
    }

    pub(super) fn orthogonal_grad(&self, o: &OrthogonalGrad) -> Result<Plan> {
        let mut plan = Plan::default();
        let of = o.vectors();
        let found = self.products(&mut plan, Matrix { of, shape: &o.shape, input: o.input })?;
        let grad = self.in_one_piece(&o.shape, o.grad)?;
        let params = found.params.with(|p| {
            (p.count, p.accumulate) = ((of.count * of.length) as u32, o.accumulate.into());
            p.factor = (2.0 * of.share(o.factor)) as f32;
        });
        let bindings = vec![found.matrix, found.factors.slice, found.products.slice, grad];
        self.dispatch(&mut plan, Launch::per_element(kernels::OrthogonalGrad {}.listed()?, params, bindings))?;
        Ok(plan)
    }

    /// The products of all pairs of a matrix's vectors.
    fn products(&self, plan: &mut Plan, Matrix { of, shape, input }: Matrix<'_>) -> Result<Products> {
        let matrix = self.in_one_piece(shape, input)?;
        let params = Params {
            rows: of.count as u32,
            columns: of.length as u32,
            a: [of.vector as u32, of.element as u32, 0, 0],
            ..Params::default()
        };
        let factors = self.between(plan, FACTORS, 2 * of.count)?;
        let workgroups = of.count.div_ceil(THREADS.into());
        let bindings = vec![matrix, factors.slice];
        self.dispatch(plan, Launch { variant: OrthogonalFactors {}.listed()?, params, workgroups, bindings })?;
        let pairs = of.count.saturating_mul(of.count);
        self.profile.check_piece(PRODUCTS.what, pairs.saturating_mul(4))?;
        let products = self.between(plan, PRODUCTS, pairs)?;
        let bindings = vec![matrix, factors.slice, products.slice];
        let of_pairs = params.with(|p| p.count = pairs as u32);
        self.dispatch(plan, Launch::per_element(OrthogonalProducts {}.listed()?, of_pairs, bindings))?;
        Ok(Products { matrix, factors, products, params })
    }

    /// A buffer whose vectors are multiplied as a whole, after a check that it can be bound.
    fn in_one_piece(&self, shape: &Shape, id: BufferId) -> Result<Slice> {
        match &self.pieces(shape, 1)?[..] {
            [piece] => Ok(piece.of(self, id).0),
            _ => Err(self.profile.over_piece("a matrix that is to be orthogonal", 4 * shape.elements(1))),
        }
    }
}
