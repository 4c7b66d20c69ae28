//! Plans written down: what is in them, that JSON keeps it, and that others' plans are refused.

use crate::common::profile;
use locally_connected::geometry::SparseIndex;
use locally_connected::kernels::{Access, tap_tables};
use locally_connected::model::{Graph, Layer, Separable, Sequential, Wanted, layer_backward, layer_forward};
use locally_connected::ops::{Shape, Usage};
use locally_connected::plan::{Planner, WrittenBuffer, WrittenPlan, WrittenType, WrittenUsage};
use locally_connected::program::Program;
use locally_connected::{
    Activation, Config, DeviceProfile, Error, Geometry, Gradients, Implementation, Padding, Result, WeightType,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const BATCH: u32 = 5;

fn written(program: &Program, profile: &DeviceProfile) -> Result<WrittenPlan> {
    Planner::new(profile).program(program, BATCH)?.written(program)
}

fn layer(implementation: Implementation, dtype: WeightType) -> Arc<Geometry> {
    let config = Config::new(7, [3, 2]).padding(Padding::Same).activation(Activation::Softmax).dtype(dtype);
    Arc::new(Geometry::new(&config.implementation(implementation), &[4, 3, 5]).expect("a layer"))
}

/// Layers that share their shape, so that they share tables, with values between them.
fn graph() -> Graph {
    let config = Config::new(4, [3]).padding(Padding::Same).activation(Activation::Tanh);
    let config = config.implementation(Implementation::Loop);
    let local = |name: &str| Layer::new(config.clone()).named(name);
    Sequential::new([6, 4]).add(local("a")).add(local("b")).add(local("c")).graph().expect("layers")
}

fn programs() -> Vec<Program> {
    let mut programs = vec![graph().forward(), graph().backward(Wanted::Parameters)];
    programs.extend(crate::updates::programs(1));
    for implementation in Implementation::ALL {
        for dtype in WeightType::ALL {
            let layer = layer(implementation, dtype);
            programs.extend([layer_forward(&layer, true), layer_backward(&layer, Gradients::ALL)]);
        }
    }
    programs
}

/// Two devices: one that cuts weights between cells and between filters, and samples.
fn profiles() -> [DeviceProfile; 2] {
    let browser = DeviceProfile::webgpu_defaults();
    [DeviceProfile { max_binding: 700, ..browser.clone() }, browser]
}

/// Every binding is a range of its buffer that WebGPU takes, and everything is there for a reason.
fn assert_runs(plan: &WrittenPlan, profile: &DeviceProfile) {
    let mut bound = BTreeSet::new();
    for dispatch in &plan.dispatches {
        let shader = &plan.shaders[dispatch.shader as usize];
        assert_eq!(dispatch.bindings.len(), shader.bindings.len(), "{}", shader.name);
        let fields = shader.wgsl.split_once('}').map_or(0, |(fields, _)| fields.matches(": ").count());
        assert_eq!(dispatch.uniform.len(), fields, "words of the uniform of {}", shader.name);
        let bindings = || dispatch.bindings.iter().zip(&shader.bindings);
        for (binding, access) in bindings() {
            let buffer = &plan.buffers[binding.buffer as usize];
            assert!(binding.size > 0 && binding.offset + binding.size <= buffer.bytes, "{} {buffer:?}", shader.name);
            assert_eq!(binding.offset % u64::from(profile.storage_alignment), 0, "{}", shader.name);
            assert!(binding.size <= profile.max_binding || buffer.usage == WrittenUsage::Constant, "{buffer:?}");
            let others = bindings().filter(|(other, _)| other.buffer == binding.buffer).count();
            assert!(*access == Access::Read || others == 1, "{} writes {buffer:?} and binds it again", shader.name);
            bound.insert(binding.buffer);
        }
    }
    let used: BTreeSet<u32> = plan.dispatches.iter().map(|dispatch| dispatch.shader).collect();
    assert_eq!((used.len(), bound.len()), (plan.shaders.len(), plan.buffers.len()));
    for buffer in &plan.buffers {
        let words = match buffer.dtype {
            WrittenType::F16 => buffer.elements.div_ceil(2),
            WrittenType::F32 | WrittenType::U32 => buffer.elements,
        };
        assert_eq!(buffer.bytes, 4 * words.max(1), "{buffer:?}");
        assert_eq!(buffer.words.len() as u64, if buffer.usage == WrittenUsage::Constant { words } else { 0 });
    }
}

/// Every element of an array lies in one buffer.
fn assert_whole(program: &Program, plan: &WrittenPlan) {
    let mut by_name = BTreeMap::<&str, Vec<&WrittenBuffer>>::new();
    for buffer in plan.buffers.iter().filter(|buffer| buffer.part.is_some()) {
        by_name.entry(&buffer.name).or_default().push(buffer);
    }
    for (name, buffers) in by_name {
        let whole = program.find(name).and_then(|id| program.buffer(id)).expect("it is the program's");
        let mut held = vec![0; whole.shape.elements(BATCH) as usize];
        for part in buffers.iter().filter_map(|buffer| buffer.part) {
            for (entry, filter) in (0..part.entries).flat_map(|e| (0..u64::from(part.filters)).map(move |f| (e, f))) {
                let first = u64::from(part.first_filter);
                held[((part.first_entry + entry) * part.all_filters + first + filter) as usize] += 1;
            }
        }
        assert!(held.iter().all(|&times| times == 1), "{name}");
    }
}

#[test]
fn everything_that_a_stranger_needs_is_written() {
    let mut cut_between_filters = 0;
    for profile in profiles() {
        for program in programs() {
            let plan = match written(&program, &profile) {
                // The dense matrix has no columns so short.
                Err(Error::Limit { limit, .. }) if limit == profile.max_binding => continue,
                plan => plan.expect("it is planned"),
            };
            assert_eq!((plan.version, plan.batch), (WrittenPlan::VERSION, BATCH));
            assert_runs(&plan, &profile);
            assert_whole(&program, &plan);
            cut_between_filters +=
                plan.buffers.iter().filter(|b| b.part.is_some_and(|part| part.first_filter > 0)).count();
            let json = serde_json::to_string(&plan).expect("it is data");
            assert_eq!(serde_json::from_str::<WrittenPlan>(&json).expect("it was written so"), plan);
        }
    }
    assert!(cut_between_filters > 0);
}

/// The same buffers as the executor makes: values between operations and layers' tables lie where it puts them.
#[test]
fn memory_is_shared_as_it_was_planned() {
    let profile = profile();
    for program in programs() {
        let plan = Planner::new(&profile).program(&program, BATCH).expect("it is planned");
        let written = plan.written(&program).expect("it is written");
        let bytes = |usages: &[WrittenUsage]| {
            let buffers = written.buffers.iter().filter(|buffer| usages.contains(&buffer.usage));
            buffers.map(|buffer| buffer.bytes).sum::<u64>()
        };
        assert_eq!(bytes(&[WrittenUsage::Input, WrittenUsage::Output]), plan.memory.operands);
        assert_eq!(bytes(&[WrittenUsage::Parameter]), plan.memory.parameters);
        assert_eq!(bytes(&[WrittenUsage::State]), plan.memory.state);
        assert_eq!(bytes(&[WrittenUsage::Gradient]), plan.memory.gradients);
        assert_eq!(bytes(&[WrittenUsage::Scratch]), plan.memory.scratch);
        assert_eq!(bytes(&[WrittenUsage::Constant]), plan.memory.constants);
        assert_eq!(written.dispatches.len(), plan.dispatches().count());
    }
}

#[test]
fn constants_are_the_layers() {
    let profile = DeviceProfile::webgpu_defaults();
    let words = |implementation, name: &str| {
        let layer = layer(implementation, WeightType::F32);
        let plan = written(&layer_forward(&layer, false), &profile).expect("it is planned");
        let [constant] = &plan.buffers.iter().filter(|b| b.usage == WrittenUsage::Constant).collect::<Vec<_>>()[..]
        else {
            panic!("not one constant");
        };
        assert!(constant.name.starts_with(name), "{} is no {name}", constant.name);
        (layer, constant.words.clone())
    };
    let (layer, tables) = words(Implementation::Loop, "tap_tables");
    assert_eq!(Ok(tables), tap_tables(&layer));
    let (layer, index) = words(Implementation::SparseGather, "sparse_index");
    assert_eq!(Ok(index), SparseIndex::new(&layer).and_then(|index| index.data()));
    // One copy for three layers of one shape, and the same under the same name.
    for program in [graph().forward(), graph().backward(Wanted::Parameters)] {
        let plan = written(&program, &profile).expect("it is planned");
        assert_eq!(plan.buffers.iter().filter(|buffer| buffer.usage == WrittenUsage::Constant).count(), 1);
    }
}

/// What runs a plan keeps constants by their names: a layer of two windows has two.
#[test]
fn constants_have_names_of_their_own() {
    let (depthwise, activation) = (Config::new(2, [2, 2]), Activation::Linear);
    let graph = Sequential::new([4, 5, 2]).add(Separable { depthwise, filters: 3, bias: true, activation });
    let graph = graph.graph().expect("a graph");
    for program in [graph.forward(), graph.backward(Wanted::All)] {
        let plan = written(&program, &DeviceProfile::webgpu_defaults()).expect("it is planned");
        let constants = plan.buffers.iter().filter(|buffer| buffer.usage == WrittenUsage::Constant);
        let names: Vec<&String> = constants.map(|constant| &constant.name).collect();
        let own: BTreeSet<&String> = names.iter().copied().collect();
        assert!(names.len() > 1 && own.len() == names.len(), "{names:?}");
    }
}

#[test]
fn plans_of_other_programs_are_refused() {
    let profile = DeviceProfile::webgpu_defaults();
    let plan = |program: &Program| Planner::new(&profile).program(program, BATCH).expect("it is planned");
    let alone = |filters| {
        let layer = Geometry::new(&Config::new(filters, [2]), &[4, 3]).expect("a layer");
        layer_forward(&Arc::new(layer), false)
    };
    for (planned, other) in [
        (graph().forward(), graph().backward(Wanted::Parameters)),
        (alone(2), alone(3)),
        (alone(3), alone(2)),
        (alone(3), Program { operations: Vec::new(), ..alone(3) }),
    ] {
        let refused = plan(&planned).written(&other);
        assert!(
            matches!(refused, Err(Error::Program { why: "the plan is of another program", .. })),
            "{:?}",
            refused.map(|plan| plan.buffers)
        );
    }
}

/// JavaScript's numbers are exact to 2⁵³.
#[test]
fn numbers_that_json_might_change_are_refused() {
    let profile = DeviceProfile::webgpu_defaults();
    let with = |elements| {
        let mut program = graph().forward();
        program.add("beside", Usage::Input, Shape::Fixed(elements));
        written(&program, &profile)
    };
    assert!(with((1 << 51) - 1).is_ok());
    for elements in [1 << 51, 1 << 60] {
        let refused = with(elements);
        assert!(matches!(&refused, Err(Error::Limit { limit, .. }) if *limit == (1 << 53) - 1), "{refused:?}");
    }
}
