import { Context, init } from '../dist/train.js';
import { loadModel } from '../dist/keras.js';
import { bench } from './bench.js';
import { heatMap, largest } from './maps.js';
import { Pad } from './pad.js';
import { Curve, EPOCHS, newNetwork, train } from './train.js';

const $ = (id) => document.getElementById(id);
const SHOWN = ['local_1', 'local_2', 'probabilities'];

let context;
/** What answers: Keras's network, or the one that was trained here. */
let model;
let keras;
let training;
let seed = 0;
let kernel;
let samples;
let filter = 0;
let found;
let asked = 0;

function say(error) {
  $('device').textContent = error.kind === 'device-lost' ? 'the GPU was lost: reload the page' : `that failed: ${error.message}`;
  $('device').className = 'badge lost';
  document.documentElement.dataset.state = 'failed';
}

// The prediction for what is drawn now; a drawing that goes on makes it out of date.
async function predict() {
  const pixels = pad.pixels;
  const turn = ++asked;
  if (!model) return;
  if (!pixels) {
    found = undefined;
    show();
    return;
  }
  try {
    const start = performance.now();
    const activations = await model.activations(pixels, SHOWN);
    if (turn !== asked) return;
    found = { ...activations, milliseconds: performance.now() - start };
    show();
  } catch (error) {
    say(error);
  }
}

function show() {
  const probabilities = found?.probabilities ?? new Float32Array(10);
  const best = probabilities.indexOf(Math.max(...probabilities));
  $('answer').textContent = found ? String(best) : '–';
  [...$('bars').children].forEach((bar, digit) => {
    bar.classList.toggle('best', found !== undefined && digit === best);
    bar.querySelector('i').style.width = `${100 * probabilities[digit]}%`;
    bar.lastChild.textContent = found ? `${(100 * probabilities[digit]).toFixed(1)}\u00a0%` : '';
  });
  $('time').textContent = found ? `in ${found.milliseconds.toFixed(1)} ms, drawing to answer` : ' ';
  showMaps();
  document.documentElement.dataset.answer = found ? String(best) : '';
}

function showMaps() {
  if (!kernel) return;
  // [36 places][3×3][8 filters], as Keras has it.
  const weight = (place, y, x) => kernel[(place * 9 + 3 * y + x) * 8 + filter];
  heatMap($('filters'), { across: 6, tiles: 36, side: 3, values: weight, most: largest(kernel) * .7, diverging: true });
  const [first, second] = [found?.local_1 ?? new Float32Array(288), found?.local_2 ?? new Float32Array(128)];
  heatMap($('first'), { across: 6, tiles: 36, side: 1, zoom: 12, values: (place) => first[place * 8 + filter], most: largest(first) });
  heatMap($('second'), { across: 3, tiles: 8, side: 4, values: (f, y, x) => second[(4 * y + x) * 8 + f], most: largest(second) });
  $('filters').ariaLabel = `The weights of filter ${filter + 1} at 36 places`;
  $('first').ariaLabel = `The activations of filter ${filter + 1} at 36 places`;
  $('second').ariaLabel = 'The activations of the second layer';
}

// The place that is pointed at: its window in the drawing, and what it answers.
function point(event) {
  const { left, top, width, height } = $('filters').getBoundingClientRect();
  const [x, y] = [Math.floor(((event.clientX - left) / width) * 6), Math.floor(((event.clientY - top) / height) * 6)];
  const inside = x >= 0 && y >= 0 && x < 6 && y < 6 && event.type !== 'pointerleave';
  $('window').hidden = !inside;
  if (!inside) {
    $('place').textContent = ' ';
    return;
  }
  const percent = (value) => `${(100 * value) / 8}%`;
  Object.assign($('window').style, { left: percent(x), top: percent(y), width: percent(3), height: percent(3) });
  const answer = found ? `; it answers ${found.local_1[(6 * y + x) * 8 + filter].toFixed(2)}` : '';
  $('place').textContent = `Row ${y + 1}, column ${x + 1} reads the marked 3×3 of the drawing's 8×8${answer}.`;
}

// What answers from now on, and its filters.
async function use(network) {
  model = network;
  [kernel] = await network.layer('local_1').getWeights();
  await predict();
}

async function trainNetwork() {
  if (training) {
    training.abort();
    return;
  }
  training = new AbortController();
  const old = model;
  $('train').textContent = 'Stop';
  $('restore').hidden = true;
  curve.clear();
  const start = performance.now();
  const note = (text) => { $('train-note').textContent = text; };
  const right = (accuracy) => `${(100 * accuracy).toFixed(1)} % of the 450 right`;
  let said = 'before its first epoch';
  try {
    const network = await newNetwork(context, (seed += 1));
    if (old !== keras) old.dispose();
    await use(network);
    await train(network, {
      seed,
      signal: training.signal,
      onEpoch: async ({ epoch, logs: { loss, val_accuracy: accuracy } }) => {
        curve.add(loss, accuracy);
        said = `after ${epoch + 1} ${epoch === 0 ? 'epoch' : 'epochs'}: ${right(accuracy)}`;
        note(`Epoch ${epoch + 1} of ${EPOCHS}: loss ${loss.toFixed(3)}, ${right(accuracy)}.`);
        await use(network);
      },
    });
    note(`Trained in ${((performance.now() - start) / 1000).toFixed(1)} s, ${said}. It answers your drawing now.`);
  } catch (error) {
    if (error.kind === 'aborted') note(`Stopped ${said}. It answers your drawing now.`);
    else note(`That failed: ${error.message}`);
  }
  await use(model);
  training = undefined;
  $('train').textContent = 'Train again';
  $('restore').hidden = false;
  document.documentElement.dataset.trained = said;
}

async function restore() {
  const own = model;
  $('restore').hidden = true;
  await use(keras);
  if (own !== keras) own.dispose();
  $('train-note').textContent = 'Keras\u2019s weights answer again.';
}

async function openFile(file) {
  const result = $('file-result');
  result.textContent = `reading ${file.name}…`;
  const line = (tag, text, className = '') => Object.assign(document.createElement(tag), { textContent: text, className });
  try {
    const own = await loadModel(context, file);
    const inputs = own.inputShape.reduce((all, one) => all * one, 1);
    const drawn = pad.pixels;
    const fits = own.inputShape.join() === '8,8,1' && drawn !== undefined;
    const x = fits ? drawn : Float32Array.from({ length: inputs }, Math.random);
    await own.predict(x);
    const start = performance.now();
    const y = await own.predict(x);
    const time = performance.now() - start;
    const values = [...y.subarray(0, 10)].map((value) => value.toPrecision(3)).join(', ');
    result.replaceChildren(
      line('div', `${file.name}: Keras ${own.kerasVersion}, ${own.countParams().toLocaleString('en')} parameters`),
      line('pre', own.summary()),
      line('div', `Output for ${fits ? 'your drawing' : 'a random input'}, in ${time.toFixed(1)} ms: ${values}${y.length > 10 ? `, … (${y.length} values)` : ''}`),
    );
    own.dispose();
  } catch (error) {
    result.replaceChildren(line('div', error.message, 'error'));
  }
  result.dataset.done = file.name;
}

async function measure() {
  const button = $('bench');
  const body = $('bench-table').tBodies[0];
  button.disabled = true;
  button.textContent = 'measuring…';
  body.replaceChildren();
  $('bench-table').hidden = false;
  try {
    const copied = await bench(context, ({ batch, time, rate, share, flops }) => {
      const row = body.insertRow();
      const cells = [batch, `${(1000 * time).toPrecision(3)} ms`, `${(rate / 1e9).toPrecision(3)} GB/s`, `${(100 * share).toFixed(0)} %`];
      for (const text of cells) row.insertCell().textContent = text;
      row.title = `${(flops / 1e9).toPrecision(3)} GFLOP/s`;
    });
    $('bench-note').textContent = `${context.adapter}, ${context.kind === 'webgpu' ? 'WebGPU' : 'one thread'}; it copies at ${(copied / 1e9).toPrecision(3)} GB/s, read and written.`;
  } catch (error) {
    $('bench-note').textContent = error.message;
  }
  button.disabled = false;
  button.textContent = 'Measure again';
}

// NumPy's file of the test images: a header, then 450 × 64 floats.
const images = (buffer) => new Float32Array(buffer.slice(10 + new DataView(buffer).getUint16(8, true)));

for (let digit = 0; digit < 10; digit += 1) {
  const bar = document.createElement('li');
  bar.innerHTML = `<span>${digit}</span><span class="track"><i></i></span><span></span>`;
  $('bars').append(bar);
}
for (let at = 0; at < 8; at += 1) {
  const tab = document.createElement('label');
  tab.innerHTML = `<input type="radio" name="filter" value="${at}" ${at === 0 ? 'checked' : ''}><span>${at + 1}</span>`;
  $('tabs').append(tab);
}
const pad = new Pad($('pad'), predict);
$('tabs').addEventListener('change', ({ target }) => { filter = Number(target.value); showMaps(); });
$('clear').addEventListener('click', () => pad.clear());
$('sample').addEventListener('click', () => {
  const at = Math.floor(Math.random() * (samples.length / 64));
  pad.show(samples.subarray(64 * at, 64 * at + 64));
});
for (const type of ['pointermove', 'pointerdown', 'pointerleave']) $('filters').addEventListener(type, point);
$('file').addEventListener('change', ({ target }) => { if (target.files[0]) openFile(target.files[0]); target.value = ''; });
const drop = $('drop');
for (const type of ['dragenter', 'dragover']) drop.addEventListener(type, (event) => { event.preventDefault(); drop.classList.add('over'); });
for (const type of ['dragleave', 'drop']) drop.addEventListener(type, () => drop.classList.remove('over'));
drop.addEventListener('drop', (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
});
$('bench').addEventListener('click', measure);
const curve = new Curve($('curve'));
$('train').addEventListener('click', trainNetwork);
$('restore').addEventListener('click', () => restore().catch(say));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showMaps);

async function start() {
  const onCpu = new URLSearchParams(location.search).has('cpu');
  await init();
  context = onCpu ? await Context.request({ kind: 'cpu' }) : await Context.request();
  $('device').textContent = context.kind === 'webgpu' ? `WebGPU: ${context.adapter}` : 'the processor, WebAssembly SIMD';
  $('device').className = `badge ${context.kind}`;
  $('advice').hidden = context.kind === 'webgpu' || onCpu;
  $('reason').textContent = context.reason ? `Because ${context.reason}.` : '';
  if (onCpu) Object.assign($('other'), { href: '?', textContent: 'Run on the GPU instead' });
  context.device?.lost.then(() => say({ kind: 'device-lost' }));
  const [file, test] = await Promise.all(['digits.h5', 'x_test.npy'].map((name) => fetch(`../fixtures/digits/${name}`)));
  [keras, samples] = [await loadModel(context, file), images(await test.arrayBuffer())];
  model = keras;
  [kernel] = await keras.layer('local_1').getWeights();
  // Something to look at before anything is drawn.
  if (!pad.pixels) pad.show(samples.subarray(0, 64));
  await predict();
  document.documentElement.dataset.state = 'ready';
}
start().catch(say);
