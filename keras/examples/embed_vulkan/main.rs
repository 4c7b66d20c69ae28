//! An application of its own Vulkan (crate `ash`) that knows wgpu only as a guest: it makes instance, device and buffers, and a
//! layer and a whole model run on them between two submits of its own. README.md beside this file says how it goes.
//!
//! `cargo run --package locally-connected-keras --example embed_vulkan`, with `-- --validate` under the validation layers.

#[cfg(not(target_vendor = "apple"))]
mod app;
#[cfg(not(target_vendor = "apple"))]
mod guest;
#[cfg(not(target_vendor = "apple"))]
mod host;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is asked for on the command line.
#[derive(Clone, Copy)]
struct Options {
    /// Under the validation layers, which must have nothing to say.
    validate: bool,
    /// Leaves the application's barriers out, to which the validation layers must have something to say.
    without_barriers: bool,
}

impl Options {
    fn new() -> Result<Self> {
        let mut options = Self { validate: false, without_barriers: false };
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--validate" => options.validate = true,
                "--without-barriers" => (options.validate, options.without_barriers) = (true, true),
                other => return Err(format!("{other}: there are --validate and --without-barriers").into()),
            }
        }
        Ok(options)
    }
}

#[cfg(not(target_vendor = "apple"))]
fn main() -> Result<()> {
    /// Most difference of outputs and predictions.
    const TOLERANCE: f32 = 1e-5;

    let options = Options::new()?;
    let host::Report { device, images, layer, model, messages } = host::run(options)?;
    println!("{device}: {images} images, in the application's own buffers");
    println!("  the layer is {layer:.1e} from the reference, the model's predictions {model:.1e} from Keras's");
    let hazards = messages.iter().filter(|message| message.contains("SYNC-HAZARD")).count();
    if options.without_barriers {
        println!("  without barriers the validation layers say {} hazards, the first:", hazards);
        println!("  {}", messages.first().map_or("nothing", String::as_str));
        return if hazards > 0 { Ok(()) } else { Err("the validation layers have missed them".into()) };
    }
    if let Some(message) = messages.first() {
        return Err(format!("the validation layers have {} messages, the first: {message}", messages.len()).into());
    }
    if options.validate {
        println!("  the validation layers have nothing to say");
    }
    if layer <= TOLERANCE && model <= TOLERANCE { Ok(()) } else { Err(format!("more than {TOLERANCE:e}").into()) }
}

#[cfg(target_vendor = "apple")]
fn main() -> Result<()> {
    let _ = Options::new()?;
    println!("not run: it is for systems that have Vulkan");
    Ok(())
}
