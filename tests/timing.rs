//! Timestamps of passes: of each dispatch in a pass of ours or the host's, of each operation where the device has no more, and
//! typed refusals where it has none.

use crate::common::Operands;
use locally_connected::headless::{adapters, pick, wanted};
use locally_connected::{
    Activation, Backward, Bound, Config, Context, Error, Forward, Geometry, LocallyConnected, PlanOptions, Result,
    Timed, Timing, wait, wgpu,
};
use std::sync::LazyLock;
use wgpu::Features;

/// A device that has these features, of the adapter under test.
struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    context: Context,
}

/// The adapter under test, for native apps: the suite runs with what WebGPU promises only, which timestamps inside passes are
/// not.
static ADAPTER: LazyLock<wgpu::Adapter> = LazyLock::new(|| {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.flags.remove(wgpu::InstanceFlags::STRICT_WEBGPU_COMPLIANCE);
    let mut adapters = pollster::block_on(adapters(&wgpu::Instance::new(descriptor)));
    adapters.swap_remove(pick(&adapters, wanted(None).as_deref()).expect("tests need an adapter"))
});

const INSIDE: Features = Features::TIMESTAMP_QUERY.union(Features::TIMESTAMP_QUERY_INSIDE_PASSES);

impl Host {
    /// None where the adapter lacks them.
    fn new(features: Features) -> Option<Self> {
        if !ADAPTER.features().contains(features) {
            assert_ne!(ADAPTER.get_info().device_type, wgpu::DeviceType::Cpu, "lavapipe writes timestamps");
            return None;
        }
        let descriptor = wgpu::DeviceDescriptor {
            required_features: features,
            required_limits: ADAPTER.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(ADAPTER.request_device(&descriptor)).expect("a device");
        let context = Context::new(&device, &queue);
        Some(Self { device, queue, context })
    }

    fn on<T>(&self, future: impl Future<Output = Result<T>>) -> T {
        wait(&self.device, future).expect("it works")
    }

    fn buffer(&self, elements: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let (label, size) = (Some("the host's"), 4 * elements);
        self.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    }

    /// A backward pass of several operations.
    fn backward(&self) -> Bound {
        let geometry = Geometry::new(&Config::new(16, [3, 3]).activation(Activation::Swish), &[16, 16, 8]).expect("it");
        let operands = Operands::random(&geometry, 4, 1);
        let layer = self.on(operands.layer(&self.context, &geometry));
        let [x, z, dy, dx] = [geometry.inputs(), geometry.outputs(), geometry.outputs(), geometry.inputs()]
            .map(|elements| self.buffer(4 * elements));
        let (db, dw) = (self.buffer(geometry.biases()), self.on(layer.create_weights_gradient()));
        let backward = Backward::new(4, &dy).input(&x).pre_activation(&z).grad_input(&dx).grad_weights(&dw);
        self.on(layer.bind_backward(backward.grad_bias(&db)))
    }

    fn time(&self, timing: &mut Timing) -> Vec<Timed> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        timing.record(&mut encoder).expect("the last values were taken");
        self.queue.submit([encoder.finish()]);
        self.on(timing.values())
    }

    fn set(&self, ty: wgpu::QueryType, count: u32) -> wgpu::QuerySet {
        self.device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty, count })
    }
}

/// Spans in the pass's order, without a gap, each with a time.
fn assert_spans(bound: &Bound, timed: &[Timed], whole_operations: bool) {
    let mut next = 0;
    for one in timed {
        assert_eq!(one.dispatches.start, next);
        next = one.dispatches.end;
        assert!(one.operation.starts_with("locally-connected "), "{one:?}");
        let seconds = one.seconds.expect("lavapipe's clock goes forward");
        assert!(seconds > 0.0 && seconds < 60.0, "{one:?}");
        assert_eq!(one.kernel.is_some(), one.dispatches.len() == 1, "{one:?}");
        let planned: Vec<_> = bound.plan().dispatches().skip(one.dispatches.start).take(one.dispatches.len()).collect();
        assert_eq!(one.flops, planned.iter().map(|dispatch| dispatch.flops()).sum::<u64>());
        assert!(one.kernel.as_ref().is_none_or(|kernel| *kernel == planned[0].variant.name()), "{one:?}");
    }
    assert_eq!(next, bound.dispatches());
    let operations = bound.plan().plans.iter().filter(|plan| !plan.dispatches.is_empty()).count();
    assert_eq!(timed.len(), if whole_operations { operations } else { bound.dispatches() });
    assert!(operations >= 4, "{operations}");
    let names: Vec<&str> = timed.iter().map(|one| &*one.operation).collect();
    for name in ["activate_grad", "local_grad_input", "local_grad_weights", "grad_bias"] {
        assert!(names.contains(&format!("locally-connected {name}").as_str()), "{name} in {names:?}");
    }
}

#[test]
fn every_dispatch_is_timed() {
    let Some(host) = Host::new(INSIDE) else { return };
    let bound = host.backward();
    let mut timing = host.on(Timing::new(&host.context, &bound));
    for _ in 0..3 {
        assert_spans(&bound, &host.time(&mut timing), false);
    }
    // Recorded again before its values were taken.
    let mut encoder = host.device.create_command_encoder(&Default::default());
    timing.record(&mut encoder).expect("the first");
    assert_eq!(timing.record(&mut encoder), Err(Error::NotTaken));
    host.queue.submit([encoder.finish()]);
    assert_spans(&bound, &host.on(timing.values()), false);
}

#[test]
fn operations_are_timed_where_passes_write_no_timestamps() {
    let Some(host) = Host::new(Features::TIMESTAMP_QUERY) else { return };
    let bound = host.backward();
    let mut timing = host.on(Timing::new(&host.context, &bound));
    for _ in 0..3 {
        assert_spans(&bound, &host.time(&mut timing), true);
    }
    // Into a pass of the host's it can't be done.
    let set = host.set(wgpu::QueryType::Timestamp, 64);
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let refused = bound.record_timed(&mut encoder.begin_compute_pass(&Default::default()), &set, 0);
    assert_eq!(refused, Err(Error::Feature { what: "timestamps", feature: "TIMESTAMP_QUERY_INSIDE_PASSES" }));
}

/// In the host's own pass and query set, behind the host's own timestamps.
#[test]
fn a_host_s_own_queries_are_written() {
    let Some(host) = Host::new(INSIDE) else { return };
    let bound = host.backward();
    let (set, first) = (host.set(wgpu::QueryType::Timestamp, bound.timestamps() + 5), 3);
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.write_timestamp(&set, 0);
    bound.record_timed(&mut pass, &set, first).expect("there is room");
    pass.write_timestamp(&set, first + bound.timestamps());
    drop(pass);
    let count = bound.timestamps() + 1;
    let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
    let size = u64::from(8 * count);
    let resolved =
        host.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    encoder.resolve_query_set(&set, first..first + count, &resolved, 0);
    let mut readback = host.on(locally_connected::Readback::new(&host.device, &resolved));
    readback.record(&mut encoder).expect("the first");
    host.queue.submit([encoder.finish()]);
    let words: Vec<u32> = host.on(readback.values()).iter().map(|value| value.to_bits()).collect();
    let ticks: Vec<u64> = words.chunks(2).map(|pair| u64::from(pair[1]) << 32 | u64::from(pair[0])).collect();
    let (own, after) = ticks.split_at(bound.timestamps() as usize);
    assert!(ticks.is_sorted() && after[0] > 0, "{ticks:?}");
    let period = host.queue.get_timestamp_period();
    let timed = bound.timed(own, period).expect("as many as there are");
    assert_spans(&bound, &timed, false);
    let (expected, found) = (own.len() as u64, ticks.len() as u64);
    let shape = vec![own.len()];
    assert_eq!(bound.timed(&ticks, period), Err(Error::Length { what: "timestamps", expected, found, shape }));
    // A clock that stands or goes back says nothing.
    let still = vec![7; own.len()];
    assert!(bound.timed(&still, period).expect("as many").iter().all(|one| one.seconds.is_none()));
    let back: Vec<u64> = own.iter().rev().copied().collect();
    assert!(bound.timed(&back, period).expect("as many").iter().all(|one| one.seconds.is_none()));
    // The same set, resolved and read by us.
    let mut timing = host.on(Timing::within(&host.context, &bound, &set, 5));
    assert_spans(&bound, &host.time(&mut timing), false);
}

#[test]
fn sets_without_room_and_devices_without_clocks_are_refused() {
    let Some(host) = Host::new(INSIDE) else { return };
    let bound = host.backward();
    let needed = bound.timestamps();
    let refused =
        |set: &wgpu::QuerySet, first| wait(&host.device, Timing::within(&host.context, &bound, set, first)).map(drop);
    let small = host.set(wgpu::QueryType::Timestamp, needed);
    assert_eq!(refused(&small, 0), Ok(()));
    for first in [1, u32::MAX] {
        assert_eq!(refused(&small, first), Err(Error::Queries { needed, first, count: needed, of: "timestamps" }));
    }
    let mut encoder = host.device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let (first, count) = (1, needed);
    assert_eq!(
        bound.record_timed(&mut pass, &small, 1),
        Err(Error::Queries { needed, first, count, of: "timestamps" })
    );
    drop(pass);
    let other = host.set(wgpu::QueryType::Occlusion, 64);
    assert_eq!(refused(&other, 0), Err(Error::Queries { needed, first: 0, count: 64, of: "occlusion queries" }));
    // One of another device, and one of a device without them.
    let elsewhere = Host::new(INSIDE).expect("as before");
    let foreign = elsewhere.set(wgpu::QueryType::Timestamp, 64);
    let other = refused(&foreign, 0);
    assert!(matches!(other, Err(Error::Refused { what: "the query set", .. })), "{other:?}");
    let plain = Host::new(Features::empty()).expect("every adapter has none");
    let refused = wait(&plain.device, Timing::new(&plain.context, &plain.backward())).map(drop);
    assert_eq!(refused, Err(Error::Feature { what: "timestamps", feature: "TIMESTAMP_QUERY" }));
}

/// A pass of no dispatch takes no time, and a pass of too many has no query set.
#[test]
fn passes_of_none_and_of_too_many() {
    for features in [INSIDE, Features::TIMESTAMP_QUERY] {
        let Some(host) = Host::new(features) else { return };
        let mut layer = host.on(LocallyConnected::new(&host.context, &Config::new(4, [1]), &[300_000, 1]));
        let (x, y) = (host.buffer(300_000), host.buffer(4 * 300_000));
        let none = host.on(layer.bind_forward(Forward::new(0, &x, &y)));
        let mut timing = host.on(Timing::new(&host.context, &none));
        assert_eq!(host.time(&mut timing), []);
        if features == INSIDE {
            // One workgroup each: some thousands of dispatches.
            let mut cap = 1;
            let bound = loop {
                layer.set_options(PlanOptions { max_dispatch_flops: Some(cap), ..PlanOptions::default() });
                match wait(&host.device, layer.bind_forward(Forward::new(1, &x, &y))) {
                    Ok(bound) => break bound,
                    Err(Error::LongWorkgroup { needed, .. }) => cap = needed,
                    Err(error) => panic!("{error}"),
                }
            };
            assert!(bound.timestamps() > wgpu::QUERY_SET_MAX_QUERIES, "{}", bound.timestamps());
            let made = wait(&host.device, Timing::new(&host.context, &bound)).map(drop);
            let (needed, limit) = (bound.timestamps().into(), wgpu::QUERY_SET_MAX_QUERIES.into());
            let (what, name) = ("a pass with timestamps".into(), "wgpu::QUERY_SET_MAX_QUERIES");
            assert_eq!(made, Err(Error::Limit { what, needed, unit: "queries", limit, name }));
        }
    }
}
