// The digits network from nothing, trained on this machine, with its curves.
import { Sequential } from '../dist/index.js';

export const EPOCHS = 30;
/** From one line of text to the next. */
const LINE = 18;

const LAYERS = [
  { className: 'LocallyConnected2D', name: 'local_1', filters: 8, kernelSize: 3, activation: 'relu' },
  { className: 'LocallyConnected2D', name: 'local_2', filters: 8, kernelSize: 3, activation: 'relu' },
  { className: 'LocallyConnected2D', name: 'local_3', filters: 10, kernelSize: 4 },
  { className: 'Flatten' },
  { className: 'Activation', name: 'probabilities', activation: 'softmax' },
];

// Rows of 64 pixels from 0 to 16 and a digit: brightnesses from 0 to 1, and digits.
async function digits(name) {
  const bytes = new Uint8Array(await (await fetch(`../fixtures/digits/${name}.bin`)).arrayBuffer());
  const count = bytes.length / 65;
  const pixels = Float32Array.from({ length: 64 * count }, (_, at) => bytes[65 * Math.floor(at / 64) + (at % 64)] / 16);
  return [pixels, Float32Array.from({ length: count }, (_, at) => bytes[65 * at + 64])];
}

/** A network of new weights, another at each call. */
export const newNetwork = (context, seed) => Sequential.create(context, LAYERS, { inputShape: [8, 8, 1], seed });

/** Trains it; `onEpoch` is told of each epoch. */
export async function train(network, { seed, signal, onEpoch, epochs = EPOCHS }) {
  const [[x, digit], validationData] = await Promise.all([digits('train'), digits('test')]);
  return network.fit(x, digit, {
    loss: 'sparse_categorical_crossentropy', optimizer: 'adam', learningRate: 1e-3, metrics: ['accuracy'],
    epochs, batchSize: 32, validationData, seed, signal, onEpoch,
  });
}

/** Loss and accuracy over the epochs, in an SVG of 460 by 220. */
export class Curve {
  #svg;
  #records = [];

  constructor(svg) {
    this.#svg = svg;
    this.clear();
  }

  clear() {
    this.#records = [];
    this.#draw();
  }

  add(loss, accuracy) {
    this.#records.push({ loss, accuracy });
    this.#draw();
  }

  #draw() {
    const [left, right, top, bottom] = [50, 404, 14, 190];
    const records = this.#records;
    const most = Math.max(.1, ...records.map(({ loss }) => loss));
    const x = (epoch) => left + ((right - left) * epoch) / EPOCHS;
    const y = (share) => bottom - (bottom - top) * share;
    const points = (of) => records.map((record, at) => `${x(at + 1).toFixed(1)},${y(of(record)).toFixed(1)}`);
    const line = (name, of) => (records.length === 0 ? '' : `<path class="${name}" d="M${points(of).join('L')}"/>`);
    const rules = [0, .5, 1].map((share) => `<path class="axis" d="M${left},${y(share)}H${right}"/>`);
    const percents = [0, .5, 1].map((share) => `<text x="${left - 6}" y="${y(share) + 4}" text-anchor="end">${100 * share}${share === 1 ? '%' : ''}</text>`);
    const epochs = [10, 20, 30].map((epoch) => `<text x="${x(epoch)}" y="${bottom + 18}" text-anchor="middle">${epoch}</text>`);
    const last = records.at(-1);
    const label = (name, text, place) => `<text class="${name}" x="${x(records.length) + 7}" y="${place + 4}">${text}</text>`;
    const labels = () => {
      // Where the lines end close to each other their labels stand apart.
      const [loss, accuracy] = [y(last.loss / most), y(last.accuracy)];
      const apart = Math.max(0, LINE - Math.abs(loss - accuracy)) / 2 * (loss < accuracy ? -1 : 1);
      return [label('loss', last.loss.toFixed(2), loss + apart), label('accuracy', `${(100 * last.accuracy).toFixed(1)}%`, accuracy - apart)];
    };
    this.#svg.innerHTML = [...rules, ...percents, ...epochs, `<text x="${left}" y="${bottom + 18}" text-anchor="middle">epoch</text>`,
      line('loss', ({ loss }) => loss / most), line('accuracy', ({ accuracy }) => accuracy), ...(last ? labels() : [])].join('');
    this.#svg.ariaLabel = last
      ? `After ${records.length} epochs the loss is ${last.loss.toFixed(3)} and the accuracy ${(100 * last.accuracy).toFixed(1)} percent`
      : 'No epoch yet';
  }
}
