//! Typed errors with the numbers in them: every condition under which Keras refuses the layer (docs/keras-semantics.md §9;
//! what concerns its files is tested with them), sizes that overflow, operands that don't fit.

use crate::common::{GPU, Operands, chunks, context, profile};
use locally_connected::{
    Activation, Backward, Bias, Config, DataFormat, DeviceProfile, Error, Forward, Geometry, KerasLayout,
    LocallyConnected, Padding, WeightType, wgpu,
};

fn refused(config: &Config, input_shape: &[usize]) -> Error {
    match Geometry::new(config, input_shape) {
        // Not expect_err, which would print the tables.
        Ok(_) => panic!("{input_shape:?} is taken, {config:?}"),
        Err(error) => error,
    }
}

/// The error and the numbers that its message must tell.
#[track_caller]
fn tells(error: &Error, numbers: &[&str]) {
    let message = error.to_string();
    for number in numbers {
        assert!(message.contains(number), "{number:?} is missing in {message:?}");
    }
}

#[test]
fn arguments_of_another_rank_than_the_kernel() {
    let config = Config::new(4, [3, 3]);
    for (config, argument, found) in [
        (config.clone().strides([1]), "strides", 1),
        (config.clone().strides([1, 1, 1]), "strides", 3),
        (config.clone().dilation_rate([2]), "dilation_rate", 1),
        (config.padding(Padding::Explicit(vec![[1, 1]; 3])), "padding", 3),
    ] {
        let error = config.check().expect_err("another rank");
        assert_eq!(error, Error::Rank { argument, expected: 2, found });
        assert_eq!(refused(&config, &[9, 9, 1]), error);
        tells(&error, &[argument, "2 elements", &format!("has {found}")]);
    }
    for found in [0, 4] {
        let error = Config::new(4, vec![1; found]).check().expect_err("no such rank");
        assert_eq!(error, Error::UnsupportedRank { found });
        tells(&error, &["kernel_size", "1, 2 or 3", &found.to_string()]);
    }
}

/// Keras takes stride 0 at first and divides by it later, and takes 0 filters.
#[test]
fn arguments_that_must_be_positive() {
    let config = Config::new(4, [3, 3]);
    for (config, argument) in [
        (Config::new(4, [3, 0]), "kernel_size"),
        (config.clone().strides([0, 1]), "strides"),
        (config.clone().dilation_rate([1, 0]), "dilation_rate"),
        (config.clone().groups(0), "groups"),
        (Config::new(0, [3, 3]), "filters"),
    ] {
        let error = config.check().expect_err("zero");
        assert_eq!(error, Error::NotPositive { argument, value: 0 });
        assert_eq!(refused(&config, &[9, 9, 1]), error);
        tells(&error, &[argument, "positive", "0"]);
    }
}

#[test]
fn groups_that_divide_unevenly() {
    for (groups, channels, filters) in [(2, 3, 4), (2, 4, 3), (5, 4, 4)] {
        let error = refused(&Config::new(filters, [3]).groups(groups), &[9, channels]);
        assert_eq!(error, Error::Groups { groups, channels, filters });
        tells(&error, &[groups, channels, filters].map(|n| n.to_string()).each_ref().map(String::as_str));
    }
}

/// A wrong rank, and axes without a size (None in Keras, 0 here), spatial and channels, in both formats.
#[test]
fn input_shapes() {
    for (config, shape) in [
        (Config::new(4, [3]), &[8][..]),
        (Config::new(4, [3]), &[2, 8, 5]),
        (Config::new(4, [3, 3]), &[8, 8]),
        (Config::new(4, [3, 3, 3]), &[8, 8, 8]),
        (Config::new(4, [3]), &[]),
    ] {
        let expected = config.rank() + 1;
        let error = refused(&config, shape);
        assert_eq!(error, Error::InputRank { expected, shape: shape.to_vec() });
        tells(&error, &[&expected.to_string(), &format!("{shape:?} has {}", shape.len())]);
    }
    for format in [DataFormat::ChannelsLast, DataFormat::ChannelsFirst] {
        for axis in 0..3 {
            let mut shape = vec![8; 3];
            shape[axis] = 0;
            let error = refused(&Config::new(4, [3, 3]).data_format(format).padding(Padding::Same), &shape);
            assert_eq!(error, Error::InputAxis { axis, shape: shape.clone() });
            tells(&error, &[&format!("axis {axis} of {shape:?}")]);
        }
    }
}

/// Keras's A7: a kernel of 10 on 5 steps or 5 x 5 points; its message begins the same.
#[test]
fn empty_outputs() {
    let error = refused(&Config::new(4, [10]), &[5, 2]);
    let [input, kernel, strides, dilation] = [5, 10, 1, 1].map(|one: usize| Box::from([one]));
    assert_eq!(error, Error::EmptyOutput { input, kernel, strides, dilation, output: Box::from([-4]) });
    assert!(error.to_string().starts_with("one of the dimensions in the output is <= 0 "), "{error}");
    tells(&error, &["[5]", "[10]", "[-4]"]);
    let dilated = Config::new(4, [3, 2]).dilation_rate([1, 5]).strides([2, 3]).data_format(DataFormat::ChannelsFirst);
    tells(&refused(&dilated, &[2, 5, 5]), &["[5, 5]", "[3, 2]", "[2, 3]", "[1, 5]", "[2, 0]"]);
    // One larger is enough, and padding is too.
    assert!(Geometry::new(&dilated, &[2, 5, 6]).is_ok());
    assert!(Geometry::new(&dilated.padding(Padding::Explicit(vec![[0, 0], [0, 1]])), &[2, 5, 5]).is_ok());
    assert!(Geometry::new(&Config::new(4, [10]).padding(Padding::Same), &[5, 2]).is_ok());
}

/// Keras refuses `same` with implementation 1 because its weights have no place for clipped taps.
#[test]
fn padding_without_the_weight_layout() {
    let same = Geometry::new(&Config::new(2, [3]).padding(Padding::Same), &[4, 1]).expect("a layer");
    let error = KerasLayout::Implementation1.check(&same).expect_err("Keras refuses it");
    assert_eq!(error, Error::PaddingNeedsOtherLayout { padding: "same".into() });
    tells(&error, &["padding same", "implementation 1", "only \"valid\""]);
    assert_eq!(KerasLayout::Implementation1.to_canonical(&same, &[0.0; 24]), Err(error));
    for layout in [KerasLayout::Implementation2, KerasLayout::Implementation3] {
        assert_eq!(layout.check(&same), Ok(()));
        let circular = Geometry::new(&Config::new(2, [3]).padding(Padding::Circular), &[4, 1]).expect("a layer");
        let error = layout.check(&circular).expect_err("two taps may be one entry");
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        tells(&error, &["circular", &layout.number().to_string()]);
    }
}

#[test]
fn names_and_numbers_that_keras_does_not_know() {
    for implementation in [0, 4, -1] {
        let error = KerasLayout::from_keras(implementation).expect_err("1, 2 or 3");
        assert!(matches!(error, Error::UnknownValue { argument: "implementation", .. }), "{error:?}");
        tells(&error, &["1, 2, 3", &implementation.to_string()]);
    }
    for name in ["foo", "Relu", "Linear", "", "leaky"] {
        let error = Activation::from_keras_name(name).expect_err("case matters");
        assert!(matches!(error, Error::UnknownValue { argument: "activation", .. }), "{error:?}");
        tells(&error, &["hard_sigmoid", &format!("but is {name}")]);
    }
}

/// set_weights: as many elements as the variable has, in every layout.
#[test]
fn weights_of_another_length() {
    let config = Config::new(3, [3, 2]).strides([1, 2]);
    let geometry = Geometry::new(&config, &[6, 10, 4]).expect("a layer");
    let layer = pollster::block_on(LocallyConnected::with_geometry(GPU.context(), geometry.clone())).expect("a layer");
    for (layout, shape) in [
        (KerasLayout::Implementation1, &[20, 24, 3][..]),
        (KerasLayout::Implementation2, &[6, 10, 4, 4, 5, 3]),
        (KerasLayout::Implementation3, &[1440]),
    ] {
        let expected: usize = shape.iter().product();
        for found in [0, 1, expected - 1, expected + 1] {
            let error = pollster::block_on(layer.write_weights(&vec![0.0; found], layout)).expect_err("another length");
            let (e, f) = (expected as u64, found as u64);
            assert_eq!(error, Error::Length { what: "weights", expected: e, found: f, shape: shape.to_vec() });
            tells(&error, &[&expected.to_string(), &format!("{shape:?}"), &format!("has {found}")]);
        }
        assert_eq!(pollster::block_on(layer.write_weights(&vec![0.0; expected], layout)), Ok(()));
    }
    let error = KerasLayout::Implementation3.from_canonical(&geometry, &[0.0; 7]).expect_err("another length");
    assert!(matches!(error, Error::Length { expected: 1440, found: 7, .. }), "{error:?}");
}

/// Keras's implementation 1 silently computes the first positions of a longer input; here it is an error.
#[test]
fn inputs_of_another_size_than_built() {
    pollster::block_on(async {
        let layer = LocallyConnected::new(GPU.context(), &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        for elements in [1, 23, 25, 27, 47] {
            let error = GPU.forward(&layer, &vec![0.0; elements]).await.expect_err("no whole samples");
            assert!(matches!(&error, Error::Length { what: "input", .. }), "{error:?}");
            tells(&error, &["[8, 3]", &format!("has {elements}")]);
        }
        assert_eq!(GPU.forward(&layer, &[]).await, Ok(Vec::new()), "batch 0");
    });
}

/// Sizes beyond 32-bit indices or 64-bit bytes: refused with the numbers, at once, without a panic, an overflow or an
/// allocation that grows with them.
#[test]
fn huge_sizes() {
    let max = usize::MAX;
    let (large, half) = (1usize << 32, 1usize << 16);
    let same = |config: Config| config.padding(Padding::Same);
    for (config, shape) in [
        (Config::new(1, [1]), &[max, 1][..]),
        (Config::new(1, [1]), &[1, max]),
        (Config::new(1, [1, 1]), &[max, max, max]),
        (Config::new(1, [1, 1, 1]), &[max, max, max, max]),
        (Config::new(1, [1]), &[large, 1]),
        (Config::new(1, [1, 1]), &[half, half, 1]),
        (same(Config::new(1, [max])), &[1, 1]),
        (same(Config::new(1, [max, max, max])), &[1, 1, 1, 1]),
        (same(Config::new(1, [half, half])), &[1, 1, 1]),
        (same(Config::new(1, [half])), &[1, half]),
        (Config::new(max, [1]), &[1, 1]),
        (Config::new(large, [1]), &[1, 1]),
        (Config::new(half, [1]), &[half, 1]),
        (Config::new(1, [1]).strides([max]), &[1, 1]),
        (same(Config::new(1, [2]).dilation_rate([max])), &[1, 1]),
        (same(Config::new(1, [half]).dilation_rate([half + 2])), &[1, 1]),
        (Config::new(1, [1]).padding(Padding::Explicit(vec![[max, max]])), &[1, 1]),
        (Config::new(1, [1, 1]).padding(Padding::Explicit(vec![[half, 0]; 2])), &[1, 1, 1]),
        (Config::new(half, [1]).padding(Padding::Explicit(vec![[half, 0]])).groups(half), &[1, half]),
        // 2^31 locations of 2^31 taps of 4 bytes.
        (same(Config::new(1, [half << 7, 1])), &[half << 7, half >> 7, 1]),
    ] {
        let error = refused(&config, shape);
        let Error::TooLarge { value, limit, .. } = &error else { panic!("{error:?} for {shape:?}, {config:?}") };
        assert!(*value > u128::from(*limit));
        tells(&error, &[&value.to_string(), &limit.to_string()]);
    }
}

/// Tables grow with the axes: what would take gigabytes on the host is refused, not tried.
#[test]
fn huge_tap_tables() {
    for (config, shape) in [
        (Config::new(1, [10_000]).padding(Padding::Circular), &[18_000, 1][..]),
        (Config::new(1, [1]), &[4_000_000_000, 1]),
        (Config::new(1, [400_000_000]).padding(Padding::Same), &[10, 1]),
        (Config::new(1, [60_000]).padding(Padding::Circular), &[60_000, 1]),
        (Config::new(1, [1]).strides([4_000_000_000]), &[4_000_000_000, 1]),
        (Config::new(1, [1]).padding(Padding::Explicit(vec![[4_000_000_000, 0]])), &[1, 1]),
    ] {
        let error = refused(&config, shape);
        let Error::TooLarge { what: "the tap tables' size", value, limit } = &error else { panic!("{error:?}") };
        assert!(*value > u128::from(*limit) && *limit < 1 << 31);
        tells(&error, &[&value.to_string(), &limit.to_string()]);
    }
}

/// A layer of any size that can be addressed is cut into chunks, or refused, without computing with its weights.
#[test]
fn chunks_of_huge_layers() {
    let config = Config::new(1 << 10, [1 << 10]).padding(Padding::Same);
    let geometry = Geometry::new(&config, &[1 << 10, 1 << 10]).expect("4 TiB of weights");
    assert_eq!(geometry.weights(), 1 << 40);
    let profile = DeviceProfile::webgpu_defaults();
    let chunks = chunks(&geometry, &profile).expect("a filter fits");
    assert_eq!(chunks.iter().map(|chunk| chunk.len()).sum::<u64>(), 1 << 40);
    assert!(chunks.iter().all(|chunk| chunk.bytes(WeightType::F32) <= profile.max_binding));
}

/// What is bound is checked: lengths, usage, aliases, what an operation needs.
#[test]
fn unfit_operands_are_refused() {
    pollster::block_on(async {
        let context = context(&profile());
        let config = Config::new(2, [3]).activation(Activation::Tanh);
        let layer = LocallyConnected::new(&context, &config, &[8, 3]).await.expect("a layer");
        // 5 samples of 24 inputs and 12 outputs.
        let batch = 5;
        let [x, y, dy, dx, db] = [120, 60, 60, 120, 12].map(|elements| GPU.empty(elements));
        let short = GPU.empty(59);
        let dw = layer.create_weights_gradient().await.expect("it fits");
        let forward = async |input: &wgpu::Buffer, output: &wgpu::Buffer, z: Option<&wgpu::Buffer>| {
            layer.bind_forward(Forward { batch, input, output, pre_activation: z }).await.map(drop)
        };
        let length = |what, expected, found, shape: &[usize]| {
            Err(Error::Length { what, expected, found, shape: shape.to_vec() })
        };
        assert_eq!(forward(&x, &y, None).await, Ok(()));
        assert_eq!(forward(&short, &y, None).await, length("input", 120, 59, &[5, 8, 3]));
        assert_eq!(forward(&x, &short, None).await, length("output", 60, 59, &[5, 6, 2]));
        assert_eq!(forward(&x, &y, Some(&short)).await, length("pre_activation", 60, 59, &[5, 6, 2]));
        let aliased = |with: &str, written: &str, overlap| {
            Err(Error::Aliased { written: written.into(), with: with.into(), overlap })
        };
        assert_eq!(forward(&x, &x, None).await, aliased("input", "output", 240));
        assert!(matches!(forward(&x, &y, Some(&y)).await, Err(Error::Aliased { .. })));
        let kernel = layer.weights().ranges()[0];
        let large = layer.bind_forward(Forward { batch: 1, input: kernel, output: kernel, pre_activation: None }).await;
        assert!(matches!(large.map(drop), Err(Error::Aliased { .. })), "the weights are read");
        let unusable = context.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 480,
            usage: wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        assert_eq!(forward(&unusable, &y, None).await, Err(Error::Usage { what: "input", lacks: "STORAGE" }));
        assert_eq!(forward(&x, &unusable, None).await, Err(Error::Usage { what: "output", lacks: "STORAGE" }));

        let all = Backward {
            batch,
            input: Some(&x),
            output: Some(&y),
            pre_activation: None,
            grad_output: &dy,
            grad_input: Some(&dx),
            grad_weights: Some(&dw),
            grad_bias: Some(&db),
            accumulate: false,
        };
        let backward = async |operands: Backward<'_>| layer.bind_backward(operands).await.map(drop);
        assert_eq!(backward(all).await, Ok(()));
        for (operands, missing) in
            [(Backward { input: None, ..all }, "input"), (Backward { output: None, ..all }, "output")]
        {
            let refused = backward(operands).await;
            assert!(matches!(refused, Err(Error::Missing { what, .. }) if what == missing), "{refused:?}");
        }
        assert_eq!(backward(Backward { input: None, grad_weights: None, ..all }).await, Ok(()), "not needed then");
        assert_eq!(backward(Backward { grad_output: &short, ..all }).await, length("grad_output", 60, 59, &[5, 6, 2]));
        assert_eq!(backward(Backward { grad_input: Some(&y), ..all }).await, length("grad_input", 120, 60, &[5, 8, 3]));
        let few = GPU.empty(11);
        assert_eq!(backward(Backward { grad_bias: Some(&few), ..all }).await, length("grad_bias", 12, 11, &[6, 2]));
        assert_eq!(backward(Backward { grad_input: Some(&x), ..all }).await, aliased("input", "grad_input", 480));
        assert_eq!(
            backward(Backward { grad_input: Some(&unusable), ..all }).await,
            Err(Error::Usage { what: "grad_input", lacks: "STORAGE" })
        );
        let weights = Some(layer.weights());
        assert!(matches!(backward(Backward { grad_weights: weights, ..all }).await, Err(Error::Aliased { .. })));
        let other = LocallyConnected::new(&context, &Config::new(2, [2]), &[8, 3]).await.expect("a layer");
        let refused = backward(Backward { grad_weights: Some(other.weights()), ..all }).await;
        let (expected, found) = (layer.geometry().weights(), other.geometry().weights());
        let Err(Error::Length { what: "grad_weights", expected: a, found: b, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((a, b), (expected, found));

        let no_bias =
            LocallyConnected::new(&context, &config.clone().bias(Bias::None), &[8, 3]).await.expect("a layer");
        assert!(matches!(no_bias.write_bias(&[0.0; 12]).await, Err(Error::Missing { what: "a bias", .. })));
        assert!(matches!(no_bias.bind_backward(all).await.map(drop), Err(Error::Missing { what: "a bias", .. })));
        let swish =
            LocallyConnected::new(&context, &config.activation(Activation::Swish), &[8, 3]).await.expect("a layer");
        let refused = swish.bind_backward(all).await.map(drop);
        assert!(matches!(refused, Err(Error::Missing { what: "pre_activation", .. })), "{refused:?}");

        assert_eq!(layer.write_bias(&[0.0; 11]).await, length("bias", 12, 11, &[6, 2]));
        assert_eq!(layer.write_canonical(&[0.0; 107]).await, length("weights", 108, 107, &[6, 9, 2]));
        let refused = GPU.forward(&layer, &[0.0; 25]).await;
        assert!(matches!(refused, Err(Error::Length { what: "input", found: 25, .. })), "{refused:?}");
        let operands = Operands::random(layer.geometry(), 2, 1);
        let refused = GPU.backward(&layer, &operands.input, &operands.grad_output[..23]).await;
        assert!(matches!(refused, Err(Error::Length { what: "grad_output", .. })), "{refused:?}");
    });
}
