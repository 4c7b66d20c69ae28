//! Connectivity beyond windows: patterns of the user's, and the transposed layer.

use crate::common::{FORWARD, GPU, Operands, Trial, assert_near, check, random};
use locally_connected::geometry::SparseIndex;
use locally_connected::plan::Strategy;
use locally_connected::reference;
use locally_connected::{
    Activation, Bias, Config, DeviceProfile, Error, Geometry, Implementation, LocallyConnected, Padding, Pattern,
};
use locally_connected::{TransposedBackward, TransposedLocallyConnected, wgpu};
use std::time::{Duration, Instant};

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn irregular(rows: u32, inputs: u32, connections: usize) -> Vec<(u32, u32)> {
    let values = random(11, 2 * connections as u64);
    let scale = |v: f32, n: u32| (((v + 1.0) / 2.0 * n as f32) as u32).min(n - 1);
    values.chunks_exact(2).map(|v| (scale(v[0] * v[0] * v[0], rows), scale(v[1], inputs))).collect()
}

#[test]
fn patterns_equal_the_reference() {
    for (rows, inputs, connections, filters, batch) in
        [(7, 11, 30, 1, 3), (5, 64, 200, 3, 1), (70, 130, 900, 8, 33), (3, 5, 0, 2, 2), (1, 1, 1, 1, 1)]
    {
        let (pattern, _) = Pattern::from_coo(rows as usize, inputs as usize, &irregular(rows, inputs, connections))
            .expect("pairs in range");
        for (bias, activation) in [(Bias::None, Activation::Linear), (Bias::PerLocation, Activation::Tanh)] {
            let geometry = Geometry::from_pattern(pattern.clone(), filters, bias, activation).expect("fits");
            check(Trial { geometry: &geometry, batch, seed: 5 }, GPU.context().profile());
            let gpu = DeviceProfile { strategy: Strategy::GPU, ..GPU.context().profile().clone() };
            check(Trial { geometry: &geometry, batch, seed: 5 }, &gpu);
            let mut small = GPU.context().profile().clone();
            // The index stays whole, the weights are cut into several chunks of rows.
            small.max_binding = 4 * SparseIndex::len_of(&geometry).max(64);
            check(Trial { geometry: &geometry, batch, seed: 5 }, &small);
        }
    }
}

#[test]
fn mask_and_compressed_rows_and_pairs_agree() {
    let mask = [true, false, true, true, false, false]; // [3 inputs][2 rows]
    let masked = Pattern::from_mask(2, 3, &mask).expect("six entries");
    let (pairs, order) = Pattern::from_coo(2, 3, &[(1, 1), (0, 0), (0, 1)]).expect("in range");
    let rows = Pattern::from_csr(3, vec![0, 2, 3], vec![0, 1, 1]).expect("compressed rows");
    assert_eq!(masked, pairs);
    assert_eq!(masked, rows);
    assert_eq!(order, [2, 0, 1]);
}

#[test]
fn malformed_patterns_are_refused() {
    assert!(matches!(Pattern::from_coo(2, 3, &[(2, 0)]), Err(Error::Shape { .. })));
    assert!(matches!(Pattern::from_coo(2, 3, &[(0, 3)]), Err(Error::Shape { .. })));
    assert!(matches!(Pattern::from_csr(3, vec![0, 2, 1], vec![0]), Err(Error::Shape { .. })));
    assert!(matches!(Pattern::from_csr(3, vec![0, 1], vec![3]), Err(Error::Shape { .. })));
    assert!(matches!(Pattern::from_mask(2, 3, &[true]), Err(Error::Length { .. })));
    assert!(matches!(Pattern::from_coo(0, 3, &[]), Err(Error::InputAxis { .. })));
    let (pattern, _) = Pattern::from_coo(2, 3, &[(0, 0)]).expect("in range");
    let geometry = Geometry::from_pattern(pattern, 1, Bias::None, Activation::Linear).expect("fits");
    let layer = pollster::block_on(LocallyConnected::with_geometry(GPU.context(), geometry)).expect("built");
    for implementation in [Implementation::Loop, Implementation::DenseMatmul] {
        let possible = layer.planner().possible(layer.geometry(), implementation);
        assert!(matches!(possible, Err(Error::Unsupported { .. })));
    }
}

/// GenNet's gene layer: 500,000 inputs, 20,000 rows, 500,000 connections, batch 32, against a sparse product on the CPU.
#[test]
fn a_gene_layer_builds_in_under_a_second_and_is_right() {
    let pairs = irregular(20_000, 500_000, 500_000);
    let began = Instant::now();
    let (pattern, _) = Pattern::from_coo(20_000, 500_000, &pairs).expect("in range");
    let geometry = Geometry::from_pattern(pattern, 1, Bias::PerLocation, Activation::Linear).expect("fits");
    let index = SparseIndex::new(&geometry).expect("there is memory");
    let took = began.elapsed();
    // Unoptimised code on a shared machine; benches/host.rs measures the release build.
    assert!(took < Duration::from_secs(1), "building took {took:?}");
    let operands = Operands::random(&geometry, 32, 3);
    assert_eq!(index.entries.len(), pairs.len());
    let [input, kernel, bias] = [&operands.input, &operands.weights, &operands.bias].map(|values| wide(values));
    let expected = reference::local_forward(&geometry, &input, &kernel, &bias);
    let layer: locally_connected::Result<_> = pollster::block_on(async {
        let layer = LocallyConnected::with_geometry(GPU.context(), geometry).await?;
        layer.write_canonical(&operands.weights).await?;
        layer.write_bias(&operands.bias).await?;
        Ok(layer)
    });
    let output = pollster::block_on(GPU.forward(&layer.expect("built"), &operands.input)).expect("runs");
    assert_near("output", &output, &expected, FORWARD);
}

#[test]
fn the_transposed_layer_is_the_adjoint_with_right_gradients() {
    for implementation in Implementation::ALL {
        let config = Config::new(6, [3, 2])
            .strides([2, 1])
            .padding(Padding::Same)
            .bias(Bias::None)
            .implementation(implementation);
        pollster::block_on(async {
            let layer = TransposedLocallyConnected::new(GPU.context(), &config, &[7, 5, 4]).await.expect("built");
            let geometry = layer.adjoint().geometry().clone();
            let (inputs, outputs) = (3 * geometry.outputs(), 3 * geometry.inputs());
            let (x, dy) = (random(1, inputs), random(2, outputs));
            let kernel = random(3, geometry.weights());
            layer.adjoint().write_canonical(&kernel).await.expect("its length");
            let (bx, by, bdy, bdx) = (GPU.upload(&x), GPU.empty(outputs), GPU.upload(&dy), GPU.empty(inputs));
            let dw = layer.adjoint().create_weights_gradient().await.expect("fits");
            let forward = layer.bind_forward(3, &bx, &by).await.expect("bound");
            let operands = TransposedBackward {
                batch: 3,
                input: Some(&bx),
                grad_output: &bdy,
                grad_input: Some(&bdx),
                grad_weights: Some(&dw),
                accumulate: false,
            };
            let backward = layer.bind_backward(operands).await.expect("bound");
            GPU.submit(|encoder| {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                forward.record(&mut pass);
                backward.record(&mut pass);
            });
            let [x, dy, kernel] = [x, dy, kernel].map(|values| wide(&values));
            let y = GPU.read(&by, outputs).await.expect("read");
            assert_near("output", &y, &reference::local_grad_input(&geometry, &kernel, &x), FORWARD);
            let dx = GPU.read(&bdx, inputs).await.expect("read");
            assert_near("grad_input", &dx, &reference::local_forward(&geometry, &dy, &kernel, &[]), FORWARD);
            let dw = GPU.read_weights(layer.adjoint(), &dw).await.expect("read");
            assert_near("grad_weights", &dw, &reference::local_grad_weights(&geometry, &dy, &x), FORWARD);
        });
    }
    let biased = Config::new(6, [3, 2]);
    let refused = pollster::block_on(TransposedLocallyConnected::new(GPU.context(), &biased, &[7, 5, 4]));
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
}
