//! A renderer that owns its device and its frame has a layer fill a storage buffer, which its own render pipeline draws as a
//! heat map: one encoder, one submit, and nothing between the layer and the picture goes through the host's memory.
//! README.md beside this file shows it.
//!
//! `cargo run --features headless --example embed_render [PICTURE.png]`

#![forbid(unsafe_code)]

mod flow;

use locally_connected::{Bound, Config, Context, Forward, LocallyConnected, Padding, reference, wgpu};
use std::path::PathBuf;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Values of the heat map, and pixels of the picture, along a side; draw.wgsl has both, too.
const SIDE: u32 = 256;
const PICTURE: u32 = 512;
/// Of the layer, along a side.
const WINDOW: usize = 13;
const FRAMES: u32 = 6;

/// From cold to hot: eight colours of Matplotlib's inferno, which is in the public domain.
const PALETTE: [u32; 8] =
    [0x00_00_04, 0x28_0b_54, 0x65_15_6e, 0x9f_2a_63, 0xd4_48_42, 0xf5_7d_15, 0xfa_c1_27, 0xfc_ff_a4];

fn channels(colour: u32) -> [f32; 4] {
    let [_, red, green, blue] = colour.to_be_bytes();
    [red, green, blue, 255].map(|channel| f32::from(channel) / 255.0)
}

/// The host's own: a device, a picture, a pipeline that draws a buffer of values.
struct Renderer {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    bind_group: wgpu::BindGroup,
    /// `[SIDE][SIDE]`, what is drawn.
    heat: wgpu::Buffer,
    picture: wgpu::Texture,
}

impl Renderer {
    async fn new() -> Result<Self> {
        let instance = locally_connected::headless::instance()?;
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await?;
        println!("on {}", adapter.get_info().name);
        let heat = values(&device, "heat");
        let palette = PALETTE.map(channels);
        let descriptor = wgpu::BufferDescriptor {
            label: Some("palette"),
            size: size_of_val(&palette) as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let colours = device.create_buffer(&descriptor);
        queue.write_buffer(&colours, 0, bytemuck::cast_slice(&palette));

        let picture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("picture"),
            size: wgpu::Extent3d { width: PICTURE, height: PICTURE, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let module = device.create_shader_module(wgpu::include_wgsl!("draw.wgsl"));
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some("heat map"),
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("corner"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                buffers: &[],
            },
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("colour"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                targets: &[Some(picture.format().into())],
            }),
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            multiview_mask: None,
            cache: None,
        });
        let entries = [(0, &heat), (1, &colours)]
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let layout = &pipeline.get_bind_group_layout(0);
        let descriptor = wgpu::BindGroupDescriptor { label: Some("heat map"), layout, entries: &entries };
        let bind_group = device.create_bind_group(&descriptor);
        Ok(Self { device, queue, pipeline, bind_group, heat, picture })
    }

    fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        let view = self.picture.create_view(&wgpu::TextureViewDescriptor::default());
        let target = wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
        };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("heat map"),
            color_attachments: &[Some(target)],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.draw(0..3, 0..1);
    }

    /// The picture's bytes, RGBA: after the last frame, as a host makes a screenshot.
    fn screenshot(&self) -> Result<Vec<u8>> {
        let bytes_per_row = 4 * PICTURE; // a multiple of 256, as WebGPU wants it
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("screenshot"),
            size: u64::from(bytes_per_row * PICTURE),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(bytes_per_row), rows_per_image: None };
        let target = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(self.picture.as_image_copy(), target, self.picture.size());
        self.queue.submit([encoder.finish()]);
        let (sender, mapped) = std::sync::mpsc::channel();
        buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| _ = sender.send(result));
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        mapped.recv()??;
        let bytes = buffer.get_mapped_range(..)?.to_vec();
        Ok(bytes)
    }
}

/// A buffer of `[SIDE][SIDE]` values.
fn values(device: &wgpu::Device, label: &str) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: 4 * u64::from(SIDE * SIDE),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

async fn run() -> Result<()> {
    let renderer = Renderer::new().await?;
    let Renderer { device, queue, heat, .. } = &renderer;
    let side = SIDE as usize;

    // Once: the layer on the renderer's device, bound twice, from `input` to `between` to what is drawn.
    let config = Config::new(1, [WINDOW, WINDOW]).padding(Padding::Same);
    let layer = LocallyConnected::new(&Context::new(device, queue), &config, &[side, side, 1]).await?;
    let (weights, bias) = flow::parameters(layer.geometry(), side, WINDOW);
    layer.write_canonical(&weights).await?;
    layer.write_bias(&bias).await?;
    let (input, between) = (values(device, "input"), values(device, "between"));
    let mut passes: Vec<Bound> = Vec::new();
    for [input, output] in [[&input, &between], [&between, heat]] {
        passes.push(layer.bind_forward(Forward::new(1, input, output)).await?);
    }

    let mut noise = Vec::new();
    for frame in 0..FRAMES {
        noise = flow::noise(side, f64::from(frame) / f64::from(FRAMES));
        queue.write_buffer(&input, 0, bytemuck::cast_slice(&noise));
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        passes.iter().for_each(|bound| bound.record(&mut pass));
        drop(pass);
        renderer.draw(&mut encoder);
        queue.submit([encoder.finish()]);
    }

    let picture = renderer.screenshot()?;
    let path = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("embed_render.png"), PathBuf::from);
    let mut file = png::Encoder::new(std::fs::File::create(&path)?, PICTURE, PICTURE);
    file.set_color(png::ColorType::Rgba);
    file.set_depth(png::BitDepth::Eight);
    file.write_header()?.write_image_data(&picture)?;
    println!("{FRAMES} frames; the last one is {}", path.display());

    let wide = |values: &[f32]| values.iter().map(|&value| value.into()).collect::<Vec<f64>>();
    let (weights, bias) = (wide(&weights), wide(&bias));
    let once = reference::local_forward(layer.geometry(), &wide(&noise), &weights, &bias);
    let twice = reference::local_forward(layer.geometry(), &once, &weights, &bias);
    let difference = compare(&picture, &twice)?;
    println!("its colours are those of the reference's values, off by {difference} of 255 at most");
    if difference <= 2 { Ok(()) } else { Err("not the picture of what the layer computes".into()) }
}

/// The largest difference of a channel of the picture to the colour that the value there has. Those pixels are compared that lie in
/// the middle of four values, away from the edge, one in 7.
fn compare(picture: &[u8], values: &[f64]) -> Result<u8> {
    let (side, mut most) = (SIDE as usize, 0);
    for place in (0..(side - 1) * (side - 1)).step_by(7) {
        let (row, column) = (place / (side - 1), place % (side - 1));
        // Pixel 2i + 1 lies a quarter between values i and i + 1.
        let at = |y: usize, x: usize| values.get((row + y) * side + column + x).copied().ok_or("too few values");
        let mix = |a: f64, b: f64| a + 0.25 * (b - a);
        let value = mix(mix(at(0, 0)?, at(0, 1)?), mix(at(1, 0)?, at(1, 1)?)).clamp(0.0, 1.0);
        let place = value * (PALETTE.len() - 1) as f64;
        let below = (place as usize).min(PALETTE.len() - 2);
        let [low, high] = [below, below + 1].map(|index| PALETTE.get(index).copied().unwrap_or_default());
        let pixel = 4 * ((2 * row + 1) * PICTURE as usize + 2 * column + 1);
        let drawn = picture.get(pixel..pixel + 4).ok_or("too few pixels")?;
        for ((low, high), &drawn) in channels(low).into_iter().zip(channels(high)).zip(drawn) {
            let colour = f64::from(low) + (place - below as f64) * f64::from(high - low);
            most = most.max(drawn.abs_diff((255.0 * colour).round() as u8));
        }
    }
    Ok(most)
}

fn main() -> Result<()> {
    pollster::block_on(run())
}
