// The package as web pages use it.
import { assert, equal, fails, lc, near, sameBits, shared, values } from './harness.js';

const x = values(2 * 6 * 6 * 2);

export async function errorsHaveKinds() {
  const context = await shared('cpu');
  const create = (config, inputShape = [6, 6, 2]) => lc.LocallyConnected2D.create(context, config, { inputShape });
  const good = { filters: 4, kernelSize: 3 };
  await fails('argument', () => create({ ...good, kernelsize: 3 }));
  await fails('argument', () => create({ filters: 4 }));
  await fails('argument', () => create({ ...good, filters: 0 }));
  await fails('argument', () => create({ ...good, filters: 1.5 }));
  await fails('argument', () => create({ ...good, kernelSize: [3, 3, 3] }));
  await fails('argument', () => create({ ...good, activation: 'nothing of Keras' }));
  await fails('argument', () => create({ ...good, padding: 'full' }));
  await fails('argument', () => create({ ...good, implementation: 4 }));
  await fails('unsupported', () => create({ ...good, padding: 'same' }));
  await fails('shape', () => create(good, [6, 2]));
  await fails('shape', () => create(good, [2, 2, 2]));
  await fails('argument', () => lc.LocallyConnected2D.create(context, good, { inputShape: '6' }));
  const layer = await create(good);
  await fails('shape', () => layer.forward(new Float32Array(71)));
  await fails('argument', () => layer.forward([1, 2]));
  await fails('shape', () => layer.setWeights([new Float32Array(3)]));
  await fails('shape', () => layer.setWeights([new Float32Array(3), new Float32Array(64)]));
  await fails('shape', () => layer.backward(x, new Float32Array(64)));
  equal((await layer.forward(new Float32Array(0))).length, 0, 'no samples give no outputs');
  layer.dispose();
  await fails('disposed', () => layer.forward(x));
  layer.dispose();
}

export async function layersSayWhatTheyAre() {
  const config = { filters: 4, kernelSize: [3, 2], strides: [1, 2], padding: 'same', implementation: 3, activation: 'relu', name: 'local', trainable: false };
  for (const kind of ['cpu', 'webgpu']) {
    const layer = await lc.LocallyConnected2D.create(await shared(kind), config, { inputShape: [6, 6, 2] });
    equal([layer.name, layer.trainable, layer.className], ['local', false, 'LocallyConnected2D'], 'name and the like');
    equal([layer.inputShape, layer.outputShape], [[6, 6, 2], [6, 3, 4]], 'shapes');
    const shapes = layer.weightShapes.map(({ name, shape }) => [name, ...shape]);
    equal(layer.countParams(), shapes.map(([, ...shape]) => shape.reduce((a, b) => a * b, 1)).reduce((a, b) => a + b), 'parameters');
    const again = await lc.LocallyConnected2D.create(await shared(kind), layer.getConfig(), { inputShape: [6, 6, 2] });
    equal(again.getConfig(), layer.getConfig(), 'the config, read again');
    const weights = layer.weightShapes.map(({ shape }) => values(shape.reduce((a, b) => a * b, 1)));
    layer.setWeights(weights);
    (await layer.getWeights()).forEach((found, at) => sameBits(found, weights[at], `weights ${at} on ${kind}`));
    // Frozen layers have gradients when they are asked for by themselves.
    const { gradKernel } = await layer.backward(x, values(2 * 72));
    equal(gradKernel.length, weights[0].length, 'kernel gradient');
    layer.dispose();
    again.dispose();
  }
}

// Whatever Keras's layers have no words for, too: on both executors the same numbers.
export async function executorsAgree() {
  const configs = [
    { filters: 4, kernelSize: 3, dilationRate: 2, groups: 2, bias: 'perFilter' },
    { filters: 4, kernelSize: 3, padding: 'sameUpper', implementation: 2, activation: { className: 'LeakyReLU', alpha: 0.2 } },
    { filters: 3, kernelSize: 2, padding: [[1, 0], [0, 2]], implementation: 2, activation: 'softmax' },
    { filters: 4, kernelSize: 2, dtype: 'float16', activation: 'gelu', useBias: false },
    { filters: 2, kernelSize: 3, dataFormat: 'channels_first', activation: 'swish' },
  ];
  for (const config of configs) {
    const inputShape = config.dataFormat ? [2, 6, 6] : [6, 6, 2];
    const found = [];
    for (const kind of ['cpu', 'webgpu']) {
      const layer = await lc.LocallyConnected2D.create(await shared(kind), config, { inputShape });
      layer.setWeights(layer.weightShapes.map(({ shape }) => values(shape.reduce((a, b) => a * b, 1), 41)));
      const y = await layer.forward(x);
      found.push([y, ...Object.values(await layer.backward(x, values(y.length, 43))).filter(Boolean)]);
      layer.dispose();
    }
    found[0].forEach((array, at) => near(found[1][at], array, `array ${at} of ${JSON.stringify(config)}`, 2e-6));
  }
}

export async function sequentialModelsRun() {
  const specs = [
    { className: 'LocallyConnected2D', filters: 3, kernelSize: 3, name: 'first' },
    { className: 'LeakyReLU', alpha: 0.1 },
    { className: 'Dropout', rate: 0.5 },
    { className: 'Flatten' },
    { className: 'Reshape', targetShape: [-1, 3] },
    { className: 'LocallyConnected1D', filters: 5, kernelSize: 4, strides: 3 },
    { className: 'Softmax' },
  ];
  const outputs = [];
  for (const kind of ['cpu', 'webgpu']) {
    const model = await lc.Sequential.create(await shared(kind), specs, { inputShape: [6, 6, 2] });
    equal(model.layers.map(({ name }) => name), ['first', 'leaky_re_lu', 'dropout', 'flatten', 'reshape', 'locally_connected1d', 'softmax'], 'names');
    equal([model.inputShape, model.outputShape], [[6, 6, 2], [5, 5]], 'shapes');
    for (const layer of model.layers) layer.setWeights(layer.weightShapes.map(({ shape }) => values(shape.reduce((a, b) => a * b, 1), 29)));
    const y = await model.predict(x);
    const inPieces = await model.predict(x, { batchSize: 1 });
    near(inPieces, y, 'a sample at a time', 1e-6);
    const kept = await model.activations(x, ['first', 'softmax']);
    equal([kept.first.length, kept.softmax.length], [2 * 48, 50], 'activations');
    // What a layer gives, though the next only activates it: negative, too; and that is what the next makes of it.
    const activated = await model.activations(x, ['first', 'leaky_re_lu', 'flatten']);
    assert(activated.first.some((value) => value < -0.1), 'nothing before the activation is negative');
    near(activated.leaky_re_lu, activated.first.map((value) => (value < 0 ? value * Math.fround(0.1) : value)), 'what is activated', 1e-6);
    sameBits(activated.flatten, activated.leaky_re_lu, 'the same, flattened');
    const gradients = await model.gradients(x, values(50, 13));
    equal(Object.keys(gradients), ['input', 'first/kernel', 'first/bias', 'locally_connected1d/kernel', 'locally_connected1d/bias'], 'gradients');
    const summed = await model.gradients(x, values(50, 13), { batchSize: 1 });
    for (const [name, array] of Object.entries(gradients)) near(summed[name], array, `${name} in pieces`, 1e-5);
    assert(model.summary().includes('Total params: 1,1') || model.summary().includes('Total params'), model.summary());
    outputs.push(y);
    model.dispose();
  }
  near(outputs[1], outputs[0], 'outputs', 2e-6);
  await fails('unsupported', async () => lc.Sequential.create(await shared('cpu'), [{ className: 'LSTM' }], { inputShape: [6, 6] }));
  await fails('argument', async () => lc.Sequential.create(await shared('cpu'), [{ className: 'ReLU', name: 'a' }, { className: 'ReLU', name: 'a' }], { inputShape: [6] }));
}

// Runs of one layer at the same time don't disturb each other.
export async function manyAtOnce() {
  const layer = await lc.LocallyConnected2D.create(await shared('webgpu'), { filters: 4, kernelSize: 3 }, { inputShape: [6, 6, 2] });
  layer.setWeights(layer.weightShapes.map(({ shape }) => values(shape.reduce((a, b) => a * b, 1), 29)));
  const inputs = Array.from({ length: 12 }, (_, i) => values(72 * (1 + (i % 6)), 7 + i));
  const one = [];
  for (const input of inputs) one.push(await layer.forward(input));
  const all = await Promise.all(inputs.map((input) => layer.forward(input)));
  all.forEach((found, at) => sameBits(found, one[at], `run ${at}`));
  layer.dispose();
}

// In a page of its own each: what is fetched when, and what works where.
const inWorker = (name) => new Promise((resolve, reject) => {
  const worker = new Worker(`/test/worker.js?${name}`, { type: 'module' });
  worker.onmessage = ({ data }) => { worker.terminate(); data.error ? reject(new Error(data.error)) : resolve(data.found); };
  worker.onerror = (event) => { worker.terminate(); reject(new Error(event.message)); };
});

export async function beforeInitEverythingFails() {
  equal(await inWorker('uninitialised'), ['not-initialised', 'not-initialised'], 'kinds');
}
export async function worksInAWorker() {
  const [kinds, found] = await inWorker('both');
  equal(kinds, ['webgpu', 'cpu'], 'kinds');
  near(found[0], found[1], 'outputs in a worker', 1e-6);
}
export async function withoutWebGPUTheCpuRuns() {
  const { kind, reason, fetched, sum } = await inWorker('without');
  equal([kind, reason], ['cpu', 'this browser has no WebGPU'], 'context');
  assert(sum > 0, 'it computes');
  equal(fetched, [false, true], 'cpu.wasm was fetched before and after it was needed');
}
export async function theInlineEntryNeedsNoWasmFile() {
  equal(await inWorker('entry&inline'), ['webgpu', true, [], []], 'context, training, and wasm that was fetched');
}
export async function trainingIsFetchedWhereItIsNeeded() {
  equal(await inWorker('entry&index'), ['webgpu', true, ['core.wasm'], ['core.wasm', 'train.wasm']], 'by the first entry');
  equal(await inWorker('entry&train'), ['webgpu', true, ['train.wasm'], ['train.wasm']], 'by the entry that trains');
}
