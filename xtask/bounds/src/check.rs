//! Runs a written plan's dispatches, and says what was found.

use super::device::{Binding, Device, Held};
use super::machine::{Machine, of_type};
use super::memory::Marks;
use locally_connected::kernels::Access;
use locally_connected::plan::{WrittenDispatch, WrittenPlan, WrittenUsage};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{GlobalVariable, Handle, Module, TypeInner};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// What is known of a plan beside itself.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The names of buffers that hold something before it runs.
    pub given: BTreeSet<String>,
    /// Contents of inputs that decide addresses: targets that are numbers of classes.
    pub contents: BTreeMap<String, Vec<u32>>,
}

/// What was found in a plan.
#[derive(Debug, Default)]
pub struct Found {
    /// Wrong accesses, each with its dispatch; nothing after a dispatch that has some.
    pub faults: Vec<String>,
    /// Elements that nothing has written, by the buffer's name; of outputs and gradients, where every workgroup ran.
    pub unwritten: BTreeMap<String, u64>,
    /// The kernels that ran.
    pub shaders: BTreeSet<String>,
    /// Workgroups that ran.
    pub workgroups: u64,
}

/// Shaders that were parsed before, by their text.
#[derive(Debug, Default)]
pub struct Shaders {
    by_text: HashMap<String, Rc<(Module, ModuleInfo)>>,
}

impl Shaders {
    fn get(&mut self, wgsl: &str) -> Rc<(Module, ModuleInfo)> {
        if let Some(known) = self.by_text.get(wgsl) {
            return known.clone();
        }
        let module = naga::front::wgsl::parse_str(wgsl).unwrap_or_else(|e| panic!("{}", e.emit_to_string(wgsl)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32);
        let info = validator.validate(&module).unwrap_or_else(|e| panic!("{}", e.emit_to_string(wgsl)));
        let both = Rc::new((module, info));
        self.by_text.insert(wgsl.to_owned(), both.clone());
        both
    }
}

/// Workgroups of a dispatch that are run in full: of longer ones the corners, the last that has something to do, and some between.
const ALL: u64 = 300;

/// Runs a plan's dispatches and looks at all that they access.
pub fn check(plan: &WrittenPlan, known: &Known, shaders: &mut Shaders) -> Found {
    let count = |dispatch: &WrittenDispatch| dispatch.workgroups.iter().map(|&n| u64::from(n)).product::<u64>();
    let is_whole = plan.dispatches.iter().all(|dispatch| count(dispatch) <= ALL);
    let buffers = plan.buffers.iter().map(|buffer| {
        let contents = match buffer.usage {
            WrittenUsage::Constant => Some(buffer.words.iter().copied().map(Some).collect()),
            _ => known.contents.get(&buffer.name).map(|words| words.iter().copied().map(Some).collect()),
        };
        let always = matches!(buffer.usage, WrittenUsage::Constant | WrittenUsage::Input);
        // Where not all is run, what the rest would write is taken as given.
        let is_given = always || !is_whole || known.given.contains(&buffer.name);
        Held { contents, is_given, marks: Marks::default() }
    });
    let mut device = Device { buffers: buffers.collect(), uniform: Vec::new(), dispatch: 0, faults: Vec::new() };
    let mut found = Found::default();
    for dispatch in &plan.dispatches {
        let shader = &plan.shaders[dispatch.shader as usize];
        found.shaders.insert(shader.name.clone());
        device.uniform.clone_from(&dispatch.uniform);
        let compiled = shaders.get(&shader.wgsl);
        found.workgroups += run(&compiled, plan, dispatch, &mut device);
        if !device.faults.is_empty() {
            let (name, number) = (&shader.name, device.dispatch);
            let faults = device.faults.iter().take(5).map(|fault| format!("dispatch {number}, {name}, {fault}"));
            found.faults = faults.collect();
            return found;
        }
        device.dispatch += 1;
    }
    if is_whole {
        for (buffer, held) in plan.buffers.iter().zip(&device.buffers) {
            if matches!(buffer.usage, WrittenUsage::Output | WrittenUsage::Gradient) && !held.is_given {
                let missing = (0..buffer.elements).filter(|&word| !held.marks.is_written(word)).count() as u64;
                *found.unwritten.entry(buffer.name.clone()).or_default() += missing;
            }
        }
    }
    found
}

/// Runs a dispatch; how many workgroups.
fn run(
    (module, info): &(Module, ModuleInfo),
    plan: &WrittenPlan,
    dispatch: &WrittenDispatch,
    device: &mut Device,
) -> u64 {
    let access = &plan.shaders[dispatch.shader as usize].bindings;
    let mut bindings = HashMap::new();
    let mut last = None;
    for (handle, global) in module.global_variables.iter() {
        let Some(at) = &global.binding else { continue };
        let binding = if at.binding == 0 {
            last = useful(module, handle, &dispatch.uniform);
            let words = dispatch.uniform.len() as u64;
            assert_eq!(u64::from(of_type(module, global.ty)), words, "the uniform holds what it declares");
            Binding { buffer: None, first: 0, words, writes: false }
        } else {
            let bound = dispatch.bindings[at.binding as usize - 1];
            let held = &plan.buffers[bound.buffer as usize];
            assert!(
                bound.offset + bound.size <= held.bytes && bound.offset.is_multiple_of(4),
                "{} is too short",
                held.name
            );
            let (first, words) = (bound.offset / 4, bound.size / 4);
            let writes = access[at.binding as usize - 1] == Access::Write;
            Binding { buffer: Some(bound.buffer as usize), first, words, writes }
        };
        bindings.insert(handle, binding);
    }
    let [x, y, z] = dispatch.workgroups;
    let threads = module.entry_points[0].workgroup_size[0];
    let chosen = chosen(dispatch.workgroups, last);
    for &number in &chosen {
        let number = number as u32;
        let mut machine = Machine {
            module,
            info,
            device,
            bindings: &bindings,
            shared: HashMap::new(),
            count: threads as usize,
            workgroup: [number % x, number / x % y, number / x / y % z],
            first: number * threads,
            frames: Vec::new(),
            active: Default::default(),
            in_doubt: Default::default(),
            in_doubt_before: Default::default(),
            barriers: 0,
        };
        machine.run();
        if !device.faults.is_empty() {
            break;
        }
    }
    chosen.len() as u64
}

/// How many workgroups have something to do, as the uniform has it.
fn useful(module: &Module, uniform: Handle<GlobalVariable>, words: &[u32]) -> Option<u64> {
    let TypeInner::Struct { members, .. } = &module.types[module.global_variables[uniform].ty].inner else {
        return None;
    };
    let of = |name: &str| {
        let member = members.iter().find(|member| member.name.as_deref() == Some(name))?;
        words.get(member.offset as usize / 4).map(|&word| u64::from(word))
    };
    Some(of("workgroups")?.saturating_sub(of("first_workgroup")?))
}

/// The workgroups to run, by their numbers in the dispatch.
fn chosen([x, y, z]: [u32; 3], useful: Option<u64>) -> Vec<u64> {
    let [x, y, z] = [x, y, z].map(u64::from);
    let all = x * y * z;
    if all <= ALL {
        return (0..all).collect();
    }
    let ends = |n: u64| BTreeSet::from([0, 1.min(n - 1), n / 2, n - 1]);
    let mut some: BTreeSet<u64> = BTreeSet::new();
    for k in ends(z) {
        for j in ends(y) {
            some.extend(ends(x).iter().map(|i| (k * y + j) * x + i));
        }
    }
    let last = useful.map_or(all, |useful| useful.min(all));
    some.extend([last.saturating_sub(2), last.saturating_sub(1), last.min(all - 1)]);
    some.extend((1..4).map(|part| all * part / 4 + part));
    some.into_iter().filter(|&number| number < all).collect()
}
