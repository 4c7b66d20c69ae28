//! Plans of what goes over parameters element by element: optimizers' steps, averages, gradients of penalties.

use super::planner::Launch;
use super::{Plan, Planner, Resource, Slice, cut};
use crate::Result;
use crate::kernels::{self, Params, Update1, Update2, Update3, Variant, rules, width};
use crate::ops::{BufferId, Change, MovingAverage, NonNegative, PenaltyGrad, Rule, Shape, Update};

/// Elements of a block of a buffer that isn't cut into chunks, so that the parts of a block's sum are parts of the
/// whole sum.
const BLOCK: u64 = kernels::Total::PART;

/// A run of elements that can be bound: a chunk of weights, or a block of anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    chunk: Option<u32>,
    first: u64,
    pub(super) count: u64,
}

impl Piece {
    /// This piece of a buffer, and the number of elements between the binding's start and the first element.
    pub(super) fn of(&self, planner: &Planner<'_>, id: BufferId) -> (Slice, u32) {
        match self.chunk {
            Some(chunk) => (Slice::whole(Resource::Chunk(id, chunk)), 0),
            None => planner.slice(Resource::Buffer(id), self.first, self.count),
        }
    }
}

/// The buffers that are changed: the parameter, then its states.
fn changed(o: &Change) -> impl Iterator<Item = BufferId> {
    std::iter::once(o.parameter).chain(o.state.iter().copied())
}

impl Params {
    /// The same numbers with those of an optimizer's step.
    pub(super) fn with_change(self, o: &Change) -> Self {
        self.with(|p| {
            match o.rule {
                Rule::Sgd { momentum, .. } => p.momentum = momentum as f32,
                Rule::Adam { beta_1, beta_2, epsilon, .. } => {
                    (p.mean_share, p.share) = ((1.0 - beta_1) as f32, (1.0 - beta_2) as f32);
                    p.epsilon = epsilon as f32;
                }
                Rule::RmsProp { rho, momentum, epsilon, .. } => {
                    (p.kept, p.share) = (rho as f32, (1.0 - rho) as f32);
                    (p.momentum, p.epsilon) = (momentum as f32, epsilon as f32);
                }
            }
            p.rule = code(o);
            (p.limit, p.decay) = (o.clip_value.unwrap_or(0.0), o.weight_decay.unwrap_or(0.0) as f32);
            (p.l1, p.l2) = (o.l1, 2.0 * o.l2);
        })
    }
}

/// The bindings of a step's numbers and of the chunks that are changed.
pub(super) fn changed_chunk(o: &Change, chunk: u32) -> impl Iterator<Item = Slice> {
    let changed = changed(o).map(move |id| Slice::whole(Resource::Chunk(id, chunk)));
    std::iter::once(Slice::whole(Resource::Buffer(o.step))).chain(changed)
}

/// The kernel of an optimizer's step for `width` weights of a thread.
fn changing(o: &Change, width: u32) -> Result<Variant> {
    let rule = code(o);
    match o.state.len() {
        0 => kernels::Update { width }.listed(),
        1 => Update1 { rule, width }.listed(),
        2 => Update2 { rule, width }.listed(),
        _ => Update3 { rule, width }.listed(),
    }
}

/// The number of a rule in WGSL. SGD without momentum has none.
fn code(o: &Change) -> u32 {
    match (o.rule, o.state.len()) {
        (Rule::Sgd { nesterov: false, .. }, _) => rules::MOMENTUM,
        (Rule::Sgd { nesterov: true, .. }, _) => rules::NESTEROV,
        (Rule::Adam { amsgrad: false, .. }, _) => rules::ADAM,
        (Rule::Adam { amsgrad: true, .. }, _) => rules::AMSGRAD,
        (Rule::RmsProp { .. }, 0 | 1) => rules::RMSPROP,
        (Rule::RmsProp { centered: false, .. }, _) => rules::RMSPROP_MOMENTUM,
        (Rule::RmsProp { centered: true, .. }, 2) => rules::RMSPROP_CENTERED,
        (Rule::RmsProp { centered: true, .. }, _) => rules::RMSPROP_BOTH,
    }
}

/// One kernel over all elements of its operands, all of the same shape.
struct Over<'a> {
    /// The kernel, by the number of elements that a thread computes.
    variant: &'a dyn Fn(u32) -> Result<Variant>,
    params: Params,
    shape: &'a Shape,
    operands: &'a [BufferId],
    /// Ranges that are bound whole: before the operands, and after the first operand.
    before: &'a [Slice],
    after_first: &'a [Slice],
}

/// The gradient of a chunk of weights, in one piece.
pub(super) struct ChunkGradient {
    /// The number of the chunk.
    pub(super) chunk: u32,
    pub(super) gradient: Slice,
    pub(super) elements: u64,
}

impl Planner<'_> {
    /// The pieces of each buffer of this shape.
    pub(super) fn pieces(&self, shape: &Shape, batch: u32) -> Result<Vec<Piece>> {
        if shape.is_cut() {
            let chunks = cut(shape, self.profile)?.into_iter().zip(0..);
            let pieces = chunks.map(|(chunk, index)| Piece { chunk: Some(index), first: 0, count: chunk.len() });
            return Ok(pieces.filter(|piece| piece.count > 0).collect());
        }
        let (all, most) = (shape.elements(batch), self.profile.max_piece());
        let block = if 4 * all <= most {
            all.max(1)
        } else {
            let fits = most.saturating_sub(self.profile.storage_alignment.into()) / 4;
            if fits == 0 {
                return Err(self.profile.over_piece("an element", 4));
            }
            if fits < BLOCK { fits } else { fits / BLOCK * BLOCK }
        };
        let piece = |first: u64| Piece { chunk: None, first, count: block.min(all - first) };
        Ok((0..all).step_by(block as usize).map(piece).collect())
    }

    fn over(&self, over: &Over<'_>, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        for piece in self.pieces(over.shape, batch)? {
            // All operands are bound to the same ranges, and so have the same base.
            let (slices, bases): (Vec<Slice>, Vec<u32>) = over.operands.iter().map(|&id| piece.of(self, id)).unzip();
            let base = bases.first().copied().unwrap_or(0);
            let width = width(piece.count.is_multiple_of(4) && base.is_multiple_of(4));
            let params = over.params.with(|p| (p.count, p.y_base) = (piece.count as u32 / width, base / width));
            let (first, rest) = slices.split_at(1.min(slices.len()));
            let bindings = [over.before, first, over.after_first, rest].concat();
            self.dispatch(&mut plan, Launch::per_element((over.variant)(width)?, params, bindings))?;
        }
        Ok(plan)
    }

    pub(super) fn update(&self, o: &Update) -> Result<Plan> {
        let params = Params { use_scale: o.scale.is_some().into(), ..Params::default() }.with_change(&o.change);
        let variant = &|width| changing(&o.change, width);
        let (step, scale) = self.before(&o.change, o.scale);
        let operands: Vec<BufferId> = [o.gradient].into_iter().chain(changed(&o.change)).collect();
        let (operands, before) = (&operands[..], &[step, scale]);
        self.over(&Over { variant, params, shape: &o.shape, operands, before, after_first: &[] }, 1)
    }

    /// Appends the update of a chunk of weights.
    pub(super) fn update_chunk(&self, plan: &mut Plan, change: &Change, by: ChunkGradient) -> Result<()> {
        let ChunkGradient { chunk, gradient, elements } = by;
        let (step, scale) = self.before(change, None);
        let changed = changed(change).map(|id| Slice::whole(Resource::Chunk(id, chunk)));
        let bindings = [step, scale, gradient].into_iter().chain(changed).collect();
        let width = width(elements.is_multiple_of(4));
        let params = Params { count: elements as u32 / width, ..Params::default() }.with_change(change);
        self.dispatch(plan, Launch::per_element(changing(change, width)?, params, bindings))
    }

    /// The ranges of a step's numbers and of a gradient's factor. What isn't read must be bound all the same.
    fn before(&self, change: &Change, scale: Option<BufferId>) -> (Slice, Slice) {
        let step = Slice::whole(Resource::Buffer(change.step));
        (step, scale.map_or(step, |scale| Slice::whole(Resource::Buffer(scale))))
    }

    pub(super) fn moving_average(&self, o: &MovingAverage, batch: u32) -> Result<Plan> {
        let params = Params { kept: o.momentum as f32, share: o.share(batch) as f32, ..Params::default() };
        let variant = &|width| kernels::MovingAverage { width }.listed();
        let operands = &[o.value, o.average];
        self.over(&Over { variant, params, shape: &o.shape, operands, before: &[], after_first: &[] }, batch)
    }

    pub(super) fn penalty_grad(&self, o: &PenaltyGrad, batch: u32) -> Result<Plan> {
        let params = Params {
            l1: o.l1,
            l2: 2.0 * o.l2,
            use_step: o.step.is_some().into(),
            accumulate: o.accumulate.into(),
            ..Params::default()
        };
        let variant = &|width| kernels::PenaltyGrad { width }.listed();
        // A buffer that isn't read must be bound all the same: here the operand once more.
        let (step, operands) = match o.step {
            Some(step) => (vec![Slice::whole(Resource::Buffer(step))], vec![o.of, o.output]),
            None => (Vec::new(), vec![o.of, o.of, o.output]),
        };
        let (operands, after_first) = (&operands[..], &step[..]);
        self.over(&Over { variant, params, shape: &o.shape, operands, before: &[], after_first }, batch)
    }

    pub(super) fn non_negative(&self, o: &NonNegative) -> Result<Plan> {
        let variant = &|width| kernels::NonNegative { width }.listed();
        let (params, operands) = (Params::default(), &[o.parameter]);
        self.over(&Over { variant, params, shape: &o.shape, operands, before: &[], after_first: &[] }, 1)
    }
}
