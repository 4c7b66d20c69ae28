//! What callers give: lengths, names, types, and who owns the weights.

use super::{given, graph, run_on};
use crate::common::{Given, Operands};
use half::f16;
use locally_connected::cpu::{Executor, ParameterValues, Weights};
use locally_connected::model::{Wanted, names};
use locally_connected::{Config, Error, Geometry, WeightType};
use std::sync::Arc;

fn layer(dtype: WeightType) -> (Geometry, Operands) {
    let layer = Geometry::new(&Config::new(3, [2]).dtype(dtype), &[5, 2]).expect("a layer");
    let operands = Operands::random(&layer, 2, 1);
    (layer, operands)
}

#[test]
fn weights_may_be_anyone_s() {
    let (layer, operands) = layer(WeightType::F32);
    let (graph, given) = (graph(&layer), given(&operands));
    let program = graph.backward(Wanted::All);
    let run = |weights: &Weights<'_>| {
        run_on(&Executor::default(), weights, Given { program: &program, batch: 2, values: &given }).expect("it runs")
    };
    let store = |kernel: ParameterValues<'static>| {
        let mut store = Weights::new();
        store.set(&program, &names::parameter("local", "kernel"), kernel).expect("a parameter");
        store.set(&program, &names::parameter("local", "bias"), operands.bias.clone()).expect("a parameter");
        store
    };
    let owned = store(operands.weights.clone().into());
    let first = run(&owned);
    let shared: Arc<[f32]> = operands.weights.clone().into();
    let of_shared = store(shared.clone().into());
    assert_eq!(Arc::strong_count(&shared), 2, "it was copied");
    assert!(run(&of_shared) == first);
    let mut borrowed = Weights::new();
    borrowed.insert(names::parameter("local", "kernel"), &operands.weights);
    borrowed.insert(names::parameter("local", "bias"), operands.bias.as_slice());
    assert_eq!((borrowed.bytes(), owned.bytes()), (0, 4 * (operands.weights.len() + operands.bias.len()) as u64));
    assert!(run(&borrowed) == first);
    // Changed in place, they are the store's own; whoever has the old ones keeps them.
    for store in [&mut borrowed, &mut of_shared.clone()] {
        let weights = store.get_mut(&names::parameter("local", "kernel")).expect("f32");
        weights.iter_mut().for_each(|weight| *weight *= 2.0);
        assert!(run(store) != first);
        assert_eq!(store.get(&names::parameter("local", "kernel")).expect("it is there")[0], 2.0 * operands.weights[0]);
    }
    assert_eq!(*shared, operands.weights);
}

#[test]
fn weights_in_16_bits_take_half_the_bytes() {
    let (layer, operands) = layer(WeightType::F16);
    let (graph, given) = (graph(&layer), given(&operands));
    let program = graph.forward();
    let mut store = Weights::new();
    store.set(&program, &names::parameter("local", "kernel"), &operands.weights).expect("a parameter");
    assert_eq!(store.bytes(), 2 * operands.weights.len() as u64);
    store.set(&program, &names::parameter("local", "bias"), &operands.bias).expect("a parameter");
    assert_eq!(store.bytes(), 2 * operands.weights.len() as u64, "a bias isn't rounded");
    let half: Vec<f16> = operands.weights.iter().map(|&weight| f16::from_f32(weight)).collect();
    let wide: Vec<f32> = half.iter().map(|weight| weight.to_f32()).collect();
    assert_eq!(store.get(&names::parameter("local", "kernel")).expect("it is there"), wide);
    let first =
        run_on(&Executor::default(), &store, Given { program: &program, batch: 2, values: &given }).expect("it runs");
    store.insert(names::parameter("local", "kernel"), half);
    assert!(
        run_on(&Executor::default(), &store, Given { program: &program, batch: 2, values: &given }).expect("it runs")
            == first
    );
    assert_eq!(store.get_mut(&names::parameter("local", "kernel")), None);
    store.insert(names::parameter("local", "kernel"), operands.weights.clone());
    let wrong = run_on(&Executor::default(), &store, Given { program: &program, batch: 2, values: &given })
        .expect_err("f32")
        .to_string();
    assert!(wrong.contains("local/kernel") && wrong.contains("Weights::set"), "{wrong}");
    let wide = Geometry::new(&layer.config().clone().dtype(WeightType::F32), layer.input_shape()).expect("a layer");
    store.insert(names::parameter("local", "kernel"), vec![f16::ONE; operands.weights.len()]);
    let program = super::graph(&wide).forward();
    let wrong = run_on(&Executor::default(), &store, Given { program: &program, batch: 2, values: &given })
        .expect_err("f16")
        .to_string();
    assert!(wrong.contains("local/kernel") && wrong.contains("f32 weights"), "{wrong}");
}

#[test]
fn wrong_operands_are_named() {
    let (layer, operands) = layer(WeightType::F32);
    let program = graph(&layer).forward();
    let mut store = Weights::new();
    let not_there = |name: &str| Err(Error::NotGiven { name: name.into() });
    assert_eq!(store.set(&program, "nobody", vec![0.0]), not_there("nobody"));
    assert_eq!(store.set(&program, names::INPUT, vec![0.0; 10]), not_there("input"));
    let length = |result: Result<(), Error>, what, expected, found| {
        let error = result.expect_err("another length");
        let Error::Length { what: of, expected: wanted, found: has, shape } = error.cause() else { panic!("{error}") };
        assert_eq!((*of, *wanted, *has), (what, expected, found));
        assert_eq!(shape.iter().product::<usize>() as u64, expected, "the shape");
    };
    length(store.set(&program, "local/kernel", vec![0.0]), "parameter", 48, 1);

    let mut bound = Executor::default().bind(&program, 2).expect("a program");
    assert_eq!(bound.batch(), 2);
    let (x, mut y) = (operands.input.as_slice(), [7.0; 24]);
    assert_eq!(bound.run(&store, &[("input", x)], &mut [("output", &mut y)]), not_there("local/kernel"));
    store.insert("local/kernel", vec![0.0; 47]);
    store.insert("local/bias", vec![0.0; 12]);
    length(bound.run(&store, &[("input", x)], &mut [("output", &mut y)]), "parameter", 48, 47);
    store.insert("local/kernel", vec![0.0; 48]);
    assert_eq!(bound.run(&store, &[("inputs", x)], &mut [("output", &mut y)]), not_there("input"));
    length(bound.run(&store, &[("input", &x[1..])], &mut [("output", &mut y)]), "input", 20, 19);
    assert_eq!(bound.run(&store, &[("input", x)], &mut []), not_there("output"));
    length(bound.run(&store, &[("input", x)], &mut [("output", &mut y[1..])]), "output", 24, 23);
    assert_eq!(y, [7.0; 24], "something was written");
    let [mut one, mut two] = [[0.0; 24]; 2];
    let twice = bound.run(&store, &[("input", x)], &mut [("output", &mut one), ("output", &mut two)]);
    assert!(matches!(twice, Err(Error::Program { why: "it is given twice", .. })), "{twice:?}");
    // What the program doesn't know is ignored, and the places of the last run mean nothing for the next.
    let mut other = [1.0];
    let outputs = &mut [("other", &mut other[..]), ("output", &mut y[..])];
    let inputs = [("other", &[][..]), ("input", x)];
    for _ in 0..2 {
        assert_eq!(bound.run(&store, &inputs, outputs), Ok(()));
    }
    outputs.reverse();
    assert_eq!(bound.run(&store, &inputs, outputs), Ok(()));
    assert_eq!((y, other), ([0.0; 24], [1.0]));
}
