//! The WGSL of every variant, as compilers get it, and the fields of the uniform that it reads.

use crate::net::{Net, Result};
use locally_connected::kernel::Variant;
use locally_connected::plan::variants;
use naga::compact::{KeepUnused, compact};
use naga::{AddressSpace, Expression, Handle, Scalar, ScalarKind, StructMember, TypeInner};
use std::collections::BTreeSet;

pub(crate) fn add(net: &mut Net) {
    net.extend(variants().into_iter().map(|variant| (format!("shader {}", variant.name()), variant.wgsl())));
}

/// A field of the uniform that a variant reads.
pub(crate) struct Field {
    name: String,
    offset: usize,
    is_float: bool,
}

impl Field {
    /// `name=value` in these bytes of a uniform.
    pub(crate) fn shown(&self, uniform: &[u8]) -> Result<String> {
        let bytes = uniform.get(self.offset..).and_then(|bytes| bytes.first_chunk::<4>());
        let bytes = *bytes.ok_or_else(|| format!("{} lies beyond the uniform", self.name))?;
        Ok(match self.is_float {
            true => format!("{}={:?}", self.name, f32::from_le_bytes(bytes)),
            false => format!("{}={}", self.name, u32::from_le_bytes(bytes)),
        })
    }
}

/// The fields that the entry point and what it calls read, in the order of the struct.
pub(crate) fn fields(variant: Variant) -> Result<Vec<Field>> {
    let mut module = naga::front::wgsl::parse_str(&variant.wgsl())?;
    compact(&mut module, KeepUnused::No);
    let Some((uniform, variable)) =
        module.global_variables.iter().find(|(_, variable)| variable.space == AddressSpace::Uniform)
    else {
        return Ok(Vec::new());
    };
    let TypeInner::Struct { members, .. } = &module.types[variable.ty].inner else {
        return Err(format!("the uniform of {} is no struct", variant.name()).into());
    };
    let functions = module.functions.iter().map(|(_, function)| function);
    let mut read = BTreeSet::new();
    for function in functions.chain(module.entry_points.iter().map(|entry| &entry.function)) {
        let is_uniform = |base: Handle<Expression>| function.expressions[base] == Expression::GlobalVariable(uniform);
        for (_, expression) in function.expressions.iter() {
            if let Expression::AccessIndex { base, index } = expression
                && is_uniform(*base)
            {
                read.insert(*index as usize);
            }
        }
    }
    let field = |member: &StructMember| match (&member.name, &module.types[member.ty].inner) {
        (Some(name), TypeInner::Scalar(Scalar { kind: kind @ (ScalarKind::Float | ScalarKind::Uint), width: 4 })) => {
            Ok(Field { name: name.clone(), offset: member.offset as usize, is_float: *kind == ScalarKind::Float })
        }
        (name, inner) => Err(format!("field {name:?} of the uniform is {inner:?}").into()),
    };
    read.into_iter().map(|index| field(&members[index])).collect()
}
