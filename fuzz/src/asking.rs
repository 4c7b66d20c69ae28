//! Small files that ask for much: each once took seconds for each kilobyte, or hundreds of times its size.

use serde_json::{Map, Value, json};

/// How often they repeat what they have. A file of our own limits, so that a test of all takes seconds.
const TIMES: usize = 1000;

/// Safetensors files of models without weights.
pub(crate) fn safetensors() -> Vec<Vec<u8>> {
    let models = [
        called_twice(10),
        called_twice(30),
        one_output(TIMES),
        in_one_another(25),
        flattened(),
        called_with_outputs(TIMES),
        long_shape(2000, 200),
        long_shape(16, 200),
    ];
    models.iter().map(file).chain([clipped()]).collect()
}

/// Archives of arrays.
pub(crate) fn arrays() -> Vec<Vec<u8>> {
    vec![listed_often(TIMES, 20_000)]
}

fn file(model: &Value) -> Vec<u8> {
    file_with(model, json!({}), &[])
}

/// A model with tensors, whose descriptions are `tensors`.
fn file_with(model: &Value, tensors: Value, bytes: &[u8]) -> Vec<u8> {
    let metadata = json!({"version": 1, "keras_version": "2.15.0", "model": model, "layers": {}});
    let mut header = tensors;
    header["__metadata__"] = json!({"locally_connected": metadata.to_string()});
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

fn layer(class: &str, name: &str, own: Value, from: &[Value]) -> Value {
    let mut config = Map::from_iter([("name".to_owned(), json!(name))]);
    config.extend(own.as_object().cloned().unwrap_or_default());
    let calls: Vec<Value> = from.iter().map(|from| json!([from])).collect();
    json!({"class_name": class, "name": name, "config": config, "inbound_nodes": calls})
}

fn input(name: &str, shape: &[u64]) -> Value {
    let shape: Vec<Option<u64>> = std::iter::once(None).chain(shape.iter().copied().map(Some)).collect();
    layer("InputLayer", name, json!({"batch_input_shape": shape}), &[])
}

fn relu(name: &str, from: &[Value]) -> Value {
    layer("Activation", name, json!({"activation": "relu"}), from)
}

fn functional(name: &str, layers: &[Value], inputs: &[&str], outputs: &[Value]) -> Value {
    let inputs: Vec<Value> = inputs.iter().map(|name| json!([name, 0, 0])).collect();
    let config = json!({"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs});
    json!({"class_name": "Functional", "config": config})
}

/// A model that is called twice, in one that is called twice, and so on.
fn called_twice(deep: usize) -> Value {
    let mut model =
        functional("m0", &[input("i0", &[4]), relu("a0", &[json!(["i0", 0, 0])])], &["i0"], &[json!(["a0", 0, 0])]);
    for level in 1..=deep {
        let (own, inner) = (format!("i{level}"), format!("m{}", level - 1));
        model["name"] = json!(inner);
        model["inbound_nodes"] = json!([[[own, 0, 0]], [[inner, 0, 0]]]);
        model = functional(&format!("m{level}"), &[input(&own, &[4]), model], &[&own], &[json!([inner, 1, 0])]);
    }
    model
}

/// The same value as each of the outputs.
fn one_output(times: usize) -> Value {
    let layers = [input("i", &[4]), relu("a", &[json!(["i", 0, 0])])];
    functional("m", &layers, &["i"], &vec![json!(["a", 0, 0]); times])
}

/// A model with as many outputs as it is called times.
fn called_with_outputs(times: usize) -> Value {
    let layers = [input("i", &[4]), relu("a", &[json!(["i", 0, 0])])];
    let mut inner = functional("inner", &layers, &["i"], &vec![json!(["a", 0, 0]); times]);
    inner["name"] = json!("inner");
    inner["inbound_nodes"] = json!(vec![json!([["x", 0, 0]]); times]);
    functional("m", &[input("x", &[4]), inner], &["x"], &[json!(["inner", 0, 0])])
}

/// Layers of samples of many axes.
fn long_shape(axes: usize, layers: usize) -> Value {
    let mut all = vec![input("a0", &vec![1; axes])];
    all.extend((1..=layers).map(|at| relu(&format!("a{at}"), &[json!([format!("a{}", at - 1), 0, 0])])));
    functional("m", &all, &["a0"], &[json!([format!("a{layers}"), 0, 0])])
}

/// A layer of one weight whose window has 400 million taps, all but one clipped by padding.
fn clipped() -> Vec<u8> {
    let config = json!({"name": "l", "filters": 1, "kernel_size": [20_000, 20_000], "padding": "same", "implementation": 3,
        "use_bias": false, "batch_input_shape": [null, 1, 1, 1]});
    let layers = json!([{"class_name": "LocallyConnected2D", "config": config}]);
    let model = json!({"class_name": "Sequential", "config": {"name": "m", "layers": layers}});
    file_with(&model, json!({"l/kernel": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}), &[0; 4])
}

/// A model in a model and so on, and what nobody reads in the innermost.
fn in_one_another(deep: usize) -> Value {
    let unread: Vec<u8> = vec![0; 20 * TIMES];
    let mut inner =
        layer("Activation", "a", json!({"activation": "relu", "batch_input_shape": [null, 4], "unread": unread}), &[]);
    for level in 0..deep {
        inner = json!({"class_name": "Sequential", "config": {"name": format!("m{level}"), "layers": [inner]}});
    }
    inner
}

/// A layer whose second call takes more than any number counts.
fn flattened() -> Value {
    let layers = [
        input("i", &[4]),
        input("j", &[1 << 32, 1 << 32, 3]),
        layer("Flatten", "f", json!({}), &[json!(["i", 0, 0]), json!(["j", 0, 0])]),
    ];
    functional("m", &layers, &["i", "j"], &[json!(["f", 0, 0]), json!(["f", 1, 0])])
}

/// A zip archive whose directory lists its one array again and again, under other names.
fn listed_often(times: usize, values: usize) -> Vec<u8> {
    let zeros = vec![0.0; values];
    let name = |number: usize| format!("{number:04}");
    let bytes = locally_connected_keras::npy::npz_bytes(&[(name(0), vec![values], &zeros)]).unwrap_or_default();
    // The directory's entries and its end are found by their signatures; the array is all zeroes.
    let at = |signature: &[u8]| bytes.windows(4).position(|window| window == signature).unwrap_or_default();
    let (directory, end) = (at(b"PK\x01\x02"), at(b"PK\x05\x06"));
    let (own, listed) = (name(0) + ".npy", &bytes[directory..end]);
    let place = listed.windows(own.len()).position(|window| window == own.as_bytes()).unwrap_or_default();
    let mut all = bytes[..end].to_vec();
    for number in 1..times {
        let start = all.len() + place;
        all.extend_from_slice(listed);
        all[start..start + 4].copy_from_slice(name(number).as_bytes());
    }
    let size = (all.len() - directory) as u32;
    let mut ending = bytes[end..].to_vec();
    ending[8..10].copy_from_slice(&(times as u16).to_le_bytes());
    ending[10..12].copy_from_slice(&(times as u16).to_le_bytes());
    ending[12..16].copy_from_slice(&size.to_le_bytes());
    all.extend(ending);
    all
}
