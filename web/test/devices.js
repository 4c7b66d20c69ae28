// Devices: the page's own, their limits, their loss; what is recorded and what is left behind.
import { assert, device, equal, fails, lc, near, sameBits, shared, values } from './harness.js';

const CONFIG = { filters: 8, kernelSize: [3, 3], activation: 'relu' };
const SHAPE = { inputShape: [8, 8, 4] };

async function layer(context, config = CONFIG, options = SHAPE) {
  const made = await lc.LocallyConnected2D.create(context, config, options);
  made.setWeights(made.weightShapes.map(({ shape }, at) => values(shape.reduce((a, b) => a * b, 1), 31 + at)));
  return made;
}

const storage = (gpu, count, usage = 0) => gpu.createBuffer({ size: 4 * count, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC | usage });

async function read(gpu, buffer) {
  const copy = gpu.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  gpu.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const found = new Float32Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return found;
}

// At the limits that WebGPU promises everywhere, the weights (137 MB) are over the largest binding.
export async function weightsOverABindingAreCut() {
  const gpu = await device();
  equal(gpu.limits.maxStorageBufferBindingSize, 134217728, 'the default limit');
  const big = { filters: 132, kernelSize: 3 };
  const shape = { inputShape: [32, 32, 32] };
  const found = [];
  for (const context of [lc.Context.fromDevice(gpu), await shared('cpu')]) {
    const made = await layer(context, big, shape);
    assert(made.countParams() * 4 > 134217728 + 4 * 900 * 132, 'the weights are over the limit');
    found.push(await made.forward(values(32 * 32 * 32)));
    made.dispose();
  }
  near(found[0], found[1], 'output', 1e-5);
  gpu.destroy();
}

export async function limitsAreErrorsWithTheirNumbers() {
  const gpu = await device();
  const context = lc.Context.fromDevice(gpu, { memoryBudget: 1000 });
  const error = await fails('limit', async () => {
    const made = await lc.LocallyConnected1D.create(context, { filters: 400, kernelSize: 3, activation: 'softmax' }, { inputShape: [9, 2] });
    await made.forward(new Float32Array(18));
  });
  assert(/1000/.test(error.message), error.message);
  gpu.destroy();
}

export async function aLostDeviceRejects() {
  const gpu = await device();
  const context = lc.Context.fromDevice(gpu);
  const made = await layer(context);
  const x = values(2 * 256);
  const expected = await made.forward(x);
  equal(expected.length, 2 * 6 * 6 * 8, 'length');
  const running = made.forward(values(7 * 256));
  gpu.destroy();
  await running.then(() => {}, (error) => equal(error.kind, 'device-lost', 'kind of what ran'));
  await gpu.lost;
  await fails('device-lost', () => made.forward(x));
  await fails('device-lost', () => made.backward(x, expected));
  await fails('device-lost', () => made.getWeights());
  await fails('device-lost', () => layer(context));
  await fails('device-lost', () => made.bindForward({ batch: 1, input: storage(gpu, 256), output: storage(gpu, 288) }));
  made.dispose();
  context.dispose();
}

// Run by the driver, which kills the GPU process meanwhile.
let endangered;
export async function prepareForACrash() {
  const context = await lc.Context.request({ kind: 'webgpu' });
  endangered = await layer(context);
  await endangered.forward(values(256));
}
export async function afterACrash() {
  const within = new Promise((_, late) => { setTimeout(() => late(new Error('the promise never settled')), 20_000); });
  await fails('device-lost', () => Promise.race([endangered.forward(values(256)), within]));
}

export async function aBorrowedDeviceLivesOn() {
  const gpu = await device();
  const context = lc.Context.fromDevice(gpu);
  const made = await layer(context);
  await made.forward(values(256));
  context.dispose();
  await fails('disposed', () => layer(context));
  const lost = await Promise.race([gpu.lost.then(() => true), new Promise((done) => { setTimeout(done, 100, false); })]);
  assert(!lost, 'the device is lost');
  const again = await layer(lc.Context.fromDevice(gpu));
  const cpu = await layer(await shared('cpu'));
  near(await again.forward(values(256)), await cpu.forward(values(256)), 'output on the same device');
  gpu.destroy();
}

export async function anOwnDeviceGoesWithItsContext() {
  const context = await lc.Context.request({ kind: 'webgpu' });
  context.dispose();
  equal((await context.device.lost).reason, 'destroyed', 'reason');
}

const own = `
  @group(0) @binding(0) var<storage, read_write> v: array<f32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&v)) { v[id.x] = v[id.x] * 0.5 + 1.0; }
  }`;

// The page's dispatch, two layers, the page's dispatch again: one pass, nothing of ours in between.
export async function layersAreRecordedAmongThePagesOwn() {
  const gpu = await device();
  const context = lc.Context.fromDevice(gpu);
  const first = await layer(context);
  const second = await layer(context, { filters: 3, kernelSize: 2, activation: 'tanh' }, { inputShape: [6, 6, 8] });
  const module = gpu.createShaderModule({ code: own });
  const pipeline = gpu.createComputePipeline({ layout: 'auto', compute: { module } });
  const group = (buffer) => gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
  const batch = 3;
  const [x, between, y] = [storage(gpu, batch * 256), storage(gpu, 64 + batch * 288), storage(gpu, batch * 75)];
  const bounds = [
    await first.bindForward({ batch, input: x, output: { buffer: between, offset: 256 } }),
    await second.bindForward({ batch, input: { buffer: between, offset: 256 }, output: y }),
  ];
  const given = values(batch * 256);
  gpu.queue.writeBuffer(x, 0, given);
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const mine = (buffer) => {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group(buffer));
    pass.dispatchWorkgroups(Math.ceil(buffer.size / 256));
  };
  mine(x);
  for (const bound of bounds) bound.record(pass);
  mine(y);
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  const halved = (values) => values.map((value) => value * 0.5 + 1);
  const expected = halved(await second.forward(await first.forward(halved(given))));
  near(await read(gpu, y), expected, 'what the pass wrote', 1e-6);
  sameBits((await read(gpu, between)).subarray(0, 64), new Float32Array(64), 'before the range');
  for (const bound of bounds) bound.dispose();
  const again = await first.forward(given);
  equal(again.length, batch * 288, 'the layer lives on');
  await fails('argument', () => first.bindForward({ batch, input: between, output: between }));
  await fails('shape', () => first.bindForward({ batch: 4, input: x, output: y }));
  await fails('argument', () => first.bindForward({ batch: 0, input: x, output: y }));
  const readable = gpu.createBuffer({ size: 4096, usage: GPUBufferUsage.COPY_DST });
  await fails('argument', () => first.bindForward({ batch: 1, input: x, output: readable }));
  await fails('unsupported', async () => (await layer(await shared('cpu'))).bindForward({ batch: 1, input: x, output: y }));
  gpu.destroy();
}

// Ten layers, a dispatch each.
export async function recordingIsQuickAndLeavesNoGarbage() {
  const gpu = await device();
  const context = lc.Context.fromDevice(gpu);
  const specs = Array.from({ length: 10 }, () => ({ className: 'LocallyConnected1D', filters: 4, kernelSize: 1, activation: 'relu' }));
  const model = await lc.Sequential.create(context, specs, { inputShape: [16, 4] });
  const bound = await model.bindForward({ batch: 1, input: storage(gpu, 64), output: storage(gpu, 64) });
  let dispatches = 0;
  const counted = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() { dispatches += 1; } };
  bound.record(counted);
  equal(dispatches, 10, 'dispatches');
  const turns = 500;
  const measure = (pass) => {
    const start = performance.now();
    for (let turn = 0; turn < turns; turn += 1) bound.record(pass);
    return (performance.now() - start) / turns;
  };
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const each = measure(pass);
  pass.end();
  // Not submitted: what is recorded counts here.
  assert(each < 0.1, `recording ten dispatches takes ${each} ms`);
  for (let warm = 0; warm < 20; warm += 1) measure(counted);
  window.gc();
  const before = performance.memory.usedJSHeapSize;
  for (let turn = 0; turn < 20; turn += 1) measure(counted);
  const grown = performance.memory.usedJSHeapSize - before;
  assert(grown < 20 * 2048, `10,000 recordings left ${grown} bytes`);
  gpu.destroy();
  return `${each.toFixed(4)} ms for ten dispatches; ${grown} bytes after 10,000 recordings`;
}

// A device that counts the bytes of its live buffers.
async function counting() {
  const gpu = await device();
  const live = { bytes: 0, buffers: 0 };
  const create = gpu.createBuffer.bind(gpu);
  gpu.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    live.bytes += buffer.size;
    live.buffers += 1;
    let gone = false;
    // An own property would keep the buffer's wrapper alive with what it closes over; that is all it holds.
    const { size } = buffer;
    buffer.destroy = () => {
      if (!gone) [live.bytes, live.buffers, gone] = [live.bytes - size, live.buffers - 1, true];
      destroy();
    };
    return buffer;
  };
  return { gpu, live };
}

export async function aThousandLayersLeaveNothing() {
  const { gpu, live } = await counting();
  const context = lc.Context.fromDevice(gpu);
  const x = values(256);
  const used = await layer(context);
  await used.forward(x);
  used.dispose();
  await new Promise((done) => { setTimeout(done, 10); });
  equal(live, { bytes: 0, buffers: 0 }, 'after one layer');
  for (let made = 0; made < 1000; made += 1) {
    const one = await lc.LocallyConnected2D.create(context, CONFIG, SHAPE);
    if (made % 50 === 0) await one.forward(x);
    one.dispose();
  }
  await new Promise((done) => { setTimeout(done, 10); });
  equal(live, { bytes: 0, buffers: 0 }, 'after a thousand layers');
  gpu.destroy();
}

// Nobody disposes of these: they are collected, and their memory is freed with them.
export async function droppedLayersAreFreed() {
  const { gpu, live } = await counting();
  const context = lc.Context.fromDevice(gpu);
  const x = values(256);
  const drop = async () => { await (await layer(context)).forward(x); };
  for (let made = 0; made < 100; made += 1) await drop();
  const most = live.bytes;
  for (let turn = 0; turn < 50 && live.bytes > most / 10; turn += 1) {
    window.gc();
    await new Promise((done) => { setTimeout(done, 20); });
  }
  assert(live.bytes <= most / 10, `${live.bytes} of ${most} bytes are still held`);
  gpu.destroy();
  return `${most} bytes, then ${live.bytes}`;
}

export async function readbacksAreFreed() {
  const { gpu, live } = await counting();
  const context = lc.Context.fromDevice(gpu);
  const made = await layer(context);
  await made.forward(values(256));
  const once = live.bytes;
  for (let turn = 0; turn < 50; turn += 1) await made.forward(values(256));
  await made.getWeights();
  equal(live.bytes, once, 'bytes after 50 readbacks');
  gpu.destroy();
}
