//! Descriptions, in Keras's JSON, of published models whose files hold only weights.

use serde_json::{Value, json};

/// The description of that name.
pub(crate) fn built_in(name: &str) -> Option<Value> {
    match name {
        "deepface" => Some(sequential("deepface", deepface())),
        "deepface-embedding" => {
            let mut layers = deepface();
            // deepface's embedding is the 4096 units before the dropout and the classes.
            layers.truncate(layers.len() - 2);
            Some(sequential("deepface", layers))
        }
        "alltnn" => Some(sequential("alltnn", alltnn())),
        _ => None,
    }
}

fn sequential(name: &str, layers: Vec<Value>) -> Value {
    json!({"class_name": "Sequential", "keras_version": "2.15.0", "config": {"name": name, "layers": layers}})
}

fn layer(class: &str, name: &str, arguments: Value) -> Value {
    let mut config = json!({"name": name, "trainable": true, "dtype": "float32"});
    if let (Value::Object(config), Value::Object(arguments)) = (&mut config, arguments) {
        config.extend(arguments);
    }
    json!({"class_name": class, "config": config})
}

fn input(shape: [usize; 3]) -> Value {
    let [rows, columns, channels] = shape;
    layer("InputLayer", "input", json!({"batch_input_shape": [null, rows, columns, channels]}))
}

/// A layer with square windows.
fn windows(class: &str, name: &str, [filters, size, stride]: [usize; 3], activation: &str) -> Value {
    let arguments = json!({"filters": filters, "kernel_size": [size, size], "strides": [stride, stride],
        "padding": "valid", "activation": activation, "use_bias": true});
    layer(class, name, arguments)
}

/// DeepFace as github.com/swghosh/DeepFace trained it on VGGFace2, with its names.
fn deepface() -> Vec<Value> {
    vec![
        input([152, 152, 3]),
        windows("Conv2D", "C1", [32, 11, 1], "relu"),
        layer("MaxPooling2D", "M2", json!({"pool_size": [3, 3], "strides": [2, 2], "padding": "same"})),
        windows("Conv2D", "C3", [16, 9, 1], "relu"),
        windows("LocallyConnected2D", "L4", [16, 9, 1], "relu"),
        windows("LocallyConnected2D", "L5", [16, 7, 2], "relu"),
        windows("LocallyConnected2D", "L6", [16, 5, 1], "relu"),
        layer("Flatten", "F0", json!({})),
        layer("Dense", "F7", json!({"units": 4096, "activation": "relu"})),
        layer("Dropout", "D0", json!({"rate": 0.5})),
        layer("Dense", "F8", json!({"units": 8631, "activation": "softmax"})),
    ]
}

/// All-TNN as github.com/KietzmannLab/All-TNN trained it on ecoset's 565 classes, with its names, without the optional
/// normalisation. Its `Hypercolumn2D` is a `LocallyConnected2D`.
fn alltnn() -> Vec<Value> {
    let activation = |name: String, function: &str| layer("Activation", &name, json!({"activation": function}));
    let mut layers = vec![input([150, 150, 3])];
    let sheets = [[64, 7, 3], [81, 3, 1], [81, 3, 1], [256, 3, 1], [256, 3, 1], [2500, 3, 1]];
    for (number, sizes) in sheets.into_iter().enumerate() {
        layers.push(windows("LocallyConnected2D", &format!("sheet_{number}"), sizes, "linear"));
        layers.push(activation(format!("relu_Layer_{number}_Time_0"), "relu"));
        let pool = match number {
            0 => "max_pooling2d",
            2 => "max_pooling2d_1",
            4 => "max_pooling2d_2",
            _ => continue,
        };
        layers.push(layer("MaxPooling2D", pool, json!({"pool_size": [2, 2]})));
    }
    layers.push(layer("Flatten", "flatten", json!({})));
    layers.push(layer("Dense", "ReadoutDense", json!({"units": 565})));
    layers.push(activation("output_time_0".into(), "softmax"));
    layers
}
