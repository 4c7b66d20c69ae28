//! The report's plots as SVG. Colours are CSS variables of the page, so that they follow its light or dark scheme.

use super::curve::{Curve, curves};
use super::record::{Report, Row};
use super::table::number;
use kuva::backend::svg::SvgBackend;
use kuva::plot::LinePlot;
use kuva::plot::legend::LegendPosition;
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;
use std::sync::Arc;

/// A size in pixels.
#[derive(Debug, Clone, Copy)]
struct Size {
    width: f64,
    height: f64,
}

const LARGE: Size = Size { width: 760.0, height: 420.0 };
const SMALL: Size = Size { width: 330.0, height: 230.0 };

/// The arithmetic intensity and rate of every row under the measured ceilings.
pub(crate) fn roofline(report: &Report) -> String {
    let intensity = |row: &Row| row.flops as f64 / row.bytes as f64;
    let ceiling = &report.ceiling;
    let ridge = ceiling.f32_gflop_s / ceiling.copy_gb_s;
    let all = || report.results.iter().map(intensity).filter(|x| x.is_finite() && *x > 0.0);
    // The roof extends a little beyond the points and its ridge on either side.
    let (least, most) = (all().fold(ridge, f64::min) / 2.0, all().fold(ridge, f64::max) * 2.0);
    let roof = [(least, least * ceiling.copy_gb_s), (ridge, ceiling.f32_gflop_s), (most, ceiling.f32_gflop_s)];
    let mut plots = vec![Plot::Line(LinePlot::new().with_data(roof).with_color("var(--text)").with_stroke_width(1.5))];
    for (pass, marker) in PASSES {
        for implementation in IMPLEMENTATIONS {
            let rows = report.results.iter();
            let rows: Vec<&Row> =
                rows.filter(|row| row.pass == pass && row.way() == implementation && row.gflop_s > 0.0).collect();
            if rows.is_empty() {
                continue;
            }
            let points = rows.iter().map(|row| (intensity(row), row.gflop_s));
            plots.push(Plot::Scatter(points_of(points, marker, implementation, rows.iter().map(|row| describe(row)))));
        }
    }
    render(plots, LARGE, "FLOP per byte", "GFLOP/s", "")
}

/// The time of one workload's rows by batch.
pub(crate) fn time_by_batch(report: &Report, workload: &str) -> String {
    let rows: Vec<&Row> = report.results.iter().filter(|row| row.workload == workload).collect();
    let mut plots = Vec::new();
    for line in lines(&rows) {
        let points: Vec<(f64, f64)> =
            line.iter().map(|row| (f64::from(row.batch), row.milliseconds().max(1e-6))).collect();
        let Some(first) = line.first() else { continue };
        let mut plot = LinePlot::new().with_data(points.clone()).with_color(color(first.way()));
        plot = match (first.pass.as_str(), first.dtype.as_str()) {
            ("forward" | "model", "f32") => plot,
            (_, "f32") => plot.with_dashed(),
            _ => plot.with_dotted(),
        };
        plots.push(Plot::Line(plot.with_stroke_width(1.5)));
        plots.push(Plot::Scatter(points_of(
            points,
            marker(&first.pass),
            first.way(),
            line.iter().map(|r| describe(r)),
        )));
    }
    render(plots, SMALL, "batch", "ms", workload)
}

/// Samples a second by batch, for a workload that was measured with many batches. The planner's choice has its own
/// colour.
pub(crate) fn rate_by_batch(report: &Report) -> Option<String> {
    let mut plots = Vec::new();
    for curve in curves(report).into_iter().filter(|curve| curve.rows.len() >= MANY) {
        let Some(first) = curve.rows.first() else { continue };
        let points: Vec<(f64, f64)> = curve.rows.iter().map(|row| (f64::from(row.batch), Curve::rate(row))).collect();
        let line = LinePlot::new().with_data(points.clone()).with_color(color(first.way())).with_stroke_width(1.5);
        plots.push(Plot::Line(if first.pass == "forward" { line } else { line.with_dashed() }));
        let labels = curve.rows.iter().map(|row| format!("{}: {} samples/s", describe(row), number(Curve::rate(row))));
        plots.push(Plot::Scatter(points_of(points, marker(&first.pass), first.way(), labels)));
    }
    (!plots.is_empty()).then(|| render(plots, LARGE, "batch", "samples/s", ""))
}

/// With so many batches a workload has a curve.
const MANY: usize = 10;

/// The time of every other implementation relative to the planner's choice; none if only one was measured.
pub(crate) fn against_auto(report: &Report) -> Option<String> {
    let mut plots = Vec::new();
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for (pass, marker) in PASSES {
        for implementation in IMPLEMENTATIONS {
            let rows = report.results.iter().filter(|row| !row.auto && row.pass == pass);
            let rows = rows.filter(|row| row.way() == implementation);
            let pairs: Vec<(f64, f64, String)> = rows
                .filter_map(|row| {
                    let auto = report.results.iter().find(|auto| {
                        let same = (&auto.workload, auto.batch, &auto.dtype) == (&row.workload, row.batch, &row.dtype);
                        auto.auto && same && auto.pass == pass
                    })?;
                    let (x, y) = (auto.milliseconds().max(1e-6), row.milliseconds().max(1e-6));
                    Some((x, y, format!("{}: {}× the time of {}", describe(row), number(y / x), auto.way())))
                })
                .collect();
            if pairs.is_empty() {
                continue;
            }
            for (x, y, _) in &pairs {
                (least, most) = (least.min(*x).min(*y), most.max(*x).max(*y));
            }
            let labels: Vec<String> = pairs.iter().map(|(_, _, label)| label.clone()).collect();
            let points = pairs.iter().map(|(x, y, _)| (*x, *y));
            plots.push(Plot::Scatter(points_of(points, marker, implementation, labels)));
        }
    }
    if plots.is_empty() {
        return None;
    }
    let equal = LinePlot::new().with_data([(least, least), (most, most)]).with_color("var(--text)");
    plots.insert(0, Plot::Line(equal.with_stroke_width(1.0).with_dashed()));
    Some(render(plots, LARGE, "ms of the planner's choice", "ms of the other implementation", ""))
}

/// The marker of each pass.
pub(crate) const PASSES: [(&str, MarkerShape); 5] = [
    ("forward", MarkerShape::Circle),
    ("backward", MarkerShape::Square),
    ("both", MarkerShape::Triangle),
    ("model", MarkerShape::Diamond),
    ("train_step", MarkerShape::Plus),
];

fn marker(pass: &str) -> MarkerShape {
    PASSES.iter().find(|(name, _)| *name == pass).map_or(MarkerShape::Circle, |(_, marker)| *marker)
}

/// Implementations that have a colour of their own, and the CPU executor.
pub(crate) const IMPLEMENTATIONS: [&str; 4] = ["loop", "dense", "sparse", "cpu"];

fn color(implementation: &str) -> String {
    format!("var(--{implementation})")
}

/// A row in words, shown when the pointer rests on its point.
fn describe(row: &Row) -> String {
    let Row { workload, pass, batch, dtype, .. } = row;
    let way = row.way();
    let (ms, gb_s, gflop_s, share) =
        (number(row.milliseconds()), number(row.gb_s), number(row.gflop_s), 100.0 * row.of_ceiling);
    format!(
        "{workload} {pass} {way} batch {batch} {dtype}: {ms} ms, {gb_s} GB/s, {gflop_s} GFLOP/s, \
         {share:.0} % of the roof"
    )
}

/// Rows that differ only in their batch, by batch.
fn lines<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let mut lines: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let key = |row: &Row| (row.pass.clone(), row.implementation.clone(), row.dtype.clone());
        match lines.iter_mut().find(|line| line.iter().any(|other| key(other) == key(row))) {
            Some(line) => line.push(row),
            None => lines.push(vec![row]),
        }
    }
    for line in &mut lines {
        line.sort_by_key(|row| row.batch);
    }
    lines
}

fn points_of(
    points: impl IntoIterator<Item = (f64, f64)>,
    marker: MarkerShape,
    implementation: &str,
    labels: impl IntoIterator<Item = String>,
) -> ScatterPlot {
    let plot = ScatterPlot::new().with_data(points).with_marker(marker).with_size(4.0);
    plot.with_color(color(implementation)).with_tooltips().with_tooltip_labels(labels)
}

fn render(plots: Vec<Plot>, size: Size, x: &str, y: &str, title: &str) -> String {
    let var = |name: &str| format!("var(--{name})");
    let theme = Theme {
        background: "none".into(),
        axis_color: var("text"),
        grid_color: var("grid"),
        tick_color: var("text"),
        text_color: var("text"),
        legend_bg: "none".into(),
        legend_border: "none".into(),
        font_family: Some("inherit".into()),
        show_grid: true,
        ..Theme::light()
    };
    let tick = TickFormat::Custom(Arc::new(number_of_tick));
    let layout = Layout::auto_from_plots(&plots)
        .with_width(size.width)
        .with_height(size.height)
        .with_x_label(x)
        .with_y_label(y)
        .with_log_scale()
        .with_tick_format(tick)
        .with_legend_position(LegendPosition::InsideTopLeft)
        .with_title_size(13)
        .with_label_size(12)
        .with_tick_size(10)
        .with_theme(theme);
    let layout = if title.is_empty() { layout } else { layout.with_title(title) };
    let scene = render_multiple(plots, layout);
    let view = format!("<svg role=\"img\" viewBox=\"0 0 {:.0} {:.0}\" ", scene.width, scene.height);
    SvgBackend::new().render_scene(&scene).replacen("<svg ", &view, 1)
}

/// Ticks are 1, 2 or 5 times a power of ten, up to a rounding error.
fn number_of_tick(value: f64) -> String {
    if value >= 1.0 { format!("{value:.0}") } else { ((value * 1e9).round() / 1e9).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;

    #[test]
    fn every_row_is_a_point() {
        let report = example();
        let svg = roofline(&report);
        assert!(svg.starts_with("<svg role=\"img\" viewBox="));
        assert_eq!(svg.matches("<title>").count(), report.results.len());
        let svg = time_by_batch(&report, "keras-doc-1");
        assert_eq!(svg.matches("<title>").count(), report.results.len() / 3);
        assert!(against_auto(&report).is_some_and(|svg| svg.matches("<title>").count() == report.results.len() / 2));
    }

    #[test]
    fn one_implementation_has_nothing_to_be_held_against() {
        let mut report = example();
        report.results.retain(|row| row.auto);
        assert_eq!(against_auto(&report), None);
    }
}
