//! What is read apart, whatever the file.

#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod deflated;
mod meanings;
mod noise;
mod numbers;

use crate::architecture::{self, Architecture};
use crate::contents::Contents;
use crate::hdf5::Reader;
use crate::tree::{Tree, WrittenArray};
use crate::weights::Source;
use crate::wiring::{Call, Tensor};
use crate::{Error, FileFormat, LayerKind, ModelFile, Problem, write_file};
use serde_json::{Value, json};

fn functional(layers: Value, inputs: Value, outputs: Value) -> Value {
    let config = json!({"name": "m", "layers": layers, "input_layers": inputs, "output_layers": outputs});
    json!({"class_name": "Functional", "config": config})
}

fn node(name: &str, from: Value) -> Value {
    json!({"class_name": "Activation", "config": {"name": name}, "name": name, "inbound_nodes": from})
}

#[test]
fn graphs_are_followed() -> Result<(), Problem> {
    let names = |a: &Architecture<'_>| a.layers.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    // In any order, with the shorter forms of nodes and ends.
    let layers = json!([node("c", json!([["b", 0, 0, {}]])), node("a", json!([])), node("b", json!([[["a", 0, 0]]]))]);
    let json = functional(layers, json!(["a", 0, 0]), json!([["c", 0, 0]]));
    let found = Architecture::of(&json)?;
    assert_eq!(names(&found), ["a", "b", "c"]);
    let output = |call, index| Tensor::Output { call, index };
    let call = |layer, inputs: &[Tensor]| Call { layer, inputs: inputs.into() };
    let chain = [call(0, &[Tensor::Input(0)]), call(1, &[output(0, 0)]), call(2, &[output(1, 0)])];
    assert_eq!((&found.wiring.calls[..], &found.wiring.outputs[..]), (&chain[..], &[output(2, 0)][..]));
    // A layer called twice, one that takes two values, and a model in the model, whose own first call is not counted.
    let twice = json!([[["a", 0, 0]], [["b", 0, 0]]]);
    let inner = json!([[["b", 1, 0], ["a", 0, 0]]]);
    let layers = json!([node("a", json!([])), node("b", twice), node("m", inner), node("c", json!([[["m", 1, 1]]]))]);
    let json = functional(layers, json!(["a", 0, 0]), json!({"y": ["c", 0, 0], "x": ["m", 1, 0]}));
    let found = Architecture::of(&json)?;
    let calls = [
        call(0, &[Tensor::Input(0)]),
        call(1, &[output(0, 0)]),
        call(1, &[output(1, 0)]),
        call(2, &[output(2, 0), output(0, 0)]),
        call(3, &[output(3, 1)]),
    ];
    assert_eq!(found.wiring.calls, calls);
    assert_eq!(found.wiring.outputs, [output(3, 0), output(4, 0)]);
    // Keras 3's form.
    let tensor = |name| json!({"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}});
    let both = json!([{"args": [[tensor("a"), tensor("b")]], "kwargs": {"mask": null}}]);
    let alone = json!([{"args": [tensor("a")], "kwargs": {"training": false}}]);
    let layers = json!([node("a", json!([])), node("b", alone), node("c", both)]);
    let json = functional(layers, json!([["a", 0, 0]]), json!([["c", 0, 0]]));
    let found = Architecture::of(&json)?;
    assert_eq!(found.wiring.calls[2], call(2, &[output(0, 0), output(1, 0)]));
    assert_eq!(found.layers[1].arguments, ["training=false"]);
    let a = || node("a", json!([]));
    for (layers, inputs, why) in [
        (json!([a(), node("b", json!([[["x", 0, 0]]]))]), json!([["a", 0, 0]]), "takes the output of \"x\""),
        (json!([a(), node("b", json!([{"args": []}]))]), json!([["a", 0, 0]]), "can't be followed"),
        (json!([a(), a()]), json!([["a", 0, 0]]), "two layers are named \"a\""),
        (json!([a()]), json!([["x", 0, 0]]), "no such layer"),
        (json!([a(), node("c", json!([[["c", 0, 0]]]))]), json!([["a", 0, 0]]), "in a circle"),
        (json!([a(), node("c", json!([[["a", 3, 0]]]))]), json!([["a", 0, 0]]), "output of \"a, call 3\""),
        (json!([a()]), json!(3), "`input_layers`"),
        (json!([]), json!([["a", 0, 0]]), "has no layers"),
        (json!([{"class_name": "Dense"}]), json!([]), "layer 0 (Dense) has no `config`"),
        (json!(["x"]), json!([]), "layer 0 of the model's config is no dictionary"),
    ] {
        let found = Architecture::of(&functional(layers, inputs.clone(), inputs)).unwrap_err().to_string();
        assert!(found.contains(why), "{found}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(architecture::parse(&deep).is_err());
    let own = json!({"class_name": "MyModel", "config": {}});
    assert!(matches!(Architecture::of(&own), Err(Problem::ModelClass(_))));
    Ok(())
}

/// As Keras 1 stored the weights of a model in the model.
#[test]
fn arrays_are_found_among_many_in_one_group() -> Result<(), Box<dyn std::error::Error>> {
    let mut tree = Tree::default();
    for index in 0..2000 {
        tree.dataset(
            &format!("m/w{index}"),
            WrittenArray { shape: vec![1], data: vec![index as f32].into(), double: false },
        )?;
    }
    let reader = Reader::new(Contents::held(tree.into_bytes()?))?;
    for index in 0..2000 {
        for path in [format!("w{index}"), format!("/m/w{index}")] {
            assert_eq!(reader.array("m", &path)?.dataset.read_f32()?, [index as f32]);
        }
    }
    assert!(reader.array("m", "/w1").is_err() && reader.array("m", "m/w1").is_err());
    Ok(())
}

/// Each member of a group has a copy of the group's path.
#[test]
fn groups_of_long_names_have_few_members() -> Result<(), Box<dyn std::error::Error>> {
    for (length, is_read) in [(900, true), (2000, false), (4000, false)] {
        let (mut tree, name) = (Tree::default(), "n".repeat(length));
        for index in 0..1000 {
            tree.group(&format!("{name}/{index}"))?;
        }
        let group = Reader::new(Contents::held(tree.into_bytes()?))?.group(&format!("{name}/7"));
        assert_eq!(group.is_ok(), is_read, "{length}");
    }
    Ok(())
}

/// Long lists of names are split, and found again; the groups of Keras 2.12 have gaps in their numbers.
#[test]
fn names_and_groups() -> Result<(), Box<dyn std::error::Error>> {
    let many: Vec<String> = (0..5000).map(|i| format!("a_layer_with_quite_a_long_name_{i}")).collect();
    for list in [&many[..], &many[..1], &[], &["größe".to_owned(), "x".to_owned()]] {
        let mut tree = Tree::default();
        tree.group("g")?.names("layer_names", list)?;
        let found = Reader::new(Contents::held(tree.into_bytes()?))?.names("g", "layer_names")?;
        assert!(found.as_deref() == Some(list), "{found:?}");
    }
    let layers = many.iter().map(|name| (name.clone(), LayerKind::Identity)).collect();
    let model = ModelFile::sequential("many", &[3], layers)?;
    let bytes = model.to_bytes(FileFormat::Hdf5)?;
    assert!(ModelFile::from_bytes("x", &bytes, FileFormat::Hdf5) == Ok(model));

    let mut tree = Tree::default();
    for (index, number) in ["", "_2", "_10"].iter().enumerate() {
        let vars = tree.group(&format!("_layer_checkpoint_dependencies/locally_connected1d{number}/vars"))?;
        vars.dataset(
            "0",
            WrittenArray { shape: vec![index + 1], data: vec![1.0; index + 1].into(), double: index == 1 },
        )?;
    }
    tree.group("_layer_checkpoint_dependencies/locally_connected1d_extra/vars")?;
    let reader = Reader::new(Contents::held(tree.into_bytes()?))?;
    let layers =
        [("x", "LocallyConnected1D"), ("f", "Flatten"), ("y", "LocallyConnected1D"), ("z", "LocallyConnected1D")];
    let source = reader.by_class(&layers);
    for (index, name) in ["x", "y", "z"].iter().enumerate() {
        let array = source.arrays(name)?.pop().ok_or(Problem::NoWeights)?;
        assert_eq!(array.shape, [index + 1]);
        assert_eq!(array.read()?.len(), index + 1);
    }
    let expected = Problem::LayerCount { class: "LocallyConnected1D".into(), found: 3, expected: 1 };
    assert_eq!(reader.by_class(&layers[..2]).arrays("x").err(), Some(expected));

    let mut tree = Tree::default();
    assert!(tree.group("a//b").is_err() && tree.group("a/../b").is_err() && tree.group(&"a/".repeat(1000)).is_err());
    tree.dataset("a/b", WrittenArray { shape: vec![1], data: vec![0.0].into(), double: false })?;
    assert!(
        tree.group("a/b/c").is_err()
            && tree.dataset("a", WrittenArray { shape: vec![1], data: vec![0.0].into(), double: false }).is_err()
    );
    Ok(())
}

#[test]
fn files_are_written_whole_or_not_at_all() -> std::io::Result<()> {
    let folder = std::env::temp_dir().join(format!("locally-connected-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("taken"))?;
    let path = folder.join("file.npy");
    for contents in [&b"first"[..], b"second, longer"] {
        assert_eq!(write_file(&path, contents), Ok(()));
        assert_eq!(std::fs::read(&path)?, contents);
    }
    assert!(matches!(write_file(folder.join("nowhere/file"), b"x"), Err(Error::Io { .. })));
    assert!(matches!(write_file(folder.join("taken"), b"x"), Err(Error::Io { .. })));
    assert!(write_file("/", b"x").is_err() && write_file("", b"x").is_err());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&path, folder.join("link"))?;
        assert_eq!(write_file(folder.join("link"), b"through"), Ok(()));
        assert_eq!(std::fs::read(&path)?, b"through");
        assert_eq!(write_file("/dev/null", b"x"), Ok(()));
    }
    let mut left: Vec<_> = std::fs::read_dir(&folder)?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    left.retain(|name| name.ends_with(".tmp"));
    assert_eq!(left, Vec::<String>::new());
    std::fs::remove_dir_all(&folder)
}
