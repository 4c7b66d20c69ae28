//! The WGSL of every variant, as compilers get it, and the fields of the uniform that it reads.

use crate::net::{Net, Result};
use locally_connected::kernels::{Variant, variants};
use naga::back::wgsl;
use naga::compact::{KeepUnused, compact};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Expression, Handle, Module, Scalar, ScalarKind, StructMember, TypeInner};
use std::collections::BTreeSet;

pub(crate) fn add(net: &mut Net) -> Result<()> {
    for variant in variants() {
        net.insert(format!("shader {}", variant.name()), variant.shader()?.wgsl);
    }
    Ok(())
}

/// A shader without what doesn't matter to what it computes: comments, names of values, the order of declarations,
/// what nothing calls, and the fields of the uniform, which stand where they are read.
pub(crate) fn meaning(wgsl: &str) -> Result<String> {
    let mut module = naga::front::wgsl::parse_str(wgsl)?;
    unname(&mut module);
    compact(&mut module, KeepUnused::No);
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32).validate(&module)?;
    let text = wgsl::write_string(&module, &info, wgsl::WriterFlags::empty())?;
    let mut declarations = vec![String::new()];
    for line in text.lines() {
        if let Some(last) = declarations.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
        if line.starts_with('}') || !line.starts_with(' ') && line.ends_with(';') {
            declarations.push(String::new());
        }
    }
    let mut declarations: Vec<&str> = declarations.iter().map(|text| text.trim_start()).collect();
    declarations.retain(|text| !text.starts_with("struct t_Params ") && !text.starts_with("const "));
    declarations.sort_unstable();
    Ok(declarations.concat())
}

/// Constants become their values, and names such as nothing else has, so that no other declaration changes them.
fn unname(module: &mut Module) {
    let types: Vec<_> = module.types.iter().map(|(handle, ty)| (handle, ty.clone())).collect();
    for (handle, mut ty) in types {
        if let Some(name) = &mut ty.name {
            *name = format!("t_{name}");
            module.types.replace(handle, ty);
        }
    }
    module.global_variables.iter_mut().for_each(|(_, it)| it.name = it.name.take().map(|name| format!("g_{name}")));
    let (constants, values) = (&module.constants, &module.global_expressions);
    let functions = module.functions.iter_mut().map(|(_, function)| function);
    for function in functions.chain(module.entry_points.iter_mut().map(|entry| &mut entry.function)) {
        let name = function.name.take().unwrap_or_default();
        function.named_expressions.clear();
        (function.arguments.iter_mut().zip(0..))
            .for_each(|(argument, i)| argument.name = Some(format!("a{i}_{name}_")));
        (function.local_variables.iter_mut().zip(0..))
            .for_each(|((_, local), i)| local.name = Some(format!("v{i}_{name}_")));
        function.name = Some(format!("f_{name}"));
        for (_, expression) in function.expressions.iter_mut() {
            if let Expression::Constant(constant) = *expression
                && let value @ Expression::Literal(_) = &values[constants[constant].init]
            {
                *expression = value.clone();
            }
        }
    }
}

/// The kernel of a record's name: `loop_forward` of `shader loop_forward_images1_filters1`.
pub(crate) fn kernel(name: &str) -> String {
    let words = name.trim_start_matches("shader ").split('_');
    words.take_while(|word| !word.ends_with(|c: char| c.is_ascii_digit())).collect::<Vec<_>>().join("_")
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
    let mut module = naga::front::wgsl::parse_str(&variant.shader()?.wgsl)?;
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
