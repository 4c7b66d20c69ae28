//! The names that Keras 1 gave to what Keras 2 has under others (docs/keras-semantics.md §11).

use crate::json::{self, Object};
use serde_json::{Value, json};

/// Renames the keys of a Keras 1 config to those of Keras 2, so that the rest of this crate, and the Keras 2 that
/// reads what we write, know one set of names. A Keras 2 config stays as it is.
pub(crate) fn rename(class_name: &str, config: &mut Object) {
    match class_name {
        "LocallyConnected1D" => {
            wrap(config, "filter_length", "kernel_size");
            wrap(config, "subsample_length", "strides");
            locally_connected(config);
        }
        "LocallyConnected2D" => {
            if !config.contains_key("kernel_size")
                && let (Some(rows), Some(columns)) = (config.shift_remove("nb_row"), config.shift_remove("nb_col"))
            {
                config.insert("kernel_size".into(), json!([rows, columns]));
            }
            rename_key(config, "subsample", "strides");
            locally_connected(config);
        }
        "Dropout" | "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D" | "GaussianDropout" => {
            rename_key(config, "p", "rate");
        }
        "GaussianNoise" => rename_key(config, "sigma", "stddev"),
        _ => {}
    }
    rename_key(config, "input_dtype", "dtype");
}

fn locally_connected(config: &mut Object) {
    let is_keras1 = config.contains_key("nb_filter");
    for (old, new) in [
        ("nb_filter", "filters"),
        ("border_mode", "padding"),
        ("bias", "use_bias"),
        ("W_regularizer", "kernel_regularizer"),
        ("b_regularizer", "bias_regularizer"),
        ("W_constraint", "kernel_constraint"),
        ("b_constraint", "bias_constraint"),
    ] {
        rename_key(config, old, new);
    }
    if let Some(ordering) = config.shift_remove("dim_ordering") {
        let format = match ordering.as_str() {
            Some("th") => json!("channels_first"),
            Some("tf" | "default") => json!("channels_last"),
            // Left for the check of `data_format` to complain about.
            _ => ordering,
        };
        config.entry("data_format").or_insert(format);
    }
    if !is_keras1 {
        return;
    }
    // What only training looks at, under names and in forms that Keras 2 refuses.
    for key in ["init", "input_dim", "input_length"] {
        config.shift_remove(key);
    }
    for key in ["kernel_regularizer", "bias_regularizer", "activity_regularizer"] {
        if let Some(Value::Object(old)) = config.get(key) {
            let strength = |key| json::given(old, key).and_then(json::float).unwrap_or(0.0);
            let new = json!({"class_name": "L1L2", "config": {"l1": strength("l1"), "l2": strength("l2")}});
            config.insert(key.into(), new);
        }
    }
    for key in ["kernel_constraint", "bias_constraint"] {
        if let Some(Value::Object(old)) = config.get(key) {
            let mut arguments = old.clone();
            let class = match json::string(old, "name") {
                Some("MaxNorm") => "MaxNorm",
                Some("NonNeg") => "NonNeg",
                Some("UnitNorm") => "UnitNorm",
                // Unknown to Keras 1 as well.
                _ => continue,
            };
            arguments.shift_remove("name");
            rename_key(&mut arguments, "m", "max_value");
            config.insert(key.into(), json!({"class_name": class, "config": arguments}));
        }
    }
}

fn rename_key(config: &mut Object, old: &str, new: &str) {
    if let Some(value) = config.shift_remove(old) {
        config.entry(new).or_insert(value);
    }
}

/// As [`rename_key`], from a number to a list of one.
fn wrap(config: &mut Object, old: &str, new: &str) {
    if let Some(value) = config.shift_remove(old) {
        config.entry(new).or_insert_with(|| json!([value]));
    }
}
