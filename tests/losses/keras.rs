//! Losses and accuracies as the real Keras has them, by every executor.

use super::{Asked, program, step};
use crate::common::{Arrays, assert_near, on_every_executor, root};
use locally_connected::Activation;
use locally_connected::ops::{HitsKind, LossKind, StepNumbers};
use locally_connected::reference;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    losses: Vec<LossCase>,
    paths: Vec<PathCase>,
    accuracies: Vec<AccuracyCase>,
}

#[derive(Deserialize)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Array {
    pub(crate) fn wide(&self) -> Vec<f64> {
        self.values.iter().map(|&value| value.into()).collect()
    }

    /// Rows of a sample, and classes.
    fn rows(&self) -> (u64, u64) {
        let (classes, rows) = self.shape[1..].split_last().expect("an axis besides the batch");
        (rows.iter().product::<usize>() as u64, *classes as u64)
    }
}

#[derive(Deserialize)]
struct LossCase {
    loss: String,
    from_logits: Option<bool>,
    label_smoothing: Option<f32>,
    delta: Option<f32>,
    prediction: Array,
    target: Array,
    sample_weight: Option<Array>,
    losses: Array,
    gradient: Array,
}

#[derive(Deserialize)]
struct PathCase {
    activation: String,
    loss: String,
    how: String,
    input: Array,
    kernel: Array,
    activated: Array,
    target: Array,
    value: f64,
    grad_kernel: Array,
}

#[derive(Deserialize)]
struct AccuracyCase {
    kind: String,
    prediction: Array,
    target: Array,
    sample_weight: Option<Array>,
    hits: Array,
    accuracy: f64,
}

fn fixture() -> Fixture {
    let path = root().join("tests/data/keras_losses.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture")).expect("as the script writes it")
}

/// A loss by Keras's name, from logits or not.
fn kind(name: &str, from_logits: bool, label_smoothing: f32, delta: f32) -> LossKind {
    match name {
        "mean_squared_error" => LossKind::MeanSquaredError,
        "mean_absolute_error" => LossKind::MeanAbsoluteError,
        "huber" => LossKind::Huber { delta },
        "binary_crossentropy" => LossKind::BinaryCrossentropy { from_logits, label_smoothing },
        "categorical_crossentropy" => LossKind::CategoricalCrossentropy { from_logits, label_smoothing },
        "sparse_categorical_crossentropy" => LossKind::SparseCategoricalCrossentropy { from_logits },
        other => panic!("no loss {other}"),
    }
}

fn given(prediction: &Array, target: &Array, weight: Option<&Array>) -> Arrays {
    let numbers = StepNumbers { per_sample: 1.0 / prediction.shape[0] as f32, ..StepNumbers::default() };
    let weight = weight.map_or(Vec::new(), |weight| weight.values.clone());
    let all = [
        ("prediction", prediction.values.clone()),
        ("target", target.values.clone()),
        ("sample_weight", weight),
        ("step", step(numbers)),
    ];
    all.map(|(name, values)| (name.to_owned(), values)).into()
}

#[test]
fn losses_and_gradients_are_keras_s() {
    let cases = fixture().losses;
    assert!(cases.len() > 100);
    for case in &cases {
        let (rows, classes) = case.prediction.rows();
        let (from_logits, smoothing) = (case.from_logits.unwrap_or_default(), case.label_smoothing.unwrap_or_default());
        let kind = kind(&case.loss, from_logits, smoothing, case.delta.unwrap_or(1.0));
        let (weighted, batch) = (case.sample_weight.is_some(), case.prediction.shape[0] as u32);
        let given = given(&case.prediction, &case.target, case.sample_weight.as_ref());
        for (asked, expected) in [(Asked::Loss(kind), &case.losses), (Asked::Gradient(kind), &case.gradient)] {
            let program = program(asked, rows, classes, weighted);
            for (by, found) in on_every_executor(&program, batch, &given) {
                let what = format!("{asked:?} of {:?} by {by}", case.prediction.shape);
                assert_near(&what, &found["output"], &expected.wide(), 4e-6);
                // Where one element at the end of what is clipped has a gradient of 10⁷, the others are small beside it.
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-5 * b.abs().max(1e-2);
                let all_near = found["output"].iter().zip(&expected.values).all(near);
                assert!(all_near, "{what}: {:?}, not {:?}", found["output"], expected.values);
            }
        }
    }
}

/// Behind an activation that Keras sees through it is the loss of logits, behind a reshape it isn't: values and gradients of models of one
/// dense layer.
#[test]
fn the_path_of_logits_is_keras_s() {
    for case in fixture().paths {
        let [batch, inputs] = case.input.shape[..] else { panic!("a matrix") };
        let outputs = case.kernel.shape[1];
        let (x, w) = (case.input.wide(), case.kernel.wide());
        let logit = |n: usize, o: usize| (0..inputs).map(|i| x[n * inputs + i] * w[i * outputs + o]).sum::<f64>();
        let logits: Vec<f64> = (0..batch * outputs).map(|at| logit(at / outputs, at % outputs)).collect();
        let activation = if case.activation == "softmax" { Activation::Softmax } else { Activation::Sigmoid };
        let from_logits = case.how != "reshaped";
        // Keras's own: what is left of 1 less a probability in 32 bits decides the loss.
        let activated = case.activated.wide();
        assert_near("activated", &case.activated.values, &reference::activate(&logits, activation, outputs), 1e-6);
        let kind = kind(&case.loss, from_logits, 0.0, 1.0);
        let classes = *case.target.shape.last().expect("an axis") as u64;
        let (rows, classes) = match (from_logits, case.loss.starts_with("sparse")) {
            (true, _) => (1, outputs as u64),
            (false, true) => (2, 2),
            (false, false) => (outputs as u64 / classes, classes),
        };
        let numbers = StepNumbers { per_sample: 1.0 / batch as f32, ..StepNumbers::default() };
        let mut values: reference::Values =
            [("target".to_owned(), case.target.wide()), ("step".to_owned(), step(numbers).map_wide())].into();
        values.insert("prediction".into(), if from_logits { logits } else { activated.clone() });
        let run = |asked| {
            let program = program(asked, rows, classes, false);
            reference::run(&program, batch as u32, &values).expect("it runs").remove("output").expect("written")
        };
        let (losses, mut slope) = (run(Asked::Loss(kind)), run(Asked::Gradient(kind)));
        if !from_logits {
            slope = reference::activate_grad(&activated, &slope, activation, outputs);
        }
        let what = format!("{} of {} {}", case.loss, case.activation, case.how);
        let mean = losses.iter().sum::<f64>() / batch as f64;
        assert!((mean - case.value).abs() < 1e-5 * case.value, "{what}: {mean}, not {}", case.value);
        let of_weight = |at: usize| {
            let (i, o) = (at / outputs, at % outputs);
            (0..batch).map(|n| x[n * inputs + i] * slope[n * outputs + o]).sum::<f64>()
        };
        let expected: Vec<f64> = (0..inputs * outputs).map(of_weight).collect();
        assert_near(what, &case.grad_kernel.values, &expected, 1e-5);
    }
}

trait Wide {
    fn map_wide(self) -> Vec<f64>;
}

impl Wide for Vec<f32> {
    fn map_wide(self) -> Vec<f64> {
        self.into_iter().map(f64::from).collect()
    }
}

#[test]
fn accuracies_are_keras_s() {
    let cases = fixture().accuracies;
    assert!(cases.len() >= 18);
    for case in &cases {
        let (rows, classes) = case.prediction.rows();
        let kind = match case.kind.as_str() {
            "binary_accuracy" => HitsKind::Binary { threshold: 0.5 },
            "categorical_accuracy" => HitsKind::Categorical,
            "sparse_categorical_accuracy" => HitsKind::Sparse,
            other => panic!("no accuracy {other}"),
        };
        let (weighted, batch) = (case.sample_weight.is_some(), case.prediction.shape[0]);
        let program = program(Asked::Hits(kind), rows, classes, weighted);
        let given = given(&case.prediction, &case.target, case.sample_weight.as_ref());
        let weight = case.sample_weight.as_ref().map_or(vec![1.0; batch], Array::wide);
        let expected: Vec<f64> = case.hits.wide().iter().zip(&weight).map(|(hits, weight)| hits * weight).collect();
        for (by, found) in on_every_executor(&program, batch as u32, &given) {
            let what = format!("{kind:?} of {:?} by {by}", case.prediction.shape);
            assert_near(&what, &found["output"], &expected, 1e-6);
            // What a history has of a batch.
            let sum: f64 = found["output"].iter().map(|&hits| f64::from(hits)).sum();
            let accuracy = sum / weight.iter().sum::<f64>();
            assert!((accuracy - case.accuracy).abs() < 1e-6, "{what}: {accuracy}, not {}", case.accuracy);
        }
    }
}
