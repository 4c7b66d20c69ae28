//! The buffers that a program is bound to, each as a range of one, and whether they may be used together.

use super::called::Called;
use super::{BufferRange, Tensor};
use crate::kernels::Access;
use crate::plan::{Plan, Resource};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// What a program's buffer is bound to: a buffer, a range of one, or the buffers of a gradient of weights.
#[derive(Debug, Clone, Copy)]
pub enum Binding<'a> {
    /// Values that lie in one range.
    Range(BufferRange<'a>),
    /// Weights or their gradient, in as many ranges as the device's limits need: from
    /// [`Weights::create_gradient`](super::Weights::create_gradient) or [`Tensor::in_ranges`].
    Gradient(&'a Tensor),
}

impl<'a, T: Into<BufferRange<'a>>> From<T> for Binding<'a> {
    fn from(range: T) -> Self {
        Self::Range(range.into())
    }
}

impl<'a> From<&'a Tensor> for Binding<'a> {
    fn from(gradient: &'a Tensor) -> Self {
        Self::Gradient(gradient)
    }
}

/// A program's inputs, outputs and gradients by name.
///
/// ```no_run
/// # use locally_connected::gpu::Bindings;
/// # fn all(input: &wgpu::Buffer, output: &wgpu::Buffer) {
/// let bindings = Bindings::default().with("input", input).with("output", output.slice(256..));
/// # }
/// # use locally_connected::wgpu;
/// ```
#[derive(Debug, Clone, Default)]
pub struct Bindings<'a> {
    by_name: BTreeMap<&'a str, Binding<'a>>,
}

impl<'a> Bindings<'a> {
    /// The same bindings and one more.
    #[must_use]
    pub fn with(mut self, name: &'a str, binding: impl Into<Binding<'a>>) -> Self {
        self.by_name.insert(name, binding.into());
        self
    }

    /// The same bindings and one more, where there is one.
    #[must_use]
    pub fn with_some(self, name: &'a str, binding: Option<impl Into<Binding<'a>>>) -> Self {
        match binding {
            Some(binding) => self.with(name, binding),
            None => self,
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<Binding<'a>> {
        self.by_name.get(name).copied().ok_or_else(|| Error::NotGiven { name: name.to_owned() })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().copied()
    }
}

/// A range as an operand of a program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) called: Called<'a>,
    access: Access,
    pub(super) range: BufferRange<'a>,
}

impl<'a> Operand<'a> {
    pub(super) fn new(called: Called<'a>, access: Access, range: BufferRange<'a>) -> Self {
        Self { called, access, range }
    }

    /// The operand cut to `elements`, after a check that such a range can be bound.
    pub(super) fn checked(self, elements: u64, alignment: u64, shape: &[usize]) -> Result<Self> {
        let Self { called: Called { what, .. }, range, .. } = self;
        let needed = elements.saturating_mul(4);
        if range.size < needed {
            let (expected, found, shape) = (elements, range.size / 4, shape.to_vec());
            return Err(self.called.blamed(Error::Length { what, expected, found, shape }));
        }
        range.check(what, alignment, wgpu::BufferUsages::STORAGE).map_err(|error| self.called.blamed(error))?;
        Ok(Self { range: range.first(needed), ..self })
    }

    fn aliased(&self, with: &Self) -> Error {
        let overlap = self.range.overlap(&with.range);
        Error::Aliased { written: self.called.name.to_owned(), with: with.called.name.to_owned(), overlap }
    }
}

/// All operands of a program, each of which was checked by itself.
#[derive(Debug, Default)]
pub(super) struct Operands<'a> {
    by_resource: BTreeMap<Resource, Operand<'a>>,
}

impl<'a> Operands<'a> {
    pub(super) fn insert(&mut self, resource: Resource, operand: Operand<'a>) {
        self.by_resource.insert(resource, operand);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Operand<'a>> {
        self.by_resource.values()
    }

    pub(super) fn get(&self, resource: Resource) -> Option<&Operand<'a>> {
        self.by_resource.get(&resource)
    }

    /// Checks that what is written overlaps no other operand and none of `idle`: parameters that this program doesn't
    /// read are other programs'.
    pub(super) fn check_overlaps(&self, idle: &[Operand<'a>]) -> Result<()> {
        let all: Vec<_> = self.by_resource.values().chain(idle).collect();
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                let written = [one.access, other.access].contains(&Access::Write);
                if written && one.range.overlap(&other.range) > 0 {
                    return Err(if one.access == Access::Write { one.aliased(other) } else { other.aliased(one) });
                }
            }
        }
        Ok(())
    }

    /// Checks that no operand lies in a buffer of the scratch memory.
    pub(super) fn check_scratch(&self, scratch: &[wgpu::Buffer]) -> Result<()> {
        let mut all = self.by_resource.values();
        all.find(|operand| scratch.contains(operand.range.buffer)).map_or(Ok(()), |operand| {
            let (written, overlap) = ("scratch memory".to_owned(), operand.range.size);
            Err(Error::Aliased { written, with: operand.called.name.to_owned(), overlap })
        })
    }

    /// Checks that no dispatch reads a buffer that it also writes. WebGPU looks at whole buffers there and refuses
    /// disjoint ranges, too; two disjoint ranges that are both read or both written are allowed.
    pub(super) fn check_dispatches(&self, plan: &Plan) -> Result<()> {
        for dispatch in &plan.dispatches {
            let bound = |wanted| {
                let bindings = dispatch.bindings.iter().zip(dispatch.variant.info().bindings);
                bindings.filter_map(move |(slice, access)| self.get(slice.resource).filter(|_| *access == wanted))
            };
            for written in bound(Access::Write) {
                if let Some(read) = bound(Access::Read).find(|read| read.range.buffer == written.range.buffer) {
                    return Err(written.aliased(read));
                }
            }
        }
        Ok(())
    }
}
