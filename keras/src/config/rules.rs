//! What training asks of parameters of layers other than ours, in Keras's JSON.

use super::objects::{self, KerasObject};
use crate::json::{self, Object, to_json};
use locally_connected::model::Rules;
use locally_connected::{Constraint, Regularizer};

/// For each weight, its arguments.
const OF_WEIGHTS: [(&str, &str, &str); 7] = [
    ("kernel", "kernel_regularizer", "kernel_constraint"),
    ("bias", "bias_regularizer", "bias_constraint"),
    ("depthwise_kernel", "depthwise_regularizer", "depthwise_constraint"),
    ("pointwise_kernel", "pointwise_regularizer", "pointwise_constraint"),
    ("gamma", "gamma_regularizer", "gamma_constraint"),
    ("beta", "beta_regularizer", "beta_constraint"),
    ("alpha", "alpha_regularizer", "alpha_constraint"),
];

/// The object in an argument. What Keras would refuse is kept like a user's own: inference doesn't need it, and
/// training refuses it.
fn object<T: KerasObject>(config: &Object, argument: &'static str) -> Option<T> {
    let value = json::given(config, argument)?;
    Some(objects::from_keras(argument, value).unwrap_or_else(|_| T::custom(to_json(value))))
}

/// What training asks of a layer of that class whose weights have these names.
pub(crate) fn rules(class: &str, config: &Object, weights: &[&str]) -> Rules {
    let mut rules = Rules { activity_regularizer: object(config, "activity_regularizer"), ..Rules::default() };
    for (weight, regularizer, constraint) in OF_WEIGHTS.into_iter().filter(|(weight, ..)| weights.contains(weight)) {
        let name = || weight.to_owned();
        rules.regularizers.extend(object::<Regularizer>(config, regularizer).map(|object| (name(), object)));
        rules.constraints.extend(object::<Constraint>(config, constraint).map(|object| (name(), object)));
    }
    if class == "ActivityRegularization" {
        let factor = |key| json::given(config, key).and_then(serde_json::Value::as_f64).unwrap_or(0.0) as f32;
        let (l1, l2) = (factor("l1"), factor("l2"));
        rules.activity_regularizer = ((l1, l2) != (0.0, 0.0)).then_some(Regularizer::L1L2 { l1, l2 });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use locally_connected::Axes;
    use serde_json::json;

    #[test]
    fn rules_of_all_weights_are_read() {
        let config = json!({"gamma_regularizer": "l2", "beta_constraint": {"class_name": "MaxNorm", "config": {"max_value": 3, "axis": 0}},
            "activity_regularizer": {"class_name": "L1", "config": {"l1": 0.5}}, "moving_mean_initializer": "zeros",
            "kernel_regularizer": "l1"});
        let config = config.as_object().expect("a dictionary");
        let found = rules("BatchNormalization", config, &["gamma", "beta", "moving_mean", "moving_variance"]);
        assert_eq!(found.regularizers, [("gamma".to_owned(), Regularizer::L2 { l2: 0.01 })]);
        let most = Constraint::MaxNorm { max_value: 3.0, axis: Axes::One(0) };
        assert_eq!(found.constraints, [("beta".to_owned(), most)]);
        assert_eq!(found.activity_regularizer, Some(Regularizer::L1 { l1: 0.5 }));
        let config = json!({"l1": 0.25, "kernel_regularizer": {"class_name": "L2", "config": {"l3": 1}}});
        let config = config.as_object().expect("a dictionary");
        let found = rules("ActivityRegularization", config, &["kernel"]);
        assert_eq!(found.activity_regularizer, Some(Regularizer::L1L2 { l1: 0.25, l2: 0.0 }));
        assert!(matches!(found.regularizer("kernel"), Some(Regularizer::Custom(text)) if text.contains("l3")));
    }
}
