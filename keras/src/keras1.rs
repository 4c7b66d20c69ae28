//! Translates the names of Keras 1 to those of Keras 2 (docs/keras-semantics.md §11).

use crate::json::{self, Object};
use serde_json::{Value, json};

/// Keras 2's class for a class of Keras 1 that has another name there, or is split into several.
pub(crate) fn class(class_name: &str, config: &Object) -> Option<&'static str> {
    Some(match class_name {
        "Convolution1D" | "AtrousConvolution1D" => "Conv1D",
        "Convolution2D" | "AtrousConvolution2D" => "Conv2D",
        "Convolution3D" => "Conv3D",
        "SeparableConvolution2D" => "SeparableConv2D",
        // A layer in a graph that merges its inputs. The `Merge` of a Sequential has whole models in it.
        "Merge" if !config.contains_key("layers") => match json::string(config, "mode") {
            Some("sum") | None => "Add",
            Some("mul") => "Multiply",
            Some("ave") => "Average",
            Some("max") => "Maximum",
            Some("concat") => "Concatenate",
            Some(_) => return None,
        },
        _ => return None,
    })
}

/// Renames the keys of a Keras 1 config to Keras 2's, so that the rest of this crate, and a Keras 2 that reads what we
/// write, know one set of names. A Keras 2 config stays as it is.
pub(crate) fn rename(class_name: &str, config: &mut Object) {
    // In a config of Keras 2 a name of Keras 1 is a mistake, and must be reported by that name.
    if class_name.starts_with("LocallyConnected") && !config.contains_key("nb_filter") {
        return;
    }
    match class_name {
        "LocallyConnected1D" | "Conv1D" => {
            wrap(config, "filter_length", "kernel_size");
            wrap(config, "subsample_length", "strides");
            wrap(config, "atrous_rate", "dilation_rate");
            weighted(config);
        }
        "LocallyConnected2D" | "Conv2D" | "SeparableConv2D" | "DepthwiseConv2D" => {
            if !config.contains_key("kernel_size")
                && let (Some(rows), Some(columns)) = (config.shift_remove("nb_row"), config.shift_remove("nb_col"))
            {
                config.insert("kernel_size".into(), json!([rows, columns]));
            }
            rename_key(config, "subsample", "strides");
            rename_key(config, "atrous_rate", "dilation_rate");
            weighted(config);
        }
        "Conv3D" => {
            let sizes = ["kernel_dim1", "kernel_dim2", "kernel_dim3"].map(|key| config.shift_remove(key));
            if let ([Some(a), Some(b), Some(c)], false) = (sizes, config.contains_key("kernel_size")) {
                config.insert("kernel_size".into(), json!([a, b, c]));
            }
            rename_key(config, "subsample", "strides");
            weighted(config);
        }
        "Dense" => {
            rename_key(config, "output_dim", "units");
            weighted(config);
        }
        "MaxPooling1D" | "AveragePooling1D" => {
            wrap(config, "pool_length", "pool_size");
            wrap(config, "stride", "strides");
            rename_key(config, "border_mode", "padding");
        }
        "UpSampling1D" => rename_key(config, "length", "size"),
        "BatchNormalization" if json::given(config, "mode").and_then(json::integer) == Some(0) => {
            config.shift_remove("mode");
            for key in ["beta_init", "gamma_init"] {
                config.shift_remove(key);
            }
        }
        "Add" | "Multiply" | "Average" | "Maximum" | "Concatenate" if config.contains_key("mode") => {
            if class_name == "Concatenate" {
                rename_key(config, "concat_axis", "axis");
            }
            for key in [
                "mode",
                "mode_type",
                "concat_axis",
                "dot_axes",
                "output_shape",
                "output_shape_type",
                "output_mask",
                "output_mask_type",
                "arguments",
            ] {
                config.shift_remove(key);
            }
        }
        "Dropout" | "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D" | "GaussianDropout" => {
            rename_key(config, "p", "rate");
        }
        "GaussianNoise" => rename_key(config, "sigma", "stddev"),
        _ => {}
    }
    rename_key(config, "input_dtype", "dtype");
    if class_name.contains("Pooling") {
        rename_key(config, "border_mode", "padding");
    }
    data_format(config);
}

/// `dim_ordering`, under its new name.
fn data_format(config: &mut Object) {
    if let Some(ordering) = config.shift_remove("dim_ordering") {
        let format = match ordering.as_str() {
            Some("th") => json!("channels_first"),
            Some("tf" | "default") => json!("channels_last"),
            // The check of `data_format` will report it.
            _ => ordering,
        };
        config.entry("data_format").or_insert(format);
    }
}

/// Arguments that all layers with a kernel have.
fn weighted(config: &mut Object) {
    // Only in Keras 1 is it the number of rows of weights.
    let is_keras1 = ["nb_filter", "init", "W_regularizer"].iter().any(|key| config.contains_key(*key));
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
    if !is_keras1 {
        return;
    }
    rename_key(config, "init", "kernel_initializer");
    if let (Some(length), Some(channels)) = (config.shift_remove("input_length"), config.shift_remove("input_dim"))
        && !channels.is_null()
    {
        config.entry("batch_input_shape").or_insert_with(|| json!([null, length, channels]));
    }
    for key in ["kernel_regularizer", "bias_regularizer", "activity_regularizer"] {
        convert(config, key, |name, old| {
            // An object with neither factor is another one, and kept.
            let known = matches!(name, "WeightRegularizer" | "ActivityRegularizer" | "L1L2Regularizer" | "L1L2");
            let factor = |key| json::given(old, key).cloned().unwrap_or(json!(0.0));
            known.then(|| json!({"class_name": "L1L2", "config": {"l1": factor("l1"), "l2": factor("l2")}}))
        });
    }
    for key in ["kernel_constraint", "bias_constraint"] {
        convert(config, key, |name, old| {
            let mut arguments = old.clone();
            rename_key(&mut arguments, "m", "max_value");
            let known = matches!(name, "MaxNorm" | "NonNeg" | "UnitNorm");
            known.then(|| json!({"class_name": name, "config": arguments}))
        });
    }
}

/// Turns an object of Keras 1, which has its name beside its arguments, into the form of Keras 2. If `known` doesn't
/// convert it, it keeps its name and arguments.
fn convert(config: &mut Object, key: &str, known: impl Fn(&str, &Object) -> Option<Value>) {
    let Some(Value::Object(old)) = config.get(key) else { return };
    let Some(name) = json::string(old, "name").map(str::to_owned) else { return };
    let mut arguments = old.clone();
    arguments.shift_remove("name");
    let new = known(&name, &arguments).unwrap_or_else(|| json!({"class_name": name, "config": arguments}));
    config.insert(key.into(), new);
}

fn rename_key(config: &mut Object, old: &str, new: &str) {
    if let Some(value) = config.shift_remove(old) {
        config.entry(new).or_insert(value);
    }
}

/// As [`rename_key`], turning a number into a list of one.
fn wrap(config: &mut Object, old: &str, new: &str) {
    if let Some(value) = config.shift_remove(old).filter(|value| !value.is_null()) {
        config.entry(new).or_insert_with(|| json!([value]));
    }
}
