//! Maps of each filter of a layer of two axes: its bias, and its activations for an input.

use super::activations::{Activations, Image};
use super::colour::Scale;
use super::layer::{Layer, Map, spread};
use super::parts::{self, MARGIN, MOST_SQUARES, WIDTH, map, square};
use super::svg::{Area, Column, Grid, HEAD, Legend, NOTE, Svg};

/// The most maps in a row, and the most rows or columns of a map.
const MOST_MAPS: usize = 12;
const MOST_SMALL: usize = 36;

/// Draws bias and activations as a map for each filter; gives the height of the picture.
pub(super) fn draw(svg: &mut Svg, layer: &Layer<'_>, activations: Option<&Activations>, top: f64) -> f64 {
    if !layer.has_bias() && activations.is_none() {
        return top + 8.0;
    }
    let row = Row::new(layer);
    let mut y = top + 10.0;
    let bias = |filter: Option<usize>, location: usize| match filter {
        Some(filter) => layer.bias(location, filter),
        None => layer.mean_bias(location),
    };
    if layer.has_bias() {
        let maps = row.maps(layer, &bias);
        let scale = Scale::around_zero(maps.iter().flat_map(|map| map.finite().collect::<Vec<_>>()));
        y = row.head(svg, y, ("Bias by filter", Legend { scale: &scale, what: "bias" }));
        row.draw(svg, y, (&maps, &scale));
        y += row.height + 34.0;
    }
    let Some(activations) = activations else { return y };
    let outputs = |sample: usize| {
        move |filter: Option<usize>, location: usize| {
            let value = |filter: usize| {
                let index = layer.geometry.output_index(location as u32, filter as u32) as usize;
                Some(f64::from(*activations.outputs.get(sample)?.get(index)?))
            };
            match filter {
                Some(filter) => value(filter),
                None => (0..layer.filters()).map(value).sum::<Option<f64>>().map(|sum| sum / layer.filters() as f64),
            }
        }
    };
    let samples: Vec<_> = (0..activations.outputs.len()).map(|sample| row.maps(layer, &outputs(sample))).collect();
    let scale = Scale::of(samples.iter().flatten().flat_map(|map| map.finite().collect::<Vec<_>>()));
    let what = format!("output{}", parts::activation(layer));
    y = row.head(svg, y, (&parts::of_samples(activations), Legend { scale: &scale, what: &what }));
    let mut note = "";
    for (maps, sample) in samples.iter().zip(0usize..) {
        let format = layer.geometry.config().data_format;
        let values = activations.inputs.get(sample).map_or(&[][..], Vec::as_slice);
        if let Some(image) = Image::new(&activations.input_shape, values, 2, format) {
            let side = (row.height / image.rows as f64).min(row.side / image.columns as f64);
            let (width, height) = (side * image.columns as f64, side * image.rows as f64);
            parts::image(svg, Area { x: MARGIN, y, width, height }, &image, MOST_SQUARES);
            note = parts::image_note(&image);
        } else {
            svg.text([MARGIN, y + row.height / 2.0 + 4.0], NOTE, &format!("sample {sample}"));
        }
        row.draw(svg, y, (maps, &scale));
        y += row.height + 10.0;
    }
    if !note.is_empty() {
        y = svg.paragraph(Column { at: [MARGIN, y + 10.0], width: WIDTH - 2.0 * MARGIN }, NOTE, note);
    }
    y + 12.0
}

/// A row of maps: the mean over the filters, then some filters.
struct Row {
    filters: Vec<usize>,
    /// Distance from one map to the next, and the place before the first.
    step: f64,
    before: f64,
    side: f64,
    height: f64,
}

impl Row {
    fn new(layer: &Layer<'_>) -> Self {
        let filters = spread(layer.filters(), MOST_MAPS);
        let step = ((WIDTH - 2.0 * MARGIN + 8.0) / (filters.len() + 2) as f64).min(112.0);
        let map = Map::new(layer.locations(), [MOST_SMALL; 2], |_, _| None);
        let side = step - 8.0;
        Self { filters, step, before: step, side, height: square(&map, side) * map.rows as f64 }
    }

    fn maps(&self, layer: &Layer<'_>, value: &dyn Fn(Option<usize>, usize) -> Option<f64>) -> Vec<Map> {
        let [_, columns] = layer.locations();
        let map =
            |filter| Map::new(layer.locations(), [MOST_SMALL; 2], |row, column| value(filter, row * columns + column));
        std::iter::once(None).chain(self.filters.iter().copied().map(Some)).map(map).collect()
    }

    /// Draws the heading, the legend and the filters' numbers; gives where the maps begin.
    fn head(&self, svg: &mut Svg, y: f64, (title, legend): (&str, Legend<'_>)) -> f64 {
        svg.text([MARGIN, y + 8.0], HEAD, title);
        svg.legend([WIDTH - MARGIN - 320.0, y - 3.0], 180.0, legend);
        for (name, i) in
            std::iter::once("mean".to_owned()).chain(self.filters.iter().map(ToString::to_string)).zip(0u32..)
        {
            let name = if i == 1 { format!("filter {name}") } else { name };
            let x = MARGIN + self.before + f64::from(i) * self.step;
            svg.text([x, y + 34.0], NOTE, &name);
        }
        y + 40.0
    }

    fn draw(&self, svg: &mut Svg, y: f64, (maps, scale): (&[Map], &Scale)) {
        for (values, i) in maps.iter().zip(0u32..) {
            let side = square(values, self.side);
            let at = [MARGIN + self.before + f64::from(i) * self.step, y];
            map(svg, Grid { at, cell: [side; 2] }, values, scale);
        }
    }
}
