//! Draws a layer of one axis: tracks below each other, in all of which locations go from left to right.

use super::activations::{Activations, Image};
use super::colour::Scale;
use super::layer::{FilterAt, Layer, Map, spread};
use super::parts::{self, MARGIN, Tiles, WIDTH, block, extremes, filter_size, map, mean, plural, sizes};
use super::svg::{Area, Column, Grid, HEAD, Legend, NOTE, Svg, short};

/// Where tracks begin, to the right of their names.
const START: f64 = MARGIN + 96.0;
const ACROSS: f64 = WIDTH - MARGIN - START;
/// The height of a location's filters together, at most.
const DOWN: f64 = 380.0;
/// The gap between filters.
const GAP: f64 = 5.0;
const TAP: [f64; 2] = [4.0, 16.0];
const MOST_TAPS: usize = 100;
/// More locations or positions than this are averaged.
const MOST_COLUMNS: usize = 416;
/// The most filters that are drawn.
const MOST_FILTERS: usize = 24;
/// With more input channels than this, their length is drawn.
const MOST_CHANNELS: usize = 8;

/// Draws the picture, and gives its height.
pub(super) fn draw(svg: &mut Svg, layer: &Layer<'_>, activations: Option<&Activations>) -> f64 {
    let y = parts::header(svg, layer);
    let tiling = Tiling::new(layer);
    let picture = Picture { layer, tiling: &tiling };
    let y = windows(svg, picture, activations, y);
    let y = filters(svg, picture, y);
    let y = similarity(svg, layer, y);
    let y = biases(svg, layer, y);
    let mut y = outputs(svg, layer, activations, y);
    if svg.has_unknown() {
        y = svg.paragraph(Column { at: [MARGIN, y], width: WIDTH - 2.0 * MARGIN }, NOTE, parts::NOT_FINITE);
    }
    y + 4.0
}

/// How the filters are laid out.
struct Tiling {
    locations: Vec<usize>,
    /// Up to three marked locations, as numbers in `locations`.
    marks: Vec<usize>,
    filters: usize,
    /// How many rows and columns a filter has.
    filter: [usize; 2],
    /// Height and width of a tap.
    cell: [f64; 2],
    /// Distance from one location to the next.
    step: f64,
}

impl Tiling {
    fn new(layer: &Layer<'_>) -> Self {
        let [_, locations] = layer.locations();
        let filter = Tiles::size(layer, MOST_TAPS);
        let [rows, columns] = filter.map(|size| size as f64);
        let locations = spread(locations, (ACROSS / (columns * TAP[0] + 8.0)) as usize);
        let step = ACROSS / locations.len() as f64;
        let width = ((step - 8.0) / columns).floor().clamp(TAP[0], TAP[1]);
        let filters = layer.filters().min((DOWN / (rows * TAP[0] + GAP)) as usize).max(1);
        let height = ((DOWN / filters as f64 - GAP) / rows).floor().clamp(TAP[0], width);
        let mut marks = vec![0, (locations.len() - 1) / 2, locations.len() - 1];
        marks.dedup();
        Self { locations, marks, filters, filter, cell: [height, width], step }
    }

    fn width(&self) -> f64 {
        self.filter[1] as f64 * self.cell[1]
    }

    /// Distance from one filter to the next.
    fn down(&self) -> f64 {
        self.filter[0] as f64 * self.cell[0] + GAP
    }

    /// The left edge of a location's filters.
    fn x(&self, i: usize) -> f64 {
        START + (i as f64 + 0.5) * self.step - self.width() / 2.0
    }
}

/// A layer, and how its filters are laid out.
#[derive(Clone, Copy)]
struct Picture<'a> {
    layer: &'a Layer<'a>,
    tiling: &'a Tiling,
}

/// Draws which part of the input each location reads.
fn windows(svg: &mut Svg, picture: Picture<'_>, activations: Option<&Activations>, top: f64) -> f64 {
    let Picture { layer, tiling } = picture;
    svg.text([MARGIN, top], HEAD, "What a location reads, and its filters");
    let text = format!(
        "Each location reads only its own window of the input, with {} of its own, {}. Under a convolution all locations \
         would have the same filters.{}",
        plural(layer.filters(), "filter"),
        filter_size(layer),
        if tiling.marks.len() == 3 { " Three locations are marked." } else { "" }
    );
    let top = svg.paragraph(Column { at: [MARGIN, top + 18.0], width: WIDTH - 2.0 * MARGIN }, NOTE, &text);
    let ([_, from], [_, to]) = (layer.positions(), layer.locations());
    let input = Area { x: START, y: top, width: ACROSS, height: 16.0 };
    let output = Area { y: top + 62.0, ..input };
    svg.text([MARGIN, input.y + 12.0], NOTE, &format!("input {}", sizes(layer.geometry.input_shape())));
    svg.text([MARGIN, output.y + 12.0], NOTE, &format!("output {}", sizes(&layer.geometry.output_shape())));
    let own = activations.filter(|activations| activations.own).and_then(|activations| image(layer, activations, 0));
    for (area, count, image) in [(input, from, own), (output, to, None)] {
        svg.rect(area, "n", 0.0);
        if let Some(image) = image {
            parts::image(svg, area, &image, MOST_COLUMNS);
        }
        svg.rect(area, "e", 0.0);
        let cell = area.width / count as f64;
        for column in (1..count).filter(|_| cell >= 4.0) {
            let x = area.x + column as f64 * cell;
            svg.line(&[[x, area.y], [x, area.bottom()]], "e", 0.4);
        }
    }
    let [position, place] = [from, to].map(|count| ACROSS / count as f64);
    for (&location, i) in tiling.locations.iter().zip(0usize..) {
        let spot = Area { x: START + location as f64 * place, width: place.max(2.0), ..output };
        let mark = tiling.marks.iter().position(|&mark| mark == i);
        let class = mark.map_or("e".to_owned(), |mark| format!("a{mark}"));
        let tile = [tiling.x(i) - 3.0, tiling.x(i) + tiling.width() + 3.0];
        let wide = if mark.is_some() { 1.5 } else { 0.6 };
        for (above, below) in [(spot.x, tile[0]), (spot.right(), tile[1])] {
            svg.line(&[[above, spot.bottom()], [below, spot.bottom() + 26.0]], &class, wide);
        }
        let Some(mark) = mark else { continue };
        let taps = (0..layer.geometry.taps() as usize).filter_map(|tap| layer.tap(location, tap));
        let cells: Vec<[usize; 2]> = taps.map(|[row, column]| [column, row]).collect();
        svg.shade(Grid { at: [input.x, input.y], cell: [position, input.height] }, &cells, mark as u32);
        if let Some([_, [first, last]]) = layer.reads(location) {
            let [left, right] = [first, last + 1].map(|column| START + column as f64 * position);
            svg.rect(Area { x: left, width: (right - left).max(2.0), ..input }, &class, 2.0);
            svg.line(&[[left, input.bottom()], [spot.x, spot.y]], &class, 1.0);
            svg.line(&[[right, input.bottom()], [spot.right(), spot.y]], &class, 1.0);
        }
        svg.shade(Grid { at: [spot.x, spot.y], cell: [spot.width, spot.height] }, &[[0, 0]], mark as u32);
        svg.rect(spot, &class, 2.0);
    }
    output.bottom() + 26.0
}

/// Draws the filters of each location, below it.
fn filters(svg: &mut Svg, Picture { layer, tiling }: Picture<'_>, top: f64) -> f64 {
    let tiles = Tiles::new(layer, tiling.locations.clone(), tiling.filters, MOST_TAPS);
    let height = tiles.filters.len() as f64 * tiling.down() - GAP;
    let top = top + 3.0;
    let every = (10.0 / tiling.down()).ceil().max(1.0) as usize;
    for (filter, i) in tiles.filters.iter().zip(0usize..).step_by(every) {
        let y = top + i as f64 * tiling.down() + (tiling.down() - GAP) / 2.0 + 4.0;
        svg.text([MARGIN, y], NOTE, &format!("filter {filter}"));
    }
    let apart = (30.0 / tiling.step).ceil().max(1.0) as usize;
    for (&location, i) in tiling.locations.iter().zip(0usize..) {
        let x = tiling.x(i);
        for (&filter, f) in tiles.filters.iter().zip(0usize..) {
            let [height, width] = tiling.cell;
            let at = [x, top + f as f64 * tiling.down()];
            tiles.draw(svg, Grid { at, cell: [width, height] }, FilterAt { location, filter });
        }
        let block = Area { x: x - 3.0, y: top - 3.0, width: tiling.width() + 6.0, height: height + 6.0 };
        match tiling.marks.iter().position(|&mark| mark == i) {
            Some(mark) => svg.rect(block, &format!("a{mark}"), 2.5),
            None => svg.rect(block, "e", 0.0),
        }
        let mut hint = format!("location {location}");
        if let Some([_, [first, last]]) = layer.reads(location) {
            hint.push_str(&format!(": reads positions {first}–{last}"));
        }
        if let Some(bias) = layer.mean_bias(location) {
            hint.push_str(&format!("; mean bias {}", short(bias)));
        }
        svg.hint(block, &hint);
        if i % apart == 0 {
            svg.text([x + tiling.width() / 2.0, block.bottom() + 13.0], NOTE.middle(), &location.to_string());
        }
    }
    let bottom = top + height + 18.0;
    svg.text([MARGIN, bottom], NOTE, "location");
    tiles.legend(svg, [START, bottom + 12.0], ACROSS) + 14.0
}

/// Draws bars from 0 in the colours of their values; gives the bottom.
fn bars(svg: &mut Svg, values: &Map, scale: &Scale, top: f64) -> f64 {
    const HEIGHT: f64 = 84.0;
    let ends = values.finite().fold([0.0f64; 2], |[low, high], value| [low.min(value), high.max(value)]);
    // The axis of cosines ends at 1; no axis has a height of 0.
    let ends = if *scale == Scale::COSINE { [ends[0].min(-0.25), 1.0] } else { ends };
    let span = if ends[1] > ends[0] { ends[1] - ends[0] } else { 1.0 };
    let y = |value: f64| top + HEIGHT * (ends[1] - value) / span;
    let area = Area { x: START, y: top, width: ACROSS, height: HEIGHT };
    svg.rect(area, "n", 0.0);
    let width = ACROSS / values.columns as f64;
    for (column, _, value) in values.cells() {
        let Some(value) = value else { continue };
        let finite = if value.is_finite() { value } else { ends[1] };
        let (a, b) = (y(finite.max(0.0)), y(finite.min(0.0)));
        let gap = if width > 6.0 { 1.0 } else { 0.0 };
        let bar = Area { x: START + column as f64 * width, y: a, width: width - gap, height: (b - a).max(0.5) };
        svg.bar(bar, scale.fill(Some(value)));
    }
    svg.line(&[[START, y(0.0)], [area.right(), y(0.0)]], "l", 1.0);
    for end in ends.into_iter().filter(|end| (y(*end) - y(0.0)).abs() > 12.0) {
        svg.text([START - 6.0, y(end) + 4.0], NOTE.end(), &short(end));
    }
    svg.text([START - 6.0, y(0.0) + 4.0], NOTE.end(), "0");
    area.bottom()
}

/// Draws the numbers of locations below a track.
fn ticks(svg: &mut Svg, count: usize, y: f64) {
    let most = if count > 10_000 { 6 } else { 11 };
    for location in spread(count, if count <= 24 { count } else { most }) {
        let x = START + (location as f64 + 0.5) * ACROSS / count as f64;
        let style = if x > START + ACROSS - 24.0 { NOTE.end() } else { NOTE.middle() };
        let x = if x > START + ACROSS - 24.0 { x.max(START + ACROSS - 4.0) } else { x };
        svg.text([x, y], style, &location.to_string());
    }
    svg.text([MARGIN, y], NOTE, "location");
}

fn similarity(svg: &mut Svg, layer: &Layer<'_>, top: f64) -> f64 {
    svg.text([MARGIN, top], HEAD, "How alike neighbours are");
    let similarity = layer.similarity();
    let Some(mean) = mean(&similarity) else {
        return svg.paragraph(
            Column { at: [MARGIN, top + 18.0], width: ACROSS },
            NOTE,
            "No location has a neighbour to be compared with.",
        ) + 18.0;
    };
    let values = Map::new([1, similarity.len()], [1, MOST_COLUMNS], |_, at| similarity.get(at).copied().flatten());
    let text = format!(
        "Cosine of a location's filters with the same filters left and right of it, mean over {}. 1: equal, as in a \
         convolution; 0: nothing in common. Mean\u{a0}{}.{}",
        plural(layer.filters(), "filter"),
        short(mean),
        block(&values)
    );
    let y = svg.paragraph(Column { at: [MARGIN, top + 18.0], width: WIDTH - 2.0 * MARGIN }, NOTE, &text);
    let y = bars(svg, &values, &Scale::COSINE, y);
    ticks(svg, similarity.len(), y + 14.0);
    y + 42.0
}

/// The filters that are drawn.
fn drawn(layer: &Layer<'_>) -> Vec<usize> {
    spread(layer.filters(), MOST_FILTERS)
}

/// Draws a row for each filter; gives the bottom.
fn heat(svg: &mut Svg, filters: &[usize], (rows, scale): (&Map, &Scale), top: f64) -> f64 {
    let height = if filters.len() > 12 { 8.0 } else { 12.0 };
    let cell = [ACROSS / rows.columns as f64, height];
    let area = map(svg, Grid { at: [START, top], cell }, rows, scale);
    let every = if filters.len() > 12 { 3 } else { 1 };
    for (filter, i) in filters.iter().zip(0u32..).step_by(every) {
        svg.text([MARGIN, top + (f64::from(i) + 0.5) * height + 4.0], NOTE, &format!("filter {filter}"));
    }
    area.bottom()
}

/// Values by filter and location, for the filters that are drawn.
fn by_filter(layer: &Layer<'_>, value: impl Fn(usize, usize) -> Option<f64>) -> Map {
    let filters = drawn(layer);
    let [_, locations] = layer.locations();
    Map::new([filters.len(), locations], [MOST_FILTERS, MOST_COLUMNS], |row, location| {
        value(location, *filters.get(row)?)
    })
}

fn biases(svg: &mut Svg, layer: &Layer<'_>, top: f64) -> f64 {
    svg.text([MARGIN, top], HEAD, "Where the bias is high");
    if !layer.has_bias() {
        return svg.paragraph(Column { at: [MARGIN, top + 18.0], width: ACROSS }, NOTE, "The layer has no bias.")
            + 18.0;
    }
    let [_, locations] = layer.locations();
    let means = Map::new([1, locations], [1, MOST_COLUMNS], |_, location| layer.mean_bias(location));
    let text = format!(
        "What is added to the sums, before the activation{}: bars are the mean over {}, rows the bias by filter. {}{}",
        parts::activation(layer),
        plural(layer.filters(), "filter"),
        extremes((0..locations).filter_map(|at| Some((at, layer.mean_bias(at)?))), |at| at.to_string())
            .unwrap_or_default(),
        block(&means)
    );
    let y = svg.paragraph(Column { at: [MARGIN, top + 18.0], width: WIDTH - 2.0 * MARGIN }, NOTE, &text);
    let rows = by_filter(layer, |location, filter| layer.bias(location, filter));
    let scale = Scale::around_zero(rows.finite());
    let y = bars(svg, &means, &scale, y);
    let y = heat(svg, &drawn(layer), (&rows, &scale), y + 8.0);
    ticks(svg, locations, y + 14.0);
    svg.legend([START, y + 26.0], 180.0, Legend { scale: &scale, what: "bias" });
    y + 76.0
}

/// A sample as an image, if it has one row.
fn image<'a>(layer: &Layer<'_>, activations: &'a Activations, sample: usize) -> Option<Image<'a>> {
    let format = layer.geometry.config().data_format;
    Image::new(&activations.input_shape, activations.inputs.get(sample)?, 1, format)
}

fn outputs(svg: &mut Svg, layer: &Layer<'_>, activations: Option<&Activations>, top: f64) -> f64 {
    let Some(activations) = activations else { return top };
    svg.text([MARGIN, top], HEAD, &parts::of_samples(activations));
    let text = "Above, in grey, the input, its least value to its largest; below, the output by filter.";
    let mut y = svg.paragraph(Column { at: [MARGIN, top + 18.0], width: WIDTH - 2.0 * MARGIN }, NOTE, text);
    let samples: Vec<Map> = activations
        .outputs
        .iter()
        .map(|output| {
            by_filter(layer, |location, filter| {
                let index = layer.geometry.output_index(location as u32, filter as u32) as usize;
                output.get(index).map(|&value| value.into())
            })
        })
        .collect();
    let scale = Scale::of(samples.iter().flat_map(|map| map.finite().collect::<Vec<_>>()));
    let [_, locations] = layer.locations();
    for (rows, sample) in samples.iter().zip(0usize..) {
        if let Some(image) = image(layer, activations, sample) {
            let channels = if image.channels <= MOST_CHANNELS { image.channels } else { 1 };
            let values = Map::new([channels, image.columns], [MOST_CHANNELS, MOST_COLUMNS], |channel, column| {
                Some(if channels > 1 { image.value(0, column, channel) } else { image.size(0, column) })
            });
            let height = if channels > 1 { 8.0 } else { 16.0 };
            let cell = [ACROSS / values.columns as f64, height];
            let area = map(svg, Grid { at: [START, y], cell }, &values, &Scale::grey(values.finite()));
            svg.text([MARGIN, y + 11.0], NOTE, &format!("sample {sample}"));
            y = area.bottom() + 5.0;
        }
        y = heat(svg, &drawn(layer), (rows, &scale), y) + 16.0;
    }
    ticks(svg, locations, y - 2.0);
    let what = format!("output{}", parts::activation(layer));
    svg.legend([START, y + 10.0], 180.0, Legend { scale: &scale, what: &what });
    y + 52.0
}
