//! Plans of losses, their gradients and accuracy. A sample's loss is summed in pieces: its rows of classes or, in
//! losses that are means over elements, runs of elements. Then the pieces are summed in their order. So no thread's
//! loop is long, whatever the sample.

use super::planner::{Launch, OwnScratch, Range, Ranges};
use super::{Plan, Planner, Resource, Samples, Slice};
use crate::Result;
use crate::kernels::{HitsRows, LossElements, LossGradElements, LossGradRows, LossRows, Params, THREADS, Variant};
use crate::ops::{BufferId, Hits, HitsKind, Judged, Loss, LossGrad, LossKind, Targets};

/// The most elements of a piece. In longer sums f32 would lose more than the order of summation does.
const PIECE: u64 = 4096;

/// What Keras adds to a probability before its logarithm.
const EPSILON: f32 = 1e-7;

/// The pieces' sums.
const PIECES: OwnScratch = OwnScratch { resource: Resource::Between(0), what: "the losses of pieces of samples" };

/// Which kernel computes a loss.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A mean over elements; the code of its formula.
    Elements(u32),
    /// A loss of rows of classes.
    Rows { sparse: bool, logits: bool },
}

impl Form {
    fn of(kind: LossKind) -> Self {
        match kind {
            LossKind::MeanSquaredError => Self::Elements(LossElements::SQUARED),
            LossKind::MeanAbsoluteError => Self::Elements(LossElements::ABSOLUTE),
            LossKind::Huber { .. } => Self::Elements(LossElements::HUBER),
            LossKind::BinaryCrossentropy { from_logits: false, .. } => Self::Elements(LossElements::BINARY),
            LossKind::BinaryCrossentropy { from_logits: true, .. } => Self::Elements(LossElements::BINARY_LOGITS),
            LossKind::CategoricalCrossentropy { from_logits, .. } => Self::Rows { sparse: false, logits: from_logits },
            LossKind::SparseCategoricalCrossentropy { from_logits } => Self::Rows { sparse: true, logits: from_logits },
        }
    }

    /// What a sample's sum is divided by.
    fn divisor(self, of: &Judged) -> f32 {
        match self {
            Self::Elements(_) => of.elements() as f32,
            Self::Rows { .. } => of.rows as f32,
        }
    }
}

/// The numbers in a loss's formula.
fn params_of(kind: LossKind, of: &Judged) -> Params {
    let [smooth_factor, smooth_addend] = kind.smoothing(of.classes).map(|number| number as f32);
    let delta = if let LossKind::Huber { delta } = kind { delta } else { 0.0 };
    let divisor = Form::of(kind).divisor(of);
    Params { smooth_factor, smooth_addend, delta, divisor, epsilon: EPSILON, ..Params::default() }
}

/// Some samples of prediction, target and weight, as a dispatch binds them.
struct Bound {
    bindings: Vec<Slice>,
    params: Params,
}

impl Planner<'_> {
    /// The loss of each sample.
    pub(super) fn loss(&self, o: &Loss, batch: u32) -> Result<Plan> {
        let variant = match Form::of(o.kind) {
            Form::Elements(form) => LossElements { form }.listed()?,
            Form::Rows { sparse, logits } => LossRows { sparse, logits }.listed()?,
        };
        let piece = if matches!(Form::of(o.kind), Form::Elements(_)) { PIECE } else { o.of.classes };
        let judging = Judging { of: &o.of, targets: o.kind.targets(), params: params_of(o.kind, &o.of) };
        self.judged(&judging, PerSample { variant, piece, output: o.output }, batch)
    }

    /// The accuracy of each sample.
    pub(super) fn hits(&self, o: &Hits, batch: u32) -> Result<Plan> {
        let (variant, piece, divisor, delta) = match o.kind {
            HitsKind::Binary { threshold } => {
                let form = LossElements { form: LossElements::BINARY_HITS };
                (form.listed()?, PIECE, o.of.elements(), threshold)
            }
            HitsKind::Categorical => (HitsRows { sparse: false }.listed()?, o.of.classes, o.of.rows, 0.0),
            HitsKind::Sparse => (HitsRows { sparse: true }.listed()?, o.of.classes, o.of.rows, 0.0),
        };
        let params = Params { smooth_factor: 1.0, divisor: divisor as f32, delta, ..Params::default() };
        let judging = Judging { of: &o.of, targets: o.kind.targets(), params };
        self.judged(&judging, PerSample { variant, piece, output: o.output }, batch)
    }

    /// A number for each sample: one kernel computes the pieces, and `sum` adds them.
    fn judged(&self, judging: &Judging<'_>, per_sample: PerSample, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let PerSample { variant, piece, output } = per_sample;
        let elements = judging.of.elements();
        let (row, parts) = (piece.min(elements), elements.div_ceil(piece));
        for samples in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let Bound { mut bindings, params } = self.bound(judging, samples)?;
            let count = parts * u64::from(samples.count);
            let y = self.range(Resource::Buffer(output), samples, 1);
            let to = match parts {
                1 => y,
                _ => self.between(&mut plan, PIECES, count)?,
            };
            bindings.push(to.slice);
            let params = params.with(|p| {
                (p.count, p.row, p.parts, p.y_base) = (count as u32, row as u32, parts as u32, to.base);
            });
            self.dispatch(&mut plan, Launch { variant, params, workgroups: count, bindings })?;
            if parts > 1 {
                self.sums_of_rows(&mut plan, Ranges { x: to, y }, parts)?;
            }
        }
        Ok(plan)
    }

    /// The gradient of a loss.
    pub(super) fn loss_grad(&self, o: &LossGrad, batch: u32) -> Result<Plan> {
        let mut plan = Plan::default();
        let elements = o.of.elements();
        let (variant, of_group): (_, u64) = match Form::of(o.kind) {
            Form::Elements(form) => (LossGradElements { form }.listed()?, THREADS.into()),
            Form::Rows { sparse, logits } => (LossGradRows { sparse, logits }.listed()?, o.of.classes),
        };
        let judging = Judging { of: &o.of, targets: o.kind.targets(), params: params_of(o.kind, &o.of) };
        for samples in self.samples(batch, elements, u64::from(u32::MAX) / elements)? {
            let Bound { mut bindings, params } = self.bound(&judging, samples)?;
            let grad = self.range(Resource::Buffer(o.grad), samples, elements);
            bindings.extend([Slice::whole(Resource::Buffer(o.step)), grad.slice]);
            let params = params.with(|p| {
                (p.row, p.parts) = (o.of.classes as u32, o.of.rows as u32);
                (p.count, p.y_base) = (grad.count as u32, grad.base);
            });
            self.dispatch(&mut plan, Launch { variant, params, workgroups: grad.count.div_ceil(of_group), bindings })?;
        }
        Ok(plan)
    }

    /// Prediction, target and weight of some samples.
    fn bound(&self, judging: &Judging<'_>, samples: Samples) -> Result<Bound> {
        let &Judging { of, targets, params } = judging;
        let p = self.range(Resource::Buffer(of.prediction), samples, of.elements());
        let t = self.range(Resource::Buffer(of.target), samples, of.targets(targets));
        let weight = of.sample_weight.map(|weight| self.range(Resource::Buffer(weight), samples, 1));
        let bindings = vec![p.slice, t.slice, weight.map_or(p.slice, |weight: Range| weight.slice)];
        let bases = [p.base, t.base, weight.map_or(0, |weight| weight.base)];
        let params = params.with(|p| {
            [p.x_base, p.w_base, p.b_base] = bases;
            (p.elements, p.use_scale) = (of.elements() as u32, weight.is_some().into());
        });
        Ok(Bound { bindings, params })
    }
}

/// The kernel that gives each sample its number.
struct PerSample {
    variant: Variant,
    /// Elements of a piece.
    piece: u64,
    output: BufferId,
}

/// The operands of a loss, how targets are given, and the numbers of its formula.
struct Judging<'a> {
    of: &'a Judged,
    targets: Targets,
    params: Params,
}
