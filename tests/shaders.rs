//! Every shader variant against the table of kernels and the rules of WebGPU, by naga's reflection.

mod backends;
mod uniformity;

use crate::common::{Planned, root};
use locally_connected::kernels::{ACTIVATION_CODES, Access, KERNELS, Params, Uniform, Variant, variants};
use locally_connected::model::{Flatten, Sequential};
use locally_connected::ops::Operation;
use locally_connected::plan::{Planner, Strategy, TILE_SHAPES, TileShape};
use locally_connected::reference;
use locally_connected::{Activation, Bias, Config, DataFormat, DeviceProfile, Geometry, Implementation, WeightType};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Expression, Function, Handle, Literal, Module, StorageAccess, TypeInner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::thread::ScopedJoinHandle;

/// Each variant parsed and validated, once for all tests.
static PARSED: LazyLock<BTreeMap<Variant, (Module, ModuleInfo)>> = LazyLock::new(|| {
    let (all, threads) = (variants(), std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(threads));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(|&of| (of, parsed(of))).collect())).collect();
        parts.into_iter().flat_map(|part: ScopedJoinHandle<'_, Vec<_>>| part.join().expect("all are valid")).collect()
    })
});

/// As WebGPU without any optional feature: naga's capability for halves in words stands for `unpack2x16float`, which WebGPU has always.
fn parsed(variant: Variant) -> (Module, ModuleInfo) {
    let (name, wgsl) = (variant.name(), variant.shader().expect("marks that can be obeyed").wgsl);
    let module = naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&wgsl)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&wgsl)));
    (module, info)
}

fn module(variant: Variant) -> &'static (Module, ModuleInfo) {
    &PARSED[&variant]
}

fn source_folder(folder: &str) -> impl Iterator<Item = (String, String)> {
    let paths =
        std::fs::read_dir(root().join(folder)).expect("the repository").map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).map(|path| {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("UTF-8"))
    })
}

#[test]
fn variants_are_distinct_and_cover_the_table() {
    let variants = variants();
    let names: BTreeSet<String> = variants.iter().map(Variant::name).collect();
    assert_eq!(names.len(), variants.len(), "two variants have the same name");
    let found: BTreeSet<&str> = variants.iter().map(|variant| variant.info().name).collect();
    let expected: BTreeSet<&str> = KERNELS.iter().map(|info| info.name).collect();
    assert_eq!(found, expected, "kernels with variants, kernels in the table");
}

/// Bindings, their order, access and use; one entry point.
#[test]
fn bindings_equal_the_table() {
    for variant in variants() {
        let (module, info) = module(variant);
        let name = variant.name();
        let [entry] = &module.entry_points[..] else { panic!("{name} has {} entry points", module.entry_points.len()) };
        assert_eq!(entry.name, "main");
        let mut expected = BTreeMap::from([(0, AddressSpace::Uniform)]);
        for (access, binding) in variant.info().bindings.iter().zip(1..) {
            let access = match access {
                Access::Read => StorageAccess::LOAD,
                Access::Write => StorageAccess::LOAD | StorageAccess::STORE,
            };
            expected.insert(binding, AddressSpace::Storage { access });
        }
        let mut found = BTreeMap::new();
        for (handle, global) in module.global_variables.iter() {
            if let Some(at) = &global.binding {
                assert_eq!(at.group, 0, "{name}: {:?}", global.name);
                assert!(found.insert(at.binding, global.space).is_none(), "{name} has binding {} twice", at.binding);
                assert!(!info.get_entry_point(0)[handle].is_empty(), "{name} doesn't use {:?}", global.name);
            }
        }
        assert_eq!(found, expected, "{name}");
    }
}

/// The uniform is declared as its bytes are written, and all of it is read.
#[test]
fn uniforms_are_as_long_as_they_are_declared() {
    for variant in variants() {
        let (module, _) = module(variant);
        let params = module.global_variables.iter().find(|(_, global)| global.space == AddressSpace::Uniform);
        let span = module.types[params.expect("every kernel has it").1.ty].inner.size(module.to_ctx());
        let uniform = variant.shader().expect("marks that can be obeyed").uniform;
        assert_eq!(u64::from(span), uniform.size(), "{}", variant.name());
        assert_eq!(uniform.bytes(&Params::default()).len() as u64, uniform.size(), "{}", variant.name());
        assert!(
            uniform.size() <= Uniform::MOST_BYTES as u64,
            "{} has a uniform of {} bytes",
            variant.name(),
            uniform.size()
        );
    }
}

/// What a variant sets is used, and what it needs is set (or it would not parse).
#[test]
fn constants_of_the_table_are_used() {
    let shared: String = source_folder("shaders/shared").map(|(_, text)| text).collect();
    for (name, text) in source_folder("shaders") {
        let variant = *variants().iter().find(|variant| variant.info().name == name).expect("a variant");
        for (constant, _) in variant.constants().named {
            let constant = constant.to_uppercase();
            let is_word =
                |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == constant);
            assert!(is_word(&text) || text.contains("#import") && is_word(&shared), "{name} doesn't use {constant}");
        }
    }
}

/// The `u32` constants of a module by name.
fn constants(module: &Module) -> BTreeMap<&str, u32> {
    let value = |constant: &naga::Constant| match module.global_expressions[constant.init] {
        Expression::Literal(Literal::U32(value)) => Some(value),
        _ => None,
    };
    module.constants.iter().filter_map(|(_, c)| Some((c.name.as_deref()?, value(c)?))).collect()
}

#[test]
fn constants_equal_their_rust_twins() {
    let codes: BTreeMap<&str, u32> = ACTIVATION_CODES.iter().copied().collect();
    assert_eq!(codes.len(), ACTIVATION_CODES.len());
    let (_, file) = source_folder("shaders/shared").find(|(name, _)| name == "activation").expect("activations");
    let mut with_activations = 0;
    for info in KERNELS {
        let variant = *variants().iter().find(|variant| variant.info().name == info.name).expect("a variant");
        let (module, _) = module(variant);
        let mut found = constants(module);
        if found.contains_key("LINEAR") {
            found.retain(|name, _| file.contains(&format!("const {name} = ")));
            assert_eq!(found, codes, "{}", info.name);
            with_activations += 1;
        }
    }
    assert!(with_activations > 0, "nothing was compared");
}

/// Bytes of workgroup memory.
fn workgroup_memory(module: &Module) -> u32 {
    let globals = module.global_variables.iter().filter(|(_, global)| global.space == AddressSpace::WorkGroup);
    globals.map(|(_, global)| module.types[global.ty].inner.size(module.to_ctx())).sum()
}

/// The planner knows how much workgroup memory a kernel has.
#[test]
fn kernels_say_their_workgroup_memory() {
    let mut wrong = BTreeMap::new();
    for variant in variants() {
        let (module, _) = module(variant);
        let (found, said) = (workgroup_memory(module), variant.workgroup_memory());
        if found != said {
            wrong.insert(variant.info().name, (found, said));
        }
    }
    assert!(wrong.is_empty(), "the bytes that are there, and those said: {wrong:?}");
}

/// The planner counts tiles of the size that the shaders compute, and the memory that they take.
#[test]
fn tiles_have_the_size_that_is_planned() {
    let mut compared = BTreeSet::new();
    for variant in variants() {
        let (module, _) = module(variant);
        let found = constants(module);
        let Some((rows, columns)) = found.get("TILE_ROWS").zip(found.get("TILE_COLUMNS")) else { continue };
        let shape = variant.tile().expect("a tile");
        assert_eq!((*rows, *columns), (shape.rows(), shape.columns()), "{}", variant.name());
        // A kernel's own flag.
        let more = if variant.info().name == "loop_grad_input_strips" { 4 } else { 0 };
        assert_eq!(workgroup_memory(module), shape.memory() + more, "{}", variant.name());
        compared.insert(variant.info().name);
    }
    assert_eq!(compared.len(), 9, "{compared:?}");
}

/// An array of a function's own is a register tile where constants index it, and else memory, ten times slower.
#[test]
fn register_tiles_are_indexed_by_constants() {
    for variant in variants() {
        let (module, _) = module(variant);
        let entries = module.entry_points.iter().map(|entry| &entry.function);
        for function in module.functions.iter().map(|(_, function)| function).chain(entries) {
            for (_, expression) in function.expressions.iter() {
                let Expression::Access { base, index } = *expression else { continue };
                let by_constant =
                    matches!(function.expressions[index], Expression::Literal(_) | Expression::Constant(_));
                assert!(
                    by_constant || !is_own_array(module, function, base),
                    "{}: {:?} of {} is indexed by a variable",
                    variant.name(),
                    function.expressions[base],
                    function.name.as_deref().unwrap_or("main"),
                );
            }
        }
    }
}

/// Whether this is an array, or a part of a variable or argument that is one.
fn is_own_array(module: &Module, function: &Function, of: Handle<Expression>) -> bool {
    let mut path = Vec::new();
    let mut at = of;
    let mut ty = loop {
        match function.expressions[at] {
            Expression::Access { base, .. } => (at, _) = (base, path.push(None)),
            Expression::AccessIndex { base, index } => (at, _) = (base, path.push(Some(index as usize))),
            Expression::Load { pointer } => at = pointer,
            Expression::LocalVariable(local) => break function.local_variables[local].ty,
            Expression::FunctionArgument(argument) => break function.arguments[argument as usize].ty,
            _ => return false,
        }
    };
    for step in path.into_iter().rev() {
        ty = match (&module.types[ty].inner, step) {
            (TypeInner::Struct { members, .. }, Some(member)) => members[member].ty,
            (TypeInner::Array { base, .. }, _) => *base,
            _ => return false,
        };
    }
    matches!(module.types[ty].inner, TypeInner::Array { .. })
}

/// What WebGPU gives without asking: 16 KiB of workgroup memory, 256 invocations; and our own 5 storage buffers.
#[test]
fn variants_keep_webgpu_s_default_limits() {
    for variant in variants() {
        let (module, _) = module(variant);
        let name = variant.name();
        let bytes = workgroup_memory(module);
        // Larger tiles are planned only where the device has room for them (`assert_keeps_limits`).
        let most = if variant.tile().is_some() { 32 << 10 } else { 16 << 10 };
        assert!(bytes <= most, "{name} has {bytes} bytes of workgroup memory");
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert_eq!([x, y, z], [variant.threads(), 1, 1], "{name}");
        assert!(x * y * z <= 256 && x <= 256 && y <= 256 && z <= 64, "{name}: workgroups of {x} x {y} x {z}");
        let buffers = variant.info().bindings.len();
        // What trains may take all that WebGPU gives.
        let most = if name.contains("update") { 8 } else { 5 };
        assert!(buffers <= most, "{name} has {buffers} storage buffers");
        assert!(module.overrides.is_empty(), "{name} has overrides, which these tests don't set");
    }
}

#[test]
fn barriers_stand_in_uniform_control_flow() {
    for variant in variants() {
        let found = uniformity::violations(&module(variant).0);
        assert!(found.is_empty(), "{}: {found:?}", variant.name());
    }
}

/// Nothing is added or exchanged atomically: results are the same bits on every run. One kernel has a flag in workgroup memory, which is
/// only ever set, and read behind a barrier.
#[test]
fn atomics_are_flags() {
    for variant in variants() {
        let (module, _) = module(variant);
        let text = variant.shader().expect("marks that can be obeyed").wgsl;
        let atomic = |ty: naga::Handle<naga::Type>| matches!(module.types[ty].inner, TypeInner::Atomic(_));
        let flags = module.global_variables.iter().filter(|(_, global)| atomic(global.ty));
        let places: Vec<_> = flags.map(|(_, global)| global.space).collect();
        let expected = if variant.info().name == "loop_grad_input_strips" { 1 } else { 0 };
        assert_eq!(places, vec![AddressSpace::WorkGroup; expected], "{}", variant.name());
        let types = module.types.iter().filter(|(ty, _)| atomic(*ty)).count();
        assert_eq!(types, expected, "nothing else has parts that are atomic: {}", variant.name());
        let code: Vec<&str> = text.lines().filter_map(|line| line.split("//").next()).collect();
        let uses = |what: &str| code.iter().map(|line| line.matches(what).count()).sum::<usize>();
        assert_eq!(uses("atomic"), uses("atomic<") + uses("atomicLoad(") + uses("atomicStore("), "{}", variant.name());
    }
}

/// A file in `shaders/` is a kernel's, one in `shaders/shared/` is imported.
#[test]
fn every_file_is_used() {
    let kernels: BTreeSet<String> = KERNELS.iter().map(|info| info.name.to_owned()).collect();
    let files = || source_folder("shaders").chain(source_folder("shaders/shared"));
    let own: BTreeSet<String> = source_folder("shaders").map(|(name, _)| name).collect();
    assert_eq!(own, kernels);
    let all: String = files().map(|(_, text)| text).collect();
    for (name, _) in source_folder("shaders/shared") {
        let imported = |line: &str| line.split(' ').take(2).eq(["#import", &format!("shared/{name}")]);
        assert!(all.lines().any(imported), "nothing imports {name}.wgsl");
    }
}

/// What is run for an operation.
struct Computed {
    /// The reference's function: what the kernels are to compute.
    by: &'static str,
    /// Each computes it, all of it; so do its `_tiled` and `_split` forms.
    kernels: &'static [&'static str],
    /// Each is only a step before or after one of those.
    steps: &'static [&'static str],
}

/// One of `reference`'s functions, which is there or this doesn't compile, with the kernels of its operation.
macro_rules! computed {
    ($by:ident: $kernels:expr, $steps:expr) => {{
        let _ = reference::$by;
        Computed { by: stringify!($by), kernels: &$kernels, steps: &$steps }
    }};
}

/// A new operation doesn't compile until it is here.
fn computed(operation: &Operation) -> Computed {
    match operation {
        Operation::LocalForward(_) => {
            computed!(local_forward: ["loop_forward", "loop_forward_shared", "dense_forward", "sparse_forward"], ["fill", "dense_scatter"])
        }
        Operation::LocalGradInput(_) => computed!(
            local_grad_input: ["loop_grad_input", "loop_grad_input_strips", "dense_grad_input", "sparse_grad_input"], ["fill", "dense_scatter"]
        ),
        Operation::LocalGradWeights(_) => computed!(
            local_grad_weights: ["loop_grad_weights", "loop_grad_weights_shared", "dense_grad_weights", "sparse_grad_weights"],
            ["fill", "dense_gather", "add_parts"]
        ),
        Operation::LocalUpdate(_) => computed!(
            update: ["update", "update_1", "update_2", "update_3", "loop_update"],
            [
                "fill", "dense_gather", "dense_grad_weights", "loop_grad_weights", "loop_grad_weights_tiled",
                "sparse_grad_weights"
            ]
        ),
        Operation::GradBias(_) => computed!(grad_bias: ["grad_bias", "grad_bias_shared"], ["fill"]),
        Operation::Activate(_) => computed!(activate: ["activate", "softmax"], []),
        Operation::ActivateGrad(_) => computed!(activate_grad: ["activate_grad", "softmax_grad"], []),
        Operation::Transpose(_) => computed!(transpose: ["transpose"], []),
        Operation::Pool(_) => computed!(pool: ["pool"], []),
        Operation::PoolGrad(_) => {
            computed!(pool_grad: ["pool_grad_first", "pool_grad_every", "pool_grad_average"], ["pool", "pool_index"])
        }
        Operation::Reduce(_) => computed!(reduce: ["reduce"], []),
        Operation::ReduceGrad(_) => {
            computed!(reduce_grad: ["reduce_grad_max", "reduce_grad_average"], ["reduce", "reduce_ties"])
        }
        Operation::Rearrange(_) => computed!(rearrange: ["rearrange", "transpose"], []),
        Operation::RearrangeGrad(_) => {
            computed!(rearrange_grad: ["rearrange", "transpose", "pool", "reduce"], [])
        }
        Operation::Concatenate(_) => computed!(concatenate: ["concatenate"], []),
        Operation::Combine(_) => computed!(combine: ["combine"], []),
        Operation::CombineGrad(_) => computed!(combine_grad: ["combine_grad"], []),
        Operation::Sum(_) => computed!(sum: ["sum"], ["fill"]),
        Operation::NormFactor(_) => computed!(norm_factor: ["norm_factor"], []),
        Operation::Normalise(_) => computed!(normalise: ["normalise"], []),
        Operation::LayerNorm(_) => computed!(layer_norm: ["layer_norm"], []),
        Operation::LayerNormGrad(_) => computed!(layer_norm_grad: ["layer_norm_grad"], []),
        Operation::Variance(_) => computed!(variance: ["variance"], ["fill"]),
        Operation::NormaliseGrad(_) => computed!(normalise_grad: ["normalise_grad"], ["normalise"]),
        Operation::Loss(_) => computed!(loss: ["loss_elements", "loss_rows"], ["sum"]),
        Operation::LossGrad(_) => computed!(loss_grad: ["loss_grad_elements", "loss_grad_rows"], []),
        Operation::Hits(_) => computed!(hits: ["loss_elements", "hits_rows"], ["sum"]),
        Operation::Random(_) => computed!(random: ["random"], []),
        Operation::RandomGrad(_) => computed!(random_grad: ["random"], []),
        Operation::Update(_) => computed!(update: ["update", "update_1", "update_2", "update_3"], []),
        Operation::MovingAverage(_) => computed!(moving_average: ["moving_average"], []),
        Operation::PenaltyGrad(_) => computed!(penalty_grad: ["penalty_grad"], []),
        Operation::Total(_) => computed!(total: ["total"], ["fill"]),
        Operation::ClipScale(_) => computed!(clip_scale: ["clip_scale"], []),
        Operation::Orthogonal(_) => {
            computed!(orthogonal: ["total"], ["orthogonal_factors", "orthogonal_products"])
        }
        Operation::OrthogonalGrad(_) => {
            computed!(orthogonal_grad: ["orthogonal_grad"], ["orthogonal_factors", "orthogonal_products"])
        }
        Operation::GroupSquares(_) => computed!(group_squares: ["group_squares"], ["fill", "join_groups"]),
        Operation::Constrain(_) => computed!(constrain: ["constrain"], []),
        Operation::NonNegative(_) => computed!(non_negative: ["non_negative"], []),
        Operation::Radial(_) => computed!(radial: ["radial"], []),
    }
}

/// Every kernel that is planned for an operation is one of those that compute it, or a step of them.
fn assert_computes(planned: &Planned) {
    for (plan, operation) in planned.plan.plans.iter().zip(&planned.program.operations) {
        let Computed { by, kernels, steps } = computed(operation);
        let there = |name: &&str| KERNELS.iter().any(|info| info.name == *name);
        assert!(kernels.iter().chain(steps).all(there), "{kernels:?}, {steps:?} for reference::{by}");
        for dispatch in &plan.dispatches {
            let name = dispatch.variant.info().name;
            let whole = ["_tiled", "_split"].into_iter().find_map(|form| name.strip_suffix(form)).unwrap_or(name);
            assert!(kernels.contains(&whole) != steps.contains(&name), "{name} is run for reference::{by}");
        }
    }
}

/// Whatever layer, batch, device and numbers to choose by: what is planned is listed. And all that is listed is planned for
/// some of them, or nobody needs it. So every kernel computes an operation that the reference has, or a step of one.
#[test]
fn plans_ask_for_the_listed_variants() {
    let listed: BTreeSet<Variant> = variants().into_iter().collect();
    let mut found = BTreeSet::new();
    let transposes = crate::programs::TRANSPOSES.into_iter().map(|(rows, columns)| {
        let flatten = Flatten { data_format: DataFormat::ChannelsFirst };
        let graph = Sequential::new([rows as usize, columns as usize]).add(flatten).graph();
        graph.expect("a layer").forward()
    });
    let others = (0..8).flat_map(crate::operations::programs);
    let judged = (0..8).flat_map(crate::losses::programs).chain((0..4).flat_map(crate::random::programs));
    let judged = judged.chain((0..4).flat_map(crate::updates::programs));
    let programs =
        transposes.chain(others).chain(judged).chain(crate::pool::programs()).chain(crate::rearrange::programs());
    let device = DeviceProfile::webgpu_defaults();
    for program in programs {
        let planned = Planned::new(program, 3, &Planner::new(&device)).expect("planned");
        assert_computes(&planned);
        found.extend(planned.plan.dispatches().map(|dispatch| dispatch.variant));
    }
    let mut state = 1u64;
    let mut draws = 0;
    while found.len() < listed.len() && draws < 200_000 {
        draws += 1;
        let mut below = |count: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % count as u64) as usize
        };
        let mut of = |values: &[usize]| values[below(values.len())];
        let (channels, filters) =
            (of(&[1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 32]), of(&[1, 2, 3, 4, 5, 8, 9, 16, 32, 64, 128]));
        let (taps, length) = (of(&[1, 2, 3, 4, 5, 7, 11, 80]), of(&[1, 2, 5, 30]));
        let batch = of(&[0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 64]) as u32;
        let format = [DataFormat::ChannelsLast, DataFormat::ChannelsFirst][of(&[0, 0, 0, 1])];
        let shape = match format {
            DataFormat::ChannelsLast => [taps + length - 1, channels],
            DataFormat::ChannelsFirst => [channels, taps + length - 1],
        };
        // Linear and relu are compiled in, the others are not.
        let activations = crate::common::activations();
        let all = activations[of(&(0..activations.len()).collect::<Vec<_>>())];
        let config = Config::new(filters, [taps])
            .data_format(format)
            .activation([Activation::Linear, Activation::RELU, all][of(&[0, 1, 2])])
            .bias([Bias::PerLocation, Bias::PerFilter, Bias::None][of(&[0, 1, 2])])
            .dtype(WeightType::ALL[of(&[0, 1])]);
        let new = [Geometry::new, Geometry::convolution][of(&[0, 0, 1])];
        let layer = new(&config, &shape).expect("a layer");
        let layer = layer.with_implementation(Implementation::ALL[of(&[0, 0, 0, 1, 2])]);
        let shapes: Vec<usize> = (0..TILE_SHAPES.len()).collect();
        let unlisted = TileShape { row_fours: 3, ..TILE_SHAPES[0] };
        let tile_shape = [None, Some(unlisted), Some(TILE_SHAPES[of(&shapes)])][of(&[0, 1, 2, 2])];
        let strategy = Strategy {
            split_batch: [0, 8, u32::MAX][of(&[0, 1, 2])],
            split_terms: [0, 2][of(&[0, 1])],
            tile_batch: [1, 9, u32::MAX][of(&[0, 1, 2])],
            tile_use: [0, 50, 101][of(&[0, 1, 2])],
            strip_use: [0, 38, 101][of(&[0, 1, 2])],
            tile_shape,
            group_threads: [8, 64, 13][of(&[0, 1, 2])],
            busy_groups: [1, 8, 512][of(&[0, 1, 2])],
            sparse_ahead: [0, 1, 3, 4, 7][of(&[0, 1, 2, 3, 4])],
        };
        let device = DeviceProfile { max_workgroup_memory: 32 << 10, strategy, ..DeviceProfile::webgpu_defaults() };
        let mut plans = crate::common::plans(&layer, batch, &device).expect("planned");
        let update = crate::fused::program(&layer, of(&[0, 1, 2, 3]));
        plans.extend(update.map(|program| Planned::new(program, batch, &Planner::new(&device)).expect("planned")));
        plans.iter().for_each(assert_computes);
        found.extend(plans.iter().flat_map(|planned| planned.plan.dispatches()).map(|dispatch| dispatch.variant));
    }
    let names = |variants: Vec<&Variant>| variants.into_iter().map(Variant::name).collect::<Vec<_>>();
    assert_eq!(names(found.difference(&listed).collect()), [""; 0], "planned, but not listed");
    assert_eq!(names(listed.difference(&found).collect()), [""; 0], "listed, but never planned in {draws} draws");
}
