//! A layer that learns on the host's device, and a picture of its filters that never leaves it. A second layer, whose
//! weights are a flow's lines, is what it learns to be: at each place another filter.

use crate::flow;
use locally_connected::{
    Backward, Bias, Bound, Config, Context, Elements, Forward, Geometry, LocallyConnected, Padding, wgpu,
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Locations along a side, and weights of a filter along one.
pub(crate) const SIDE: u32 = 20;
pub(crate) const WINDOW: u32 = 11;
/// Pixels of a weight in the picture, and of the picture.
const ZOOM: u32 = 2;
pub(crate) const PICTURE: u32 = ZOOM * SIDE * (WINDOW + 1);
const BATCH: u32 = 48;
/// Of the values that the layer learns from.
const EXAMPLES: usize = (BATCH * SIDE * SIDE) as usize;

/// A compute pipeline of the host's with what it binds, over so many elements.
struct Kernel {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    uniform: wgpu::Buffer,
    count: u32,
}

pub(crate) struct Learning {
    queue: wgpu::Queue,
    layer: LocallyConnected,
    input: wgpu::Buffer,
    /// The teacher's forward pass, the layer's, and its backward pass.
    passes: [Bound; 3],
    error: Kernel,
    descend: Kernel,
    mosaic: (wgpu::RenderPipeline, wgpu::BindGroup),
    pub(crate) picture: wgpu::Texture,
    random: u64,
}

impl Learning {
    pub(crate) async fn new(context: &Context) -> Result<Self> {
        let (device, queue) = (context.device(), context.queue().clone());
        let (side, window) = (SIDE as usize, WINDOW as usize);
        let config = Config::new(1, [window, window]).padding(Padding::Same).bias(Bias::None);
        let geometry = Geometry::new(&config, &[side, side, 1])?;
        let teacher = LocallyConnected::with_geometry(context, geometry.clone()).await?;
        let (flow, _) = flow::parameters(&geometry, side, window);
        teacher.write_canonical(&flow).await?;
        // The same shapes, weights of its own: zero, that is, until it has learnt.
        let layer = teacher.twin().await?;

        let values = |label: &str, bytes: u64| {
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let descriptor =
                wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false };
            device.create_buffer(&descriptor)
        };
        let input = values("images", geometry.input_bytes(BATCH));
        let [wanted, found, gradient] =
            ["wanted", "found", "gradient"].map(|label| values(label, geometry.output_bytes(BATCH)));
        let grad_weights = layer.create_weights_gradient().await?;
        let passes = [
            teacher.bind_forward(Forward::new(BATCH, &input, &wanted)).await?,
            layer.bind_forward(Forward::new(BATCH, &input, &found)).await?,
            layer.bind_backward(Backward::new(BATCH, &gradient).input(&input).grad_weights(&grad_weights)).await?,
        ];

        let module = device.create_shader_module(wgpu::include_wgsl!("learn.wgsl"));
        let kernel = |name: &str, count: u64, buffers: &[(u32, &wgpu::Buffer)]| {
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: None,
                module: &module,
                entry_point: Some(name),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            });
            let uniform = uniform(device, name, 8);
            let bind_group = bind(device, &pipeline.get_bind_group_layout(0), &[&[(0, &uniform)], buffers].concat());
            Kernel { pipeline, bind_group, uniform, count: count as u32 }
        };
        let error = kernel("error", EXAMPLES as u64, &[(1, &found), (2, &wanted), (3, &gradient)]);
        let [dw, w] = [&grad_weights, layer.weights()].map(|tensor| tensor.ranges()[0].buffer.clone());
        let descend = kernel("descend", geometry.weights(), &[(4, &dw), (5, &w)]);

        let picture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("filters"),
            size: wgpu::Extent3d { width: PICTURE, height: PICTURE, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("filters"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("colour"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(picture.format().into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let look = uniform(device, "look", 16);
        let words = [SIDE, WINDOW, ZOOM, 8f32.to_bits()];
        queue.write_buffer(&look, 0, bytemuck::cast_slice(&words));
        let mosaic = bind(device, &pipeline.get_bind_group_layout(0), &[(6, &look), (7, &w)]);
        let mosaic = (pipeline, mosaic);
        Ok(Self { queue, layer, input, passes, error, descend, mosaic, picture, random: 1 })
    }

    /// Values of about the variance 1, others in each frame (splitmix64).
    fn images(&mut self) -> Vec<f32> {
        (0..EXAMPLES)
            .map(|_| {
                self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.random;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let unit = ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32;
                (2.0 * unit - 1.0) * 3f32.sqrt()
            })
            .collect()
    }

    /// Records a step of learning: our three passes and the host's two kernels, in one pass.
    pub(crate) fn learn(&mut self, encoder: &mut wgpu::CommandEncoder, rate: f32) {
        let images = self.images();
        self.queue.write_buffer(&self.input, 0, bytemuck::cast_slice(&images));
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let [teacher, forward, backward] = &self.passes;
        teacher.record(&mut pass);
        forward.record(&mut pass);
        self.error.record(&self.queue, &mut pass, 1.0 / BATCH as f32);
        backward.record(&mut pass);
        self.descend.record(&self.queue, &mut pass, rate);
    }

    /// Records the picture of the filters as they are.
    pub(crate) fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        let view = &self.picture.create_view(&wgpu::TextureViewDescriptor::default());
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
        let attachment = wgpu::RenderPassColorAttachment { view, resolve_target: None, ops, depth_slice: None };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("filters"),
            color_attachments: &[Some(attachment)],
            ..wgpu::RenderPassDescriptor::default()
        });
        pass.set_pipeline(&self.mosaic.0);
        pass.set_bind_group(0, &self.mosaic.1, &[]);
        pass.draw(0..3, 0..1);
    }

    /// Lets a location forget its filter, and no other: an upload of its own few weights.
    pub(crate) fn forget(&self, [row, column]: [u32; 2]) -> locally_connected::Result<()> {
        let weights = u64::from(WINDOW * WINDOW);
        let first = u64::from(row * SIDE + column) * weights;
        let zeroes = vec![0.0; weights as usize];
        pollster::block_on(self.layer.parameters().write_range("weights", first, Elements::F32(&zeroes)))
    }

    /// Lets all of them forget.
    pub(crate) fn forget_all(&self) -> locally_connected::Result<()> {
        let zeroes = vec![0.0; self.layer.geometry().weights() as usize];
        pollster::block_on(self.layer.write_canonical(&zeroes))
    }
}

impl Kernel {
    fn record(&self, queue: &wgpu::Queue, pass: &mut wgpu::ComputePass<'_>, rate: f32) {
        queue.write_buffer(&self.uniform, 0, bytemuck::cast_slice(&[rate.to_bits(), self.count]));
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.count.div_ceil(64), 1, 1);
    }
}

fn uniform(device: &wgpu::Device, label: &str, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}

fn bind(device: &wgpu::Device, layout: &wgpu::BindGroupLayout, buffers: &[(u32, &wgpu::Buffer)]) -> wgpu::BindGroup {
    let entries: Vec<_> = buffers
        .iter()
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
        .collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}
