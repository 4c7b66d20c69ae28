//! What the crate trains natively is what a page is to train: `web/test/trained.json` has it, `web/test/training.js` trains the same.
//!
//! `WRITE_TRAINED=1 cargo test -p locally-connected-web` writes the file anew; without it the file is checked.

use crate::config::LayerConfig;
use crate::goals::Compile;
use crate::named::Named;
use crate::sequential::SequentialModel;
use locally_connected::cpu::{Executor, Instructions, Runner};
use locally_connected::train::{Data, FitOptions, Trainer};
use serde_json::{Map, Value, json};

/// A training: as a page is told it, and as the crate is.
struct Case {
    name: &'static str,
    /// Whether nothing of it depends on a platform's own functions, so that the CPU's bits are the same everywhere.
    exact: bool,
    input_shape: &'static [u32],
    samples: usize,
    layers: Value,
    options: Value,
    build: fn(&mut SequentialModel),
    compile: fn() -> Compile,
    fit: fn(FitOptions<'static>) -> FitOptions<'static>,
    /// Whether samples count as `values` says, each plus 1.5.
    weighted: bool,
    /// Whether targets are numbers of so many classes.
    classes: Option<usize>,
}

/// What the tests of a page call by the same name: values from -1 to 1 that repeat after 97.
fn values(count: usize, factor: usize) -> Vec<f32> {
    (0..count).map(|at| (((factor * at) % 97) as f64 / 48.0 - 1.0) as f32).collect()
}

fn named(name: &str, numbers: &[(&str, f64)]) -> Named {
    let mut named = Named::new(name.into());
    numbers.iter().for_each(|&(argument, value)| named.number(argument.into(), value));
    named
}

fn local(model: &mut SequentialModel, name: &str, (filters, size): (u32, &[u32]), set: impl Fn(&mut LayerConfig)) {
    let mut config = LayerConfig::new(filters, size);
    set(&mut config);
    model.local(name, &config).expect("a layer");
}

fn compiled(optimizer: Named, seed: f64, goals: impl Fn(&mut Compile)) -> Compile {
    let mut compile = Compile::new(optimizer, seed).expect("an optimizer");
    goals(&mut compile);
    compile
}

fn cases() -> Vec<Case> {
    let adam = Case {
        name: "adam",
        exact: true,
        input_shape: &[6, 6, 2],
        samples: 11,
        layers: json!([
            { "className": "LocallyConnected2D", "name": "first", "filters": 4, "kernelSize": 3, "activation": "relu",
              "kernelRegularizer": { "className": "L2", "l2": 0.01 }, "kernelConstraint": { "className": "MaxNorm", "maxValue": 0.75, "axis": [1, 2] },
              "activityRegularizer": { "className": "L1", "l1": 0.001 } },
            { "className": "Flatten" },
            { "className": "Dense", "name": "last", "units": 3, "biasRegularizer": "l1" }
        ]),
        options: json!({ "loss": "mse", "metrics": ["mae"], "optimizer": "adam", "learningRate": 0.02, "seed": 7, "epochs": 3, "batchSize": 4 }),
        build: |model| {
            local(model, "first", (4, &[3, 3]), |config| {
                config.activation("relu", &[]).expect("relu");
                config.rule("kernel_regularizer", named("L2", &[("l2", 0.01)])).expect("a regularizer");
                let mut norm = named("MaxNorm", &[("max_value", 0.75)]);
                norm.numbers("axis".into(), vec![1.0, 2.0]);
                config.rule("kernel_constraint", norm).expect("a constraint");
                config.rule("activity_regularizer", named("L1", &[("l1", 0.001)])).expect("a regularizer");
            });
            model.flatten("flatten", false).expect("a layer");
            let mut dense = named("Dense", &[("units", 3.0)]);
            dense.text("bias_regularizer".into(), "l1".into());
            model.dense("last", dense).expect("a layer");
        },
        compile: || {
            compiled(named("adam", &[("learning_rate", 0.02)]), 7.0, |compile| {
                compile.loss("last".into(), named("mse", &[]), None).expect("a loss");
                compile.metric("last".into(), named("mae", &[]), false).expect("a metric");
            })
        },
        fit: |options| options.epochs(3).batch_size(4),
        weighted: false,
        classes: None,
    };
    let sgd = Case {
        name: "sgd",
        exact: true,
        input_shape: &[9, 2],
        samples: 12,
        layers: json!([
            { "className": "LocallyConnected1D", "name": "first", "filters": 3, "kernelSize": 3, "implementation": 2, "padding": "same",
              "activation": { "className": "LeakyReLU", "alpha": 0.25 }, "kernelInitializer": { "className": "HeNormal", "seed": 5 } },
            { "className": "Dropout", "name": "dropout", "rate": 0.25 },
            { "className": "LocallyConnected1D", "name": "last", "filters": 2, "kernelSize": 4, "strides": 2, "biasInitializer": "ones" }
        ]),
        options: json!({ "loss": { "className": "Huber", "delta": 0.5 }, "seed": 3, "epochs": 4, "batchSize": 5, "validationSplit": 0.25,
            "optimizer": { "className": "SGD", "momentum": 0.5, "nesterov": true, "clipnorm": 0.25,
                "learningRate": { "className": "InverseTimeDecay", "initialLearningRate": 0.25, "decaySteps": 4, "decayRate": 0.5 } } }),
        build: |model| {
            local(model, "first", (3, &[3]), |config| {
                config.implementation(2.0).expect("a layout");
                config.padding("same").expect("padding");
                config.activation("ReLU", &[f32::NAN, 0.25, 0.0]).expect("leaky");
                config.rule("kernel_initializer", named("HeNormal", &[("seed", 5.0)])).expect("an initializer");
            });
            model.noise("dropout", named("Dropout", &[("rate", 0.25)])).expect("a layer");
            local(model, "last", (2, &[4]), |config| {
                config.strides(&[2]);
                config.rule("bias_initializer", named("ones", &[])).expect("an initializer");
            });
        },
        compile: || {
            let mut sgd = named("SGD", &[("momentum", 0.5), ("nesterov", 1.0), ("clipnorm", 0.25)]);
            let decay = [("initial_learning_rate", 0.25), ("decay_steps", 4.0), ("decay_rate", 0.5)];
            sgd.named("learning_rate".into(), named("InverseTimeDecay", &decay));
            compiled(sgd, 3.0, |compile| {
                compile.loss("last".into(), named("Huber", &[("delta", 0.5)]), None).expect("a loss");
            })
        },
        fit: |options| options.epochs(4).batch_size(5).validation_split(0.25),
        weighted: false,
        classes: None,
    };
    let classes = Case {
        name: "classes",
        exact: false,
        input_shape: &[4, 4, 1],
        samples: 10,
        layers: json!([
            { "className": "LocallyConnected2D", "name": "first", "filters": 3, "kernelSize": 2, "activation": "tanh", "implementation": 3 },
            { "className": "GaussianNoise", "name": "noise", "stddev": 0.1 },
            { "className": "Flatten" },
            { "className": "Dense", "name": "last", "units": 4, "activation": "softmax" }
        ]),
        options: json!({ "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "weightedMetrics": ["accuracy"], "seed": 1,
            "epochs": 3, "batchSize": 4, "classWeight": [1, 2, 0.5, 1], "shuffle": false,
            "optimizer": { "className": "RMSprop", "learningRate": 0.01, "useEma": true, "emaMomentum": 0.75, "emaOverwriteFrequency": 5 } }),
        build: |model| {
            local(model, "first", (3, &[2, 2]), |config| {
                config.activation("tanh", &[]).expect("tanh");
                config.implementation(3.0).expect("a layout");
            });
            model.noise("noise", named("GaussianNoise", &[("stddev", 0.1)])).expect("a layer");
            model.flatten("flatten", false).expect("a layer");
            let mut dense = named("Dense", &[("units", 4.0)]);
            dense.text("activation".into(), "softmax".into());
            model.dense("last", dense).expect("a layer");
        },
        compile: || {
            let averaged =
                [("learning_rate", 0.01), ("use_ema", 1.0), ("ema_momentum", 0.75), ("ema_overwrite_frequency", 5.0)];
            compiled(named("RMSprop", &averaged), 1.0, |compile| {
                let output = || "last".to_owned();
                compile.loss(output(), named("sparse_categorical_crossentropy", &[]), None).expect("a loss");
                compile.metric(output(), named("accuracy", &[]), false).expect("a metric");
                compile.metric(output(), named("accuracy", &[]), true).expect("a metric");
            })
        },
        fit: |options| options.epochs(3).batch_size(4).shuffle(false).class_weight(&[1.0, 2.0, 0.5, 1.0]),
        weighted: true,
        classes: Some(4),
    };
    vec![adam, sgd, classes]
}

/// The case as a page is given it, with what training it comes to.
fn trained(case: &Case) -> Value {
    let mut model = SequentialModel::new(case.input_shape).expect("a model");
    (case.build)(&mut model);
    let model = model.model();
    let graph = &model.graph;
    let training = (case.compile)().of(graph).expect("a training");
    let parameters = SequentialModel::drawn(graph, 11.0).expect("parameters");
    let [inputs, outputs] = [graph.inputs()[0].elements(), graph.outputs()[0].elements()].map(|each| each as usize);
    let x = values(case.samples * inputs, 37);
    let t = match case.classes {
        Some(classes) => (0..case.samples).map(|at| (at * at % classes) as f32).collect(),
        None => values(case.samples * outputs, 41),
    };
    let weights: Vec<f32> = values(case.samples, 29).into_iter().map(|value| value + 1.5).collect();
    let data = Data::new(&x, &t);
    let data = if case.weighted { data.sample_weight(&weights) } else { data };
    // A browser's instructions round as the portable ones do.
    let executor = Executor::default().with_instructions(Instructions::Portable);
    let train = async {
        let mut trainer = Trainer::new(Runner::new(executor), training, &parameters).await?;
        let history = trainer.fit(&data, &(case.fit)(FitOptions::new()), &mut []).await?;
        let evaluated = trainer.evaluate(&data, 4).await?;
        Ok::<_, locally_connected::Error>((history, evaluated, trainer.parameters().await?))
    };
    let (history, evaluated, parameters) = pollster::block_on(train).expect("it is trained");
    let names = history.epochs[0].logs.iter().map(|(name, _)| name);
    let history: Map<String, Value> = names.map(|name| (name.to_owned(), json!(history.get(name)))).collect();
    let evaluated: Map<String, Value> = evaluated.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    // As Keras stores them, by their bits.
    let stored = |(name, values): (&String, &Vec<f32>)| {
        let (layer, weight) = name.split_once('/').expect("a layer's");
        let values = model.from_canonical(layer, weight, values).expect("stored");
        (name.clone(), json!(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()))
    };
    let weights: Map<String, Value> = parameters.iter().map(stored).collect();
    json!({
        "name": case.name, "exact": case.exact, "inputShape": case.input_shape, "samples": case.samples, "layers": case.layers,
        "options": case.options, "weighted": case.weighted, "classes": case.classes,
        "history": history, "evaluated": evaluated, "weights": weights,
    })
}

#[test]
fn pages_are_told_what_the_crate_trains() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/test/trained.json");
    let found: Vec<Value> = cases().iter().map(trained).collect();
    if std::env::var_os("WRITE_TRAINED").is_some() {
        let lines: Vec<String> = found.iter().map(Value::to_string).collect();
        std::fs::write(path, format!("[\n{}\n]\n", lines.join(",\n"))).expect("it is written");
    }
    let written = std::fs::read_to_string(path).expect("the file is there");
    let written: Vec<Value> = serde_json::from_str(&written).expect("JSON");
    assert_eq!(written.len(), found.len());
    for (written, found) in written.iter().zip(&found) {
        // A platform's own functions may differ in their last bits.
        let exact = found["exact"] == json!(true);
        for (key, value) in found.as_object().expect("a case") {
            if exact || !["history", "evaluated", "weights"].contains(&key.as_str()) {
                assert_eq!(written[key], *value, "{key} of {}", found["name"]);
            }
        }
    }
}
