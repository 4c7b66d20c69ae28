//! `locally info`: what models can run on here.

use crate::args::{Common, Info};
use crate::failure::Failure;
use crate::format::{bytes, table};
use crate::{device, output};
use locally_connected::{DeviceProfile, wgpu};
use serde_json::{Value, json};

/// Features that the kernels use if the device has them.
const FEATURES: [(&str, wgpu::Features); 3] = [
    ("timestamp_query", wgpu::Features::TIMESTAMP_QUERY),
    ("shader_f16", wgpu::Features::SHADER_F16),
    ("subgroup", wgpu::Features::SUBGROUP),
];

pub(crate) fn info(common: &Common, args: &Info) -> Result<(), Failure> {
    let (adapters, chosen) = device::choose(common)?;
    let (threads, instructions) = device::cpu(common);
    if args.json {
        let cpu = json!({
            "name": "CPU executor",
            "backend": device::CPU,
            "driver": format!("{instructions:?}"),
            "driver_info": "",
            "device_type": "Cpu",
            "default": chosen.is_none(),
            "threads": threads,
        });
        let described = adapters.iter().enumerate().map(|(i, adapter)| describe(adapter, Some(i) == chosen));
        return output::print_json(&json!({ "adapters": described.chain([cpu]).collect::<Vec<Value>>() }));
    }
    let mark = |default: bool| if default { "*".to_owned() } else { String::new() };
    let mut table = table(["", "name", "backend", "driver", "kind", "binding", "buffer", "workgroups", "features"]);
    for (i, adapter) in adapters.iter().enumerate() {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let features: Vec<_> =
            FEATURES.iter().filter(|(_, f)| adapter.features().contains(*f)).map(|(name, _)| *name).collect();
        table.add_row([
            mark(Some(i) == chosen),
            info.name.clone(),
            info.backend.to_string(),
            format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            format!("{:?}", info.device_type),
            bytes(limits.max_storage_buffer_binding_size),
            bytes(limits.max_buffer_size),
            limits.max_compute_workgroups_per_dimension.to_string(),
            features.join(", "),
        ]);
    }
    table.add_row([
        mark(chosen.is_none()),
        "CPU executor".to_owned(),
        device::CPU.to_owned(),
        format!("{instructions:?}"),
        device::count(threads),
    ]);
    let how = if common.adapter().is_some() { "the one --adapter picks" } else { "the default" };
    output::print(&format!(
        "{table}\n* {how}\nbinding, buffer: the most bytes that a kernel sees at once, and that one buffer holds; \
         weights beyond them are cut into chunks\n"
    ))
}

fn describe(adapter: &wgpu::Adapter, default: bool) -> Value {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    // Limits under WebGPU's names; one that can't be written is left out.
    let all_limits = serde_json::to_value(&limits).unwrap_or_default();
    let all_features: Vec<&str> = features.iter_names().map(|(name, _)| name).collect();
    json!({
        "name": info.name,
        "backend": info.backend.to_string(),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "device_type": format!("{:?}", info.device_type),
        "default": default,
        "limits": {
            "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
            "max_buffer_size": limits.max_buffer_size,
            "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
            "max_compute_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
            "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
            "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
            "min_storage_buffer_offset_alignment": limits.min_storage_buffer_offset_alignment,
        },
        "features": FEATURES
            .iter()
            .map(|(name, feature)| ((*name).to_owned(), features.contains(*feature).into()))
            .collect::<serde_json::Map<String, Value>>(),
        "subgroup_sizes": [info.subgroup_min_size, info.subgroup_max_size],
        "cooperative_matrices": adapter
            .cooperative_matrix_properties()
            .iter()
            .map(|properties| format!("{properties:?}"))
            .collect::<Vec<_>>(),
        "strategy": DeviceProfile::new(&info, &limits).strategy,
        "all_limits": all_limits,
        "all_features": all_features,
    })
}
