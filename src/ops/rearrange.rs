//! Operations that move values: each output element is an input element, or zero.

use super::{BufferId, Describe, Operand};

/// An axis of an output, and the axis of the input that it reads: position `o` reads position `⌊(o − before) /
/// repeat⌋`, or is zero if there is no such position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AxisMap {
    /// Output positions.
    pub output: u32,
    /// Input positions.
    pub input: u32,
    /// Zeroes before the first input; if negative, so many repeated inputs are cut off there.
    pub before: i32,
    /// How often each input is repeated.
    pub repeat: u32,
    /// The number of the input's axis, from the outermost on.
    pub of: usize,
}

impl AxisMap {
    /// Axis `of` of the input, unchanged.
    #[must_use]
    pub const fn whole(size: u32, of: usize) -> Self {
        Self { output: size, input: size, before: 0, repeat: 1, of }
    }

    /// An axis with zeroes added on both sides.
    #[must_use]
    pub const fn padded(size: u32, before: u32, after: u32, of: usize) -> Self {
        let output = size.saturating_add(before).saturating_add(after);
        Self { output, input: size, before: before as i32, repeat: 1, of }
    }

    /// `count` positions of an axis, from `first` on.
    #[must_use]
    pub const fn cropped(size: u32, first: u32, count: u32, of: usize) -> Self {
        Self { output: count, input: size, before: (first as i32).wrapping_neg(), repeat: 1, of }
    }

    /// An axis with each position repeated.
    #[must_use]
    pub const fn repeated(size: u32, repeat: u32, of: usize) -> Self {
        Self { output: size.saturating_mul(repeat), input: size, before: 0, repeat, of }
    }

    /// Whether every position reads the same position of the input.
    const fn is_whole(&self) -> bool {
        self.output == self.input && self.before == 0 && self.repeat == 1
    }
}

/// `output`: the input's elements with axes in another order, cut off, padded with zeroes or repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rearrange {
    /// The output's axes, the outermost first; each axis of the input is one of them.
    pub axes: Vec<AxisMap>,
    /// `[batch]` and the input's axes.
    pub input: BufferId,
    /// `[batch]` and the output's axes.
    pub output: BufferId,
}

/// `grad_input`: each input's gradient is the sum of the gradients of the outputs that read it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RearrangeGrad {
    /// The axes of the [`Rearrange`].
    pub axes: Vec<AxisMap>,
    /// `[batch]` and the output's axes.
    pub grad_output: BufferId,
    /// `[batch]` and the input's axes.
    pub grad_input: BufferId,
}

/// One of the inputs of a [`Concatenate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Columns {
    /// `[batch][rows][columns]`.
    pub input: BufferId,
    /// Elements of a row: those along the axis on which inputs are joined, and along all axes after it.
    pub columns: u64,
}

/// `output`: rows of several inputs, joined.
///
/// It is one operation of any number of inputs, since each buffer has one writer; executors write it input by input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Concatenate {
    /// Elements before the axis on which inputs are joined.
    pub rows: u64,
    /// In order; a buffer may be there twice.
    pub inputs: Vec<Columns>,
    /// `[batch][rows][all columns]`.
    pub output: BufferId,
}

impl Concatenate {
    /// Elements of an output row.
    #[must_use]
    pub fn columns(&self) -> u64 {
        self.inputs.iter().fold(0, |all: u64, input| all.saturating_add(input.columns))
    }

    /// The axes of a [`Rearrange`] that cuts the gradient of input number `at` out of the output's; none if there is no
    /// such input.
    #[must_use]
    pub fn grad_axes(&self, at: usize) -> Option<Vec<AxisMap>> {
        let columns = self.inputs.get(at)?.columns;
        let first: u64 = self.inputs[..at].iter().map(|input| input.columns).sum();
        let columns = AxisMap::cropped(self.columns() as u32, first as u32, columns as u32, 1);
        Some(vec![AxisMap::whole(self.rows as u32, 0), columns])
    }
}

/// An axis of the output, and the distance between its neighbours in the input: all that is needed of an [`AxisMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) map: AxisMap,
    /// The distance, in elements.
    pub(crate) stride: u32,
}

impl Moved {
    /// An axis of one position.
    pub(crate) const ONE: Self = Self { map: AxisMap::whole(1, 0), stride: 0 };
}

/// The most axes of an output, counting neighbours that also are neighbours in the input as one.
pub(crate) const MOST_AXES: usize = 5;

/// Axes of the output, the outermost first. If there are fewer, those in front have one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MovedAxes(pub(crate) [Moved; MOST_AXES]);

impl MovedAxes {
    /// The axes of an output. Neighbours that also are neighbours in the input are taken together. None if there are
    /// still too many.
    pub(crate) fn new(axes: &[AxisMap]) -> Option<Self> {
        let stride = |of: usize| axes.iter().filter(|other| other.of > of).map(|other| other.input).product();
        let mut all = [Moved::ONE; MOST_AXES];
        let mut count = 0;
        for &map in axes.iter().filter(|map| **map != AxisMap::whole(1, map.of)) {
            let inner = Moved { map, stride: stride(map.of) };
            // If the inner axis is read whole, positions of the outer one are its length apart.
            let follows =
                |outer: &Moved| outer.stride == inner.stride * map.input && map.is_whole() && outer.map.repeat == 1;
            match all[..count].last_mut().filter(|outer| follows(outer)) {
                Some(outer) => {
                    let size = map.input;
                    outer.map.output *= size;
                    outer.map.input *= size;
                    outer.map.before *= size as i32;
                    outer.stride = inner.stride;
                }
                None => {
                    *all.get_mut(count)? = inner;
                    count += 1;
                }
            }
        }
        all[..].rotate_right(MOST_AXES - count);
        Some(Self(all))
    }

    /// The same axes for the gradient, in which the input reads the output. `map` stays as it is; `stride` is now the
    /// distance between neighbours in the output.
    pub(crate) fn by_input(&self) -> Self {
        let mut axes = self.0.map(|axis| (axis.stride, axis));
        let mut stride = 1;
        for (_, axis) in axes.iter_mut().rev() {
            axis.stride = stride;
            stride *= axis.map.output;
        }
        // The outermost first. An axis of one position may have the same distance as another; wherever it is put, it
        // isn't long.
        axes.sort_unstable_by_key(|(distance, axis)| {
            (axis.map.input > 1 || axis.map.output > 1, std::cmp::Reverse(*distance), axis.map.input, axis.map.output)
        });
        Self(axes.map(|(_, axis)| axis))
    }

    /// The axes that undo this rearrangement, if nothing is repeated.
    pub(crate) fn inverse(&self) -> Self {
        Self(self.by_input().0.map(|Moved { map, stride }| {
            let back = AxisMap { output: map.input, input: map.output, before: -map.before, ..map };
            Moved { map: back, stride }
        }))
    }

    /// The rows and columns of the input, if all that is done is to transpose matrices of `elements` elements.
    pub(crate) fn transposition(&self) -> Option<[u32; 2]> {
        let [rest @ .., outer, column, row] = &self.0;
        let (columns, rows) = (column.map.input, row.map.input);
        let nothing = |axis: &Moved| axis.map.is_whole() && axis.map.input == 1;
        let samples = outer.map.is_whole() && (outer.map.input == 1 || outer.stride == rows * columns);
        let swapped = column.stride == 1 && row.stride == columns && column.map.is_whole() && row.map.is_whole();
        (rest.iter().all(nothing) && samples && swapped).then_some([rows, columns])
    }
}

/// The axes in the output's order, each repeated as it is, but none moved.
fn unmoved(axes: &[AxisMap]) -> Vec<AxisMap> {
    axes.iter().zip(0..).map(|(map, of)| AxisMap { of, ..*map }).collect()
}

/// The axes that bring sums over repetitions, which are in the output's order, into the input's order.
pub(crate) fn put_back(axes: &[AxisMap]) -> Vec<AxisMap> {
    let mut back: Vec<_> = axes.iter().zip(0..).map(|(map, of)| (map.of, AxisMap::whole(map.input, of))).collect();
    back.sort_unstable_by_key(|(place, _)| *place);
    back.into_iter().map(|(_, map)| map).collect()
}

fn inputs(axes: &[AxisMap]) -> u64 {
    axes.iter().fold(1, |all: u64, axis| all.saturating_mul(axis.input.into()))
}

fn outputs(axes: &[AxisMap]) -> u64 {
    axes.iter().fold(1, |all: u64, axis| all.saturating_mul(axis.output.into()))
}

fn fault(axes: &[AxisMap]) -> Option<&'static str> {
    const MOST: u64 = i32::MAX as u64 / 2;
    let mut places: Vec<usize> = axes.iter().map(|axis| axis.of).collect();
    places.sort_unstable();
    if places.into_iter().ne(0..axes.len()) {
        return Some("its axes aren't the input's, each once");
    }
    if axes.iter().any(|axis| [axis.output, axis.input, axis.repeat].contains(&0)) {
        return Some("an axis has no elements");
    }
    let inputs = inputs(axes);
    // An axis may be taken together with those after it, and then so are the zeroes before it.
    let far = |axis: &AxisMap| {
        let (input, before) = (u64::from(axis.input), u64::from(axis.before.unsigned_abs()));
        input * u64::from(axis.repeat) > MOST || (inputs / input).saturating_mul(before) > MOST || before > MOST
    };
    if inputs > MOST || outputs(axes) > MOST || axes.iter().any(far) {
        return Some("its elements can't be addressed");
    }
    MovedAxes::new(axes).is_none().then_some("more than five of its axes move")
}

/// The sums of a [`RearrangeGrad`] with repetitions, before any axis is moved: `[outer][axes][inner]`, where the three
/// axes are those that aren't whole, with any whole ones between them. Missing axes are in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repetitions {
    pub(crate) outer: u32,
    pub(crate) axes: [AxisMap; 3],
    pub(crate) inner: u32,
}

/// The repetitions of a gradient; none if more than three such axes are needed.
pub(crate) fn repetitions(axes: &[AxisMap]) -> Option<Repetitions> {
    let one = AxisMap::whole(1, 0);
    let mut maps: Vec<AxisMap> = MovedAxes::new(&unmoved(axes))?.0.map(|axis| axis.map).into();
    maps.retain(|map| *map != AxisMap::whole(1, map.of));
    let inner = maps.pop_if(|map| map.is_whole()).map_or(1, |map| map.input);
    let outer = maps.first().filter(|map| map.is_whole()).map_or(1, |map| map.input);
    maps.drain(..usize::from(outer > 1));
    let missing = 3usize.checked_sub(maps.len())?;
    let at = |at: usize| at.checked_sub(missing).map_or(one, |at| maps[at]);
    Some(Repetitions { outer, axes: std::array::from_fn(at), inner })
}

/// Whether several outputs read the same input.
pub(crate) fn repeats(axes: &[AxisMap]) -> bool {
    axes.iter().any(|axis| axis.repeat > 1)
}

/// Whether the output's axes are in the input's order.
pub(crate) fn in_order(axes: &[AxisMap]) -> bool {
    axes.is_sorted_by_key(|axis| axis.of)
}

impl Describe for Rearrange {
    fn name(&self) -> &'static str {
        "rearrange"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.input]
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        vec![Operand::samples(self.input, inputs(&self.axes)), Operand::samples(self.output, outputs(&self.axes))]
    }

    fn fault(&self) -> Option<&'static str> {
        fault(&self.axes)
    }
}

impl Describe for RearrangeGrad {
    fn name(&self) -> &'static str {
        "rearrange_grad"
    }

    fn reads(&self) -> Vec<BufferId> {
        vec![self.grad_output]
    }

    fn writes(&self) -> BufferId {
        self.grad_input
    }

    fn operands(&self) -> Vec<Operand> {
        let (inputs, outputs) = (inputs(&self.axes), outputs(&self.axes));
        vec![Operand::samples(self.grad_output, outputs), Operand::samples(self.grad_input, inputs)]
    }

    fn fault(&self) -> Option<&'static str> {
        fault(&self.axes).or_else(|| {
            let many = repeats(&self.axes) && repetitions(&self.axes).is_none();
            many.then_some("more than three of its axes are repeated, cut or padded")
        })
    }
}

impl Describe for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn reads(&self) -> Vec<BufferId> {
        self.inputs.iter().map(|columns| columns.input).collect()
    }

    fn writes(&self) -> BufferId {
        self.output
    }

    fn operands(&self) -> Vec<Operand> {
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|part| Operand::samples(part.input, self.rows.saturating_mul(part.columns)));
        inputs.chain([Operand::samples(self.output, self.rows.saturating_mul(self.columns()))]).collect()
    }

    fn fault(&self) -> Option<&'static str> {
        if self.inputs.is_empty() {
            return Some("it has no inputs");
        }
        let nothing = self.rows == 0 || self.inputs.iter().any(|part| part.columns == 0);
        nothing.then_some("it has no rows, or an input without columns")
    }
}
