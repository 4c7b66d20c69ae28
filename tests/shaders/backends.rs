//! What becomes of every variant in the languages of Vulkan, Metal and Direct3D (docs/backends.md).

use super::module;
use locally_connected::kernels::variants;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Block, Expression, Function, Handle, Module, ScalarKind, Statement, TypeInner};
use std::collections::BTreeSet;

#[test]
fn variants_translate_to_every_backend() {
    for variant in variants() {
        let (module, info) = module(variant);
        let name = variant.name();
        let words = spv::write_vec(module, info, &spv::Options::default(), None);
        assert!(!words.unwrap_or_else(|e| panic!("{name} to SPIR-V: {e}")).is_empty());
        let options = msl::Options { lang_version: (2, 0), ..Default::default() };
        let metal = msl::write_string(module, info, &options, &msl::PipelineOptions::default());
        let (source, translated) = metal.unwrap_or_else(|e| panic!("{name} to MSL: {e}"));
        let entries = translated.entry_point_names;
        assert!(entries.iter().all(Result::is_ok) && source.contains("kernel void"), "{name} to MSL: {entries:?}");
        let mut source = String::new();
        let (options, pipeline) = (hlsl::Options::default(), hlsl::PipelineOptions::default());
        let direct3d = hlsl::Writer::new(&mut source, &options, &pipeline).write(module, info, None);
        let entries = direct3d.unwrap_or_else(|e| panic!("{name} to HLSL: {e}")).entry_point_names;
        assert!(entries.iter().all(Result::is_ok) && source.contains("numthreads"), "{name} to HLSL: {entries:?}");
        let twice = defined_twice(&source);
        assert!(twice.is_empty(), "{name} to HLSL has {twice:?} twice");
    }
}

/// What HLSL declares at its outermost level more than once: functions with their arguments, types, variables. No compiler of it
/// takes a function twice.
fn defined_twice(hlsl: &str) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let outermost = |line: &&str| line.starts_with(|c: char| c.is_ascii_alphabetic());
    hlsl.lines().filter(outermost).filter(|line| !seen.insert(line.trim_end_matches(" {"))).collect()
}

#[test]
fn functions_that_are_there_twice_are_found() {
    let once = "float4 zero() {\n    return (float4)0;\n}\n\nuint zero(uint a)\n{\n    return a;\n}\n";
    assert_eq!(defined_twice(once), [""; 0]);
    assert_eq!(defined_twice(&(once.to_owned() + "float4 zero()\n{\n    return 0;\n}\n")), ["float4 zero()"]);
}

/// FXC refuses a variable index on the left side into a vector of a function's own ("X3500: array reference cannot be used as
/// an l-value; not natively addressable"); naga gives it what is written. Vectors in workgroup memory and in buffers may be.
#[test]
fn own_vectors_are_written_by_constant_indices() {
    for variant in variants() {
        let (module, info) = module(variant);
        let found = written_by_variables(module, info);
        assert!(found.is_empty(), "{}: {found:?}", variant.name());
    }
}

#[test]
fn vectors_that_are_written_by_variables_are_found() {
    let wgsl = |body: &str| {
        format!(
            "var<workgroup> shared_by_all: vec4<f32>;\nfn f(at: u32) -> f32 {{ var own = array<vec4<f32>, 2>(); {body}\n \
             return own[0][at]; }}\n@compute @workgroup_size(1) fn main() {{ _ = f(1u); shared_by_all.x = 1.0; }}"
        )
    };
    for (body, expected) in [
        ("own[at][2] = 1.0; shared_by_all[at] = 1.0;", 0),
        ("own[1][at] = 1.0;", 1),
        ("for (var l = 0u; l < 4u; l++) { if (l > at) { own[1][l] += 1.0; } }", 1),
        ("let p = &own[1]; switch (at) { case 0u: { (*p)[at] = 1.0; } default: {} }", 1),
    ] {
        let (module, info) = validated(&wgsl(body));
        assert_eq!(written_by_variables(&module, &info).len(), expected, "{body}");
    }
}

/// GLSL before 4.50 has `mix`, as which naga writes `select` by several flags, of floats alone.
#[test]
fn only_floats_are_chosen_by_several_flags() {
    for variant in variants() {
        let (module, info) = module(variant);
        let found = chosen_by_several(module, info);
        assert!(found.is_empty(), "{}: {found:?}", variant.name());
    }
}

#[test]
fn choices_by_several_flags_are_found() {
    for (body, expected) in [
        ("let f = select(vec2<f32>(), a, b > vec2(0u)); return u32(f.x);", 0),
        ("return select(0u, 1u, b.x > b.y);", 0),
        ("return select(vec2<u32>(), b, a > vec2(0.0)).x;", 1),
        ("return u32(select(vec2(true), b == vec2(0u), a > vec2(0.0)).x);", 1),
    ] {
        let wgsl = format!(
            "fn f(a: vec2<f32>, b: vec2<u32>) -> u32 {{ {body} }}
\
             @compute @workgroup_size(1) fn main() {{ _ = f(vec2<f32>(), vec2<u32>()); }}"
        );
        let (module, info) = validated(&wgsl);
        assert_eq!(chosen_by_several(&module, &info).len(), expected, "{body}");
    }
}

/// Names of functions, once for each `select` of a vector of no floats by a vector.
fn chosen_by_several<'a>(module: &'a Module, info: &'a ModuleInfo) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (function, info) in functions(module, info) {
        let type_of = |expression: Handle<Expression>| info[expression].ty.inner_with(&module.types);
        for (_, expression) in function.expressions.iter() {
            if let Expression::Select { condition, accept, .. } = *expression
                && matches!(type_of(condition), TypeInner::Vector { .. })
                && type_of(accept).scalar_kind() != Some(ScalarKind::Float)
            {
                found.push(function.name.as_deref().unwrap_or("main"));
            }
        }
    }
    found
}

fn functions<'a>(module: &'a Module, info: &'a ModuleInfo) -> impl Iterator<Item = (&'a Function, &'a FunctionInfo)> {
    let entries = module.entry_points.iter().zip(0..);
    let entries = entries.map(|(entry, index)| (&entry.function, info.get_entry_point(index)));
    module.functions.iter().map(|(handle, function)| (function, &info[handle])).chain(entries)
}

fn validated(wgsl: &str) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(wgsl).expect("WGSL");
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).expect("it is valid");
    (module, info)
}

/// Names of functions, once for each of their stores that FXC refuses.
fn written_by_variables<'a>(module: &'a Module, info: &'a ModuleInfo) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (function, info) in functions(module, info) {
        each_store(&function.body, &mut |pointer| {
            if is_own_vector_by_variable(module, function, info, pointer) {
                found.push(function.name.as_deref().unwrap_or("main"));
            }
        });
    }
    found
}

fn each_store(block: &Block, see: &mut dyn FnMut(Handle<Expression>)) {
    for statement in block {
        match statement {
            Statement::Store { pointer, .. } => see(*pointer),
            Statement::Block(inner) => each_store(inner, see),
            Statement::If { accept, reject, .. } => {
                [accept, reject].into_iter().for_each(|block| each_store(block, see))
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| each_store(&case.body, see)),
            Statement::Loop { body, continuing, .. } => {
                [body, continuing].into_iter().for_each(|block| each_store(block, see));
            }
            _ => {}
        }
    }
}

/// Whether this points to a component of a vector that a function's variable is or has, or a private one, by an index that isn't
/// constant.
fn is_own_vector_by_variable(
    module: &Module,
    function: &Function,
    info: &FunctionInfo,
    pointer: Handle<Expression>,
) -> bool {
    let Expression::Access { base, index } = function.expressions[pointer] else { return false };
    let is_own = |space| matches!(space, AddressSpace::Function | AddressSpace::Private);
    let of_own_vector = match *info[base].ty.inner_with(&module.types) {
        TypeInner::Pointer { base, space } => {
            is_own(space) && matches!(module.types[base].inner, TypeInner::Vector { .. })
        }
        TypeInner::ValuePointer { size, space, .. } => is_own(space) && size.is_some(),
        _ => false,
    };
    let by_constant = matches!(function.expressions[index], Expression::Literal(_) | Expression::Constant(_));
    of_own_vector && !by_constant
}
