//! `--log` and `--plot`: the numbers of each epoch as a table and as curves.

use kuva::backend::svg::SvgBackend;
use kuva::plot::LinePlot;
use kuva::plot::legend::LegendPosition;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A column of a history: Keras's name, and one value for each epoch.
pub(super) type Column<'a> = (&'a str, &'a [f64]);

/// The numbers as CSV, one row for each epoch. Epochs are counted from 0, as in Keras.
pub(super) fn csv(columns: &[Column<'_>]) -> String {
    let names = columns.iter().map(|(name, _)| *name);
    let mut text = ["epoch"].into_iter().chain(names).collect::<Vec<_>>().join(",");
    text.push('\n');
    let epochs = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    for epoch in 0..epochs {
        let _ = write!(text, "{epoch}");
        for (_, values) in columns {
            match values.get(epoch) {
                Some(value) => write!(text, ",{value}"),
                None => write!(text, ","),
            }
            .unwrap_or_default();
        }
        text.push('\n');
    }
    text
}

/// The colours of training and of validation.
const COLOURS: [&str; 2] = ["#0a6ebd", "#d9480f"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;

/// The numbers as a picture: one plot for the loss and one for each metric, below each other, each with curves of
/// training and of validation.
pub(super) fn svg(columns: &[Column<'_>]) -> String {
    let mut panels: BTreeMap<(bool, &str), Vec<Column<'_>>> = BTreeMap::new();
    for &(name, values) in columns {
        let of = name.strip_prefix("val_").unwrap_or(name);
        panels.entry((of != "loss", of)).or_default().push((name, values));
    }
    let mut text = String::new();
    let mut y = 0.0;
    for ((_, of), curves) in &panels {
        let panel = panel(of, curves);
        text.push_str(&panel.replacen("<svg ", &format!("<svg y=\"{y:.0}\" "), 1));
        y += HEIGHT;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{WIDTH:.0}\" height=\"{y:.0}\" viewBox=\"0 0 {WIDTH:.0} {y:.0}\">\n\
         <title>training</title>\n{text}\n</svg>\n"
    )
}

fn panel(of: &str, curves: &[Column<'_>]) -> String {
    let mut plots = Vec::new();
    let epochs = curves.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    for &(name, values) in curves {
        // In plots epochs are counted from 1.
        let points = values.iter().enumerate().map(|(epoch, &value)| ((epoch + 1) as f64, value));
        let points: Vec<(f64, f64)> = points.filter(|(_, value)| value.is_finite()).collect();
        if points.is_empty() {
            continue;
        }
        let validation = name.starts_with("val_");
        let line = LinePlot::new().with_data(points).with_legend(name).with_stroke_width(1.8);
        let line = line.with_color(COLOURS[usize::from(validation)]);
        plots.push(Plot::Line(if validation { line.with_dashed() } else { line }));
    }
    if plots.is_empty() {
        return "<svg />".to_owned();
    }
    let theme = Theme { background: "#ffffff".into(), show_grid: true, ..Theme::light() };
    let layout = Layout::auto_from_plots(&plots)
        .with_width(WIDTH)
        .with_height(HEIGHT)
        .with_x_label("epoch")
        .with_y_label(of)
        .with_legend_position(LegendPosition::OutsideRightTop)
        .with_label_size(12)
        .with_tick_size(10)
        // Ticks are at whole epochs.
        .with_x_tick_step(epochs.div_ceil(10).max(1) as f64)
        .with_theme(theme);
    SvgBackend::new().render_scene(&render_multiple(plots, layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<'static>; 4] = [
        ("loss", &[0.5, 0.25, f64::NAN]),
        ("accuracy", &[0.5, 0.75, 1.0]),
        ("val_loss", &[0.75, 0.5, 0.375]),
        ("val_accuracy", &[0.25; 3]),
    ];

    #[test]
    fn a_row_an_epoch() {
        let text = csv(&COLUMNS);
        assert_eq!(
            text,
            "epoch,loss,accuracy,val_loss,val_accuracy\n0,0.5,0.5,0.75,0.25\n1,0.25,0.75,0.5,0.25\n2,NaN,1,0.375,0.25\n"
        );
        assert_eq!(csv(&[]), "epoch\n");
    }

    #[test]
    fn a_panel_for_the_loss_and_for_each_metric() {
        let text = svg(&COLUMNS);
        assert!(text.starts_with("<svg xmlns="), "{text}");
        assert_eq!(text.matches("<svg").count(), 3, "{text}");
        for name in ["val_loss", "val_accuracy", ">epoch<"] {
            assert!(text.contains(name), "{name}: {text}");
        }
        // Every attribute has a number.
        assert!(!text.contains("NaN"), "{text}");
        assert!(svg(&[("loss", &[0.5])]).contains("loss"));
    }
}
