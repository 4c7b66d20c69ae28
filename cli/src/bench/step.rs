//! A dispatch of one of the benchmark's own kernels.

use locally_connected::headless::Gpu;
use locally_connected::wgpu;
use std::sync::Arc;

const LABEL: Option<&str> = Some("locally bench");

/// A pipeline with its operands.
pub(super) struct Step {
    pipeline: Arc<wgpu::ComputePipeline>,
    operands: wgpu::BindGroup,
    groups: [u32; 2],
}

impl Step {
    pub(super) fn new(
        gpu: &Gpu,
        pipeline: Arc<wgpu::ComputePipeline>,
        operands: [&wgpu::Buffer; 2],
        workgroups: u64,
    ) -> Self {
        // Both are powers of two, and a dispatch may have at most 65,535 along an axis.
        let x = workgroups.min(1 << 15);
        let entries =
            [0, 1].map(|i| wgpu::BindGroupEntry { binding: i, resource: operands[i as usize].as_entire_binding() });
        let layout = &pipeline.get_bind_group_layout(0);
        let descriptor = wgpu::BindGroupDescriptor { label: LABEL, layout, entries: &entries };
        let operands = gpu.context().device().create_bind_group(&descriptor);
        Self { pipeline, operands, groups: [x as u32, (workgroups / x) as u32] }
    }

    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.operands, &[]);
        pass.dispatch_workgroups(self.groups[0], self.groups[1], 1);
    }
}

/// The pipeline of a shader whose entry point is `main`.
pub(super) fn pipeline(gpu: &Gpu, source: &str) -> wgpu::ComputePipeline {
    let device = gpu.context().device();
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: LABEL, source });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: LABEL,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}
