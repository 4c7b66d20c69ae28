// Every model file of Keras's in tests/fixtures/cases that runs here, on WebGPU, on a device of the page's and on the CPU.
import { loadModel } from '/dist/keras.js';
import { assert, equal, fails, fetched, near, npy, npz, shared } from './harness.js';

const index = (async () => (await fetch('/fixtures/cases/index.json')).json())();

async function check(context, kind, { name, model: file, x, y, dy, grads }) {
  const at = (path) => fetched(`/fixtures/cases/${path}`);
  const model = await loadModel(context, await at(file), { name: file });
  try {
    const [input, output] = [npy(await at(x)), npy(await at(y))];
    equal(model.outputShape, output.shape.slice(1), `output shape of ${name}`);
    near(await model.predict(input.values), output.values, `${name} on ${kind}: output`);
    const expected = await npz(await at(grads));
    const found = await model.gradients(input.values, npy(await at(dy)).values);
    const locals = model.layers.filter((layer) => layer.weightShapes.length > 0);
    for (const [key, { values }] of Object.entries(expected)) {
      const full = key === 'input' || key.includes('/') ? key : `${locals[0].name}/${key}`;
      assert(found[full], `${name}: no gradient ${full} among ${Object.keys(found)}`);
      near(found[full], values, `${name} on ${kind}: gradient ${full}`);
    }
    equal(Object.keys(found).length, Object.keys(expected).length, `${name}: number of gradients`);
  } finally {
    model.dispose();
  }
}

async function all(kind) {
  const context = await shared(kind);
  let ran = 0;
  for (const given of await index) {
    if (!given.supported) continue;
    await check(context, kind, given);
    ran += 1;
  }
  assert(ran >= 50, `only ${ran} fixtures ran`);
  return `${ran} files`;
}

export const fixturesOnWebGPU = () => all('webgpu');
export const fixturesOnABorrowedDevice = () => all('borrowed');
export const fixturesOnCpu = () => all('cpu');

// Models whose layers aren't all locally connected, and graphs: what runs gives what Keras gives, what doesn't is named.
export async function modelsOfOtherLayersRunOrAreRefused() {
  const [others, found] = [(await index).filter(({ supported }) => !supported), []];
  for (const { name, model: file, x, y } of others) {
    const bytes = await fetched(`/fixtures/cases/${file}`);
    for (const kind of ['cpu', 'webgpu']) {
      const model = await loadModel(await shared(kind), bytes, { name: file }).catch((error) => error);
      if (model instanceof Error) {
        assert(model.kind === 'unsupported' && model.message.length > 20, `${file}: ${model.kind} ${model.message}`);
        found.push(`${name} refused`);
        continue;
      }
      if (x && y) {
        const [input, output] = [npy(await fetched(`/fixtures/cases/${x}`)), npy(await fetched(`/fixtures/cases/${y}`))];
        // Of several outputs y is the last.
        const last = model.outputs.at(-1).name;
        const found = await model.predict(input.values);
        near(model.outputs.length > 1 ? found[last] : found, output.values, `${name} on ${kind}: output`);
      }
      model.dispose();
      found.push(`${name} runs`);
    }
  }
  assert(found.length >= 2, 'there are none');
  await fails('file', async () => loadModel(await shared('cpu'), new Uint8Array([1, 2, 3]), { name: 'some.h5' }));
  await fails('file', async () => loadModel(await shared('cpu'), new TextEncoder().encode('no model'), { name: 'some.keras' }));
  return found.filter((_, at) => at % 2 === 0).join(', ');
}

export async function savedModelsAreReadAgain() {
  const bytes = await fetched('/fixtures/digits/digits.h5');
  const x = npy(await fetched('/fixtures/digits/x_test.npy')).values.subarray(0, 64 * 5);
  const context = await shared('cpu');
  const model = await loadModel(context, bytes);
  const first = model.layers.find(({ className }) => className === 'LocallyConnected2D');
  const [kernel, bias] = await first.getWeights();
  first.setWeights([kernel.map((value) => value / 2), bias]);
  const expected = await model.predict(x);
  for (const format of ['h5', 'keras', 'safetensors']) {
    const again = await loadModel(context, await model.save(format));
    near(await again.predict(x), expected, `digits saved as ${format}`, 0);
    equal(again.layers.map(({ name }) => name), model.layers.map(({ name }) => name), `layers of ${format}`);
    again.dispose();
  }
  await fails('argument', () => model.save('onnx'));
  model.dispose();
}

// A model with a model inside, one of whose outputs nobody reads, as safetensors: what feeds that alone doesn't run.
function idle() {
  const call = (className, name, from, config) =>
    ({ class_name: className, name, config: { name, ...config }, inbound_nodes: from ? [[[from, 0, 0, {}]]] : [] });
  const input = (name) => call('InputLayer', name, null, { batch_input_shape: [null, 2], dtype: 'float32', sparse: false, ragged: false });
  const dense = (name, from) => call('Dense', name, from, { units: 2, use_bias: false, activation: 'linear' });
  const of = (layers, input, outputs) => ({ layers, input_layers: [[input, 0, 0]], output_layers: outputs });
  const inner = of([input('y'), dense('used', 'y'), dense('idle', 'y')], 'y', [['used', 0, 0], ['idle', 0, 0]]);
  const config = { name: 'm', ...of([input('x'), call('Functional', 'inner', 'x', inner)], 'x', [['inner', 1, 0]]) };
  const metadata = { version: 1, keras_version: '2.15.0', model: { class_name: 'Functional', config }, layers: {} };
  const array = (first) => ({ dtype: 'F32', shape: [2, 2], data_offsets: [first, first + 16] });
  const header = { __metadata__: { locally_connected: JSON.stringify(metadata) }, 'inner/used/kernel': array(0), 'inner/idle/kernel': array(16) };
  const text = new TextEncoder().encode(JSON.stringify(header).padEnd(8 * Math.ceil(JSON.stringify(header).length / 8)));
  const values = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer);
  return new Uint8Array([...new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer), ...text, ...values]);
}

export async function weightsOfWhatDoesNotRunAreKept() {
  const weights = async (model, layer) => (await model.layer(layer).getWeights()).map((array) => [...array]);
  for (const kind of ['webgpu', 'cpu']) {
    const context = await shared(kind);
    const model = await loadModel(context, idle(), { name: 'idle.safetensors' });
    equal(model.countParams(), 8, 'parameters of all layers');
    equal([...await model.predict(Float32Array.of(1, 1))], [4, 6], `output on ${kind}`);
    equal(await weights(model, 'inner/used'), [[1, 2, 3, 4]], `weights on ${kind}`);
    equal(await weights(model, 'inner/idle'), [[5, 6, 7, 8]], `weights of what does not run on ${kind}`);
    await fails('shape', () => model.layer('inner/idle').setWeights([new Float32Array(3)]));
    model.layer('inner/idle').setWeights([Float32Array.of(9, 10, 11, 12)]);
    model.layer('inner/used').setWeights([Float32Array.of(4, 3, 2, 1)]);
    for (const format of ['h5', 'keras', 'safetensors']) {
      const again = await loadModel(context, await model.save(format), { name: `idle.${format}` });
      equal(await weights(again, 'inner/used'), [[4, 3, 2, 1]], `weights, saved as ${format}`);
      equal(await weights(again, 'inner/idle'), [[9, 10, 11, 12]], `weights of what does not run, saved as ${format}`);
      again.dispose();
    }
    equal(Object.keys(await model.gradients(Float32Array.of(1, 1), Float32Array.of(1, 1))), ['input', 'inner/used/kernel'], 'gradients');
    model.dispose();
    await fails('disposed', () => model.layer('inner/idle').getWeights());
  }
}

// Models of any layers, some of several inputs and outputs: what Keras gives, by the names of both.
const MODELS = ['activations', 'branches', 'channels_first', 'conv1d', 'conv2d', 'deepface', 'dense', 'gennet', 'merges', 'moves', 'moves1d',
  'nested', 'normalisation', 'pool1d', 'pool2d', 'shared', 'yolo'];

async function checkGraph(kind, name) {
  const data = await npz(await fetched(`/fixtures/models/${name}/data.npz`));
  const under = (prefix) => Object.entries(data).filter(([key]) => key.startsWith(prefix)).map(([key, array]) => [key.slice(prefix.length), array]);
  const arrays = (prefix) => Object.fromEntries(under(prefix).map(([key, { values }]) => [key, values]));
  const model = await loadModel(await shared(kind), await fetched(`/fixtures/models/${name}/model.h5`));
  try {
    const [x, dy] = [arrays('x/'), arrays('dy/')];
    equal(model.inputs.map(({ name }) => name).sort(), Object.keys(x).sort(), `inputs of ${name}`);
    const found = await model.predict(x);
    for (const [output, { values, shape }] of under('y/')) {
      const ours = model.outputs.length > 1 ? found[output] : found;
      near(ours, values, `${name} on ${kind}: output ${output}`);
      equal(model.outputs.find((end) => end.name === output).shape, shape.slice(1), `${name}: shape of ${output}`);
    }
    // In their order they are the same.
    const listed = await model.predict(model.inputs.map((end) => x[end.name]));
    equal(JSON.stringify(listed), JSON.stringify(found), `${name} on ${kind}: outputs for arrays in their order`);
    const gradients = await model.gradients(x, dy);
    equal(Object.keys(gradients).sort(), under('grads/').map(([key]) => key).sort(), `${name}: gradients`);
    for (const [key, { values }] of under('grads/')) near(gradients[key], values, `${name} on ${kind}: gradient ${key}`);
    if (model.inputs.length > 1) {
      const [{ name: first }] = model.inputs;
      await fails('argument', () => model.predict(x[first]));
      await fails('argument', () => model.predict([x[first]]));
      await fails('argument', () => model.predict({ [first]: x[first] }));
      await fails('argument', () => model.predict({ ...x, another: x[first] }));
      await fails('shape', () => model.predict({ ...x, [first]: new Float32Array(2 * x[first].length) }));
    }
    return model.inputs.length + model.outputs.length > 2;
  } finally {
    model.dispose();
  }
}

async function checkGraphs(kind, names) {
  const several = [];
  for (const name of names) if (await checkGraph(kind, name)) several.push(name);
  assert(several.length > 0, 'none has several inputs or outputs');
  return `several inputs or outputs: ${several.join(', ')}`;
}

// Halves, as a software adapter takes its time to compile.
export const graphsOnWebGPU = () => checkGraphs('webgpu', MODELS.slice(0, 9));
export const moreGraphsOnWebGPU = () => checkGraphs('webgpu', MODELS.slice(9));
export const graphsOnCpu = () => checkGraphs('cpu', MODELS);
