//! A driver that refuses a shader, as GL, Metal and DX12 report it: an internal error. Mesa's GL takes a shader's text from a
//! folder in place of the one given, so broken text there is refused for certain. Whatever compiles says so by the kernel's
//! name, keeps nothing, reports nothing to the host, and succeeds once the text is right.
//!
//! It needs Mesa's GL (Debian's libegl1, libegl-mesa0 and libgl1-mesa-dri), which `cargo xtask test` installs; it is for Linux.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use locally_connected::{Config, Context, Error, Forward, LocallyConnected, wgpu};
use std::path::Path;
use std::process::Command;

/// Where Mesa reads texts from in the second process.
const READ: &str = "MESA_SHADER_READ_PATH";
/// Where it writes them in the first.
const DUMP: &str = "MESA_SHADER_DUMP_PATH";

/// Mesa's GL among others of a system.
const MESA: &str = "/usr/share/glvnd/egl_vendor.d/50_mesa.json";

fn main() {
    let variable = |name: &str| std::env::var_os(name);
    if variable(DUMP).is_some() {
        return pollster::block_on(compile());
    }
    if let Some(broken) = variable(READ) {
        return pollster::block_on(refused(Path::new(&broken)));
    }
    if !cfg!(target_os = "linux") {
        println!("no shader is replaced: that is for Mesa's GL, on Linux");
        return;
    }
    let folder = std::env::temp_dir().join(format!("locally-connected-gl-{}", std::process::id()));
    let (dumped, broken) = (folder.join("dumped"), folder.join("broken"));
    [&dumped, &broken].into_iter().for_each(|folder| std::fs::create_dir_all(folder).expect("a folder"));
    let run = |variable: &str, folder: &Path| {
        let mut process = Command::new(std::env::current_exe().expect("a program knows where it is"));
        // Mesa's, also beside the GL of a GPU's own driver.
        process.env("__EGL_VENDOR_LIBRARY_FILENAMES", MESA).env("LIBGL_ALWAYS_SOFTWARE", "true");
        process.env(variable, folder).env("MESA_SHADER_CACHE_DISABLE", "true").status().expect("a process")
    };
    assert!(run(DUMP, &dumped).success());
    let mut texts = 0;
    for file in std::fs::read_dir(&dumped).expect("a folder") {
        let file = file.expect("a file");
        // A field of our uniforms: wgpu has shaders of its own.
        if std::fs::read_to_string(file.path()).expect("a text").contains("workgroups_x") {
            std::fs::write(broken.join(file.file_name()), "#version 310 es\nthis is no shader").expect("a file");
            texts += 1;
        }
    }
    assert!(texts > 0, "Mesa wrote none of our shaders to {}", dumped.display());
    let status = run(READ, &broken);
    std::fs::remove_dir_all(&folder).expect("ours");
    assert!(status.success(), "{status}");
    println!("{texts} broken shaders were refused by name");
}

/// A host's device on GL, without a handler of errors; none where there is no such adapter.
async fn device() -> Option<(wgpu::Device, wgpu::Queue)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::GL;
    let adapters = wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::GL).await;
    let adapter = adapters.into_iter().find(|adapter| adapter.limits().max_compute_workgroup_size_x >= 64)?;
    let required_limits = adapter.limits();
    adapter.request_device(&wgpu::DeviceDescriptor { required_limits, ..Default::default() }).await.ok()
}

/// Binds a layer's forward pass, twice where the first is refused: what came of each.
async fn bind(context: &Context, between: impl FnOnce()) -> [Result<(), Error>; 2] {
    let device = context.device();
    let layer = LocallyConnected::new(context, &Config::new(4, [3]), &[8, 3]).await.expect("a layer");
    let buffer = |elements: u64| {
        let (size, usage) = (4 * elements, wgpu::BufferUsages::STORAGE);
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (x, y) = (buffer(layer.geometry().inputs()), buffer(layer.geometry().outputs()));
    let forward = Forward { batch: 1, input: &x, output: &y, pre_activation: None };
    let first = layer.bind_forward(forward).await.map(drop);
    between();
    [first, layer.bind_forward(forward).await.map(drop)]
}

async fn compile() {
    let (device, queue) = device().await.expect("Mesa's GL with compute shaders");
    assert_eq!(bind(&Context::new(&device, &queue), || ()).await, [Ok(()), Ok(())]);
}

async fn refused(broken: &Path) {
    let (device, queue) = device().await.expect("Mesa's GL with compute shaders");
    let context = Context::new(&device, &queue);
    let mend = || {
        assert!(context.pipelines().is_empty(), "what was refused is kept");
        for file in std::fs::read_dir(broken).expect("a folder") {
            std::fs::remove_file(file.expect("a file").path()).expect("ours");
        }
    };
    let [first, second] = bind(&context, mend).await;
    let Err(Error::Shader { kernel, message }) = &first else { panic!("{first:?}") };
    println!("{kernel} is refused: {message}");
    assert!(kernel.contains("forward"), "{kernel}");
    assert_eq!(second, Ok(()), "with its own text");
}
