//! `locally train`.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "tests may panic")]

mod common;

use common::{Folder, fails, fixture, stderr, succeeds};
use locally_connected_keras::npy::{NpyArray, read_npy, read_npz, write_npy};
use locally_connected_keras::{FileFormat, ModelFile};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A model that Keras trained for two epochs (tests/fixtures/trainings/compiled), and where a third one led.
struct Trained {
    folder: Folder,
    model: PathBuf,
    arrays: BTreeMap<String, NpyArray>,
}

impl Trained {
    fn new(file: &str) -> Self {
        let model = fixture("trainings/compiled").join(file);
        let arrays: BTreeMap<String, NpyArray> =
            read_npz(model.with_extension("npz")).expect("arrays").into_iter().collect();
        let folder = Folder::new();
        for (name, array) in &arrays {
            for prefix in ["x/", "t/"] {
                if let Some(of) = name.strip_prefix(prefix) {
                    write_npy(folder.join(&format!("{}{of}.npy", &prefix[..1])), &array.shape, &array.values)
                        .expect("a file");
                }
            }
        }
        Self { folder, model, arrays }
    }

    /// Trains with more arguments, of which the inputs and targets are ready.
    fn train(&self, more: &[&str]) -> Output {
        let mut arguments: Vec<OsString> = vec!["train".into(), self.model.clone().into()];
        for name in self.arrays.keys() {
            let flag = match name.split_once('/') {
                Some(("x", of)) => Some(("--input", format!("x{of}.npy"), of)),
                Some(("t", of)) => Some(("--target", format!("t{of}.npy"), of)),
                _ => None,
            };
            if let Some((flag, file, of)) = flag {
                let mut value = OsString::from(format!("{of}="));
                value.push(self.folder.join(&file));
                arguments.extend([flag.into(), value]);
            }
        }
        let given = |flag: &str| more.contains(&flag);
        if !given("--adapter") {
            arguments.extend(["--adapter".into(), "cpu".into()]);
        }
        arguments.extend(more.iter().map(|text| match text.strip_prefix('@') {
            // A file in the folder.
            Some(name) => self.folder.join(name).into(),
            None => OsString::from(*text),
        }));
        common::locally(arguments)
    }

    /// Whether a trained model has the weights of Keras's third epoch.
    fn ends_where_keras_ends(&self, output: &str) {
        let file = ModelFile::read(self.folder.join(output)).expect("a model");
        for layer in file.all_layers() {
            for (what, values) in layer.weights_by_name() {
                let keras = &self.arrays[&format!("after/{}/{what}", layer.name)].values;
                let largest = keras.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
                let off = keras.iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
                assert!(off <= 2e-4, "{output}: {what} of {} off by {off:e}", layer.name);
            }
        }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).expect("a file")
    }
}

const AS_KERAS: [&str; 5] = ["--batch-size", "8", "--no-shuffle", "--epochs", "1"];

/// The file's own optimizer goes on from where it was; what is written says so, in every format.
#[test]
fn a_third_epoch_ends_where_keras_s_ends() {
    for file in ["adam.h5", "rmsprop_all.h5", "ema.keras", "schedule.keras", "branches.h5", "norm.keras"] {
        let trained = Trained::new(file);
        for output in ["out.h5", "out.keras", "out.safetensors"] {
            let text = succeeds(&trained.train(&[&AS_KERAS[..], &["--output", &format!("@{output}")]].concat()));
            assert!(text.starts_with("epoch 1/1: loss "), "{text}");
            trained.ends_where_keras_ends(output);
            let file = ModelFile::read(trained.folder.join(output)).expect("a model");
            assert_eq!(file.compiled.and_then(|compiled| compiled.state).map(|state| state.iterations), Some(9));
        }
        succeeds(&trained.train(&[&AS_KERAS[..], &["--output", "@out.npz"]].concat()));
        let arrays = read_npz(trained.folder.join("out.npz")).expect("arrays");
        let after: Vec<&String> = trained.arrays.keys().filter(|name| name.starts_with("after/")).collect();
        assert_eq!(arrays.len(), after.len());
        for (name, array) in arrays {
            assert_eq!(array.shape, trained.arrays[&format!("after/{name}")].shape, "{name}");
        }
    }
}

/// On an adapter as on the host's threads.
#[test]
fn an_adapter_trains_too() {
    let trained = Trained::new("adam.h5");
    let adapter = std::env::var("WGPU_ADAPTER_NAME").unwrap_or_else(|_| "llvmpipe".into());
    let more = ["--output", "@out.h5", "--adapter", adapter.as_str()];
    succeeds(&trained.train(&[&AS_KERAS[..], &more].concat()));
    trained.ends_where_keras_ends("out.h5");
}

/// Whatever stops a training, what goes on from its checkpoint ends with the same bits; what was seen before is in the log and the
/// curves.
#[test]
fn a_training_that_goes_on_has_the_same_bits() {
    let trained = Trained::new("branches.h5");
    let rest = [
        "--optimizer",
        "adam:amsgrad,use_ema,ema_momentum=0.9",
        "--learning-rate",
        "0.02",
        "--loss",
        "categorical_crossentropy",
        "--metric",
        "accuracy",
        "--batch-size",
        "7",
        "--shuffle",
        "5",
        "--patience",
        "9",
    ];
    let run = |more: &[&str]| trained.train(&[&rest[..], more].concat());
    let text = succeeds(&run(&["--epochs", "5", "--output", "@whole.keras", "--log", "@whole.csv"]));
    assert_eq!(text.lines().count(), 5, "{text}");
    succeeds(&run(&[
        "--epochs",
        "2",
        "--output",
        "@part.keras",
        "--checkpoint",
        "@c.safetensors",
        "--log",
        "@part.csv",
    ]));
    // Nothing is left of the file that became it.
    assert!(!trained.folder.names().iter().any(|name| name.contains("tmp")), "{:?}", trained.folder.names());
    let more = [
        "--epochs",
        "5",
        "--output",
        "@resumed.keras",
        "--resume",
        "@c.safetensors",
        "--log",
        "@resumed.csv",
        "--plot",
        "@p.svg",
    ];
    let text = succeeds(&run(&more));
    assert!(text.starts_with("epoch 3/5: loss "), "{text}");
    assert!(trained.read("whole.keras") == trained.read("resumed.keras"), "other bits");
    assert_eq!(trained.read("whole.csv"), trained.read("resumed.csv"));
    assert!(trained.read("whole.csv").starts_with(&trained.read("part.csv")));
    let log = String::from_utf8(trained.read("whole.csv")).expect("text");
    assert!(log.starts_with("epoch,loss,accuracy\n0,"), "{log}");
    assert_eq!(log.lines().count(), 6, "{log}");
    let svg = String::from_utf8(trained.read("p.svg")).expect("text");
    assert!(svg.starts_with("<svg") && svg.contains("accuracy"), "{svg}");
    // The checkpoint is a model as well.
    succeeds(&locally!["inspect", trained.folder.join("c.safetensors")]);
    // Where nothing is left to do, nothing changes.
    succeeds(&run(&["--epochs", "2", "--output", "@again.keras", "--resume", "@c.safetensors"]));
    assert!(trained.read("part.keras") == trained.read("again.keras"), "other bits");
    // Numbers that no training writes, which would overflow, or end or begin it somewhere else.
    let changed = |change: &dyn Fn(&mut ModelFile)| {
        let mut file = ModelFile::read(trained.folder.join("c.safetensors")).expect("a checkpoint");
        change(&mut file);
        let bytes = file.to_bytes(FileFormat::Safetensors).expect("a file");
        std::fs::write(trained.folder.join("d.safetensors"), bytes).expect("a file");
        fails(&run(&["--epochs", "5", "--output", "@x.h5", "--resume", "@d.safetensors"]), 2).0
    };
    for number in [0, 2, 1 << 63, u64::MAX] {
        let error = changed(&|file| file.beside.json["training"]["epochs"][1]["number"] = number.into());
        assert!(error.contains(&format!("has epoch {number} in the place of epoch 1")), "{error}");
    }
    let steps = |file: &mut ModelFile| {
        let state = file.compiled.as_mut().and_then(|compiled| compiled.state.as_mut());
        state.expect("a state").iterations = u64::MAX;
    };
    let error = changed(&steps);
    assert!(error.contains("the number of steps done is 18446744073709551615"), "{error}");
    for (other, named) in [
        (["--shuffle", "6"], "shuffle is 5, here 6"),
        (["--batch-size", "8"], "batch_size is 7, here 8"),
        (["--optimizer", "sgd"], "optimizer"),
        (["--patience", "3"], "patience is 9, here 3"),
    ] {
        let mut changed: Vec<&str> = rest.to_vec();
        let at = changed.iter().position(|text| *text == other[0]).expect("it is there");
        changed[at + 1] = other[1];
        let output = trained
            .train(&[&changed[..], &["--epochs", "5", "--output", "@x.h5", "--resume", "@c.safetensors"]].concat());
        let (error, help) = fails(&output, 2);
        assert!(error.contains(named), "{error}");
        assert!(help.contains("--epochs"), "{help}");
    }
    let (error, _) = fails(&run(&["--output", "@x.h5", "--resume", "@whole.keras"]), 2);
    assert!(error.contains("is no checkpoint"), "{error}");
    let (error, help) = fails(&run(&["--output", "@x.h5", "--checkpoint", "@c.h5"]), 2);
    assert!(error.contains("can't hold a checkpoint") && help.contains(".safetensors"), "{error} {help}");
}

/// Validation, metrics, early stopping with the best weights.
#[test]
fn patience_keeps_the_best_weights() {
    let trained = Trained::new("norm.keras");
    let (x, t) = (trained.folder.join("xx.npy"), trained.folder.join("tdense.npy"));
    let rest =
        ["--optimizer", "adam", "--learning-rate", "0.2", "--loss", "mse", "--metric", "mae", "--batch-size", "8"];
    let validation = ["--validation", x.to_str().expect("UTF-8"), t.to_str().expect("UTF-8")];
    let text = succeeds(
        &trained.train(
            &[
                &rest[..],
                &validation,
                &["--epochs", "40", "--patience", "2", "--log", "@l.csv", "--output", "@best.keras"],
                &["--checkpoint", "@c.safetensors"],
            ]
            .concat(),
        ),
    );
    let log = String::from_utf8(trained.read("l.csv")).expect("text");
    assert!(log.starts_with("epoch,loss,mae,val_loss,val_mae\n"), "{log}");
    let losses: Vec<f64> =
        log.lines().skip(1).map(|line| line.split(',').nth(3).expect("it").parse().expect("a number")).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|loss| *loss == best).expect("it");
    assert!(losses.len() < 40 && losses.len() == at + 3, "{losses:?}");
    assert!(text.contains(&format!("no better since epoch {}", at + 1)), "{text}");
    // It stays stopped.
    let more = ["--epochs", "60", "--patience", "2", "--resume", "@c.safetensors", "--output", "@stopped.keras"];
    assert_eq!(succeeds(&trained.train(&[&rest[..], &validation, &more].concat())), "");
    assert!(trained.read("best.keras") == trained.read("stopped.keras"), "other bits");
    // As many epochs and no more end with the same weights.
    let epochs = (at + 1).to_string();
    succeeds(&trained.train(&[&rest[..], &validation, &["--epochs", &epochs, "--output", "@short.keras"]].concat()));
    let weights = |name: &str| {
        ModelFile::read(trained.folder.join(name)).expect("a model").model(None).expect("it runs").parameters
    };
    assert!(weights("best.keras") == weights("short.keras"));
}

#[test]
fn a_loss_that_is_not_finite_stops() {
    let trained = Trained::new("sgd_momentum.h5");
    let rest =
        ["--loss", "mse", "--optimizer", "sgd", "--learning-rate", "1e25", "--output", "@out.h5", "--batch-size", "8"];
    let output = trained.train(&[&rest[..], &["--epochs", "9", "--quiet"]].concat());
    let (error, help) = fails(&output, 1);
    assert!(error.contains("the loss of step ") && help.contains("--learning-rate"), "{error} {help}");
    assert!(!trained.folder.names().contains(&"out.h5".to_owned()));
}

#[test]
fn what_is_wrong_is_said() {
    let trained = Trained::new("sgd_momentum.h5");
    let loss = ["--loss", "mse", "--optimizer", "sgd", "--output", "@out.h5"];
    for (more, named) in [
        (vec!["--optimizer", "sgd:momentun=0.9"], "momentun"),
        (vec!["--optimizer", "lion"], "lion"),
        (vec!["--optimizer", "adam:clipnorm=1,global_clipnorm=1"], "global_clipnorm"),
        (vec!["--loss", "mape"], "mape"),
        (vec!["--loss", "nothing"], "nothing"),
        (vec!["--loss", "elsewhere=mse"], "no output \"elsewhere\""),
        (vec!["--metric", "precision"], "precision"),
        (vec!["--schedule", "linear"], "linear"),
        (vec!["--schedule", "step:decay_rate=0.5,rate=1"], "rate"),
        (vec!["--epochs", "0"], "0"),
        (vec!["--batch-size", "0"], "0"),
        (vec!["--output", "@out.txt"], "unknown format"),
        (vec!["--output", "@none/out.h5"], "none"),
        (vec!["--log", "@none/l.csv"], "none"),
        (vec!["--no-shuffle", "--shuffle", "3"], "--shuffle"),
        (vec!["--resume", "@none.safetensors"], "none.safetensors"),
    ] {
        // What is given once more takes the first's place.
        let kept: Vec<&str> = loss.chunks(2).filter(|pair| !more.contains(&pair[0])).flatten().copied().collect();
        let (error, _) = fails(&trained.train(&[&kept[..], &more].concat()), 2);
        assert!(error.contains(named), "{more:?}: {error}");
    }
    assert!(!trained.folder.names().contains(&"out.h5".to_owned()));
    // A file that wasn't compiled has neither a loss nor an optimizer.
    let plain = |more: &[&str]| {
        let mut arguments: Vec<OsString> =
            vec!["train".into(), fixture("digits/digits.h5").into(), "--adapter".into(), "cpu".into()];
        arguments.extend([OsString::from("--input"), fixture("digits/x_test.npy").into()]);
        arguments.extend([OsString::from("--target"), fixture("digits/y_test.npy").into()]);
        arguments.extend([OsString::from("--output"), trained.folder.join("digits.h5").into()]);
        arguments.extend(more.iter().map(OsString::from));
        common::locally(arguments)
    };
    let (error, help) = fails(&plain(&[]), 2);
    assert!(error.contains("has no loss") && help.contains("--loss"), "{error} {help}");
    let (error, help) = fails(&plain(&["--loss", "sparse_categorical_crossentropy"]), 2);
    assert!(error.contains("has no optimizer") && help.contains("--optimizer"), "{error} {help}");
    let (error, _) = fails(&plain(&["--loss", "mse", "--optimizer", "sgd"]), 2);
    assert!(error.contains("the target") && error.contains("(450, 10)"), "{error}");
    let more =
        ["--loss", "sparse_categorical_crossentropy", "--optimizer", "adam", "--metric", "accuracy", "--epochs", "2"];
    let text = succeeds(&plain(&more));
    assert!(text.contains("accuracy 0.9"), "{text}");
    let quiet = plain(&[&more[..], &["--quiet"]].concat());
    assert_eq!((succeeds(&quiet), stderr(&quiet)), (String::new(), String::new()));
    assert!(Path::new(&trained.folder.join("digits.h5")).exists());
}

/// The digits network on some of its test images.
struct Digits {
    folder: Folder,
    x: NpyArray,
    y: NpyArray,
}

impl Digits {
    fn new() -> Self {
        let read = |name: &str| read_npy(fixture("digits").join(name)).expect("an array");
        Self { folder: Folder::new(), x: read("x_test.npy"), y: read("y_test.npy") }
    }

    /// Writes the samples from one to another as `NAME-x.npy` and `NAME-y.npy`.
    fn write(&self, name: &str, from: usize, to: usize) {
        for (what, array) in [("x", &self.x), ("y", &self.y)] {
            let each = array.values.len() / array.shape[0];
            let shape = [&[to - from], &array.shape[1..]].concat();
            let path = self.folder.join(&format!("{name}-{what}.npy"));
            write_npy(path, &shape, &array.values[from * each..to * each]).expect("a file");
        }
    }

    fn train(&self, samples: &str, more: &[&str]) -> Output {
        let file = |text: &str| match text.strip_prefix('@') {
            Some(name) => self.folder.join(name).into_os_string(),
            None => OsString::from(text),
        };
        let mut arguments = vec![OsString::from("train"), fixture("digits/digits.h5").into()];
        let (x, y) = (format!("@{samples}-x.npy"), format!("@{samples}-y.npy"));
        let rest = [
            ["--adapter", "cpu"],
            ["--input", &x],
            ["--target", &y],
            ["--loss", "sparse_categorical_crossentropy"],
            ["--optimizer", "sgd"],
            ["--learning-rate", "0.1"],
            ["--epochs", "2"],
        ];
        // What is given once more takes the first's place.
        let kept = rest.iter().filter(|pair| !more.contains(&pair[0])).flatten();
        arguments.extend(kept.chain(more).map(|text| file(text)));
        common::locally(arguments)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).expect("a file")
    }
}

/// The last samples measure, whatever the order of the others: as if they were given apart.
#[test]
fn a_split_keeps_the_last_samples_for_validation() {
    let digits = Digits::new();
    // ⌊33 · 0.7⌋
    for (name, from, to) in [("all", 0, 33), ("first", 0, 23), ("last", 23, 33)] {
        digits.write(name, from, to);
    }
    let more = ["--metric", "accuracy", "--shuffle", "3", "--batch-size", "8", "--schedule", "cosine"];
    let split = ["--validation-split", "0.3", "--log", "@split.csv", "--output", "@split.h5"];
    succeeds(&digits.train("all", &[&more[..], &split, &["--checkpoint", "@c.safetensors"]].concat()));
    let apart = ["--validation", "@last-x.npy", "@last-y.npy", "--log", "@apart.csv", "--output", "@apart.h5"];
    succeeds(&digits.train("first", &[&more[..], &apart].concat()));
    assert_eq!(digits.read("split.csv"), digits.read("apart.csv"));
    assert!(digits.read("split.h5") == digits.read("apart.h5"), "other bits");
    let log = String::from_utf8(digits.read("split.csv")).expect("text");
    assert!(log.starts_with("epoch,loss,accuracy,val_loss,val_accuracy\n"), "{log}");

    let resume = ["--resume", "@c.safetensors", "--output", "@x.h5"];
    for (changed, named) in [
        // As many are trained on, so that the schedule is the same.
        (["--validation-split", "0.29"].as_slice(), "validation_split is 0.3, here 0.29"),
        (&["--validation-split", "0.3", "--class-weight", "1,1,1,1,1,1,1,1,1,1"], "class_weight is [], here [1.0,"),
    ] {
        let (error, _) = fails(&digits.train("all", &[&more[..], changed, &resume].concat()), 2);
        assert!(error.contains(named), "{error}");
    }
    for part in ["1", "-0.1", "0.99", "nan"] {
        let refused = digits.train("all", &[&format!("--validation-split={part}"), "--output", "@x.h5"]);
        let (error, _) = fails(&refused, 2);
        assert!(error.contains(&part.replace("nan", "NaN")), "{part}: {error}");
    }
    let both = ["--validation-split", "0.2", "--validation", "@last-x.npy", "@last-y.npy", "--output", "@x.h5"];
    let (error, _) = fails(&digits.train("all", &both), 2);
    assert!(error.contains("--validation"), "{error}");
}

/// A class's weight is that of each of its samples; what counts twice is as good as twice the learning rate of plain SGD.
#[test]
fn samples_and_classes_have_weights() {
    let digits = Digits::new();
    digits.write("all", 0, 40);
    let classes = &digits.y.values[..40];
    let weight = |class: f32| if class < 5.0 { 0.25 } else { 2.0 };
    let weights: Vec<f32> = classes.iter().map(|&class| weight(class)).collect();
    write_npy(digits.folder.join("w.npy"), &[40], &weights).expect("a file");
    write_npy(digits.folder.join("column.npy"), &[40, 1], &weights).expect("a file");
    write_npy(digits.folder.join("twice.npy"), &[40], &[2.0; 40]).expect("a file");
    write_npy(digits.folder.join("short.npy"), &[39], &[2.0; 39]).expect("a file");
    let run = |more: &[&str], output: &str| {
        succeeds(&digits.train("all", &[more, &["--output", output, "--log", "@l.csv"]].concat()));
        (digits.read(&output[1..]), digits.read("l.csv"))
    };
    let by_class = run(&["--class-weight", "0.25,0.25,0.25,0.25,0.25,2,2,2,2,2"], "@a.npz");
    assert!(by_class == run(&["--sample-weight", "@w.npy"], "@b.npz"), "other bits");
    assert!(by_class == run(&["--sample-weight", "@column.npy"], "@c.npz"), "other bits");
    let plain = run(&[], "@plain.npz");
    assert!(plain != by_class, "weights count nothing");
    assert!(plain == run(&["--class-weight", "1,1,1,1,1,1,1,1,1,1"], "@d.npz"), "other bits");
    // Doubling is exact.
    let twice = run(&["--sample-weight", "@twice.npy"], "@e.npz").0;
    assert!(twice == run(&["--learning-rate", "0.2"], "@f.npz").0, "other bits");

    for (more, named) in [
        (vec!["--sample-weight", "@short.npy"], "sample weight"),
        (vec!["--sample-weight", "@none.npy"], "none.npy"),
        (vec!["--sample-weight", "@w.npy", "--sample-weight", "@w.npy"], "another is given"),
        (vec!["--class-weight", "1,1,1"], "class_weight"),
        (vec!["--class-weight", "1,x"], "--class-weight"),
    ] {
        let (error, _) = fails(&digits.train("all", &[&more[..], &["--output", "@x.h5"]].concat()), 2);
        assert!(error.contains(named), "{more:?}: {error}");
    }
    assert!(!digits.folder.names().contains(&"x.h5".to_owned()));
}
