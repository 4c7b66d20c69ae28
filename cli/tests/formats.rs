//! What may stand in an `.npy`, and conversions between the formats of models.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use common::{Folder, agree, all_agree, case, fails, fixture, in_parallel, npy, npz, succeeds};
use half::f16;
use std::path::Path;

/// An `.npy` file as NumPy writes it.
fn file(descr: &str, fortran: bool, shape: &[usize], data: Vec<u8>) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({}), }}", shape.trim_end());
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".to_vec(), length.to_vec(), header.into_bytes(), data].concat()
}

#[test]
fn inputs_of_every_kind() {
    let case = case("2d_cl_i1_linear");
    let folder = Folder::new();
    let x = npy(&case.path("x"));
    // Small integers are the same in every type.
    let small: Vec<i8> = (0..x.values.len()).map(|i| (i * 7 % 11) as i8).collect();
    let shape = x.shape.as_slice();
    let bytes = |map: &dyn Fn(i8) -> Vec<u8>| small.iter().flat_map(|&v| map(v)).collect::<Vec<u8>>();
    let le_f32 = bytes(&|v| f32::from(v).to_le_bytes().to_vec());
    // Fortran order: the first axis fastest.
    let mut fortran = vec![0.0f32; small.len()];
    let [n, h, w, c] = shape else { panic!("four axes") };
    for (i, &v) in small.iter().enumerate() {
        let (at_n, at_h, at_w, at_c) = (i / (h * w * c), i / (w * c) % h, i / c % w, i % c);
        fortran[at_n + n * (at_h + h * (at_w + w * at_c))] = v.into();
    }
    let fortran = |map: &dyn Fn(f32) -> Vec<u8>| fortran.iter().flat_map(|&v| map(v)).collect::<Vec<u8>>();
    let files = [
        ("<f4", false, le_f32),
        (">f4", false, bytes(&|v| f32::from(v).to_be_bytes().to_vec())),
        ("<f8", false, bytes(&|v| f64::from(v).to_le_bytes().to_vec())),
        (">f8", false, bytes(&|v| f64::from(v).to_be_bytes().to_vec())),
        ("<f2", false, bytes(&|v| f16::from_f32(v.into()).to_le_bytes().to_vec())),
        (">f2", false, bytes(&|v| f16::from_f32(v.into()).to_be_bytes().to_vec())),
        ("|i1", false, bytes(&|v| v.to_le_bytes().to_vec())),
        ("|u1", false, bytes(&|v| vec![v as u8])),
        ("<i2", false, bytes(&|v| i16::from(v).to_le_bytes().to_vec())),
        (">u2", false, bytes(&|v| (v as u16).to_be_bytes().to_vec())),
        ("<i4", false, bytes(&|v| i32::from(v).to_le_bytes().to_vec())),
        (">i4", false, bytes(&|v| i32::from(v).to_be_bytes().to_vec())),
        ("<u4", false, bytes(&|v| (v as u32).to_le_bytes().to_vec())),
        ("<i8", false, bytes(&|v| i64::from(v).to_le_bytes().to_vec())),
        (">i8", false, bytes(&|v| i64::from(v).to_be_bytes().to_vec())),
        ("<u8", false, bytes(&|v| (v as u64).to_le_bytes().to_vec())),
        ("<f4", true, fortran(&|v| v.to_le_bytes().to_vec())),
        (">f8", true, fortran(&|v| f64::from(v).to_be_bytes().to_vec())),
        ("<i8", true, fortran(&|v| (v as i64).to_le_bytes().to_vec())),
    ];
    let run = |index: usize| {
        let (descr, order, data) = &files[index];
        let input = folder.file(&format!("x{index}.npy"), file(descr, *order, shape, data.clone()));
        let output = folder.join(&format!("y{index}.npy"));
        succeeds(&locally!["run", case.path("model"), "--input", input, "--output", &output]);
        npy(&output)
    };
    let expected = run(0);
    assert!(expected.values.iter().any(|v| *v != 0.0));
    in_parallel(&(1..files.len()).collect::<Vec<_>>(), |&index| {
        assert_eq!(run(index), expected, "{} {}", files[index].0, files[index].1);
    });
}

fn gradients(folder: &Folder, model: &Path, case: &common::Case) -> std::path::PathBuf {
    let output = folder.join("g.npz");
    let (x, dy) = (case.path("x"), case.path("dy"));
    succeeds(&locally!["grad", model, "--input", x, "--grad-output", dy, "--output", &output]);
    output
}

/// From Keras's file through every format and back: the same results and gradients as Keras's own.
#[test]
fn conversions_keep_the_model() {
    let names = [
        "2d_cf_i1_swish",
        "chain_2d_relu_layers",
        "chain_2d_cf_flatten_cf",
        "chain_dropout_noise",
        "functional_2d_mixed_h5",
        "functional_2d_mixed_keras",
        "slash_names_h5",
        "compiled_adam_keras",
        "config_full_h5",
        "old_keras_h5",
    ];
    in_parallel(&names, |name| {
        let (case, folder) = (case(name), Folder::new());
        let mut from = case.path("model");
        for to in ["a.safetensors", "b.h5", "c.keras", "d.hdf5", "e.safetensors", "f.keras"] {
            let to = folder.join(to);
            succeeds(&locally!["convert", &from, &to]);
            from = to;
        }
        let y = folder.join("y.npy");
        succeeds(&locally!["run", &from, "--input", case.path("x"), "--output", &y]);
        agree(name, &npy(&y), &npy(&case.path("y")));
        all_agree(name, &npz(&gradients(&folder, &from, &case)), &npz(&case.path("grads")));
    });
}

/// Through every layout and back to the file's own.
#[test]
fn layouts_keep_the_model() {
    for name in ["2d_cf_i1_swish", "1d_cl_i3_softplus"] {
        let (case, folder) = (case(name), Folder::new());
        let own = case.layers()[0]["config"]["implementation"].to_string();
        let mut from = case.path("model");
        for (to, layout) in [("a.h5", "2"), ("b.keras", "3"), ("c.safetensors", "1"), ("d.h5", own.as_str())] {
            let to = folder.join(to);
            succeeds(&locally!["convert", &from, &to, "--implementation", layout]);
            let y = folder.join("y.npy");
            succeeds(&locally!["run", &to, "--input", case.path("x"), "--output", &y]);
            agree(name, &npy(&y), &npy(&case.path("y")));
            from = to;
        }
        all_agree(name, &npz(&gradients(&folder, &from, &case)), &npz(&case.path("grads")));
    }
}

#[test]
fn weights_alone() {
    let folder = Folder::new();
    let out = folder.join("weights.npz");
    succeeds(&locally!["convert", fixture("digits/digits.h5"), &out]);
    let arrays = npz(&out);
    let names: Vec<_> = arrays.keys().map(String::as_str).collect();
    let expected =
        ["classifier", "local_1", "local_2"].map(|layer| [format!("{layer}/bias"), format!("{layer}/kernel")]);
    assert_eq!(names, expected.concat());
    assert_eq!(arrays["local_1/kernel"].shape, [36, 9, 8]);
    succeeds(&locally!["convert", fixture("digits/digits.keras"), &out, "--implementation", "2"]);
    assert_eq!(npz(&out)["local_1/kernel"].shape, [8, 8, 1, 6, 6, 8]);
    // Arrays alone are no model.
    fails(&locally!["convert", &out, folder.join("model.h5")], 2);
    assert_eq!(folder.names(), ["weights.npz"]);
}
