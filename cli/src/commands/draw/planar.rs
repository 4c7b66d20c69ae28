//! Draws a layer of two axes.
//!
//! On the left are the windows, then maps of the locations. On the right are the filters, each at its location. Below
//! are maps of each filter.

use super::activations::{Activations, Image};
use super::colour::Scale;
use super::layer::{FilterAt, Layer, Map, spread};
use super::parts::{
    self, MARGIN, MOST_SQUARES, Tiles, WIDTH, block, extremes, filter_size, map, mean, plural, sizes, square,
};
use super::rows;
use super::svg::{Area, Column, Grid, HEAD, Legend, NOTE, Svg, short};

/// The width of the left part.
const LEFT: f64 = 250.0;
/// Where the filters begin, to the right of the rows' numbers.
const RIGHT: f64 = MARGIN + LEFT + 52.0;
const ACROSS: f64 = WIDTH - MARGIN - RIGHT;
/// The most height that all filters take.
const DOWN: f64 = 720.0;
/// The gaps between a location's filters, and between locations.
const GAPS: [f64; 2] = [5.0, 14.0];
/// The least and the largest size of a tap.
const TAP: [f64; 2] = [4.0, 18.0];
/// The most taps along an axis that are drawn.
const MOST_TAPS: usize = 140;

/// Draws the picture, and gives its height.
pub(super) fn draw(svg: &mut Svg, layer: &Layer<'_>, activations: Option<&Activations>) -> f64 {
    let top = parts::header(svg, layer);
    let tiling = Tiling::new(layer);
    let marks = tiling.marks();
    let similarity = layer.similarity();
    let picture = Picture { layer, tiling: &tiling, marks: &marks };
    let right = filters(svg, picture, &similarity, top);
    let left = windows(svg, picture, activations, top);
    let left = similarity_map(svg, layer, &similarity, left);
    let left = bias_map(svg, layer, left);
    let y = rows::draw(svg, layer, activations, left.max(right));
    if svg.has_unknown() {
        return svg.paragraph(Column { at: [MARGIN, y], width: WIDTH - 2.0 * MARGIN }, NOTE, parts::NOT_FINITE) + 8.0;
    }
    y
}

/// The input of a sample, if it is the layer's own.
fn own_input<'a>(layer: &Layer<'_>, activations: Option<&'a Activations>) -> Option<Image<'a>> {
    let activations = activations.filter(|activations| activations.own)?;
    let format = layer.geometry.config().data_format;
    Image::new(&activations.input_shape, activations.inputs.first()?, 2, format)
}

/// How the filters are laid out.
struct Tiling {
    /// The rows and columns of locations that are drawn.
    at: [Vec<usize>; 2],
    /// How many rows and columns a location's filters have.
    filters: [usize; 2],
    /// How many rows and columns a filter has.
    filter: [usize; 2],
    tap: f64,
}

impl Tiling {
    /// As many filters as leave room for about eight locations each way.
    fn new(layer: &Layer<'_>) -> Self {
        let (locations, filter) = (layer.locations(), Tiles::size(layer, MOST_TAPS));
        let mut tiling = Self { at: [vec![], vec![]], filters: [1, 1], filter, tap: TAP[0] };
        for filters in [16, 9, 4, 1] {
            let filters = layer.filters().min(filters);
            let columns = (1..).find(|columns| columns * columns >= filters).unwrap_or(1);
            tiling.filters = [filters.div_ceil(columns), columns];
            let [height, width] = tiling.size();
            let fit = [(DOWN + GAPS[1]) / (height + GAPS[1]), (ACROSS + GAPS[1]) / (width + GAPS[1])];
            let fit = fit.map(|fit| (fit as usize).max(1));
            tiling.at = [0, 1].map(|axis| spread(locations[axis], fit[axis]));
            if [0, 1].iter().all(|&axis| tiling.at[axis].len() >= locations[axis].min(8)) {
                break;
            }
        }
        while tiling.tap < TAP[1] {
            tiling.tap += 1.0;
            let [height, width] = tiling.whole();
            if height > DOWN || width > ACROSS {
                tiling.tap -= 1.0;
                break;
            }
        }
        tiling
    }

    /// Height and width of a location's filters.
    fn size(&self) -> [f64; 2] {
        [0, 1].map(|axis| {
            let filters = self.filters[axis] as f64;
            filters * self.filter[axis] as f64 * self.tap + (filters - 1.0) * GAPS[0]
        })
    }

    /// Height and width of all locations together.
    fn whole(&self) -> [f64; 2] {
        let size = self.size();
        [0, 1].map(|axis| self.at[axis].len() as f64 * (size[axis] + GAPS[1]) - GAPS[1])
    }

    fn shown(&self) -> usize {
        self.filters[0] * self.filters[1]
    }

    /// Up to three locations that are far from each other, as numbers of drawn rows and columns.
    fn marks(&self) -> Vec<[usize; 2]> {
        let mut marks = Vec::new();
        for part in [[0.0, 0.0], [0.45, 1.0], [1.0, 0.35]] {
            let mark = [0, 1].map(|axis| (part[axis] * (self.at[axis].len() - 1) as f64).round() as usize);
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
        marks
    }

    /// The row and column, in the layer, of a drawn location.
    fn location(&self, [row, column]: [usize; 2]) -> [usize; 2] {
        let of = |axis: usize, i: usize| self.at[axis].get(i).copied().unwrap_or(0);
        [of(0, row), of(1, column)]
    }
}

/// What all parts of the picture share.
#[derive(Clone, Copy)]
struct Picture<'a> {
    layer: &'a Layer<'a>,
    tiling: &'a Tiling,
    /// The locations whose windows are drawn.
    marks: &'a [[usize; 2]],
}

/// Draws the filters, each at its location; gives where the rest begins.
fn filters(svg: &mut Svg, picture: Picture<'_>, similarity: &[Option<f64>], top: f64) -> f64 {
    let Picture { layer, tiling, marks } = picture;
    let [_, columns] = layer.locations();
    svg.text([RIGHT - 20.0, top], HEAD, "The filters, where they lie");
    let (shown, all) = (tiling.shown().min(layer.filters()), layer.filters());
    let holds = if shown < all {
        format!("{shown} of its own {all} filters")
    } else {
        format!("its own {}", plural(all, "filter"))
    };
    let text = format!(
        "Each block is a location of the output and holds {holds}, in the same order everywhere. Under a convolution all \
         blocks would look the same."
    );
    let top = svg.paragraph(Column { at: [RIGHT - 20.0, top + 18.0], width: ACROSS + 20.0 }, NOTE, &text) + 18.0;
    let number = |[row, column]: [usize; 2]| row * columns + column;
    let drawn = tiling.at[0].iter().flat_map(|&row| tiling.at[1].iter().map(move |&column| number([row, column])));
    let tiles = Tiles::new(layer, drawn.collect(), tiling.shown().min(layer.filters()), MOST_TAPS);
    let [height, width] = tiling.size();
    let [down, across] = [height, width].map(|size| size + GAPS[1]);
    for (column, i) in tiling.at[1].iter().zip(0u32..) {
        let x = RIGHT + f64::from(i) * across + width / 2.0;
        svg.text([x, top - 10.0], NOTE.middle(), &column.to_string());
    }
    for (&row, r) in tiling.at[0].iter().zip(0usize..) {
        let y = top + r as f64 * down;
        svg.text([RIGHT - 8.0, y + height / 2.0 + 4.0], NOTE.end(), &row.to_string());
        for (&column, c) in tiling.at[1].iter().zip(0usize..) {
            let (x, location) = (RIGHT + c as f64 * across, number([row, column]));
            for (&filter, i) in tiles.filters.iter().zip(0usize..) {
                let [r, c] = [i / tiling.filters[1], i % tiling.filters[1]];
                let x = x + c as f64 * (tiling.filter[1] as f64 * tiling.tap + GAPS[0]);
                let y = y + r as f64 * (tiling.filter[0] as f64 * tiling.tap + GAPS[0]);
                tiles.draw(svg, Grid { at: [x, y], cell: [tiling.tap; 2] }, FilterAt { location, filter });
            }
            let block = Area { x: x - 4.5, y: y - 4.5, width: width + 9.0, height: height + 9.0 };
            match marks.iter().position(|&mark| mark == [r, c]) {
                Some(mark) => svg.rect(block, &format!("a{mark}"), 2.5),
                None => svg.rect(block, "e", 0.0),
            }
            svg.hint(block, &hint(layer, [row, column], similarity.get(location).copied().flatten()));
        }
    }
    let bottom = top + tiling.whole()[0] + 22.0;
    tiles.legend(svg, [RIGHT - 20.0, bottom], ACROSS + 20.0) + 8.0
}

/// A location's values in words.
fn hint(layer: &Layer<'_>, [row, column]: [usize; 2], similarity: Option<f64>) -> String {
    let [_, columns] = layer.locations();
    let location = row * columns + column;
    let mut text = format!("location ({row}, {column})");
    if let Some([rows, columns]) = layer.reads(location) {
        text.push_str(&format!(": reads rows {}–{}, columns {}–{}", rows[0], rows[1], columns[0], columns[1]));
    }
    if let Some(similarity) = similarity {
        text.push_str(&format!("; similarity to its neighbours {}", short(similarity)));
    }
    if let Some(bias) = layer.mean_bias(location) {
        text.push_str(&format!("; mean bias {}", short(bias)));
    }
    text
}

/// Draws which part of the input each location reads; gives where the rest begins.
fn windows(svg: &mut Svg, picture: Picture<'_>, activations: Option<&Activations>, top: f64) -> f64 {
    let Picture { layer, tiling, marks } = picture;
    svg.text([MARGIN, top], HEAD, "What a location reads");
    let (from, to) = (layer.positions(), layer.locations());
    let cell = 122.0 / from.iter().chain(&to).copied().max().unwrap_or(1) as f64;
    let frame = |x: f64, [rows, columns]: [usize; 2]| {
        let (width, height) = (cell * columns as f64, cell * rows as f64);
        Area { x, y: top + 30.0 + (122.0 - height) / 2.0, width, height }
    };
    let input = frame(MARGIN, from);
    let output = frame(MARGIN + LEFT - cell * to[1] as f64, to);
    let own = own_input(layer, activations);
    for (area, grid, name, shape) in [
        (input, from, "input", layer.geometry.input_shape().to_vec()),
        (output, to, "output", layer.geometry.output_shape()),
    ] {
        svg.rect(area, "n", 0.0);
        if let Some(image) = own.filter(|_| name == "input") {
            parts::image(svg, area, &image, MOST_SQUARES);
        }
        let label = format!("{name} {}", sizes(&shape));
        match name {
            "input" => svg.text([area.x, top + 22.0], NOTE, &label),
            _ => svg.text([area.right(), top + 22.0], NOTE.end(), &label),
        }
        grid_lines(svg, area, grid, cell);
    }
    for (&mark, i) in marks.iter().zip(0u32..) {
        let [row, column] = tiling.location(mark);
        let spot = Area {
            x: output.x + column as f64 * cell,
            y: output.y + row as f64 * cell,
            width: cell.max(2.0),
            height: cell.max(2.0),
        };
        let location = row * to[1] + column;
        let taps = (0..layer.geometry.taps() as usize).filter_map(|tap| layer.tap(location, tap));
        let grid = Grid { at: [input.x, input.y], cell: [cell; 2] };
        svg.shade(grid, &taps.map(|[row, column]| [column, row]).collect::<Vec<_>>(), i);
        if let Some([rows, columns]) = layer.reads(location) {
            let window = Area {
                x: input.x + columns[0] as f64 * cell,
                y: input.y + rows[0] as f64 * cell,
                width: (columns[1] + 1 - columns[0]) as f64 * cell,
                height: (rows[1] + 1 - rows[0]) as f64 * cell,
            };
            svg.rect(window, &format!("a{i}"), 2.0);
            let class = format!("a{i}");
            svg.line(&[[window.right(), window.y], [spot.x, spot.y]], &class, 0.8);
            svg.line(&[[window.right(), window.bottom()], [spot.x, spot.bottom()]], &class, 0.8);
        }
        svg.shade(Grid { at: [spot.x, spot.y], cell: [spot.width, spot.height] }, &[[0, 0]], i);
        svg.rect(spot, &format!("a{i}"), 2.0);
    }
    let note = own.map_or("", |image| parts::image_note(&image));
    let text = format!(
        "A location reads only its own window of the input, with filters of its own, {}. Three are marked, here and \
         among the filters. {note}",
        filter_size(layer)
    );
    let text = if marks.len() < 3 { text.replace("Three are marked, here and among the filters. ", "") } else { text };
    svg.paragraph(Column { at: [MARGIN, top + 172.0], width: LEFT }, NOTE, text.trim_end()) + 18.0
}

/// Draws lines between cells, if the cells are large enough.
fn grid_lines(svg: &mut Svg, area: Area, [rows, columns]: [usize; 2], cell: f64) {
    svg.rect(area, "e", 0.0);
    if cell < 4.0 {
        return;
    }
    for row in 1..rows {
        let y = area.y + row as f64 * cell;
        svg.line(&[[area.x, y], [area.right(), y]], "e", 0.4);
    }
    for column in 1..columns {
        let x = area.x + column as f64 * cell;
        svg.line(&[[x, area.y], [x, area.bottom()]], "e", 0.4);
    }
}

fn similarity_map(svg: &mut Svg, layer: &Layer<'_>, similarity: &[Option<f64>], top: f64) -> f64 {
    svg.text([MARGIN, top], HEAD, "How alike neighbours are");
    let [_, columns] = layer.locations();
    let Some(mean) = mean(similarity) else {
        return svg.paragraph(
            Column { at: [MARGIN, top + 18.0], width: LEFT },
            NOTE,
            "No location has a neighbour to be compared with.",
        ) + 18.0;
    };
    let value = |row, column| similarity.get(row * columns + column).copied().flatten();
    let similar = Map::new(layer.locations(), [MOST_SQUARES; 2], value);
    let side = square(&similar, 168.0);
    let area = map(svg, Grid { at: [MARGIN, top + 12.0], cell: [side; 2] }, &similar, &Scale::COSINE);
    svg.legend([MARGIN, area.bottom() + 10.0], 168.0, Legend { scale: &Scale::COSINE, what: "cosine" });
    let text = format!(
        "Cosine of a location's filters with the same filters next to it (left, right, above, below), mean over {}. \
         1: equal, as in a convolution; 0: nothing in common. Mean\u{a0}{}.{}",
        plural(layer.filters(), "filter"),
        short(mean),
        block(&similar)
    );
    svg.paragraph(Column { at: [MARGIN, area.bottom() + 50.0], width: LEFT }, NOTE, &text) + 18.0
}

fn bias_map(svg: &mut Svg, layer: &Layer<'_>, top: f64) -> f64 {
    svg.text([MARGIN, top], HEAD, "Where the bias is high");
    let [_, columns] = layer.locations();
    if !layer.has_bias() {
        return svg.paragraph(Column { at: [MARGIN, top + 18.0], width: LEFT }, NOTE, "The layer has no bias.") + 18.0;
    }
    let biases = Map::new(layer.locations(), [MOST_SQUARES; 2], |r, c| layer.mean_bias(r * columns + c));
    let scale = Scale::around_zero(biases.finite());
    let side = square(&biases, 168.0);
    let area = map(svg, Grid { at: [MARGIN, top + 12.0], cell: [side; 2] }, &biases, &scale);
    svg.legend([MARGIN, area.bottom() + 10.0], 168.0, Legend { scale: &scale, what: "mean bias" });
    let locations = layer.geometry.locations() as usize;
    let values = (0..locations).filter_map(|location| Some((location, layer.mean_bias(location)?)));
    let text = format!(
        "Mean over {} of what is added to the sums, before the activation{}. {}{}",
        plural(layer.filters(), "filter"),
        parts::activation(layer),
        extremes(values, |at| format!("({}, {})", at / columns, at % columns)).unwrap_or_default(),
        block(&biases)
    );
    svg.paragraph(Column { at: [MARGIN, area.bottom() + 50.0], width: LEFT }, NOTE, &text) + 18.0
}
