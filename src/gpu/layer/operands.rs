//! The buffers of a pass, each as a range of one, and whether they may be used together.

use crate::gpu::BufferRange;
use crate::kernel::Access;
use crate::plan::{Plan, Role};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A range as an operand of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand<'a> {
    what: &'static str,
    access: Access,
    pub(super) range: BufferRange<'a>,
}

impl<'a> Operand<'a> {
    pub(super) fn read(what: &'static str, range: impl Into<BufferRange<'a>>) -> Self {
        Self { what, access: Access::Read, range: range.into() }
    }

    pub(super) fn written(what: &'static str, range: impl Into<BufferRange<'a>>) -> Self {
        Self { what, access: Access::Write, range: range.into() }
    }

    /// The operand without what it has beyond `elements`, once it is known to be a range that can be bound.
    pub(super) fn checked(self, elements: u64, alignment: u64, shape: impl Fn() -> Vec<usize>) -> Result<Self> {
        let Self { what, range, .. } = self;
        let needed = elements.saturating_mul(4);
        if range.size < needed {
            return Err(Error::Length { what, expected: elements, found: range.size / 4, shape: shape() });
        }
        range.check(what, alignment, wgpu::BufferUsages::STORAGE)?;
        Ok(Self { range: range.first(needed), ..self })
    }

    fn aliased(&self, with: &Self) -> Error {
        Error::Aliased { written: self.what, with: with.what, overlap: self.range.overlap(&with.range) }
    }
}

/// The operands of a pass by role, checked each for itself.
#[derive(Debug, Default)]
pub(super) struct Operands<'a> {
    by_role: BTreeMap<Role, Operand<'a>>,
}

impl<'a> Operands<'a> {
    pub(super) fn insert(&mut self, role: Role, operand: Operand<'a>) {
        self.by_role.insert(role, operand);
    }

    pub(super) fn get(&self, role: Role) -> Option<&Operand<'a>> {
        self.by_role.get(&role)
    }

    /// Checks that nothing is written that another operand of this pass or of `next`, which follows it, also has.
    pub(super) fn check_overlaps(&self, next: Option<&Self>) -> Result<()> {
        let all: Vec<_> =
            self.by_role.values().chain(next.into_iter().flat_map(|next| next.by_role.values())).collect();
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

    /// Checks that no dispatch reads a buffer and writes it, which WebGPU refuses whatever the ranges: it looks at whole
    /// buffers. It takes two disjoint ranges that are both read or both written.
    pub(super) fn check_dispatches(&self, plan: &Plan) -> Result<()> {
        for dispatch in &plan.dispatches {
            let bound = |wanted| {
                let bindings = dispatch.bindings.iter().zip(dispatch.variant.info().bindings);
                bindings.filter_map(move |(slice, access)| self.get(slice.role).filter(|_| *access == wanted))
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
