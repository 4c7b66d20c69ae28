//! Learning rates as Keras 2.15 has them: `tests/data/keras_schedules.json`, which `tests/fixtures/make_schedule_fixtures.py` writes.

use crate::common::fixture;
use locally_connected::train::{Optimizer, Schedule};
use locally_connected_keras::compiled::{optimizer_to_keras, schedule_from_keras};
use serde_json::Value;
use std::collections::BTreeSet;

/// Of the largest rate of a schedule: Keras computes in 32 bits all along.
const NEAR: f64 = 2e-6;

/// Of restarts that aren't of one length: Keras takes a quotient of logarithms for the number of those so far.
const NEAR_RESTARTS: f64 = 2e-5;

#[test]
fn rates_are_keras_s() {
    let text = std::fs::read_to_string(fixture("../data/keras_schedules.json")).expect("the fixture");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let steps: Vec<u64> =
        all["steps"].as_array().expect("a list").iter().map(|step| step.as_u64().expect("whole")).collect();
    let mut classes = BTreeSet::new();
    for case in all["cases"].as_array().expect("a list") {
        let described = &case["schedule"];
        classes.insert(described["class_name"].as_str().expect("a class").to_owned());
        let schedule = schedule_from_keras(described).expect("one of Keras's");
        let rates: Vec<f64> =
            case["rates"].as_array().expect("a list").iter().map(|rate| rate.as_f64().expect("a number")).collect();
        assert_eq!(rates.len(), steps.len());
        let largest = rates.iter().fold(0.0f64, |most, rate| most.max(rate.abs()));
        let near = match schedule {
            Schedule::CosineDecayRestarts { t_mul, .. } if t_mul != 1.0 => NEAR_RESTARTS,
            _ => NEAR,
        };
        for (&step, expected) in steps.iter().zip(&rates) {
            let found = f64::from(schedule.at(step));
            assert!((found - expected).abs() <= near * largest, "{described} at {step}: {found} for {expected}");
        }
        let written = optimizer_to_keras(&Optimizer::sgd().learning_rate(schedule.clone()));
        assert_eq!(schedule_from_keras(&written["config"]["learning_rate"]), Ok(schedule), "{written}");
    }
    let expected = [
        "CosineDecay",
        "CosineDecayRestarts",
        "ExponentialDecay",
        "InverseTimeDecay",
        "PiecewiseConstantDecay",
        "PolynomialDecay",
    ];
    assert_eq!(classes.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
}
