//! What a GPU's compiler makes of every shader variant, without the GPU: `cargo xtask isa` runs this on Mesa's RADV,
//! which compiles for an AMD GPU that isn't there where `RADV_FORCE_FAMILY` names one.
//!
//! `isa [--listing] [NAME…]`: a line for each variant whose name begins with one of NAME, with the numbers that RADV
//! gives; `--listing` adds the assembly. Ends in failure where a variant spills registers or keeps an array in memory:
//! its register tile would be none.

#![expect(clippy::expect_used, reason = "a tool of the developers', which may stop where it stands")]

use ash::vk;
use locally_connected::kernels::variants;
use naga::AddressSpace;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::ffi::{CStr, c_char};
use std::process::ExitCode;

/// RADV's names of the numbers, and ours. Latency and throughput are its own estimates, in cycles of a wave: one, and
/// how many it keeps the processor busy.
const COLUMNS: [(&str, &str); 9] = [
    ("Instructions", "instructions"),
    ("VGPRs", "registers"),
    ("Spilled VGPRs", "spilled"),
    ("Scratch size", "scratch"),
    ("LDS size", "workgroup memory"),
    ("Subgroups per SIMD", "waves"),
    ("Latency", "latency"),
    ("Inverse Throughput", "busy"),
    ("VMEM Clause", "groups of loads"),
];
/// Those that must be 0.
const FORBIDDEN: [&str; 2] = ["spilled", "scratch"];

fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let listing = names.iter().any(|name| name == "--listing");
    names.retain(|name| name != "--listing");
    let wanted = |name: &str| names.is_empty() || names.iter().any(|start| name.starts_with(start.as_str()));
    let compiler = Compiler::new();
    print!("{:64}", compiler.device);
    COLUMNS.iter().for_each(|(_, name)| print!(" {name:>w$}", w = name.len()));
    println!();
    let (mut compiled, mut bad) = (0, Vec::new());
    for variant in variants().into_iter().filter(|variant| wanted(&variant.name())) {
        let name = variant.name();
        let found = compiler.compile(&variant.shader().expect("marks that can be obeyed").wgsl, listing);
        print!("{name:64}");
        for (theirs, ours) in COLUMNS {
            let value = found.numbers.iter().find(|(name, _)| name == theirs).map(|(_, value)| *value);
            print!(" {:>w$}", value.map_or("?".into(), |value| value.to_string()), w = ours.len());
            if FORBIDDEN.contains(&ours) && value != Some(0) {
                bad.push(format!("{name}: {ours} {value:?}"));
            }
        }
        println!();
        if let Some(listing) = found.listing {
            println!("{listing}");
        }
        compiled += 1;
    }
    bad.iter().for_each(|line| println!("{line}"));
    println!("{compiled} variants compiled, {} with arrays or sums outside the registers", bad.len());
    if compiled > 0 && bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A Vulkan device that compiles pipelines and tells about them.
struct Compiler {
    device: String,
    vulkan: ash::Device,
    about: ash::khr::pipeline_executable_properties::Device,
    // The library must outlive what came out of it.
    _instance: ash::Instance,
    _entry: ash::Entry,
}

struct Compiled {
    numbers: Vec<(String, u64)>,
    listing: Option<String>,
}

impl Compiler {
    /// On the first device there is, with what wgpu asks for that bears on code: robust buffers.
    fn new() -> Self {
        // SAFETY: calls of Vulkan with structures that live until they return.
        unsafe {
            let entry = ash::Entry::load().expect("a Vulkan loader");
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).expect("an instance of Vulkan 1.2");
            let physical = *instance.enumerate_physical_devices().expect("devices").first().expect("a device");
            let device = text(&instance.get_physical_device_properties(physical).device_name);
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut telling =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let extensions =
                [ash::ext::robustness2::NAME.as_ptr(), ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .enabled_features(&features)
                .push_next(&mut robust)
                .push_next(&mut telling);
            let vulkan = instance.create_device(physical, &create, None).expect("a device with these extensions");
            let about = ash::khr::pipeline_executable_properties::Device::new(&instance, &vulkan);
            Self { device, vulkan, about, _instance: instance, _entry: entry }
        }
    }

    fn compile(&self, wgsl: &str, listing: bool) -> Compiled {
        let module = naga::front::wgsl::parse_str(wgsl).expect("WGSL");
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).expect("valid");
        // As wgpu writes it where the driver has robust buffers: src/gpu/pipelines.rs.
        let options = spv::Options {
            lang_version: (1, 5),
            flags: spv::WriterFlags::empty(),
            bounds_check_policies: BoundsCheckPolicies {
                index: BoundsCheckPolicy::Restrict,
                ..BoundsCheckPolicies::default()
            },
            force_loop_bounding: false,
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            ..Default::default()
        };
        let words = spv::write_vec(&module, &info, &options, None).expect("SPIR-V");
        let bindings: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, global)| {
                let kind = match global.space {
                    AddressSpace::Uniform => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                    _ => vk::DescriptorType::STORAGE_BUFFER,
                };
                let binding = vk::DescriptorSetLayoutBinding::default().binding(global.binding?.binding);
                Some(binding.descriptor_type(kind).descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE))
            })
            .collect();
        let mut flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if listing {
            flags |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        // SAFETY: as above; what is made is destroyed after its last use.
        unsafe {
            let vulkan = &self.vulkan;
            let create = vk::ShaderModuleCreateInfo::default().code(&words);
            let shader = vulkan.create_shader_module(&create, None).expect("a shader");
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [vulkan.create_descriptor_set_layout(&create, None).expect("a layout")];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = vulkan.create_pipeline_layout(&create, None).expect("a layout");
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(shader)
                .name(c"main");
            let create = [vk::ComputePipelineCreateInfo::default().flags(flags).stage(stage).layout(layout)];
            let pipelines = vulkan.create_compute_pipelines(vk::PipelineCache::null(), &create, None);
            let pipeline = pipelines.expect("a pipeline")[0];
            let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let numbers = self.about.get_pipeline_executable_statistics(&executable).expect("numbers");
            let numbers = numbers.iter().map(|number| (text(&number.name), number.value.u64)).collect();
            let listing = listing.then(|| self.listing(&executable));
            vulkan.destroy_pipeline(pipeline, None);
            vulkan.destroy_pipeline_layout(layout, None);
            vulkan.destroy_descriptor_set_layout(sets[0], None);
            vulkan.destroy_shader_module(shader, None);
            Compiled { numbers, listing }
        }
    }

    /// The last representation of the pipeline, which is the assembly.
    ///
    /// # Safety
    ///
    /// The pipeline lives and was made with its representations kept.
    unsafe fn listing(&self, executable: &vk::PipelineExecutableInfoKHR<'_>) -> String {
        let get = self.about.fp().get_pipeline_executable_internal_representations_khr;
        let mut all = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); 16];
        let mut count = all.len() as u32;
        // SAFETY: `all` has room for `count`. The first call gives the sizes, the second fills buffers of those sizes.
        unsafe {
            get(self.vulkan.handle(), executable, &raw mut count, all.as_mut_ptr()).result().expect("representations");
            all.truncate(count as usize);
            let mut texts: Vec<Vec<u8>> = all.iter().map(|one| vec![0; one.data_size]).collect();
            for (one, text) in all.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast();
            }
            get(self.vulkan.handle(), executable, &raw mut count, all.as_mut_ptr()).result().expect("representations");
            String::from_utf8_lossy(texts.last().map_or(&[][..], Vec::as_slice)).into_owned()
        }
    }
}

/// A name in a fixed field.
fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|&byte| byte as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map_or(String::new(), |name| name.to_string_lossy().into_owned())
}
