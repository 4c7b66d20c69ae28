//! A picture as SVG: cells, texts and lines, in colours that follow the reader's light or dark page.

use super::colour::{Fill, Page, Ramp, Scale, colour};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    /// Classes of `STYLE`: `t` is text, `b` bold, `m` muted.
    class: char,
    anchor: &'static str,
}

pub(super) const TITLE: Style = Style { size: 22.0, class: 'b', anchor: "start" };
pub(super) const HEAD: Style = Style { size: 14.0, class: 'b', anchor: "start" };
pub(super) const BODY: Style = Style { size: 12.5, class: 't', anchor: "start" };
pub(super) const NOTE: Style = Style { size: 11.0, class: 'm', anchor: "start" };

impl Style {
    pub(super) const fn middle(self) -> Self {
        Self { anchor: "middle", ..self }
    }

    pub(super) const fn end(self) -> Self {
        Self { anchor: "end", ..self }
    }
}

/// A rectangle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

/// Styles that don't depend on the page. The PNG's font is DejaVu; Verdana is as wide.
const STYLE: &str = "text{font-family:'DejaVu Sans',Verdana,Geneva,sans-serif}.b{font-weight:bold}\
                     .l,.e,.a0,.a1,.a2{fill:none}.e{stroke-width:.8}.l{stroke-width:1}\
                     .h{fill:none;stroke:none;pointer-events:all}.z0,.z1,.z2{fill-opacity:.3}";

/// The colours of each page: its own, text, muted text, lines, empty cells, values that aren't finite, and three marks.
const PAGES: [(Page, [&str; 9]); 2] = [
    (Page::Light, ["#ffffff", "#1b1f24", "#57606a", "#8c959f", "#e9edf1", "#e5007a", "#00876c", "#d6249f", "#b58900"]),
    (Page::Dark, ["#14181d", "#dfe4ea", "#9aa5b1", "#6b7682", "#262c34", "#ff5fb0", "#2ee6b6", "#ff6ad5", "#ffd43b"]),
];

/// Where lines of text are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// The left end of the first line's baseline.
    pub(super) at: [f64; 2],
    pub(super) width: f64,
}

/// A scale's legend: its colours, and what they show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Legend<'a> {
    pub(super) scale: &'a Scale,
    pub(super) what: &'a str,
}

/// Where a grid's cells are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// The left and upper edge of the first cell.
    pub(super) at: [f64; 2],
    /// Width and height of a cell.
    pub(super) cell: [f64; 2],
}

/// A picture while it is drawn.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
    used: BTreeSet<(Ramp, u8)>,
    unknown: bool,
}

impl Svg {
    /// Whether a value was drawn that isn't finite.
    pub(super) fn has_unknown(&self) -> bool {
        self.unknown
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.body.write_fmt(text);
        self.body.push('\n');
    }

    pub(super) fn text(&mut self, [x, y]: [f64; 2], style: Style, text: &str) {
        let Style { size, class, anchor } = style;
        let anchor = if anchor == "start" { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
        let class = if class == 'b' {
            "t b"
        } else if class == 'm' {
            "m"
        } else {
            "t"
        };
        let (x, y, text) = (number(x), number(y), escape(text));
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor} class=\"{class}\">{text}</text>"
        ));
    }

    /// Draws text in lines; gives the baseline of the line after them.
    pub(super) fn paragraph(&mut self, column: Column, style: Style, text: &str) -> f64 {
        let Column { at: [x, y], width } = column;
        let lines = wrapped(text, (width / (style.size * 0.53)) as usize);
        let step = (style.size * 1.4).round();
        for (line, i) in lines.iter().zip(0u32..) {
            self.text([x, y + f64::from(i) * step], style, line);
        }
        y + lines.len() as f64 * step
    }

    /// Draws cells of a grid, as (column, row, fill). Cells of one fill are one path, and neighbouring ones one
    /// rectangle of it.
    pub(super) fn cells(&mut self, grid: Grid, cells: impl IntoIterator<Item = (usize, usize, Fill)>) {
        let mut runs: Vec<(usize, usize, usize, Fill)> = Vec::new();
        for (column, row, fill) in cells {
            match runs.last_mut() {
                Some(last) if last.3 == fill && last.1 == row && last.0 + last.2 == column => last.2 += 1,
                _ => runs.push((column, row, 1, fill)),
            }
        }
        let mut paths: BTreeMap<Fill, String> = BTreeMap::new();
        for (column, row, length, fill) in runs {
            let path = paths.entry(fill).or_default();
            let _ = write!(path, "M{column} {row}h{length}v1h-{length}z");
        }
        let Grid { at: [x, y], cell: [width, height] } = grid;
        let [x, y, width, height] = [x, y, width, height].map(number);
        self.push(format_args!(
            "<g transform=\"translate({x} {y})scale({width} {height})\" shape-rendering=\"crispEdges\">"
        ));
        for (fill, path) in paths {
            let fill = self.fill(fill);
            self.push(format_args!("<path {fill} d=\"{path}\"/>"));
        }
        self.push(format_args!("</g>"));
    }

    fn fill(&mut self, fill: Fill) -> String {
        match fill {
            Fill::Level(ramp, level) => {
                self.used.insert((ramp, level));
                format!("class=\"{}\"", class(ramp, level))
            }
            Fill::Rgb([r, g, b]) => format!("fill=\"#{r:02x}{g:02x}{b:02x}\""),
            Fill::Unknown => {
                self.unknown = true;
                "class=\"u\"".into()
            }
        }
    }

    /// Draws a rectangle of a class: `e` for an edge, `n` for an empty place, `a0` to `a2` for the edge of a mark.
    pub(super) fn rect(&mut self, area: Area, class: &str, stroke: f64) {
        let Area { x, y, width, height } = area;
        let [x, y, width, height] = [x, y, width, height].map(number);
        let stroke = if stroke > 0.0 { format!(" stroke-width=\"{stroke}\"") } else { String::new() };
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"{class}\"{stroke}/>"
        ));
    }

    /// Draws a rectangle in the colour of a value.
    pub(super) fn bar(&mut self, area: Area, fill: Fill) {
        let (Area { x, y, width, height }, fill) = (area, self.fill(fill));
        let [x, y, width, height] = [x, y, width, height].map(number);
        self.push(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {fill}/>"));
    }

    /// Shades cells, as (column, row), in the colour of a mark; what is below stays visible.
    pub(super) fn shade(&mut self, grid: Grid, cells: &[[usize; 2]], mark: u32) {
        let Grid { at: [x, y], cell: [width, height] } = grid;
        let path: String = cells.iter().map(|[column, row]| format!("M{column} {row}h1v1h-1z")).collect();
        let [x, y, width, height] = [x, y, width, height].map(number);
        self.push(format_args!(
            "<path transform=\"translate({x} {y})scale({width} {height})\" d=\"{path}\" class=\"z{mark}\"/>"
        ));
    }

    /// Adds a text that is shown where the pointer rests, and nothing else.
    pub(super) fn hint(&mut self, area: Area, text: &str) {
        let Area { x, y, width, height } = area;
        let [x, y, width, height] = [x, y, width, height].map(number);
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"h\"><title>{}</title></rect>",
            escape(text)
        ));
    }

    /// Draws a line through these points.
    pub(super) fn line(&mut self, points: &[[f64; 2]], class: &str, stroke: f64) {
        let path: Vec<String> = points.iter().map(|[x, y]| format!("{} {}", number(*x), number(*y))).collect();
        let path = path.join("L");
        self.push(format_args!("<path d=\"M{path}\" class=\"{class}\" stroke-width=\"{stroke}\"/>"));
    }

    /// Draws the ramp of a scale with its ends, its middle and what it shows, in a row of height 14.
    pub(super) fn legend(&mut self, [x, y]: [f64; 2], width: f64, Legend { scale, what }: Legend<'_>) {
        let levels = usize::from(scale.levels());
        let cells = (0..levels).map(|i| (i, 0, Fill::Level(scale.ramp, i as u8)));
        let grid = Grid { at: [x, y], cell: [width / levels as f64, 10.0] };
        self.cells(grid, cells.collect::<Vec<_>>());
        self.rect(Area { x, y, width, height: 10.0 }, "e", 0.0);
        let beyond = |text: String, sign: &str| if scale.clipped { format!("{sign}{text}") } else { text };
        let low = match scale.low < 0.0 && scale.clipped {
            true => format!("≤{}", short(scale.low)),
            false => short(scale.low),
        };
        self.text([x, y + 22.0], NOTE, &low);
        if scale.low < 0.0 && scale.high > 0.0 && scale.low == -scale.high {
            self.text([x + width / 2.0, y + 22.0], NOTE.middle(), "0");
        }
        self.text([x + width, y + 22.0], NOTE.end(), &beyond(short(scale.high), "≥"));
        self.text([x + width + 8.0, y + 9.5], NOTE, what);
    }

    /// The whole picture. With `dark` it follows the reader's page, else it is light.
    pub(super) fn finish(&self, [width, height]: [f64; 2], title: &str, dark: bool) -> String {
        let [light, night] = PAGES.map(|(page, colours)| self.page_style(page, &colours));
        let night = if dark { format!("@media(prefers-color-scheme:dark){{{night}}}") } else { String::new() };
        let (width, height, title) = (number(width), number(height), escape(title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}{light}{night}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" class=\"p\"/>\n{}</svg>\n",
            self.body
        )
    }

    fn page_style(&self, page: Page, colours: &[&str; 9]) -> String {
        let [back, text, muted, edge, empty, unknown, marks @ ..] = colours;
        let mut style = format!(
            ".p{{fill:{back}}}.t{{fill:{text}}}.m{{fill:{muted}}}.l,.e{{stroke:{edge}}}.n{{fill:{empty}}}.u{{fill:{unknown}}}"
        );
        for (mark, i) in marks.iter().zip(0u8..) {
            let _ = write!(style, ".a{i}{{stroke:{mark}}}.z{i}{{fill:{mark}}}");
        }
        for &(ramp, level) in &self.used {
            let [r, g, b] = colour(page, ramp, level);
            let _ = write!(style, ".{}{{fill:#{r:02x}{g:02x}{b:02x}}}", class(ramp, level));
        }
        style
    }
}

fn class(ramp: Ramp, level: u8) -> String {
    let letter = match ramp {
        Ramp::Diverging => 'd',
        Ramp::Sequential => 's',
        Ramp::Grey => 'g',
    };
    format!("{letter}{level}")
}

/// A coordinate, rounded to thousandths.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value with three digits.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => "0".to_owned(),
        _ if !(1e-3..1e5).contains(&size) => format!("{size:.1e}"),
        _ if size < 1.0 => format!("{size:.3}"),
        _ if size < 10.0 => format!("{size:.2}"),
        _ if size < 100.0 => format!("{size:.1}"),
        _ => format!("{size:.0}"),
    };
    let text = if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    if value < 0.0 { format!("−{text}") } else { text }
}

/// `text` in lines of at most `most` characters, broken between words.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text for SVG and HTML. Characters that XML doesn't allow become spaces.
pub(super) fn escape(text: &str) -> String {
    let plain = |c: char| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lines() {
        assert_eq!(
            [0.0, -0.25, 1234.0, 1.5e-7, 0.1234, 12.34].map(short),
            ["0", "−0.25", "1234", "1.5e-7", "0.123", "12.3"]
        );
        assert_eq!([10.0, 0.5, 1.0 / 3.0].map(number), ["10", "0.5", "0.333"]);
        assert_eq!(wrapped("a bc def g", 4), ["a bc", "def", "g"]);
        assert_eq!(escape("a<b\u{1b}&\u{ffff}"), "a&lt;b &amp; ");
    }

    #[test]
    fn equal_neighbours_are_one_rectangle() {
        let mut svg = Svg::default();
        let fill = |value| Scale::COSINE.fill(Some(value));
        svg.cells(Grid { at: [0.0; 2], cell: [1.0; 2] }, [(0, 0, fill(1.0)), (1, 0, fill(1.0)), (2, 0, fill(-1.0))]);
        assert_eq!(svg.body.matches("<path").count(), 2);
        assert!(svg.body.contains("M0 0h2v1h-2z") && svg.body.contains("M2 0h1v1h-1z"), "{}", svg.body);
    }
}
