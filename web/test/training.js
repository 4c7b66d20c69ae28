// Training: what the crate's own tests train natively (web/rust/tests/trained.rs, trained.json), to the same weights; Keras's numbers;
// and whatever ends a training early.
import { loadModel } from '/dist/keras.js';
import { assert, device, equal, fails, fetched, lc, near, sameBits, shared, values } from './harness.js';

const cases = (async () => (await fetch('/test/trained.json')).json())();

/** A case's model, samples and targets. */
async function made(context, { layers, inputShape, samples, classes, weighted }) {
  const model = await lc.Sequential.create(context, layers, { inputShape, seed: 11 });
  const size = (shape) => shape.reduce((all, one) => all * one, 1);
  const x = values(samples * size(model.inputShape), 37);
  const t = classes === null ? values(samples * size(model.outputShape), 41)
    : Float32Array.from({ length: samples }, (_, at) => (at * at) % classes);
  const sampleWeight = weighted ? values(samples, 29).map((value) => value + 1.5) : undefined;
  return { model, x, t, sampleWeight };
}

const floats = (bits) => new Float32Array(Uint32Array.from(bits).buffer);

async function trains(kind, given) {
  const { model, x, t, sampleWeight } = await made(await shared(kind), given);
  const exact = kind === 'cpu' && given.exact;
  const same = (found, expected, what) => (exact ? sameBits(found, expected, what) : near(found, expected, what, 2e-5));
  const what = `${given.name} on ${kind}`;
  const records = [];
  const history = await model.fit(x, t, { ...given.options, sampleWeight, onEpoch: (record) => { records.push(record); } });
  equal(Object.keys(history), Object.keys(given.history), `names in the history of ${what}`);
  for (const [name, expected] of Object.entries(given.history)) same(history[name], expected, `${name} of ${what}`);
  equal(records.map(({ epoch, logs }) => [epoch, logs.loss]), history.loss.map((loss, at) => [at, loss]), `epochs of ${what}`);
  const evaluated = await model.evaluate(x, t, { batchSize: 4, sampleWeight });
  for (const [name, expected] of Object.entries(given.evaluated)) same([evaluated[name]], [expected], `evaluated ${name} of ${what}`);
  let compared = 0;
  for (const layer of model.layers) {
    const found = await layer.getWeights();
    layer.weightShapes.forEach(({ name }, at) => same(found[at], floats(given.weights[`${layer.name}/${name}`]), `${layer.name}/${name} of ${what}`));
    compared += found.length;
  }
  equal(compared, Object.keys(given.weights).length, `arrays of ${what}`);
  model.dispose();
}

export async function stepsOnTheCpuHaveTheCratesBits() {
  for (const given of await cases) await trains('cpu', given);
  assert((await cases).filter(({ exact }) => exact).length >= 2, 'too few are compared by their bits');
}
export async function stepsOnWebGPUAreTheCrates() {
  for (const given of await cases) await trains('webgpu', given);
}

// The same numbers run after run.
export async function theSameTrainingGivesTheSameBits() {
  const [given] = await cases;
  const weights = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const { model, x, t } = await made(await shared('webgpu'), given);
    await model.fit(x, t, given.options);
    weights.push(await model.layers[0].getWeights());
    model.dispose();
  }
  weights[0].forEach((array, at) => sameBits(weights[1][at], array, `weights ${at}`));
}

// A training that goes on is the one that was never interrupted.
export async function aSecondFitGoesOn() {
  const [given] = await cases;
  for (const kind of ['cpu', 'webgpu']) {
    const whole = await made(await shared(kind), given);
    const expected = await whole.model.fit(whole.x, whole.t, { ...given.options, epochs: 4 });
    const parts = await made(await shared(kind), given);
    const first = await parts.model.fit(parts.x, parts.t, { ...given.options, epochs: 1 });
    const rest = await parts.model.fit(parts.x, parts.t, { epochs: 3, batchSize: given.options.batchSize });
    sameBits([...first.loss, ...rest.loss], expected.loss, `losses on ${kind}`);
    const [a, b] = [await whole.model.layers[0].getWeights(), await parts.model.layers[0].getWeights()];
    a.forEach((array, at) => sameBits(b[at], array, `weights ${at} on ${kind}`));
    // Compiled anew its optimizer knows nothing, and initialEpoch is Keras's.
    const again = await parts.model.fit(parts.x, parts.t, { ...given.options, initialEpoch: 2, epochs: 4 });
    equal(again.loss.length, 2, 'epochs from the second to the fourth');
    whole.model.dispose();
    parts.model.dispose();
  }
}

// A model of a file: trained on both executors, saved, read again.
export async function filesAreTrainedAndSaved() {
  const bytes = await fetched('/fixtures/digits/digits.h5');
  const rows = new Uint8Array(await fetched('/fixtures/digits/test.bin')).subarray(0, 65 * 64);
  const x = Float32Array.from({ length: 64 * 64 }, (_, at) => rows[65 * Math.floor(at / 64) + (at % 64)] / 16);
  const t = Float32Array.from({ length: 64 }, (_, at) => rows[65 * at + 64]);
  const options = { loss: 'sparse_categorical_crossentropy', optimizer: 'adam', metrics: ['accuracy'], epochs: 3, batchSize: 16, shuffle: false };
  const found = [];
  for (const kind of ['cpu', 'webgpu']) {
    const model = await loadModel(await shared(kind), bytes);
    const before = await model.predict(x);
    const history = await model.fit(x, t, options);
    equal(Object.keys(history), ['loss', 'accuracy'], 'history');
    assert(history.loss[2] < history.loss[0], `the loss goes from ${history.loss[0]} to ${history.loss[2]}`);
    const after = await model.predict(x);
    assert(after.some((value, at) => value !== before[at]), 'predictions are the old ones');
    const again = await loadModel(await shared(kind), await model.save('keras'));
    sameBits(await again.predict(x), after, `predictions of the saved model on ${kind}`);
    found.push([history.loss, after]);
    again.dispose();
    model.dispose();
  }
  near(found[1][0], found[0][0], 'losses', 2e-5);
  near(found[1][1], found[0][1], 'predictions', 2e-4);
}

// A tab in the background: browsers give it timers once in a second and no frames.
export async function goesOnInAHiddenPage() {
  const { setTimeout: timer, requestAnimationFrame: frame } = window;
  window.setTimeout = (action, milliseconds = 0, ...rest) => timer(action, Math.max(1000, milliseconds), ...rest);
  window.requestAnimationFrame = () => 0;
  const times = [];
  try {
    for (const [kind, epochs] of [['cpu', 600], ['webgpu', 20]]) {
      const model = await small(await shared(kind));
      const start = performance.now();
      const history = await model.fit(x, t, { loss: 'mse', epochs, batchSize: 1 });
      times.push(performance.now() - start);
      equal(history.loss.length, epochs, 'epochs');
      model.dispose();
    }
  } finally {
    Object.assign(window, { setTimeout: timer, requestAnimationFrame: frame });
  }
  assert(times.every((time) => time < 15_000), `a hidden page trains in ${times} ms`);
  return `${times.map((time) => time.toFixed(0)).join(' ms on the CPU, ')} ms on WebGPU`;
}

// A model that was put together and trained here, as files that the reader opens.
export async function whatWasMadeHereIsSaved() {
  const specs = [
    { className: 'LocallyConnected2D', name: 'first', filters: 3, kernelSize: 3, activation: { className: 'LeakyReLU', alpha: 0.1 }, kernelRegularizer: { className: 'L2', l2: 0.01 } },
    { className: 'Dropout', rate: 0.25 },
    { className: 'ReLU', maxValue: 6 },
    { className: 'LocallyConnected2D', name: 'second', filters: 2, kernelSize: 2, padding: 'same', implementation: 3, useBias: false },
    { className: 'Reshape', targetShape: [-1, 4] },
    { className: 'Flatten' },
    { className: 'Dense', name: 'head', units: 4, activation: 'softmax', kernelConstraint: { className: 'MaxNorm', maxValue: 2 } },
  ];
  const beyond = [{ className: 'LocallyConnected2D', name: 'first', filters: 4, kernelSize: 2, implementation: 2, dilationRate: 2, groups: 2, bias: 'perFilter', padding: [[1, 0], [0, 1]], activation: 'relu' }];
  const [x, t] = [values(12 * 72), Float32Array.from({ length: 12 }, (_, at) => at % 4)];
  for (const kind of ['cpu', 'webgpu']) {
    const context = await shared(kind);
    const model = await lc.Sequential.create(context, specs, { inputShape: [6, 6, 2], seed: 5, name: 'mine' });
    await model.fit(x, t, { loss: 'sparse_categorical_crossentropy', optimizer: 'adam', batchSize: 4 });
    const expected = await model.predict(x);
    for (const format of ['h5', 'keras', 'safetensors']) {
      const again = await loadModel(context, await model.save(format));
      equal([again.name, again.layers.filter(({ className }) => className !== 'InputLayer').map(({ name }) => name)], ['mine', model.layers.map(({ name }) => name)], 'what was read');
      sameBits(await again.predict(x), expected, `predictions of what was saved as ${format} on ${kind}`);
      assert(JSON.stringify(again.layer('first').getConfig().kernel_regularizer).includes('0.01'), `the regularizer is ${JSON.stringify(again.layer('first').getConfig())}`);
      again.dispose();
    }
    assert((await model.save('npz')).length > 4 * model.countParams(), 'arrays alone');
    await fails('argument', () => model.save('onnx'));
    model.dispose();
    await fails('disposed', () => model.save('h5'));
    // What Keras has no words for is in this project's own format.
    const other = await lc.Sequential.create(context, beyond, { inputShape: [6, 6, 2], seed: 6 });
    const again = await loadModel(context, await other.save('safetensors'));
    sameBits(await again.predict(x), await other.predict(x), `what Keras has no words for, on ${kind}`);
    let refused;
    await other.save('h5').catch((error) => { refused = error; });
    assert(refused instanceof lc.LocallyConnectedError && ['file', 'unsupported', 'argument'].includes(refused.kind), `Keras's format takes it: ${refused}`);
    other.dispose();
    again.dispose();
  }
}

const SMALL = [{ className: 'LocallyConnected1D', filters: 2, kernelSize: 2, name: 'local' }];
const small = async (context, layers = SMALL) => lc.Sequential.create(context, layers, { inputShape: [4, 1] });
const [x, t] = [values(8 * 4), values(8 * 6, 11)];

export async function whatIsWrongIsSaid() {
  const model = await small(await shared('cpu'));
  await fails('argument', () => model.fit(x, t));
  await fails('argument', () => model.evaluate(x, t));
  const fit = (options, data = [x, t]) => () => model.fit(...data, { loss: 'mse', ...options });
  await fails('argument', fit({ loss: 'nothing of Keras' }));
  await fails('unsupported', fit({ loss: 'poisson' }));
  await fails('argument', fit({ optimizer: 'nothing of Keras' }));
  await fails('unsupported', fit({ optimizer: 'ftrl' }));
  await fails('argument', fit({ optimizer: { className: 'SGD', momentun: 0.9 } }));
  await fails('argument', fit({ optimizer: { className: 'SGD', momentum: 2 } }));
  await fails('unsupported', fit({ optimizer: { className: 'SGD', clipnorm: 1, globalClipnorm: 1 } }));
  await fails('argument', fit({ learningRate: 'fast' }));
  await fails('argument', fit({ learningRate: { className: 'NoDecay' } }));
  await fails('argument', fit({ metrics: ['nothing of Keras'] }));
  await fails('argument', fit({ metrics: { nowhere: ['mae'] } }));
  await fails('argument', fit({ batchSize: 0 }));
  await fails('argument', fit({ epochs: 1.5 }));
  await fails('argument', fit({ validationSplit: 1 }));
  await fails('argument', fit({ classWeight: [1, 'two'] }));
  await fails('shape', fit({ sampleWeight: new Float32Array(3) }));
  await fails('shape', fit({}, [x, t.subarray(1)]));
  await fails('shape', fit({}, [x.subarray(1), t]));
  await fails('argument', fit({}, [[1, 2], t]));
  await fails('argument', fit({}, [new Float32Array(0), new Float32Array(0)]));
  await fails('shape', fit({ validationData: [x, t.subarray(1)] }));
  await fails('argument', fit({ loss: 'sparse_categorical_crossentropy' }, [x, new Float32Array(24).fill(2)]));
  const error = await fails('argument', fit({ optimizer: 'sgd', learningRate: 1e30, epochs: 9 }));
  assert(/step/.test(error.message), error.message);
  model.dispose();
  await fails('disposed', () => model.fit(x, t));
  const frozen = await small(await shared('cpu'), [{ ...SMALL[0], trainable: false }]);
  await fails('argument', () => frozen.fit(x, t, { loss: 'mse' }));
  const half = await small(await shared('cpu'), [{ ...SMALL[0], dtype: 'float16' }]);
  await fails('unsupported', () => half.fit(x, t, { loss: 'mse' }));
  await fails('argument', async () => small(await shared('cpu'), [{ ...SMALL[0], kernelInitializer: 'nothing of Keras' }]));
}

export async function trainingsEndEarly() {
  for (const kind of ['cpu', 'webgpu']) {
    const model = await small(await shared(kind));
    // By a callback's answer, with what was trained so far.
    const history = await model.fit(x, t, { loss: 'mse', epochs: 50, onEpoch: ({ epoch }) => epoch < 2 });
    equal(history.loss.length, 3, 'epochs until it was told to end');
    const batches = [];
    const whole = await model.fit(x, t, { epochs: 2, batchSize: 2, onBatch: (record) => { batches.push(record); } });
    equal(batches.map(({ epoch, batch }) => [epoch, batch]), [3, 4].flatMap((epoch) => [0, 1, 2, 3].map((batch) => [epoch, batch])), 'batches');
    equal([batches.at(-1).batch, batches.at(-1).batches, batches.at(-1).loss], [3, 4, whole.loss.at(-1)], 'the last batch');
    // By a signal, from outside.
    const controller = new AbortController();
    setTimeout(() => controller.abort('enough'), 60);
    const error = await fails('aborted', () => model.fit(x, t, { epochs: 1e6, signal: controller.signal }));
    equal(error.cause, 'enough', 'the reason');
    await fails('aborted', () => model.fit(x, t, { signal: AbortSignal.abort() }));
    // What a callback throws is what it rejects with, and the model lives on.
    let thrown;
    const mine = new Error('of the page');
    await model.fit(x, t, { epochs: 3, onEpoch: () => { throw mine; } }).catch((error) => { thrown = error; });
    assert(thrown === mine, `it rejects with ${thrown}`);
    thrown = undefined;
    await model.fit(x, t, { epochs: 3, onBatch: () => { throw mine; } }).catch((error) => { thrown = error; });
    assert(thrown === mine, `told of a batch it rejects with ${thrown}`);
    assert((await model.fit(x, t)).loss[0] > 0, 'it can\'t be trained any more');
    // One at a time; predictions may be made meanwhile, and callbacks are waited for.
    let inside = 0;
    const running = model.fit(x, t, { epochs: 3, onEpoch: async () => { await model.predict(x); inside += 1; } });
    await fails('argument', () => model.fit(x, t));
    await fails('argument', () => model.compile({ loss: 'mae' }));
    await fails('argument', () => model.evaluate(x, t));
    await running;
    equal(inside, 3, 'callbacks that were waited for');
    // Disposed of while it runs.
    const disposed = model.fit(x, t, { epochs: 1e6 });
    setTimeout(() => model.dispose(), 60);
    await fails('disposed', () => disposed);
    await fails('disposed', () => model.fit(x, t));
  }
}

export async function aLostDeviceEndsATraining() {
  const gpu = await device();
  const model = await small(lc.Context.fromDevice(gpu));
  const running = model.fit(x, t, { loss: 'mse', epochs: 1e6 });
  setTimeout(() => gpu.destroy(), 100);
  await fails('device-lost', () => running);
  await fails('device-lost', () => model.fit(x, t));
}

// Compiled again and again: what an optimizer kept is freed.
export async function statesAreFreed() {
  const gpu = await device();
  const live = new Set();
  const create = gpu.createBuffer.bind(gpu);
  gpu.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    const destroy = buffer.destroy.bind(buffer);
    live.add(buffer);
    buffer.destroy = () => { live.delete(buffer); destroy(); };
    return buffer;
  };
  const model = await small(lc.Context.fromDevice(gpu));
  const counts = [];
  for (const optimizer of ['adam', 'sgd', 'adam', 'adam']) {
    await model.fit(x, t, { loss: 'mse', optimizer });
    await new Promise((done) => { setTimeout(done, 10); });
    counts.push(live.size);
  }
  assert(counts[1] < counts[0] && counts[2] === counts[0] && counts[3] === counts[0], `buffers after each: ${counts}`);
  model.dispose();
  await new Promise((done) => { setTimeout(done, 10); });
  equal(live.size, 0, 'buffers in the end');
  gpu.destroy();
}

// The digits from nothing, as Keras learns them: 0.9711 ± 0.0020 after 30 epochs (docs/training.md). WebGPU begins as the CPU does.
export async function digitsAreLearned() {
  const { newNetwork, train } = await import('/demo/train.js');
  const learned = async (kind, epochs) => {
    const network = await newNetwork(await shared(kind), 4);
    const history = await train(network, { seed: 4, epochs });
    network.dispose();
    return history;
  };
  const [cpu, gpu] = [await learned('cpu', 30), await learned('webgpu', 4)];
  assert(cpu.val_accuracy.at(-1) > 0.955, `${cpu.val_accuracy.at(-1)} are right`);
  near(gpu.loss, cpu.loss.slice(0, 4), 'losses', 1e-4);
  return `${(100 * cpu.val_accuracy.at(-1)).toFixed(1)} % right`;
}
