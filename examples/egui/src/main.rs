//! An egui panel, drawn by egui-wgpu on the host's device, that shows the filters of a locally connected layer while it learns.
//! The weights stay where they are: our passes, the host's own kernels, the picture of the filters and the panel are recorded
//! into one encoder and submitted once a frame. No window is opened: frames are drawn into a texture, and a pointer is moved
//! by what stands in `script`; README.md beside this file shows them.
//!
//! `cargo run --manifest-path examples/egui/Cargo.toml [PICTURE.png]`

#![forbid(unsafe_code)]

#[path = "../../embed_render/flow.rs"]
#[expect(dead_code, reason = "the noise is the other example's")]
mod flow;
mod learning;
mod panel;

use egui_wgpu::{Renderer, RendererOptions, ScreenDescriptor};
use learning::{Learning, Result, WINDOW};
use locally_connected::{Context, Readback, wait, wgpu};
use panel::{Panel, Wish};

const SIZE: [u32; 2] = [760, 540];

/// The host's own: a device, what egui draws into, a model that learns, a panel.
struct App {
    device: wgpu::Device,
    queue: wgpu::Queue,
    screen: wgpu::Texture,
    renderer: Renderer,
    egui: egui::Context,
    learning: Learning,
    panel: Panel,
    seconds: f64,
}

impl App {
    async fn new() -> Result<Self> {
        let instance = locally_connected::headless::instance()?;
        let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await?;
        println!("on {}", adapter.get_info().name);
        let screen = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("screen"),
            size: wgpu::Extent3d { width: SIZE[0], height: SIZE[1], depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let mut renderer = Renderer::new(&device, screen.format(), RendererOptions::default());
        let learning = Learning::new(&Context::new(&device, &queue)).await?;
        let view = learning.picture.create_view(&wgpu::TextureViewDescriptor::default());
        let filters = renderer.register_native_texture(&device, &view, wgpu::FilterMode::Nearest);
        let panel = Panel::new(filters);
        let egui = egui::Context::default();
        egui.set_theme(egui::Theme::Dark);
        Ok(Self { device, queue, screen, renderer, egui, learning, panel, seconds: 0.0 })
    }

    /// A frame: the user's events in, one submit out.
    fn frame(&mut self, events: Vec<egui::Event>) -> Result<()> {
        self.seconds += 1.0 / 60.0;
        let [width, height] = SIZE.map(|size| size as f32);
        let screen_rect = Some(egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(width, height)));
        let input = egui::RawInput { screen_rect, events, time: Some(self.seconds), ..Default::default() };
        let mut wish = None;
        let mut output = self.egui.run_ui(input, |ui| wish = self.panel.show(ui).or(wish));
        match wish {
            Some(Wish::Forget(location)) => self.learning.forget(location)?,
            Some(Wish::ForgetAll) => self.learning.forget_all()?,
            None => {}
        }
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if self.panel.learns {
            self.learning.learn(&mut encoder, self.panel.rate);
            self.panel.steps += 1;
        }
        self.learning.draw(&mut encoder);

        for (id, images) in output.textures_delta.set.drain() {
            for image in images {
                self.renderer.update_texture(&self.device, &self.queue, id, &image);
            }
        }
        let jobs = self.egui.tessellate(std::mem::take(&mut output.shapes), output.pixels_per_point);
        let descriptor = ScreenDescriptor { size_in_pixels: SIZE, pixels_per_point: output.pixels_per_point };
        let before = self.renderer.update_buffers(&self.device, &self.queue, &mut encoder, &jobs, &descriptor);
        let view = &self.screen.create_view(&wgpu::TextureViewDescriptor::default());
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
        let attachment = wgpu::RenderPassColorAttachment { view, resolve_target: None, ops, depth_slice: None };
        let mut pass = encoder
            .begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("egui"),
                color_attachments: &[Some(attachment)],
                ..wgpu::RenderPassDescriptor::default()
            })
            .forget_lifetime();
        self.renderer.render(&mut pass, &jobs, &descriptor);
        drop(pass);
        self.queue.submit(before.into_iter().chain([encoder.finish()]));
        for id in output.textures_delta.free.drain() {
            self.renderer.free_texture(&id);
        }
        Ok(())
    }

    /// Frames in which nothing is touched.
    fn frames(&mut self, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.frame(Vec::new()))
    }

    /// A click, as a user makes it: moved there, pressed, released, and away again.
    fn click(&mut self, pos: egui::Pos2) -> Result<()> {
        let button = |pressed| egui::Event::PointerButton {
            pos,
            button: egui::PointerButton::Primary,
            pressed,
            modifiers: egui::Modifiers::NONE,
        };
        self.frame(vec![egui::Event::PointerMoved(pos)])?;
        self.frame(vec![button(true)])?;
        self.frame(vec![button(false)])
    }

    /// The screen's pixels, `[height][width][4]`.
    fn pixels(&self) -> Result<Vec<u8>> {
        // Rows of copies are as long as wgpu wants them.
        let row = (4 * SIZE[0]).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let size = u64::from(row * SIZE[1]);
        let copy =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        let mut readback = wait(&self.device, Readback::new(&self.device, &copy))?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &copy, layout };
        encoder.copy_texture_to_buffer(self.screen.as_image_copy(), to, self.screen.size());
        readback.record(&mut encoder)?;
        self.queue.submit([encoder.finish()]);
        let words: Vec<u32> = wait(&self.device, readback.values())?.iter().map(|word| word.to_bits()).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        let rows = bytes.chunks_exact(row as usize).flat_map(|row| &row[..4 * SIZE[0] as usize]);
        Ok(rows.copied().collect())
    }

    /// How bright the filters are drawn, from 0 to 1; of one location, or of all.
    fn brightness(&self, location: Option<[u32; 2]>) -> Result<f64> {
        let filters = self.panel.places.filters;
        let (centre, half) = match location {
            Some(location) => (self.panel.filter(location), WINDOW as f32),
            None => (filters.center(), filters.width() / 2.0),
        };
        let pixels = self.pixels()?;
        let (mut sum, mut count) = (0u64, 0u64);
        for y in (centre.y - half) as usize..(centre.y + half) as usize {
            for x in (centre.x - half) as usize..(centre.x + half) as usize {
                let pixel = &pixels[4 * (y * SIZE[0] as usize + x)..][..3];
                sum += u64::from(*pixel.iter().max().unwrap_or(&0));
                count += 1;
            }
        }
        Ok(sum as f64 / count as f64 / 255.0)
    }
}

/// What must be so on the way.
fn hold(what: &str, holds: bool) -> Result<()> {
    println!("{what}: {}", if holds { "yes" } else { "no" });
    if holds { Ok(()) } else { Err(format!("it is not so that {what}").into()) }
}

fn save(path: &str, pixels: &[u8]) -> Result<()> {
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(std::fs::File::create(path)?), SIZE[0], SIZE[1]);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(())
}

/// A session of a user who watches, stops, clicks and goes on.
fn script(app: &mut App, picture: Option<&str>) -> Result<()> {
    let (clicked, other) = ([4, 13], [14, 6]);
    app.frames(3)?;
    let begun = app.brightness(None)?;
    app.frames(120)?;
    let learnt = app.brightness(None)?;
    println!("after {} steps: {begun:.3}, then {learnt:.3}", app.panel.steps);
    if let Some(picture) = picture {
        save(picture, &app.pixels()?)?;
    }
    hold("the filters come up while it learns", learnt > begun + 0.01)?;

    app.click(app.panel.places.learns.left_center() + egui::vec2(8.0, 0.0))?;
    hold("a click on the box stops it", !app.panel.learns)?;
    let steps = app.panel.steps;
    let [before, beside] = [app.brightness(Some(clicked))?, app.brightness(Some(other))?];
    app.click(app.panel.filter(clicked))?;
    app.frames(1)?;
    let [after, still] = [app.brightness(Some(clicked))?, app.brightness(Some(other))?];
    println!(
        "the filter of {clicked:?}: {before:.3}, then {after:.3}; that of {other:?}: {beside:.3}, then {still:.3}"
    );
    hold("a filter that is clicked forgets", after < before - 0.03)?;
    hold("and no other does", beside == still)?;
    hold("nothing is learnt meanwhile", app.panel.steps == steps)?;
    if let Some(picture) = picture {
        save(picture, &app.pixels()?)?;
    }

    app.click(app.panel.places.forget_all.center())?;
    app.frames(1)?;
    let forgotten = app.brightness(None)?;
    hold("the button lets all of them forget", forgotten < begun + 0.01)?;
    app.click(app.panel.places.learns.left_center() + egui::vec2(8.0, 0.0))?;
    app.frames(60)?;
    hold("and they learn again", app.panel.learns && app.brightness(None)? > forgotten + 0.03)
}

fn main() -> Result<()> {
    let picture = std::env::args().nth(1);
    let mut app = pollster::block_on(App::new())?;
    script(&mut app, picture.as_deref())
}
