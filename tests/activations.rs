//! Activations at the ends of the range of floats, as Keras has them: `tests/fixtures/operations/activations.json`.

use crate::common::{on_every_executor, root};
use locally_connected::model::{layer_forward, names};
use locally_connected::ops::{Activate, ActivateGrad, Operation, Shape, Usage};
use locally_connected::program::Program;
use locally_connected::{Activation, Bias, Config, Geometry, Saved};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Deserialize)]
struct Fixture {
    x: String,
    cases: Vec<Case>,
    rows: Vec<Row>,
}

/// Of each number alone, and of 64 that are equal.
#[derive(Deserialize)]
struct Case {
    activation: Named,
    y: String,
    grad: String,
    y_vector: String,
    grad_vector: String,
}

/// A row of softmax, and what it gives sixteen times in a row.
#[derive(Deserialize)]
struct Row {
    name: String,
    row: String,
    dy: String,
    y: String,
    grad: String,
    y_repeated: String,
    grad_repeated: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Function { name: String },
    Layer(Activation),
}

impl Named {
    fn activation(&self) -> Activation {
        match self {
            Self::Function { name } => Activation::from_keras_name(name).expect("a name of Keras's"),
            Self::Layer(activation) => *activation,
        }
    }
}

fn fixture() -> Fixture {
    let text = std::fs::read_to_string(root().join("tests/fixtures/operations/activations.json")).expect("it is there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn floats(text: &str) -> Vec<f32> {
    text.split(' ').map(|number| number.parse().expect("a float")).collect()
}

/// Floats below this one may be flushed to 0, by TensorFlow, by our executors and by devices.
const NORMAL: f32 = f32::MIN_POSITIVE;

/// Whether a result is one of those that Keras gave: within 2·10⁻⁶ of it, or of what it was made of where that is larger and no more
/// than 1. Zeroes have the sign that it gave, where it always gave the same and signs count.
fn is_one_of(found: f32, x: f32, expected: &[f32], signs: bool) -> bool {
    let same = |&expected: &f32| {
        let zeroes = found.abs() < NORMAL && expected.abs() < NORMAL;
        if zeroes {
            let stable = signs && expected == 0.0 && found == 0.0;
            return !stable || found.is_sign_negative() == expected.is_sign_negative();
        }
        // Keras computes e^z - 1 in 32 bits, which loses all of a small z, and of selu nearly twice that.
        let lost = if x.abs() <= f32::EPSILON { 2.0 * x.abs() } else { 0.0 };
        let tolerance = (2e-6 * expected.abs().max(x.abs().min(1.0))).max(lost);
        found == expected
            || found.is_nan() && expected.is_nan()
            || expected.is_finite() && found.is_finite() && (found - expected).abs() <= tolerance
    };
    expected.iter().any(same)
}

/// What Keras made of `x`: one by one, and in vectors.
struct Expected<'a> {
    x: &'a [f32],
    by_keras: [&'a [f32]; 2],
    /// Of which numbers a 0 has the sign that Keras's has.
    signs: fn(f32) -> bool,
}

/// Keras computes e^z - 1 in 32 bits: of small numbers it makes a 0 without their sign.
fn all_but_small(x: f32) -> bool {
    x == 0.0 || x.abs() > f32::EPSILON
}

/// A sum begins with +0, so that it has no other 0.
fn all_but_zero(x: f32) -> bool {
    x.abs() > f32::EPSILON
}

fn none(_: f32) -> bool {
    false
}

/// Compares by element what an executor made of it.
fn compare(what: &str, found: &[f32], &Expected { x, by_keras, signs }: &Expected<'_>) {
    assert_eq!(found.len(), x.len(), "{what}");
    for (i, &found) in found.iter().enumerate() {
        // What becomes of a number that may be flushed depends on whether it is: it may be as its neighbours.
        let flushed = x[i] != 0.0 && x[i].abs() < NORMAL;
        let (first, end) = if flushed { (i.saturating_sub(1), (i + 2).min(x.len())) } else { (i, i + 1) };
        let expected = by_keras.map(|values| &values[first..end]).concat();
        let right = is_one_of(found, x[i], &expected, signs(x[i]));
        assert!(right, "{what} of {:e}: {found:e}, but Keras has {expected:?}", x[i]);
    }
}

/// An activation of some samples, or the gradient before it.
fn program(activation: Activation, elements: u64, backward: bool) -> Program {
    let mut program = Program::default();
    let mut add = |name: &str, usage| program.add(name, usage, Shape::Samples(elements));
    let (input, output) = (add("x", Usage::Input), add("y", Usage::Output));
    let mut operations = vec![Operation::Activate(Activate { activation, elements, row: elements, input, output })];
    if backward && activation.saved() != Saved::Nothing {
        let (grad_output, grad_input) = (add("dy", Usage::Input), add("dx", Usage::Output));
        let saved = if activation.saved() == Saved::Output { output } else { input };
        operations.push(Operation::ActivateGrad(ActivateGrad {
            activation,
            elements,
            row: elements,
            saved,
            grad_output,
            grad_input,
        }));
    }
    program.operations = operations;
    program
}

#[test]
fn activations_of_any_number_are_keras_s() {
    let fixture = fixture();
    let x = floats(&fixture.x);
    let mut infinite = 0;
    for case in &fixture.cases {
        let activation = case.activation.activation();
        let given = BTreeMap::from([("x".into(), x.clone()), ("dy".into(), vec![1.0; x.len()])]);
        let elements = x.len() as u64;
        for (executor, written) in on_every_executor(&program(activation, elements, true), 1, &given) {
            let [y, y_vector] = [&case.y, &case.y_vector].map(|text| floats(text));
            compare(
                &format!("{activation:?} by {executor}"),
                &written["y"],
                &Expected { x: &x, by_keras: [&y, &y_vector], signs: all_but_small },
            );
            if let Some(dx) = written.get("dx") {
                let [grad, grad_vector] = [&case.grad, &case.grad_vector].map(|text| floats(text));
                let what = format!("the derivative of {activation:?} by {executor}");
                compare(&what, dx, &Expected { x: &x, by_keras: [&grad, &grad_vector], signs: all_but_small });
            }
            infinite += written["y"].iter().filter(|y| y.is_infinite()).count();
        }
    }
    assert!(fixture.cases.len() >= 30 && infinite > 0, "something was compared");
}

/// In forward kernels, too, which have activations of their own: a layer that hands on its one input. (The dense matrix has no
/// other element there, whose 0 would make NaN of infinities.)
#[test]
fn layers_activate_any_number_as_keras_does() {
    let fixture = fixture();
    let x = floats(&fixture.x);
    for case in &fixture.cases {
        let activation = case.activation.activation();
        let config = Config::new(1, [1]).bias(Bias::None).activation(activation);
        let layer = Arc::new(Geometry::new(&config, &[1, 1]).expect("a layer"));
        let [y, y_vector] = [&case.y, &case.y_vector].map(|text| floats(text));
        let given = BTreeMap::from([(names::INPUT.to_owned(), x.clone()), ("weights".to_owned(), vec![1.0])]);
        for (executor, written) in on_every_executor(&layer_forward(&layer, false), x.len() as u32, &given) {
            let what = format!("a layer's {activation:?} by {executor}");
            compare(
                &what,
                &written[names::OUTPUT],
                &Expected { x: &x, by_keras: [&y, &y_vector], signs: all_but_zero },
            );
        }
    }
}

#[test]
fn rows_of_any_numbers_are_keras_s() {
    for case in &fixture().rows {
        let activation = Activation::from_keras_name(&case.name).expect("a name of Keras's");
        let (row, dy) = (floats(&case.row), floats(&case.dy));
        for times in [1, 16] {
            let given = BTreeMap::from([("x".into(), row.repeat(times)), ("dy".into(), dy.repeat(times))]);
            let elements = (row.len() * times) as u64;
            for (executor, written) in on_every_executor(&program(activation, elements, true), 1, &given) {
                let what = format!("{} of {row:?} by {executor}", case.name);
                let (y, grad) =
                    if times == 1 { (&case.y, &case.grad) } else { (&case.y_repeated, &case.grad_repeated) };
                let (y, grad) = (floats(y), floats(grad));
                let mut found = written["y"][..row.len()].to_vec();
                if case.row.contains("nan") {
                    // Which others become NaN in a row that has one, and which 0, depends on the row's length in Keras.
                    assert!(
                        found.iter().zip(&row).all(|(y, z)| y.is_nan() || *y == 0.0 && !z.is_nan()),
                        "{found:?}, {what}"
                    );
                    found.clone_from(&y);
                }
                compare(&what, &found, &Expected { x: &row, by_keras: [&y, &y], signs: none });
                let what = format!("the gradient of {what}");
                compare(
                    &what,
                    &written["dx"][..row.len()],
                    &Expected { x: &row, by_keras: [&grad, &grad], signs: none },
                );
            }
        }
    }
}
