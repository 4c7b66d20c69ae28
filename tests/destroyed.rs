//! What a host destroys is gone at once, and nothing else is: a buffer that the device takes alone is there, one that it refuses was
//! destroyed.

use crate::common::GPU;
use locally_connected::model::{layer_forward, layer_names};
use locally_connected::{
    Bindings, Config, Context, Error, Forward, Geometry, LocallyConnected, Readback, Result, ScratchPool, Weights, wgpu,
};
use std::sync::Arc;

fn on<T>(future: impl Future<Output = Result<T>>) -> T {
    pollster::block_on(future).expect("it works")
}

/// Whether the device still takes a buffer of usage `COPY_SRC` and `STORAGE`.
fn is_there(buffer: &wgpu::Buffer) -> bool {
    match pollster::block_on(Readback::new(GPU.context().device(), buffer)) {
        Ok(readback) => {
            readback.destroy();
            true
        }
        Err(Error::Refused { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn geometry() -> Geometry {
    Geometry::new(&Config::new(4, [3, 3]), &[6, 6, 2]).expect("a layer")
}

/// A context that no other test makes anything in.
fn fresh() -> Context {
    Context::new(GPU.context().device(), GPU.context().queue())
}

/// Submits one more recording; what the device says of it.
fn recorded(layer: &LocallyConnected, x: &wgpu::Buffer, y: &wgpu::Buffer) -> impl Fn() -> Option<String> + use<> {
    let bound = on(layer.bind_forward(Forward { batch: 1, input: x, output: y, pre_activation: None }));
    move || {
        let scope = GPU.context().device().push_error_scope(wgpu::ErrorFilter::Validation);
        GPU.submit(|encoder| bound.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default())));
        pollster::block_on(scope.pop()).map(|error| error.to_string())
    }
}

#[test]
fn a_layers_buffers_go_and_the_hosts_stay() {
    let (geometry, context) = (geometry(), fresh());
    let (x, y) = (GPU.empty(geometry.inputs()), GPU.empty(geometry.outputs()));
    let layer = on(LocallyConnected::with_geometry(&context, geometry));
    let run = recorded(&layer, &x, &y);
    assert_eq!(run(), None);
    let weights = layer.weights().ranges()[0].buffer.clone();
    assert!(is_there(&weights));
    layer.destroy();
    assert!(!is_there(&weights));
    assert!(run().is_some_and(|said| said.contains("destroyed")), "a pass of destroyed weights");
    assert!(is_there(&x) && is_there(&y));
}

#[test]
fn a_passs_buffers_go_and_the_layers_stay() {
    let (geometry, context) = (geometry(), fresh());
    let (x, y) = (GPU.empty(geometry.inputs()), GPU.empty(geometry.outputs()));
    let layer = on(LocallyConnected::with_geometry(&context, geometry));
    let forward = Forward { batch: 1, input: &x, output: &y, pre_activation: None };
    let bound = on(layer.bind_forward(forward));
    let again = bound.clone();
    bound.destroy();
    let scope = context.device().push_error_scope(wgpu::ErrorFilter::Validation);
    GPU.submit(|encoder| again.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default())));
    let said = pollster::block_on(scope.pop()).map(|error| error.to_string());
    assert!(said.is_some_and(|said| said.contains("destroyed")), "a pass without its uniforms");
    assert!(is_there(&layer.weights().ranges()[0].buffer.clone()));
    assert_eq!(recorded(&layer, &x, &y)(), None);
    layer.destroy();
}

/// A second set of weights has the layer's tables in common with the first.
#[test]
fn what_another_has_stays() {
    let (geometry, context) = (geometry(), fresh());
    let (x, y) = (GPU.empty(geometry.inputs()), GPU.empty(geometry.outputs()));
    let layer = on(LocallyConnected::with_geometry(&context, geometry));
    let twin = on(layer.twin());
    let (run, other) = (recorded(&layer, &x, &y), recorded(&twin, &x, &y));
    twin.destroy();
    assert!(other().is_some());
    assert_eq!(run(), None);
    assert_eq!(recorded(&layer, &x, &y)(), None);
}

/// Parameters in buffers of a host's, or of another layer's, are theirs.
#[test]
fn what_was_lent_stays() {
    let (geometry, context) = (geometry(), fresh());
    let program = layer_forward(&Arc::new(geometry.clone()), false);
    let held = GPU.empty(geometry.weights());
    let given = Bindings::default().with(layer_names::WEIGHTS, &held);
    let parameters = on(Weights::with_buffers(&context, &program, &given));
    let bias = parameters.get(layer_names::BIAS).expect("a bias").ranges()[0].buffer.clone();
    parameters.destroy();
    assert!(is_there(&held) && !is_there(&bias));
    let lender = on(LocallyConnected::with_geometry(&context, geometry));
    let given = Bindings::default().with(layer_names::WEIGHTS, lender.weights());
    on(Weights::with_buffers(&context, &program, &given)).destroy();
    assert!(is_there(&lender.weights().ranges()[0].buffer.clone()));
}

#[test]
fn a_pools_buffers_go_unless_they_are_the_hosts() {
    let context = fresh();
    let own = GPU.empty(64);
    on(ScratchPool::of_buffers(&context, [own.clone()])).destroy();
    assert!(is_there(&own));
}
