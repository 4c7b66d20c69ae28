//! `locally draw`: pictures of every kind of layer in every format, and what can't be drawn.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{Folder, cases, fails, fixture, in_parallel, npy, succeeds};
use locally_connected::{Bias, Config, DataFormat, Geometry, KerasLayout, Padding};
use locally_connected_keras::npy::write_npy;
use locally_connected_keras::{LayerKind, Local, ModelFile};
use std::fs;
use std::path::{Path, PathBuf};

/// A model of one layer, `local`, with these weights by cell, in its cell, and any bias.
fn model(folder: &Folder, config: &Config, input: &[usize], weight: impl Fn(usize, usize) -> f32) -> PathBuf {
    let geometry = Geometry::new(config, input).expect("a layer");
    let cell = geometry.window() as usize * geometry.group_filters() as usize;
    let canonical: Vec<f32> = (0..geometry.weights() as usize).map(|i| weight(i / cell, i % cell)).collect();
    let layout = match config.padding {
        Padding::Valid => KerasLayout::Implementation1,
        _ => KerasLayout::Implementation3,
    };
    let kernel = layout.from_canonical(&geometry, &canonical).expect("a kernel");
    let bias = (geometry.biases() > 0).then(|| (0..geometry.biases()).map(|i| (i as f32 * 0.7).sin()).collect());
    let local = Local { geometry, layout, kernel, bias, trainable: true };
    let layers = vec![("local".to_owned(), LayerKind::LocallyConnected(Box::new(local)))];
    let path = folder.join("model.safetensors");
    ModelFile::sequential("one", input, layers).expect("a model").write(&path).expect("a file");
    path
}

fn wave(cell: usize, at: usize) -> f32 {
    (cell as f32 * 1.3 + at as f32 * 0.9).sin()
}

/// Draws as SVG.
fn svg(folder: &Folder, model: &Path) -> String {
    let out = folder.join("picture.svg");
    succeeds(&locally!["draw", model, "--layer", "local", "--output", &out]);
    fs::read_to_string(&out).expect("a picture")
}

/// The colours that are drawn, in order; those of an input aside.
fn values(svg: &str) -> Vec<&str> {
    svg.lines().filter(|line| line.starts_with("<path class=\"s") || line.starts_with("<path class=\"d")).collect()
}

#[test]
fn every_format_the_same_each_time() {
    let (folder, x) = (Folder::new(), fixture("digits/x_test.npy"));
    let draw = |name: &str| {
        let out = folder.join(name);
        let output =
            locally!["draw", fixture("digits/digits.h5"), "--layer", "local_1", "--input", &x, "--output", &out];
        assert_eq!(succeeds(&output), "");
        fs::read(&out).expect("a picture")
    };
    for extension in ["svg", "html", "png"] {
        assert_eq!(draw(&format!("a.{extension}")), draw(&format!("b.{extension}")), "{extension}");
    }
    let svg = String::from_utf8(draw("a.svg")).expect("UTF-8");
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"));
    for text in ["local_1", "8×8×1 → 6×6×8", "36 locations", "cosine", "Bias by filter", "4 of 450 samples", "relu"]
    {
        assert!(svg.contains(text), "{text}");
    }
    // A hint for each location.
    assert_eq!(svg.matches("<title>location (").count(), 36);
    let html = String::from_utf8(draw("a.html")).expect("UTF-8");
    assert!(html.starts_with("<!doctype html>") && html.matches("<svg").count() == 1);
    for page in [&svg, &html] {
        assert!(page.contains("@media(prefers-color-scheme:dark)"));
        // The name of XML's namespace is no address to load from.
        let loads = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!["http", "<script", "src=", "url(", "href"].iter().any(|load| loads.contains(load)));
        assert!(!page.contains("NaN"));
    }
    let png = draw("a.png");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let width = u32::from_be_bytes(png[16..20].try_into().expect("four bytes"));
    assert_eq!(width, 2000);
    assert!(png.len() < 500_000, "{}", png.len());
}

/// The classifier of one location, both data formats, padding, strides, no bias, every implementation.
#[test]
fn every_layer_of_the_fixtures() {
    let cases: Vec<_> = cases().into_iter().filter(common::Case::is_supported).collect();
    in_parallel(&cases, |case| {
        let (folder, model) = (Folder::new(), case.path("model"));
        let file = ModelFile::read(&model).expect("a model");
        for (layer, _) in file.locals() {
            let out = folder.join("picture.svg");
            succeeds(&locally!["draw", &model, "--layer", &layer.name, "--output", &out]);
            let svg = fs::read_to_string(&out).expect("a picture");
            assert!(!svg.contains("NaN") && !svg.contains("Bright pink"), "{}", case.name());
        }
    });
    let folder = Folder::new();
    let out = folder.join("picture.png");
    succeeds(&locally!["draw", fixture("digits/digits.keras"), "--layer", "classifier", "--output", out]);
}

/// The same activations whether the model runs up to the layer or the layer gets what stands before it.
#[test]
fn activations_within_the_model() {
    let (folder, digits, x) = (Folder::new(), fixture("digits/digits.h5"), fixture("digits/x_test.npy"));
    let (hidden, output) = (folder.join("hidden.npy"), folder.join("output.npy"));
    succeeds(&locally!["run", &digits, "--layer", "local_1", "--input", &x, "--output", &hidden]);
    let draw = |input: &Path| {
        let out = folder.join("picture.svg");
        succeeds(&locally!["draw", &digits, "--layer", "local_2", "--input", input, "--output", &out]);
        fs::read_to_string(&out).expect("a picture")
    };
    let (through, alone) = (draw(&x), draw(&hidden));
    assert!(through.contains("run through the model up to here") && !alone.contains("run through"));
    assert_eq!(values(&through), values(&alone));
    // The scale is that of the layer's real output.
    succeeds(&locally!["run", &digits, "--layer", "local_2", "--input", &hidden, "--output", &output]);
    let output = npy(&output);
    let of_four = &output.values[..output.values.len() / output.shape[0] * 4];
    assert!(of_four.iter().all(|&value| value >= 0.0) && of_four.iter().any(|&value| value > 0.0));
    assert!(through.contains("<path class=\"s24\""));
}

/// A layer of a model of two inputs that reads one of them; a layer in another model, which runs alone.
#[test]
fn activations_in_graphs() {
    let folder = Folder::new();
    let array = |shape: &[usize]| {
        let path = folder.join("x.npy");
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * 0.3).cos()).collect();
        write_npy(&path, shape, &values).expect("a file");
        path
    };
    let draw = |model: &Path, layer: &str, input: &Path| {
        locally!["draw", model, "--layer", layer, "--input", input, "--output", folder.join("p.svg")]
    };
    let gennet = fixture("models/gennet/model.h5");
    let file = ModelFile::read(&gennet).expect("a model");
    let shape = |of: &[usize]| [&[3], of].concat();
    let genotypes = file.model_up_to("pathways").expect("a model").input_shape().to_vec();
    succeeds(&draw(&gennet, "pathways", &array(&shape(&genotypes))));
    let picture = fs::read_to_string(folder.join("p.svg")).expect("a picture");
    assert!(picture.contains("the 3 samples, run through the model up to here"));
    let nested = fixture("models/nested/model.h5");
    let file = ModelFile::read(&nested).expect("a model");
    let (layer, local) = file.locals().find(|(layer, _)| layer.name.contains('/')).expect("a layer in a model");
    succeeds(&draw(&nested, &layer.name, &array(&shape(local.geometry.input_shape()))));
    let (error, help) = fails(&draw(&nested, &layer.name, &array(&[2, 3])), 2);
    assert!(error.contains("runs alone only") && help.contains("the layer's own"), "{error} {help}");
}

/// Where all locations have the same filters the picture says so, and where neighbours are each other's opposite.
#[test]
fn similarity_is_the_cosine() {
    let folder = Folder::new();
    for (config, input) in [
        (Config::new(4, [3]), &[12, 2][..]),
        (Config::new(4, [3, 2]), &[6, 7, 2]),
        (Config::new(4, [3, 2]).data_format(DataFormat::ChannelsFirst), &[2, 6, 7]),
        // Of taps that padding clips nothing is compared.
        (Config::new(4, [3, 3]).padding(Padding::Same), &[6, 7, 2]),
        (Config::new(4, [3, 3]).groups(2), &[6, 7, 4]),
    ] {
        let equal = svg(&folder, &model(&folder, &config, input, |cell, at| wave(cell % config.groups, at)));
        assert!(equal.contains("Mean\u{a0}1."), "{config:?}");
        // Each cosine is exactly 1, the ramp's end.
        assert!(equal.contains("class=\"d48\""));
        let different = svg(&folder, &model(&folder, &config, input, wave));
        assert!(!different.contains("Mean\u{a0}1."), "{config:?}");
    }
    let config = Config::new(3, [2]);
    let sign = |cell: usize| if cell.is_multiple_of(2) { 1.0 } else { -1.0 };
    let opposite = model(&folder, &config, &[9, 1], |cell, at| sign(cell) * wave(0, at));
    assert!(svg(&folder, &opposite).contains("Mean\u{a0}−1."));
    let nothing = model(&folder, &config, &[9, 1], |_, _| 0.0);
    assert!(svg(&folder, &nothing).contains("No location has a neighbour"));
}

/// One channel, three, more; what the picture says of them.
#[test]
fn channels() {
    let folder = Folder::new();
    let says = |config: &Config, input: &[usize], text: &str| {
        let svg = svg(&folder, &model(&folder, config, input, wave));
        assert!(svg.contains(text), "{config:?}: {text}");
    };
    says(&Config::new(2, [3, 3]), &[6, 6, 1], "weight, by its tap");
    says(&Config::new(2, [3, 3]), &[6, 6, 3], "as red, green and blue");
    says(&Config::new(2, [3, 3]), &[6, 6, 5], "length of a tap's weights over its 5 channels");
    says(&Config::new(2, [3]), &[9, 4], "rows are channels");
    says(&Config::new(2, [3]), &[9, 20], "length of a tap's weights over its 20 channels");
    says(&Config::new(2, [3]).bias(Bias::None), &[9, 4], "The layer has no bias");
    says(&Config::new(2, [3, 3]).bias(Bias::None), &[6, 6, 1], "The layer has no bias");
    says(&Config::new(2, [3, 3]).bias(Bias::PerFilter), &[6, 6, 1], "Bias by filter");
}

/// A large layer is sampled, says so, and its picture stays small.
#[test]
fn large_layers_are_sampled() {
    let folder = Folder::new();
    for (config, input) in [
        (Config::new(16, [5, 5]), &[90, 70, 1][..]),
        (Config::new(40, [3]), &[20_000, 1]),
        (Config::new(2, [150]), &[400, 30]),
        (Config::new(1, [160, 3]), &[163, 5, 3]),
        (Config::new(64, [7, 7]).strides([3, 3]), &[150, 150, 3]),
    ] {
        let path = model(&folder, &config, input, wave);
        let svg = svg(&folder, &path);
        assert!(svg.contains("evenly spaced"), "{config:?}");
        assert!(svg.len() < 1_500_000, "{config:?}: {} bytes", svg.len());
        let out = folder.join("picture.png");
        succeeds(&locally!["draw", &path, "--layer", "local", "--output", &out]);
        let png = fs::read(&out).expect("a picture");
        let height = u32::from_be_bytes(png[20..24].try_into().expect("four bytes"));
        assert!(height < 5000 && png.len() < 2_000_000, "{config:?}: {height} rows, {} bytes", png.len());
    }
}

#[test]
fn values_that_are_not_finite_are_shown_as_such() {
    let folder = Folder::new();
    for (config, input) in [(Config::new(2, [3, 3]), &[6, 6, 1][..]), (Config::new(2, [3]), &[9, 2])] {
        let values = [f32::NAN, f32::INFINITY, 1.0, f32::MAX, -0.5];
        let path = model(&folder, &config, input, |cell, at| values[(cell + at) % values.len()]);
        assert!(svg(&folder, &path).contains("Bright pink"));
    }
}

#[test]
fn what_cannot_be_drawn() {
    let (folder, digits) = (Folder::new(), fixture("digits/digits.h5"));
    let out = Folder::new();
    let refused = |output: std::process::Output, texts: &[&str]| {
        let (error, help) = fails(&output, 2);
        for text in texts {
            assert!(error.contains(text) || help.contains(text), "{text}: {error} / {help}");
        }
    };
    let svg = out.join("p.svg");
    let solid = model(&folder, &Config::new(2, [2, 2, 2]), &[3, 4, 5, 1], wave);
    refused(locally!["draw", &solid, "--layer", "local", "--output", &svg], &["3 spatial axes", "(2, 3, 4)", "local"]);
    refused(locally!["draw", &digits, "--output", &svg], &["--layer"]);
    refused(locally!["draw", &digits, "--layer", "local_3", "--output", &svg], &["local_3", "local_1, local_2"]);
    refused(locally!["draw", &digits, "--layer", "flatten", "--output", &svg], &["flatten", "locally connected"]);
    for name in ["p", "p.jpg", "p.svg.gz"] {
        refused(
            locally!["draw", &digits, "--layer", "local_1", "--output", out.join(name)],
            &[name, ".html, .svg or .png"],
        );
    }
    refused(
        locally!["draw", &digits, "--layer", "local_1", "--output", out.join("no/p.svg")],
        &["make the folder first"],
    );
    refused(locally!["draw", out.join("none.h5"), "--layer", "local_1", "--output", &svg], &["none.h5"]);
    let array = |name: &str, shape: &[usize]| {
        let path = folder.join(name);
        write_npy(&path, shape, &vec![0.5; shape.iter().product()]).expect("a file");
        path
    };
    let with =
        |layer: &str, input: &Path| locally!["draw", &digits, "--layer", layer, "--input", input, "--output", &svg];
    refused(with("local_2", &array("odd.npy", &[2, 5, 5, 1])), &["(batch, 8, 8, 1)", "(batch, 6, 6, 8)"]);
    refused(with("local_1", &array("none.npy", &[0, 8, 8, 1])), &["no sample"]);
    refused(with("local_1", &digits), &["digits.h5"]);
    // In a model that does not run as a whole its locally connected layers can be drawn.
    let case = common::case("unsupported");
    let file = ModelFile::read(case.path("model")).expect("a model");
    let (layer, _) = file.locals().next().expect("a layer");
    succeeds(&locally!["draw", case.path("model"), "--layer", &layer.name, "--output", folder.join("p.svg")]);

    assert!(out.names().is_empty());
}
