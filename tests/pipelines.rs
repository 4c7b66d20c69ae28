//! When pipelines are compiled: by `prepare_*` what will be bound and nothing else, and each once whoever asks for it.

use crate::common::{GPU, activations, profile};
use locally_connected::{
    Backward, Config, Context, Error, Forward, Geometry, Gradients, Implementation, LocallyConnected, PlanOptions,
    Saved,
};
use std::sync::Barrier;

/// A context with no pipelines yet.
fn fresh() -> Context {
    Context::with_profile(GPU.context().device(), GPU.context().queue(), profile())
}

/// What is prepared is what binding needs, for every activation, implementation and pass.
#[test]
fn binding_compiles_nothing_that_was_prepared() {
    let batch = 3;
    let passes = ["forward", "forward that keeps", "backward", "grad_input alone"];
    let ways = Implementation::ALL.into_iter().flat_map(|implementation| passes.map(|pass| (implementation, pass)));
    for activation in activations() {
        for (implementation, pass) in ways.clone() {
            let config = Config::new(4, [3]).activation(activation).implementation(implementation);
            let geometry = Geometry::new(&config, &[9, 4]).expect("a layer");
            let context = fresh();
            pollster::block_on(async {
                let [x, dx] = [GPU.empty(3 * 36), GPU.empty(3 * 36)];
                let [y, z, dy] = [(); 3].map(|()| GPU.empty(u64::from(batch) * geometry.outputs()));
                let db = GPU.empty(geometry.biases());
                let layer = LocallyConnected::with_geometry(&context, geometry).await.expect("a layer");
                let dw = layer.create_weights_gradient().await.expect("memory");
                let all = pass == "backward";
                match pass {
                    "forward" => layer.prepare_forward(batch, false).await,
                    "forward that keeps" => layer.prepare_forward(batch, true).await,
                    _ => layer.prepare_backward(batch, Gradients { input: true, weights: all, bias: all }).await,
                }
                .expect("prepared");
                let prepared = context.pipelines().len();
                assert!(prepared > 0);
                match pass {
                    "forward" | "forward that keeps" => {
                        let pre_activation = (pass != "forward").then_some(&z);
                        layer.bind_forward(Forward { batch, input: &x, output: &y, pre_activation }).await
                    }
                    _ => {
                        let saved = |saved| (activation.saved() == saved).then_some(());
                        let backward = Backward {
                            batch,
                            input: Some(&x),
                            output: saved(Saved::Output).map(|()| &y),
                            pre_activation: saved(Saved::PreActivation).map(|()| &z),
                            grad_output: &dy,
                            grad_input: Some(&dx),
                            grad_weights: all.then_some(&dw),
                            grad_bias: all.then_some(&db),
                            accumulate: false,
                        };
                        layer.bind_backward(backward).await
                    }
                }
                .expect("bound");
                let compiled = context.pipelines().len() - prepared;
                assert_eq!(compiled, 0, "{pass} of {activation:?} by {implementation:?}");
            });
        }
    }
}

/// A backward pass alone needs no memory that only a forward pass does.
#[test]
fn a_backward_pass_is_prepared_alone() {
    let config = Config::new(4, [3]).implementation(Implementation::DenseMatmul);
    let geometry = Geometry::new(&config, &[9, 4]).expect("a layer");
    let context = fresh();
    pollster::block_on(async {
        let mut layer = LocallyConnected::with_geometry(&context, geometry).await.expect("a layer");
        layer.set_options(PlanOptions { memory_budget: Some(4), ..PlanOptions::default() });
        let forward = layer.prepare_forward(2, false).await;
        assert!(matches!(&forward, Err(Error::OverBudget { budget: 4, .. })), "{forward:?}");
        assert_eq!(context.pipelines().compiled(), 0);
        let wanted = Gradients { input: false, weights: false, bias: true };
        assert_eq!(layer.prepare_backward(2, wanted).await, Ok(()));
        assert_eq!(context.pipelines().compiled(), 1);
    });
}

/// Threads that bind the same layer at once share what one of them compiles.
#[test]
fn threads_compile_a_pipeline_once() {
    const THREADS: usize = 4;
    let context = fresh();
    let geometry = Geometry::new(&Config::new(4, [3, 3]), &[6, 6, 4]).expect("a layer");
    let (x, y) = (GPU.empty(geometry.inputs()), GPU.empty(geometry.outputs()));
    let layer = pollster::block_on(LocallyConnected::with_geometry(&context, geometry)).expect("a layer");
    let together = Barrier::new(THREADS);
    let forward = Forward { batch: 1, input: &x, output: &y, pre_activation: None };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                pollster::block_on(layer.bind_forward(forward)).expect("bound");
            });
        }
    });
    assert_eq!((context.pipelines().len(), context.pipelines().compiled()), (1, 1));
}
