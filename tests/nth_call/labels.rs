//! What a debugger shows of a layer and of a model: the names that everything made on the device has, and the groups that
//! dispatches lie in. Our functions stand where a debugger's would.

use super::host::{Host, Layer, STEPS, adapter_of, five_layers, run};
use super::table::{self, Allocator, Functions, own};
use ash::vk::{self, Handle};
use locally_connected::ops::Usage;
use locally_connected::{Context, Error, Timing, wgpu};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char};
use std::sync::{Mutex, MutexGuard, OnceLock};

const PREFIX: &str = "locally-connected ";

/// A type of objects and a handle: handles of two types may be equal.
type Object = (i32, u64);

#[derive(Debug, PartialEq)]
enum Recorded {
    Begin(String),
    End,
    /// With the names of its pipeline and its bind group.
    Dispatch([String; 2]),
}

struct Seen {
    names: BTreeMap<Object, String>,
    /// In order, since it was last asked.
    made: Vec<Object>,
    /// In all command buffers together.
    recorded: Vec<Recorded>,
    /// The pipeline and the bind group.
    bound: [Object; 2],
}

static SEEN: Mutex<Seen> =
    Mutex::new(Seen { names: BTreeMap::new(), made: Vec::new(), recorded: Vec::new(), bound: [(0, 0); 2] });
static PROC_ADDR: OnceLock<vk::PFN_vkGetDeviceProcAddr> = OnceLock::new();

fn seen() -> MutexGuard<'static, Seen> {
    SEEN.lock().expect("no panic")
}

impl Seen {
    fn make<T: Handle>(&mut self, object: T) {
        let object = (T::TYPE.as_raw(), object.as_raw());
        // Its handle may have been another's.
        self.names.remove(&object);
        self.made.push(object);
    }

    fn name(&self, object: Object) -> String {
        self.names.get(&object).cloned().unwrap_or_default()
    }
}

unsafe extern "system" fn set_name(_: vk::Device, info: *const vk::DebugUtilsObjectNameInfoEXT<'_>) -> vk::Result {
    // SAFETY: the caller keeps the function's contract, here and below.
    let (info, name) = unsafe { (&*info, CStr::from_ptr((*info).p_object_name)) };
    let name = name.to_str().expect("UTF-8").to_owned();
    seen().names.insert((info.object_type.as_raw(), info.object_handle), name);
    vk::Result::SUCCESS
}

unsafe extern "system" fn begin(_: vk::CommandBuffer, info: *const vk::DebugUtilsLabelEXT<'_>) {
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr((*info).p_label_name) };
    seen().recorded.push(Recorded::Begin(name.to_str().expect("UTF-8").to_owned()));
}

unsafe extern "system" fn end(_: vk::CommandBuffer) {
    seen().recorded.push(Recorded::End);
}

/// Finds our functions in place of the driver's.
unsafe extern "system" fn proc_addr(device: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    // SAFETY: as above.
    let ours = match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkSetDebugUtilsObjectNameEXT" => set_name as *const (),
        b"vkCmdBeginDebugUtilsLabelEXT" => begin as *const (),
        b"vkCmdEndDebugUtilsLabelEXT" => end as *const (),
        // SAFETY: as above.
        _ => return unsafe { (PROC_ADDR.get().expect("set before any device is made"))(device, name) },
    };
    // SAFETY: both are pointers to functions; whoever asks knows by the name which.
    Some(unsafe { std::mem::transmute::<*const (), unsafe extern "system" fn()>(ours) })
}

macro_rules! noted {
    ($($function:ident($($argument:ident: $type:ty),*) makes $out:ident;)*) => {
        $(unsafe extern "system" fn $function($($argument: $type),*) -> vk::Result {
            // SAFETY: the caller keeps the function's contract.
            unsafe {
                let result = table::$function($($argument),*);
                if result == vk::Result::SUCCESS {
                    seen().make(*$out);
                }
                result
            }
        })*

        /// Puts the functions that see what is made and bound in front of those of a table.
        pub(super) fn over(functions: &mut Functions) {
            $(functions.v1_0.$function = $function;)*
            functions.v1_0.cmd_bind_pipeline = bind_pipeline;
            functions.v1_0.cmd_bind_descriptor_sets = bind_sets;
            functions.v1_0.cmd_dispatch = dispatch;
        }
    };
}

noted! {
    create_buffer(d: vk::Device, i: *const vk::BufferCreateInfo<'_>, a: Allocator<'_>, o: *mut vk::Buffer) makes o;
    create_descriptor_set_layout(
        d: vk::Device,
        i: *const vk::DescriptorSetLayoutCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::DescriptorSetLayout
    ) makes o;
    create_pipeline_layout(
        d: vk::Device,
        i: *const vk::PipelineLayoutCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::PipelineLayout
    ) makes o;
    create_compute_pipelines(
        d: vk::Device,
        cache: vk::PipelineCache,
        count: u32,
        i: *const vk::ComputePipelineCreateInfo<'_>,
        a: Allocator<'_>,
        o: *mut vk::Pipeline
    ) makes o;
    allocate_descriptor_sets(d: vk::Device, i: *const vk::DescriptorSetAllocateInfo<'_>, o: *mut vk::DescriptorSet) makes o;
    create_query_pool(d: vk::Device, i: *const vk::QueryPoolCreateInfo<'_>, a: Allocator<'_>, o: *mut vk::QueryPool) makes o;
}

unsafe extern "system" fn bind_pipeline(
    buffer: vk::CommandBuffer,
    point: vk::PipelineBindPoint,
    pipeline: vk::Pipeline,
) {
    seen().bound[0] = (vk::ObjectType::PIPELINE.as_raw(), pipeline.as_raw());
    // SAFETY: the caller keeps the function's contract.
    unsafe { (own().v1_0.cmd_bind_pipeline)(buffer, point, pipeline) };
}

unsafe extern "system" fn bind_sets(
    buffer: vk::CommandBuffer,
    point: vk::PipelineBindPoint,
    layout: vk::PipelineLayout,
    first: u32,
    count: u32,
    sets: *const vk::DescriptorSet,
    offset_count: u32,
    offsets: *const u32,
) {
    // SAFETY: the caller keeps the function's contract.
    unsafe {
        seen().bound[1] = (vk::ObjectType::DESCRIPTOR_SET.as_raw(), (*sets).as_raw());
        (own().v1_0.cmd_bind_descriptor_sets)(buffer, point, layout, first, count, sets, offset_count, offsets);
    }
}

unsafe extern "system" fn dispatch(buffer: vk::CommandBuffer, x: u32, y: u32, z: u32) {
    let mut seen = seen();
    let names = seen.bound.map(|object| seen.name(object));
    seen.recorded.push(Recorded::Dispatch(names));
    // SAFETY: the caller keeps the function's contract.
    unsafe { table::cmd_dispatch(buffer, x, y, z) };
}

/// An adapter of an instance that looks for functions where ours are found.
fn adapter() -> wgpu::Adapter {
    use wgpu::hal::{api::Vulkan, vulkan::Instance};
    let (version, flags) = (vk::API_VERSION_1_3, wgpu::InstanceFlags::DEBUG);
    // SAFETY: the instance is made with the extensions that wgpu-hal asks for and is its to destroy.
    let instance = unsafe {
        let entry = ash::Entry::load().expect("a Vulkan loader");
        let extensions = Instance::desired_extensions(&entry, version, flags).expect("extensions");
        assert!(extensions.contains(&ash::ext::debug_utils::NAME), "the loader has none of a debugger's functions");
        let names: Vec<_> = extensions.iter().map(|name| name.as_ptr()).collect();
        let application = vk::ApplicationInfo::default().api_version(version);
        let info = vk::InstanceCreateInfo::default().application_info(&application).enabled_extension_names(&names);
        let made = entry.create_instance(&info, None).expect("an instance");
        let mut functions = made.fp_v1_0().clone();
        PROC_ADDR.get_or_init(|| functions.get_device_proc_addr);
        functions.get_device_proc_addr = proc_addr;
        let (v1, v3) = (made.fp_v1_1().clone(), made.fp_v1_3().clone());
        let made = ash::Instance::from_parts_1_3(made.handle(), functions, v1, v3);
        let budget = wgpu::MemoryBudgetThresholds::default();
        Instance::from_raw(entry, made, version, 0, None, extensions, flags, budget, false, None).expect("an instance")
    };
    // SAFETY: as above.
    adapter_of(&unsafe { wgpu::Instance::from_hal::<Vulkan>(instance) })
}

/// The names of what was made since this was last asked, each with its type; all of them ours, or marked as wgpu's own.
fn names_of_made(by: &str) -> BTreeSet<String> {
    let mut seen = seen();
    let made = std::mem::take(&mut seen.made);
    let names: BTreeSet<_> = made.into_iter().map(|object| (object.0, seen.name(object))).collect();
    let foreign = |(_, name): &&(i32, String)| !name.starts_with(PREFIX) && !name.starts_with("(wgpu internal)");
    let foreign: Vec<_> = names.iter().filter(foreign).collect();
    assert!(foreign.is_empty(), "{by}: made without a name of ours, by type: {foreign:?}");
    let typed = |(of, name): (i32, String)| format!("{:?}: {name}", vk::ObjectType::from_raw(of));
    names.into_iter().map(typed).collect()
}

/// The layers of what was recorded since this was last asked, in order: every dispatch lies in a group that names the layer and the
/// operation, and has a pipeline and a bind group of ours.
fn layers_of_recorded() -> Vec<String> {
    let recorded = std::mem::take(&mut seen().recorded);
    let (mut layers, mut open) = (Vec::<String>::new(), Vec::<String>::new());
    for event in recorded {
        match event {
            Recorded::Begin(name) => open.push(name),
            Recorded::End => drop(open.pop().expect("a group to end")),
            Recorded::Dispatch([pipeline, set]) => {
                let group = open.last().expect("a dispatch in a group");
                assert!(pipeline.starts_with(PREFIX), "a pipeline named {pipeline:?} in {group:?}");
                assert_eq!(set, *group, "a bind group in a debug group");
                let mut words = group.strip_prefix(PREFIX).expect("a group of ours").split(' ');
                let layer = words.next().expect("a word").to_owned();
                if layers.last() != Some(&layer) {
                    layers.push(layer);
                }
            }
        }
    }
    assert_eq!(open, [""; 0], "groups that never end");
    layers
}

#[track_caller]
fn has(names: &BTreeSet<String>, wanted: &[&str]) {
    for wanted in wanted {
        assert!(names.iter().any(|name| name.starts_with(wanted)), "{wanted:?} is not among {names:#?}");
    }
}

/// Every buffer, bind group and pipeline of a layer and of a model says whose it is and what for.
pub(crate) fn everything_is_named() {
    let adapter = adapter();
    let wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES;
    let host = Host::with_features(&adapter, adapter.features() & wanted);
    let (context, mut layer) = (Context::new(&host.device, &host.queue), Layer::default());
    seen().made.clear();
    let mut all = BTreeSet::new();
    for (step, name) in STEPS.iter().enumerate() {
        assert_eq!(run(&host, &context, &mut layer, step..step + 1), None);
        all.append(&mut names_of_made(name));
    }
    // A layer alone has no name, so operations follow the prefix.
    let operations: BTreeSet<_> = layers_of_recorded().into_iter().collect();
    let expected = ["activate", "activate_grad", "local_forward", "local_grad_input", "local_grad_weights"];
    assert_eq!(operations.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    match host.drive(Timing::new(&context, &layer.passes[0])) {
        Ok(timing) => drop(timing),
        Err(Error::Feature { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    all.append(&mut names_of_made("timing"));
    assert_eq!(layers_of_recorded(), ["local_forward", "activate"], "of the passes that are tried");
    let [buffer, set, pipeline] = ["BUFFER", "DESCRIPTOR_SET", "PIPELINE"].map(|of| format!("{of}: {PREFIX}"));
    let buffers =
        ["weights", "bias", "gradient of weights", "tap tables of input", "params", "scratch 0", "readback", "tune"];
    has(&all, &buffers.map(|role| format!("{buffer}{role}")).each_ref().map(String::as_str));
    has(&all, &[&set, &pipeline, &format!("{pipeline}loop_forward")]);

    // A model names its layers.
    let model = five_layers();
    let buffer_of = |bytes: u64| {
        let usage = wgpu::BufferUsages::STORAGE;
        let label = Some("the host's");
        host.device.create_buffer(&wgpu::BufferDescriptor { label, size: bytes, usage, mapped_at_creation: false })
    };
    let (x, y) = (buffer_of(model.input_bytes(2)), buffer_of(model.output_bytes(2)));
    seen().made.clear();
    let loaded = host.drive(model.upload(&context)).expect("its parameters");
    let uploaded = names_of_made("upload");
    let bound = host.drive(loaded.bind_forward(2, &x, &y)).expect("bound");
    let names = names_of_made("bind");
    let parameters = model.graph.forward();
    let parameters: Vec<_> =
        parameters.used_as(Usage::Parameter).map(|parameter| format!("{buffer}{}", parameter.name)).collect();
    has(&uploaded, &parameters.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(parameters.iter().any(|name| name.ends_with("C1/kernel")), "{parameters:?}");
    let roles = ["params of C1 to D", "scratch 0 of C1 to D"].map(|role| format!("{buffer}{role}"));
    has(&names, &roles.each_ref().map(String::as_str));
    has(&names, &["C1 ", "P ", "C2 ", "D "].map(|layer| format!("{set}{layer}")).each_ref().map(String::as_str));
    let mut encoder = host.device.create_command_encoder(&Default::default());
    bound.record(&mut encoder.begin_compute_pass(&Default::default()));
    host.queue.submit([encoder.finish()]);
    assert_eq!(layers_of_recorded(), ["C1", "P", "C2", "D"]);
    assert_eq!(host.escaped(), [""; 0]);
    println!("labels: {} of a layer, {} of a model", all.len(), uploaded.len() + names.len());
}
