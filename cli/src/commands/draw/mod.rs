//! `locally draw`: a picture of one layer.

mod activations;
mod colour;
mod layer;
mod linear;
mod page;
mod parts;
mod planar;
mod png;
mod rows;
mod svg;

use crate::args::{Common, Draw};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{model, output};
use activations::InModel;
use layer::Layer;
use locally_connected_keras::{ModelFile, write_file};
use std::path::Path;
use svg::Svg;

/// The format that the output's name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Svg,
    Png,
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(Failure::request(format!("{}: the extension says no picture's format", path.display()))
                .with_help("the output's name ends in .html, .svg or .png")),
        }
    }
}

pub(crate) fn draw(common: &Common, args: &Draw) -> Result<(), Failure> {
    let format = Format::of(&args.output)?;
    output::check_destination(&args.output)?;
    let progress = Progress::start(common.quiet, "reading the model");
    let file = model::open(&args.source, &progress)?;
    let layer = find(&file, &args.layer)?;
    let activations = match &args.input {
        Some(path) => Some(activations::run(common, &progress, InModel { file: &file, layer: &layer }, path)?),
        None => None,
    };
    progress.set("drawing");
    let mut svg = Svg::default();
    let height = match layer.geometry.config().rank() {
        1 => linear::draw(&mut svg, &layer, activations.as_ref()),
        _ => planar::draw(&mut svg, &layer, activations.as_ref()),
    };
    let (title, size) = (format!("{} of {}", layer.name, file.name), [parts::WIDTH, height]);
    let bytes = match format {
        Format::Svg => svg.finish(size, &title, true).into_bytes(),
        Format::Html => page::page(&title, &svg.finish(size, &title, true)).into_bytes(),
        Format::Png => png::png(&svg.finish(size, &title, false))?,
    };
    Ok(write_file(&args.output, &bytes)?)
}

/// The locally connected layer of that name.
fn find<'a>(file: &'a ModelFile, name: &str) -> Result<Layer<'a>, Failure> {
    match file.layer(name).and_then(|layer| Some((layer, layer.local()?))) {
        Some((layer, local)) => Layer::new(layer, local),
        // The error lists the layers that there are, or says why this one can't be drawn.
        None => match model::model(file, Some(name)) {
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure::request(format!("layer {name:?} isn't locally connected"))),
        },
    }
}
