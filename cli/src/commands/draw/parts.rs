//! Parts that pictures of layers of one and of two axes share.

use super::activations::{Activations, Image};
use super::colour::{Fill, Scale};
use super::layer::{FilterAt, Layer, Map, spread};
use super::svg::{Area, BODY, Column, Grid, Legend, NOTE, Svg, TITLE, short};
use crate::format::count;

/// The width of every picture, in units of the SVG.
pub(super) const WIDTH: f64 = 1000.0;
pub(super) const MARGIN: f64 = 24.0;
/// More rows or columns of a map than this are averaged.
pub(super) const MOST_SQUARES: usize = 64;

/// Said below a picture in which a value isn't finite.
pub(super) const NOT_FINITE: &str = "Bright pink: values that aren't finite (NaN or infinite).";

/// `8×8×1`.
pub(super) fn sizes(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// `1 filter`, `8 filters`.
pub(super) fn plural(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number as u64), if number == 1 { "" } else { "s" })
}

/// The size of a filter: its window, then its channels.
pub(super) fn filter_size(layer: &Layer<'_>) -> String {
    sizes(&[&layer.geometry.config().kernel_size[..], &[layer.channels()]].concat())
}

/// Draws name and sizes; gives where the rest begins.
pub(super) fn header(svg: &mut Svg, layer: &Layer<'_>) -> f64 {
    let geometry = layer.geometry;
    svg.text([MARGIN, 40.0], TITLE, &format!("{} · {}", shortened(layer.name, 48), layer.class));
    let locations = geometry.locations() as usize;
    let each = if locations == 1 { "with" } else { "each with" };
    let one = u64::from(geometry.window()) * u64::from(geometry.filters());
    let biases = geometry.biases();
    let per_convolution = one + if biases > 0 { u64::from(geometry.filters()) } else { 0 };
    let bias = if biases > 0 { format!(" and {} biases", count(biases)) } else { ", no bias".to_owned() };
    let text = format!(
        "{} → {}: {}, {each} {} of its own, {}. {} weights{bias}; a convolution has the same filters at every \
         location, and {} parameters in all.",
        sizes(geometry.input_shape()),
        sizes(&geometry.output_shape()),
        plural(locations, "location"),
        plural(layer.filters(), "filter"),
        filter_size(layer),
        count(geometry.weights()),
        count(per_convolution),
    );
    svg.paragraph(Column { at: [MARGIN, 62.0], width: WIDTH - 2.0 * MARGIN }, BODY, &text) + 16.0
}

/// A name, shortened to `most` characters.
fn shortened(name: &str, most: usize) -> String {
    match name.chars().count() > most {
        true => name.chars().take(most - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// The activation's name in brackets.
pub(super) fn activation(layer: &Layer<'_>) -> String {
    layer.geometry.config().activation.keras_name().map_or_else(String::new, |name| format!(" ({name})"))
}

/// How the channels of a filter are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// There is only one.
    One,
    /// As red, green and blue: three channels of a layer of two axes.
    Rgb,
    /// As rows, for a layer of one axis.
    Rows,
    /// By the length of each tap's weights over the channels.
    Length,
}

/// With more channels than this, they aren't drawn as rows.
const MOST_ROWS: usize = 8;

/// The filters of some locations, as they are drawn.
#[derive(Debug)]
pub(super) struct Tiles<'a> {
    layer: &'a Layer<'a>,
    look: Look,
    pub(super) locations: Vec<usize>,
    pub(super) filters: Vec<usize>,
    /// The window's rows and columns that are drawn.
    taps: [Vec<usize>; 2],
    scale: Scale,
}

impl<'a> Tiles<'a> {
    /// For these locations, with at most `filters` filters and at most `taps` taps along an axis.
    pub(super) fn new(layer: &'a Layer<'a>, locations: Vec<usize>, filters: usize, taps: usize) -> Self {
        let look = match (layer.geometry.config().rank(), layer.channels()) {
            (1, 2..=MOST_ROWS) => Look::Rows,
            (_, 1) => Look::One,
            (2, 3) if layer.geometry.groups() == 1 => Look::Rgb,
            _ => Look::Length,
        };
        let taps = layer.window().map(|size| spread(size, taps));
        let scale = Scale::COSINE;
        let mut tiles = Self { layer, look, locations, filters: spread(layer.filters(), filters), taps, scale };
        tiles.scale = match look {
            Look::Length => Scale::of(tiles.values()),
            _ => Scale::around_zero(tiles.values()),
        };
        tiles
    }

    /// How many rows and columns one filter has in the picture.
    pub(super) fn size(layer: &Layer<'_>, taps: usize) -> [usize; 2] {
        let [rows, columns] = layer.window().map(|size| size.min(taps));
        match layer.geometry.config().rank() {
            1 if layer.channels() <= MOST_ROWS => [layer.channels(), columns],
            _ => [rows, columns],
        }
    }

    /// All values that are drawn.
    fn values(&self) -> Vec<f64> {
        let channels = if self.look == Look::Length { 1 } else { self.layer.channels() };
        let mut values = Vec::new();
        for &location in &self.locations {
            for &filter in &self.filters {
                for tap in self.taps() {
                    values.extend(
                        (0..channels).filter_map(|channel| self.value(FilterAt { location, filter }, tap, channel)),
                    );
                }
            }
        }
        values
    }

    /// The taps that are drawn, row by row.
    fn taps(&self) -> impl Iterator<Item = usize> {
        let [rows, columns] = &self.taps;
        let [_, width] = self.layer.window();
        rows.iter().flat_map(move |row| columns.iter().map(move |column| row * width + column))
    }

    fn value(&self, of: FilterAt, tap: usize, channel: usize) -> Option<f64> {
        match self.look {
            Look::Length => self.layer.norm(of, tap),
            _ => self.layer.weight(of, tap, channel),
        }
    }

    /// Draws one filter, with a tap or a channel of it in each cell. Cells of clipped taps stay empty.
    pub(super) fn draw(&self, svg: &mut Svg, grid: Grid, of: FilterAt) {
        let width = self.taps[1].len();
        let mut cells = Vec::new();
        if self.look == Look::Rows {
            for channel in 0..self.layer.channels() {
                cells.extend(self.taps().enumerate().filter_map(|(column, tap)| {
                    let value = self.value(of, tap, channel)?;
                    Some((column, channel, self.scale.fill(Some(value))))
                }));
            }
        } else {
            cells.extend(self.taps().enumerate().filter_map(|(i, tap)| {
                let value = |channel| self.value(of, tap, channel);
                let fill = match self.look {
                    Look::Rgb => self.scale.rgb([value(0)?, value(1)?, value(2)?]),
                    _ => self.scale.fill(Some(value(0)?)),
                };
                Some((i % width, i / width, fill))
            }));
        }
        svg.cells(grid, cells);
    }

    /// Draws what the colours mean, and what isn't shown; gives where the rest begins.
    pub(super) fn legend(&self, svg: &mut Svg, [x, y]: [f64; 2], width: f64) -> f64 {
        let what = match self.look {
            Look::One => "weight, by its tap".to_owned(),
            Look::Rows => "weight; in a filter, columns are taps and rows are channels".to_owned(),
            Look::Rgb => String::new(),
            Look::Length => format!("length of a tap's weights over its {} channels, √Σw²", self.layer.channels()),
        };
        let mut y = y;
        if self.look == Look::Rgb {
            let text = format!(
                "The three channels of a tap's weights as red, green and blue: from {} (none) over 0 (half) to {} (full).",
                short(self.scale.low),
                short(self.scale.high)
            );
            y = svg.paragraph(Column { at: [x, y + 10.0], width }, NOTE, &text);
        } else {
            svg.legend([x, y], 180.0, Legend { scale: &self.scale, what: &what });
            y += 40.0;
        }
        let (of_filters, of_locations) = (self.layer.filters(), self.layer.geometry.locations() as usize);
        let mut left_out = Vec::new();
        if self.locations.len() < of_locations {
            left_out.push(format!("{} of {}", count(self.locations.len() as u64), plural(of_locations, "location")));
        }
        if self.filters.len() < of_filters {
            left_out.push(format!("{} of {}", self.filters.len(), plural(of_filters, "filter")));
        }
        let taps = self.taps.iter().map(Vec::len).product::<usize>();
        if taps < self.layer.geometry.taps() as usize {
            left_out.push(format!("{taps} of {}", plural(self.layer.geometry.taps() as usize, "tap")));
        }
        if !left_out.is_empty() {
            let text = format!("Too large to be drawn whole: shown are {}, evenly spaced.", left_out.join(", "));
            y = svg.paragraph(Column { at: [x, y], width }, NOTE, &text);
        }
        y
    }
}

/// Draws a map. Cells without a value stay empty.
pub(super) fn map(svg: &mut Svg, grid: Grid, map: &Map, scale: &Scale) -> Area {
    let Grid { at: [x, y], cell: [width, height] } = grid;
    let area = Area { x, y, width: width * map.columns as f64, height: height * map.rows as f64 };
    svg.rect(area, "n", 0.0);
    let cells = map.cells().filter(|(.., value)| value.is_some());
    svg.cells(grid, cells.map(|(column, row, value)| (column, row, scale.fill(value))).collect::<Vec<_>>());
    svg.rect(area, "e", 0.0);
    area
}

/// The side of a map's squares with which the map fits.
pub(super) fn square(map: &Map, most: f64) -> f64 {
    let side = most / map.rows.max(map.columns) as f64;
    if side >= 2.0 { side.floor() } else { side }
}

/// Says how many locations one square of a map averages, if it is more than one.
pub(super) fn block(map: &Map) -> String {
    match map.step {
        [1, 1] => String::new(),
        [1, columns] => format!(" Each column is the mean of {columns} locations."),
        [rows, columns] => format!(" Each square is the mean of {rows}×{columns} locations."),
    }
}

/// Draws an image: one channel in grey, three in colour, others by their length.
pub(super) fn image(svg: &mut Svg, area: Area, image: &Image<'_>, most: usize) {
    let grid = [image.rows, image.columns];
    let of = |channel: Option<usize>| {
        Map::new(grid, [most; 2], |row, column| {
            Some(channel.map_or_else(|| image.size(row, column), |channel| image.value(row, column, channel)))
        })
    };
    let cells: Vec<(usize, usize, Fill)>;
    let (rows, columns);
    if image.channels == 3 && image.rows > 1 {
        let maps = [0, 1, 2].map(|channel| of(Some(channel)));
        let scale = Scale::grey(maps.iter().flat_map(|map| map.finite().collect::<Vec<_>>()));
        (rows, columns) = (maps[0].rows, maps[0].columns);
        let value = |map: &Map, i: usize| map.values.get(i).copied().flatten().unwrap_or(f64::NAN);
        let fill = |i| scale.rgb([value(&maps[0], i), value(&maps[1], i), value(&maps[2], i)]);
        cells = (0..rows * columns).map(|i| (i % columns, i / columns, fill(i))).collect();
    } else {
        let map = of(None);
        let scale = Scale::grey(map.finite());
        (rows, columns) = (map.rows, map.columns);
        cells = map.cells().map(|(column, row, value)| (column, row, scale.fill(value))).collect();
    }
    let cell = [area.width / columns as f64, area.height / rows as f64];
    svg.cells(Grid { at: [area.x, area.y], cell }, cells);
    svg.rect(area, "e", 0.0);
}

/// The meaning of the input's cells.
pub(super) fn image_note(image: &Image<'_>) -> &'static str {
    match (image.channels, image.rows > 1) {
        (1, _) => "The input in grey, its least value to its largest.",
        (3, true) => "The input's three channels as red, green and blue, its least value to its largest.",
        _ => "The input in grey, by its length over the channels.",
    }
}

/// The least and the largest value and where they are, in words.
pub(super) fn extremes(values: impl Iterator<Item = (usize, f64)>, place: impl Fn(usize) -> String) -> Option<String> {
    let mut found: Option<[(usize, f64); 2]> = None;
    for (at, value) in values.filter(|(_, value)| value.is_finite()) {
        let [least, most] = found.unwrap_or([(at, value); 2]);
        found =
            Some([if value < least.1 { (at, value) } else { least }, if value > most.1 { (at, value) } else { most }]);
    }
    let [(low_at, low), (high_at, high)] = found?;
    if low == high {
        return Some(format!("It is {} everywhere.", short(low)));
    }
    Some(format!("Highest {} at {}, lowest {} at {}.", short(high), place(high_at), short(low), place(low_at)))
}

/// The mean of the values that exist.
pub(super) fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// The heading above the activations.
pub(super) fn of_samples(activations: &Activations) -> String {
    let (shown, of) = (activations.outputs.len(), activations.samples);
    let which = match (shown, of) {
        (1, 1) => "the sample".to_owned(),
        _ if shown == of => format!("the {of} samples"),
        (1, _) => format!("the first of {} samples", count(of as u64)),
        _ => format!("the first {shown} of {} samples", count(of as u64)),
    };
    let through = if activations.own { "" } else { ", run through the model up to here" };
    format!("Activations of {which}{through}")
}
