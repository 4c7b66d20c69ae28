// How fast a large layer is here, and how fast this device copies.
import { LocallyConnected2D } from '../dist/index.js';

const CONFIG = { filters: 32, kernelSize: [3, 3], activation: 'relu' };
const SHAPE = [30, 30, 64];
const BYTES = 64 * 2 ** 20;

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Seconds of one of `action`'s runs, of many at once: a wait for the GPU counts once. */
async function seconds(action, wait) {
  let turns = 1;
  const run = async (turns) => {
    const start = performance.now();
    for (let turn = 0; turn < turns; turn += 1) await action();
    await wait();
    return (performance.now() - start) / 1000;
  };
  await run(1);
  let once = await run(1);
  while (once < .15 && turns < 512) {
    turns *= 2;
    once = await run(turns);
  }
  const samples = [once / turns];
  for (let more = 0; more < 2; more += 1) samples.push((await run(turns)) / turns);
  return median(samples);
}

/** Bytes a second that are read and written. */
async function copyRate({ device }) {
  if (!device) {
    const [from, to] = [new Float32Array(BYTES / 4).fill(1), new Float32Array(BYTES / 4)];
    return (2 * BYTES) / await seconds(() => to.set(from), () => {});
  }
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: BYTES, usage }));
  const copy = () => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, BYTES);
    device.queue.submit([encoder.finish()]);
  };
  const rate = (2 * BYTES) / await seconds(copy, () => device.queue.onSubmittedWorkDone());
  from.destroy();
  to.destroy();
  return rate;
}

/** Calls `row` with each batch's figures. */
export async function bench(context, row) {
  const copied = await copyRate(context);
  const layer = await LocallyConnected2D.create(context, CONFIG, { inputShape: SHAPE });
  const [kernel] = layer.weightShapes.map(({ shape }) => shape.reduce((all, one) => all * one, 1));
  layer.setWeights(layer.weightShapes.map(({ shape }) => Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i))));
  for (const batch of [1, 8, 32]) {
    const { device } = context;
    const x = new Float32Array(batch * 30 * 30 * 64).fill(.5);
    let time;
    if (device) {
      const storage = (length) => device.createBuffer({ size: 4 * length, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
      const [input, output] = [storage(x.length), storage(batch * 28 * 28 * 32)];
      device.queue.writeBuffer(input, 0, x);
      const bound = await layer.bindForward({ batch, input, output });
      time = await seconds(() => {
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        bound.record(pass);
        pass.end();
        device.queue.submit([encoder.finish()]);
      }, () => device.queue.onSubmittedWorkDone());
      bound.dispose();
      input.destroy();
      output.destroy();
    } else {
      time = await seconds(() => layer.forward(x), () => {});
    }
    row({ batch, time, rate: (4 * kernel) / time, share: (4 * kernel) / time / copied, flops: (2 * kernel * batch) / time });
    await new Promise((done) => { setTimeout(done); });
  }
  layer.dispose();
  return copied;
}
