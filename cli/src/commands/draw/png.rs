//! The picture as PNG: the SVG with a font of our own, so that every machine makes the same bytes.

use crate::failure::Failure;
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// How many pixels a unit of the SVG is.
const SCALE: f32 = 2.0;

const FONTS: [&[u8]; 2] = [include_bytes!("font/DejaVuSans.ttf"), include_bytes!("font/DejaVuSans-Bold.ttf")];

pub(super) fn png(svg: &str) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| Failure::machine(format!("the picture as PNG: {what}"));
    let mut fonts = usvg::fontdb::Database::new();
    for font in FONTS {
        fonts.load_font_data(font.to_vec());
    }
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = usvg::Options { fontdb: Arc::new(fonts), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let size = tree.size().to_int_size().scale_by(SCALE).ok_or_else(|| failed("it has no size".into()))?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height())
        .ok_or_else(|| failed(format!("no memory for {} × {} pixels", size.width(), size.height())))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}
