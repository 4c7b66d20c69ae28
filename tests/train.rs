//! Values of new layers: their distributions, their bits, and whose fans they are drawn by.

use approx::assert_relative_eq;
use locally_connected::model::{BatchNormalization, Convolution, Dense, Depthwise, Graph, Layer, Model};
use locally_connected::train::{FanRule, Fans, draw, initial_bias, initial_parameters, initial_weights, keras_layout};
use locally_connected::{
    Bias, Config, Distribution, Error, FanMode, Geometry, Implementation, Initializer, KerasLayout, Padding,
};

const SHAPE: [usize; 3] = [10, 40, 50];

fn drawn(initializer: &Initializer) -> Vec<f64> {
    let values = draw(initializer, &SHAPE, Fans::of_shape(&SHAPE), 7).expect("values");
    assert_eq!(values.len(), 20_000);
    values.into_iter().map(f64::from).collect()
}

/// The standard normal distribution function.
fn phi(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The distance of Kolmogorov and Smirnov between values and a distribution function, times the root of their number: over
/// 1.95 once in a thousand draws.
fn distance(mut values: Vec<f64>, of: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let at = values.iter().enumerate().map(|(index, &value)| {
        let expected = of(value);
        (expected - index as f64 / count).abs().max((expected - (index + 1) as f64 / count).abs())
    });
    at.fold(0.0, f64::max) * count.sqrt()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count)
}

struct Expected {
    mean: f64,
    variance: f64,
    /// The least and the most.
    bounds: [f64; 2],
}

fn check(initializer: &Initializer, expected: &Expected, of: impl Fn(f64) -> f64) {
    let values = drawn(initializer);
    let (mean, variance) = moments(&values);
    // Of 20,000 values: five standard errors.
    assert!((mean - expected.mean).abs() < 5.0 * (expected.variance / 2e4).sqrt(), "{initializer:?}: mean {mean}");
    assert_relative_eq!(variance, expected.variance, max_relative = 0.05);
    let [low, high] = expected.bounds;
    assert!(values.iter().all(|value| (low..=high).contains(value)), "{initializer:?}");
    let distance = distance(values, of);
    assert!(distance < 1.95, "{initializer:?}: {distance}");
}

#[test]
fn distributions() {
    let seed = None;
    let everywhere = [f64::NEG_INFINITY, f64::INFINITY];
    let normal = Initializer::RandomNormal { mean: 0.5, stddev: 0.25, seed };
    let expected = Expected { mean: 0.5, variance: 0.0625, bounds: everywhere };
    check(&normal, &expected, |x| phi((x - 0.5) / 0.25));
    let uniform = Initializer::RandomUniform { minval: -0.25, maxval: 0.75, seed };
    check(&uniform, &Expected { mean: 0.25, variance: 1.0 / 12.0, bounds: [-0.25, 0.75] }, |x| x + 0.25);

    // Between −2 and 2 standard deviations.
    let cut = |z: f64| (phi(z) - phi(-2.0)) / (phi(2.0) - phi(-2.0));
    let left = 0.879_625_661_034_239_8f64.powi(2);
    let truncated = Initializer::TruncatedNormal { mean: -1.0, stddev: 0.5, seed };
    let expected = Expected { mean: -1.0, variance: 0.25 * left, bounds: [-2.0, 0.0] };
    check(&truncated, &expected, |x| cut((x + 1.0) / 0.5));

    let (fan_in, fan_out) = (400.0, 500.0);
    let fans = Fans::of_shape(&SHAPE);
    assert_eq!((fans.fan_in, fans.fan_out), (fan_in, fan_out));
    for (initializer, variance) in [
        (Initializer::GlorotUniform { seed }, 2.0 / (fan_in + fan_out)),
        (Initializer::HeUniform { seed }, 2.0 / fan_in),
        (Initializer::LecunUniform { seed }, 1.0 / fan_in),
        (scaling(FanMode::Out, Distribution::Uniform), 3.0 / fan_out),
    ] {
        let limit = (3.0 * variance).sqrt();
        let bound = limit * (1.0 + 1e-7);
        let expected = Expected { mean: 0.0, variance, bounds: [-bound, bound] };
        check(&initializer, &expected, |x| (x + limit) / (2.0 * limit));
    }
    for (initializer, variance) in [
        (Initializer::GlorotNormal { seed }, 2.0 / (fan_in + fan_out)),
        (Initializer::HeNormal { seed }, 2.0 / fan_in),
        (Initializer::LecunNormal { seed }, 1.0 / fan_in),
        (scaling(FanMode::In, Distribution::TruncatedNormal), 3.0 / fan_in),
    ] {
        let sigma = (variance / left).sqrt();
        let bound = 2.0 * sigma * (1.0 + 1e-7);
        check(&initializer, &Expected { mean: 0.0, variance, bounds: [-bound, bound] }, |x| cut(x / sigma));
    }
    let untruncated = scaling(FanMode::Average, Distribution::UntruncatedNormal);
    let variance = 3.0 / 450.0;
    let expected = Expected { mean: 0.0, variance, bounds: everywhere };
    check(&untruncated, &expected, |x| phi(x / variance.sqrt()));
}

fn scaling(mode: FanMode, distribution: Distribution) -> Initializer {
    Initializer::VarianceScaling { scale: 3.0, mode, distribution, seed: None }
}

#[test]
fn constants_and_matrices() {
    let fans = Fans::of_shape(&[2, 3]);
    let of = |initializer: Initializer| draw(&initializer, &[2, 3], fans, 1).expect("values");
    assert_eq!(of(Initializer::Zeros), [0.0; 6]);
    assert_eq!(of(Initializer::Ones), [1.0; 6]);
    assert_eq!(of(Initializer::Constant { value: -0.5 }), [-0.5; 6]);
    assert_eq!(of(Initializer::Identity { gain: 2.0 }), [2.0, 0.0, 0.0, 0.0, 2.0, 0.0]);

    // All axes but the last are rows.
    for shape in [vec![4, 3, 5], vec![3, 30], vec![30, 3], vec![2, 1]] {
        let columns = shape[shape.len() - 1];
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let initializer = Initializer::Orthogonal { gain: 2.0, seed: None };
        let matrix = draw(&initializer, &shape, fans, 3).expect("values");
        let at = |row: usize, column: usize| f64::from(matrix[row * columns + column]);
        for a in 0..rows.min(columns) {
            for b in 0..rows.min(columns) {
                let product: f64 = match rows >= columns {
                    true => (0..rows).map(|row| at(row, a) * at(row, b)).sum(),
                    false => (0..columns).map(|column| at(a, column) * at(b, column)).sum(),
                };
                let expected = if a == b { 4.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-6, "{shape:?} {a} {b}: {product}");
            }
        }
    }
}

/// What Keras's initializers refuse, and what is none of Keras's.
#[test]
fn refusals() {
    let orthogonal = Initializer::Orthogonal { gain: 1.0, seed: None };
    for (initializer, shape) in [
        (&orthogonal, &[5][..]),
        (&Initializer::Identity { gain: 1.0 }, &[2, 2, 2]),
        (&Initializer::Identity { gain: 1.0 }, &[4]),
    ] {
        let found = draw(initializer, shape, Fans::of_shape(shape), 0);
        assert!(matches!(found, Err(Error::Unsupported { .. })), "{found:?}");
    }
    let custom = Initializer::Custom("my_init".into());
    let found = draw(&custom, &[3], Fans::of_shape(&[3]), 0);
    assert!(matches!(&found, Err(Error::Unsupported { what, .. }) if what.contains("my_init")), "{found:?}");
    let found = draw(&Initializer::Zeros, &[1 << 20, 1 << 20], Fans::of_shape(&[1]), 0);
    assert!(matches!(found, Err(Error::OverBudget { needed, .. }) if needed == 4 << 40), "{found:?}");
}

/// The same bits on every platform and in every version: models that were begun elsewhere go on here.
#[test]
fn golden_bits() {
    let seed = None;
    let bits = |initializer: &Initializer| {
        let values = draw(initializer, &SHAPE, Fans::of_shape(&SHAPE), 0x0123_4567_89AB_CDEF).expect("values");
        // FNV-1a of all of them.
        values
            .iter()
            .flat_map(|value| value.to_bits().to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let found = [
        bits(&Initializer::GlorotUniform { seed }),
        bits(&Initializer::RandomNormal { mean: 0.0, stddev: 1.0, seed }),
        bits(&Initializer::TruncatedNormal { mean: 0.0, stddev: 1.0, seed }),
        bits(&Initializer::HeNormal { seed: Some(5) }),
        bits(&Initializer::Orthogonal { gain: 1.0, seed }),
    ];
    assert_eq!(found, GOLDEN, "{found:#x?}");
}

const GOLDEN: [u64; 5] =
    [0xda9b_85b4_7cc9_59d6, 0x337a_ca71_f92c_18b2, 0x9942_e3c4_b626_dbca, 0x574a_0d52_b660_f910, 0x8e2b_b4b5_fdb4_07ff];

/// A seed of the initializer's own comes first, and other seeds draw other values.
#[test]
fn seeds() {
    let of = |own: Option<i64>, seed: u64| {
        draw(&Initializer::RandomNormal { mean: 0.0, stddev: 1.0, seed: own }, &[64], Fans::of_shape(&[64]), seed)
    };
    assert_eq!(of(Some(5), 1), of(Some(5), 2));
    assert_eq!(of(Some(5), 1), of(None, 5));
    assert_ne!(of(None, 1), of(None, 2));
    // More values begin with the fewer.
    let (few, many) = (
        of(None, 1).expect("values"),
        draw(&Initializer::RandomNormal { mean: 0.0, stddev: 1.0, seed: None }, &[99], Fans::of_shape(&[1]), 1),
    );
    assert_eq!(few, many.expect("values")[..64]);
}

/// Keras's fans by implementation (docs/keras-semantics.md §7, where the limits were measured), and the true ones.
#[test]
fn fans() {
    let geometry = Geometry::new(&Config::new(4, [3]), &[8, 5]).expect("a layer");
    for (layout, sum) in [
        (KerasLayout::Implementation1, 114.0),
        (KerasLayout::Implementation2, 400.0),
        (KerasLayout::Implementation3, 720.0),
    ] {
        let fans = Fans::of_shape(&layout.shape(&geometry));
        assert_eq!(fans.fan_in + fans.fan_out, sum, "{layout:?}");
        let weights = initial_weights(&geometry, layout, FanRule::Keras, 3).expect("weights");
        assert_eq!(weights.len() as u64, geometry.weights());
        let limit = (6.0 / sum).sqrt() as f32;
        let most = weights.iter().fold(0f32, |most, w| most.max(w.abs()));
        assert!((0.95 * limit..=limit).contains(&most), "{layout:?}: {most} of {limit}");
    }
    assert_eq!(Fans::of_shape(&[]), Fans { fan_in: 1.0, fan_out: 1.0 });
    assert_eq!(Fans::of_shape(&[7]), Fans { fan_in: 7.0, fan_out: 7.0 });

    // Of 30 × 30 locations Keras's deviation is 30 times too small.
    let config = Config::new(64, [3, 3]).kernel_initializer(Initializer::LecunNormal { seed: None });
    let geometry = Geometry::new(&config, &[32, 32, 3]).expect("a layer");
    let patch = Fans::per_patch(&geometry);
    assert_eq!(patch.fan_in, 27.0);
    assert_relative_eq!(patch.fan_out, 900.0 * 27.0 * 64.0 / (32.0 * 32.0 * 3.0));
    let of = |rule| initial_weights(&geometry, KerasLayout::Implementation1, rule, 3).expect("weights");
    let (keras, patch) = (of(FanRule::Keras), of(FanRule::PerPatch));
    for (a, b) in keras.iter().zip(&patch) {
        assert_relative_eq!(30.0 * a, *b, max_relative = 1e-5);
    }
    // What padding clips is no connection.
    let same = Geometry::new(&Config::new(4, [3]).padding(Padding::Same), &[8, 5]).expect("a layer");
    assert_relative_eq!(Fans::per_patch(&same).fan_in, 22.0 * 5.0 / 8.0);
}

#[test]
fn layouts_of_new_layers() {
    let config = Config::new(4, [3]);
    assert_eq!(keras_layout(&config), KerasLayout::Implementation1);
    assert_eq!(keras_layout(&config.clone().padding(Padding::Same)), KerasLayout::Implementation3);
    let implementations = Implementation::ALL.map(|i| keras_layout(&config.clone().implementation(i)).number());
    assert_eq!(implementations, [1, 2, 3]);

    let geometry = Geometry::new(&config.clone().padding(Padding::Same), &[8, 5]).expect("a layer");
    let found = initial_weights(&geometry, KerasLayout::Implementation1, FanRule::Keras, 0);
    assert!(matches!(found, Err(Error::PaddingNeedsOtherLayout { .. })), "{found:?}");
    // Without a layout of Keras's.
    let circular = Geometry::new(&config.padding(Padding::Circular), &[8, 5]).expect("a layer");
    let weights = initial_weights(&circular, KerasLayout::Implementation3, FanRule::Keras, 0).expect("weights");
    assert_eq!(weights.len() as u64, circular.weights());
    assert!(weights.iter().any(|&w| w != 0.0));
}

/// Layers get what Keras gives them: the bias its own initializer, an identity for that of one spatial axis.
#[test]
fn biases() {
    let of = |config: &Config, input: &[usize]| {
        initial_bias(&Geometry::new(config, input).expect("a layer"), 1).expect("a bias")
    };
    assert_eq!(of(&Config::new(2, [3]), &[4, 1]), Some(vec![0.0; 4]));
    assert_eq!(of(&Config::new(2, [3]).bias(Bias::None), &[4, 1]), None);
    let identity = Config::new(2, [3]).bias_initializer(Initializer::Identity { gain: 1.0 });
    assert_eq!(of(&identity, &[4, 1]), Some(vec![1.0, 0.0, 0.0, 1.0]));
    let ones = Config::new(2, [3]).bias_initializer(Initializer::Ones).bias(Bias::PerFilter);
    assert_eq!(of(&ones, &[4, 1]), Some(vec![1.0; 2]));
}

#[test]
fn parameters_of_a_graph() -> locally_connected::Result<()> {
    let mut graph = Graph::new();
    let mut at = graph.input([8, 8, 2])?;
    let shared = Config::new(4, [3, 3]).bias(Bias::PerFilter);
    for layer in [
        Layer::from(Convolution(shared.clone())),
        Layer::new(Config::new(4, [3, 3])).named("a"),
        Layer::from(BatchNormalization { axis: 2, epsilon: 0.001, momentum: 0.99, center: true, scale: true }),
        Layer::from(Depthwise(Config::new(2, [2, 2]).bias(Bias::PerFilter))),
        Layer::new(Config::new(4, [1, 1]).bias_initializer(Initializer::Ones)).named("b"),
        Layer::new(Config::new(4, [1, 1])).named("c"),
        Layer::from(Dense::new(3)),
    ] {
        at = graph.add(layer, &[at])?;
    }
    graph.output(at);
    let parameters = initial_parameters(&graph, FanRule::Keras, 42)?;
    assert_eq!(initial_parameters(&graph, FanRule::Keras, 42)?, parameters);
    assert_ne!(initial_parameters(&graph, FanRule::Keras, 43)?, parameters);
    let most = |name: &str| parameters[name].iter().fold(0f32, |most, w| most.max(w.abs()));
    let within = |name: &str, fans: f32| {
        let limit = (6.0 / fans).sqrt();
        assert!((0.7 * limit..=limit).contains(&most(name)), "{name}: {} of {limit}", most(name));
    };
    within("conv2d/kernel", 9.0 * 2.0 + 9.0 * 4.0);
    within("a/kernel", 16.0 * 36.0 + 16.0 * 4.0);
    within("depthwise_conv2d/depthwise_kernel", 4.0 * 4.0 + 4.0 * 2.0);
    within("dense/kernel", 4.0 + 3.0);
    assert_eq!(parameters["batch_normalization/gamma"], [1.0; 4]);
    assert_eq!(parameters["batch_normalization/moving_variance"], [1.0; 4]);
    assert_eq!(parameters["batch_normalization/beta"], [0.0; 4]);
    assert!(parameters["b/bias"].iter().all(|&b| b == 1.0) && parameters["a/bias"].iter().all(|&b| b == 0.0));
    let per_patch = initial_parameters(&graph, FanRule::PerPatch, 42)?;
    assert_ne!(per_patch["a/kernel"], parameters["a/kernel"]);
    Model { graph, parameters }.check()
}
