//! Ranges that are refused, each error with its numbers.

use super::*;

/// Ranges that can't be used, each error with its numbers.
#[test]
fn unfit_ranges_are_refused() {
    pollster::block_on(async {
        let layer = LocallyConnected::new(GPU.context(), &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        // 5 samples of 24 inputs and 12 outputs.
        let (batch, step) = (5, alignment());
        let (arena, output) = (GPU.empty(120 + step / 4), GPU.empty(60));
        let all = BufferRange::from(&arena);
        let forward = async |input: BufferRange<'_>| {
            let output = BufferRange::from(&output);
            layer.bind_forward(Forward { batch, input, output, pre_activation: None }).await.map(drop)
        };
        assert_eq!(forward(BufferRange { offset: step, size: 480, ..all }).await, Ok(()));
        let error = forward(BufferRange { offset: step, size: 484, ..all }).await.expect_err("past the end");
        assert_eq!(error, Error::Range { what: "input", offset: step, size: 484, buffer: 480 + step });
        assert!(error.to_string().contains(&format!("484 bytes from byte {step}")), "{error}");
        let error = forward(BufferRange { offset: u64::MAX, size: 480, ..all }).await.expect_err("past the end");
        assert_eq!(error, Error::Range { what: "input", offset: u64::MAX, size: 480, buffer: 480 + step });
        let error = forward(BufferRange { offset: step, size: 479, ..all }).await.expect_err("too small");
        assert_eq!(error, Error::Length { what: "input", expected: 120, found: 119, shape: vec![5, 8, 3] });
        let error = forward(BufferRange { offset: step / 2, size: 480, ..all }).await.expect_err("between offsets");
        assert_eq!(error, Error::Alignment { what: "input", of: "offset", bytes: step / 2, alignment: step });
        assert!(error.to_string().contains(&format!("offset {}, which is no multiple of {step} bytes", step / 2)));
        // The bytes that a context promises to keep to count, not the device's.
        let coarse = context(&DeviceProfile { storage_alignment: 2 * step as u32, ..profile() });
        let coarse = LocallyConnected::new(&coarse, &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        let input = BufferRange { offset: step, size: 480, ..all };
        let refused =
            coarse.bind_forward(Forward { batch, input, output: (&output).into(), pre_activation: None }).await;
        let alignment = 2 * step;
        assert_eq!(refused.map(drop), Err(Error::Alignment { what: "input", of: "offset", bytes: step, alignment }));

        // Every operand of both passes is checked, by its name.
        let shifted = |elements| (GPU.empty(elements + step / 4), step / 2);
        let buffers = ["output", "pre_activation", "grad_output", "grad_input", "grad_bias", "input"]
            .map(|what| (what, shifted(120)));
        for (wrong, (buffer, offset)) in &buffers {
            let swish = Config::new(2, [3]).activation(Activation::Swish);
            let layer = LocallyConnected::new(GPU.context(), &swish, &[8, 3]).await.expect("a layer");
            let own = [(); 6].map(|()| GPU.empty(120));
            let at = |index: usize, what| {
                let range = BufferRange { buffer, offset: *offset, size: 480 };
                if what == *wrong { range } else { BufferRange::from(&own[index]) }
            };
            let (x, y, z) = (at(0, "input"), at(1, "output"), at(2, "pre_activation"));
            let expected = Error::Alignment { what: wrong, of: "offset", bytes: *offset, alignment: step };
            let refused = layer.bind_forward(Forward { batch, input: x, output: y, pre_activation: Some(z) }).await;
            assert_eq!(refused.map(drop).err(), (!wrong.starts_with("grad_")).then(|| expected.clone()));
            let grad_weights = layer.create_weights_gradient().await.expect("it fits");
            let backward = Backward {
                batch,
                input: Some(x),
                output: Some(y),
                pre_activation: Some(z),
                grad_output: at(3, "grad_output"),
                grad_input: Some(at(4, "grad_input")),
                grad_weights: Some(&grad_weights),
                grad_bias: Some(at(5, "grad_bias")),
                accumulate: false,
            };
            // Of swish's operands the output isn't read.
            let refused = layer.bind_backward(backward).await.map(drop).err();
            assert_eq!(refused, (*wrong != "output").then_some(expected));
        }
    });
}

#[test]
fn unfit_ranges_of_a_weights_gradient_are_refused() {
    pollster::block_on(async {
        let profile = DeviceProfile { max_binding: 400, ..profile() };
        let layer = LocallyConnected::new(&context(&profile), &Config::new(2, [3]), &[8, 3]).await.expect("a layer");
        let sizes: Vec<u64> = layer.weights().chunks().iter().map(|chunk| chunk.bytes(WeightType::F32)).collect();
        assert_eq!(sizes, [360, 72], "5 cells and 1 of 72 bytes");
        let step = alignment();
        let second = 360_u64.next_multiple_of(step);
        let arena = GPU.empty((second + 72) / 4);
        let range = |offset, size| BufferRange { buffer: &arena, offset, size };
        let refused = |ranges: &[BufferRange<'_>]| layer.weights_gradient_in(ranges.iter().copied()).map(drop);
        assert_eq!(refused(&[range(0, 360), range(second, 72)]), Ok(()));
        let what = "the ranges of a tensor";
        assert_eq!(refused(&[range(0, 360)]), Err(Error::Length { what, expected: 2, found: 1, shape: vec![2] }));
        let what = "grad_weights";
        let error = Error::Length { what, expected: 18, found: 17, shape: vec![9, 2] };
        assert_eq!(refused(&[range(0, 360), range(second, 68)]), Err(error));
        let error = Error::Range { what, offset: second, size: 76, buffer: second + 72 };
        assert_eq!(refused(&[range(0, 360), range(second, 76)]), Err(error));
        let error = Error::Alignment { what, of: "offset", bytes: 4, alignment: step };
        assert_eq!(refused(&[range(4, 360), range(second, 72)]), Err(error));
        // Two chunks in one place are found when they are bound.
        let (x, dy) = (GPU.empty(24), GPU.empty(12));
        let both = layer.weights_gradient_in([range(0, 360), range(step, 72)]).expect("each for itself fits");
        let backward = Backward {
            batch: 1,
            input: Some(&x),
            output: None,
            pre_activation: None,
            grad_output: &dy,
            grad_input: None,
            grad_weights: Some(&both),
            grad_bias: None,
            accumulate: false,
        };
        let overlap = 72.min(360 - step);
        let error = Error::Aliased { written: what.into(), with: what.into(), overlap };
        assert_eq!(layer.bind_backward(backward).await.map(drop), Err(error));
        // Reading them back needs a usage that the pass doesn't.
        let usage = wgpu::BufferUsages::STORAGE;
        let device = GPU.context().device();
        let unread =
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 1024, usage, mapped_at_creation: false });
        let unread =
            layer.weights_gradient_in([unread.slice(..360), unread.slice(512..)]).expect("it is enough to bind");
        let error = Error::Usage { what: "the source of a readback", lacks: "COPY_SRC" };
        assert_eq!(GPU.read_weights(&layer, &unread).await, Err(error));
        let other = LocallyConnected::new(GPU.context(), &Config::new(2, [2]), &[8, 3]).await.expect("a layer");
        let refused = GPU.read_weights(&layer, other.weights()).await;
        assert!(matches!(refused, Err(Error::Length { what: "weights", expected: 108, found: 84, .. })), "{refused:?}");
    });
}

/// Pairs of operands in one buffer: those that a dispatch reads and writes are refused, disjoint or not; those that none
/// does are refused where they overlap, and run where they don't.
#[test]
fn pairs_in_one_buffer() {
    pollster::block_on(async {
        let step = 480_u64.next_multiple_of(alignment());
        let arena = GPU.empty(4 * step / 4);
        let at = |place| BufferRange { buffer: &arena, offset: place * step, size: 480 };
        let own = [(); 6].map(|()| GPU.empty(120));
        let [x, y, dy, dx, db, z] = own.each_ref().map(BufferRange::from);
        let (batch, aliased) = (1, |written: &str, with: &str, overlap| {
            Err(Error::Aliased { written: written.into(), with: with.into(), overlap })
        });
        for activation in [Activation::Linear, Activation::Tanh, Activation::Softmax, Activation::Swish] {
            let config = Config::new(2, [3]).activation(activation);
            let layer = LocallyConnected::new(GPU.context(), &config, &[8, 3]).await.expect("a layer");
            let forward = async |input, output, pre_activation| {
                let bound = layer.bind_forward(Forward { batch, input, output, pre_activation }).await?;
                record(&[&bound]);
                GPU.check()
            };
            // 96 bytes of input, 48 of output.
            assert_eq!(forward(at(0), at(0), None).await, aliased("output", "input", 48));
            // An activation over rows reads a buffer of the pass's own.
            let refused = if activation.over_rows() { Ok(()) } else { aliased("output", "input", 0) };
            assert_eq!(forward(at(0), at(1), None).await, refused);
            assert_eq!(forward(x, at(0), Some(at(1))).await, aliased("output", "pre_activation", 0));
            assert_eq!(forward(at(0), y, Some(at(1))).await, aliased("pre_activation", "input", 0));
            // One step writes the values before the activation from the input, the next one the output from those.
            assert_eq!(forward(at(0), at(1), Some(z)).await, Ok(()));
            assert_eq!(forward(at(0), at(0), Some(z)).await, aliased("output", "input", 48));

            let grad_weights = layer.create_weights_gradient().await.expect("it fits");
            let all = Backward {
                batch,
                input: Some(x),
                output: Some(y),
                pre_activation: Some(z),
                grad_output: dy,
                grad_input: Some(dx),
                grad_weights: Some(&grad_weights),
                grad_bias: Some(db),
                accumulate: false,
            };
            let backward = async |operands: Backward<'_, BufferRange<'_>>| {
                let bound = layer.bind_backward(operands).await?;
                record(&[&bound]);
                GPU.check()
            };
            // Everything read in one buffer, everything written in another.
            let read = Backward { input: Some(at(0)), grad_output: at(1), output: Some(at(2)), ..all };
            assert_eq!(backward(Backward { pre_activation: Some(at(3)), ..read }).await, Ok(()));
            assert_eq!(backward(Backward { grad_input: Some(at(0)), grad_bias: Some(at(1)), ..all }).await, Ok(()));
            let both = Backward { grad_input: Some(at(0)), grad_bias: Some(at(0)), ..all };
            assert_eq!(backward(both).await, aliased("grad_bias", "grad_input", 48));
            let both = Backward { grad_input: Some(at(0)), input: Some(at(0)), ..all };
            assert_eq!(backward(both).await, aliased("grad_input", "input", 96));
            // No step reads the input and writes its gradient.
            assert_eq!(backward(Backward { input: Some(at(1)), ..both }).await, Ok(()));
            // The gradient before the activation is a buffer of the pass's own, where there is an activation.
            let both = Backward { grad_output: at(0), grad_input: Some(at(1)), ..all };
            let refused =
                if activation == Activation::Linear { aliased("grad_input", "grad_output", 0) } else { Ok(()) };
            assert_eq!(backward(both).await, refused);
            let both = Backward { grad_output: at(0), grad_input: Some(at(0)), ..all };
            assert_eq!(backward(both).await, aliased("grad_input", "grad_output", 48));
            // The layer's own.
            let own = Backward { grad_weights: Some(layer.weights()), ..all };
            assert_eq!(backward(own).await, aliased("grad_weights", "weights", 432));
            let own = Backward { grad_bias: layer.bias().map(BufferRange::from), ..all };
            assert_eq!(backward(own).await, aliased("grad_bias", "bias", 48));
        }
    });
}

/// What the check of dispatches follows: wgpu compares whole buffers where one is read and written. (Ranges that overlap
/// and are both written it takes natively, too; WebGPU and this crate don't.)
#[test]
fn one_buffer_twice_in_a_dispatch() {
    use Access::{Read, Write};
    let (device, step) = (GPU.context().device(), alignment());
    let buffer = GPU.empty(2 * step / 4);
    let refused = |accesses: [Access; 2], offsets: [u64; 2]| {
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let [a, b] = accesses.map(|access| if access == Read { "read" } else { "read_write" });
        let use_both = match accesses {
            [Read, Read] => "if (a[0] + b[0] > 1e30) { return; }",
            [Read, Write] => "b[0] = a[0];",
            _ => "a[0] = 1.0; b[0] = 1.0;",
        };
        let source = format!(
            "@group(0) @binding(0) var<storage, {a}> a: array<f32>;
             @group(0) @binding(1) var<storage, {b}> b: array<f32>;
             @compute @workgroup_size(1) fn main() {{ {use_both} }}"
        );
        let source = wgpu::ShaderSource::Wgsl(source.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let size = std::num::NonZeroU64::new(step);
        let entry = |binding: usize| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &buffer,
                offset: offsets[binding],
                size,
            }),
        };
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[entry(0), entry(1)],
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        drop(encoder.finish());
        pollster::block_on(scope.pop()).map(|error| error.to_string())
    };
    assert_eq!(refused([Read, Read], [0, step]), None);
    assert_eq!(refused([Read, Read], [0, 0]), None);
    assert_eq!(refused([Write, Write], [0, step]), None, "disjoint");
    for offsets in [[0, 0], [0, step]] {
        let message = refused([Read, Write], offsets).expect("wgpu refuses it");
        assert!(message.contains("conflicting usages"), "{message}");
    }
}
