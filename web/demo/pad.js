// Where one draws: with a pointer or with keys. Gives the digit as the network knows them: 8×8 values from 0 to 1.
const SIZE = 256;
const BRUSH = 22;
const STEP = 12;
/** The data set's digits are boxes of 32×32 dots, counted in fours. */
const BOX = 32;

export class Pad {
  #canvas;
  #context;
  #changed;
  #last;
  #cursor = { x: SIZE / 2, y: SIZE / 2 };
  #down = false;
  #strokes = [];
  #image;

  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d', { willReadFrequently: true });
    this.#changed = changed;
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#image = undefined;
      this.#last = undefined;
      this.#draw(this.#at(event));
    });
    canvas.addEventListener('pointermove', (event) => {
      if (event.buttons & 1) for (const each of event.getCoalescedEvents?.() ?? [event]) this.#draw(this.#at(each));
    });
    // A finger that draws makes no gesture: a browser would take a fast stroke for a fling, and swallow the tap that comes after it.
    canvas.addEventListener('touchstart', (event) => event.preventDefault(), { passive: false });
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('keyup', ({ key }) => { if (key === ' ') this.#down = false; });
    canvas.addEventListener('focus', () => this.redraw());
    canvas.addEventListener('blur', () => { this.#down = false; this.redraw(); });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.redraw());
    this.redraw();
  }

  #at({ clientX, clientY }) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return { x: ((clientX - left) / width) * SIZE, y: ((clientY - top) / height) * SIZE };
  }

  #key(event) {
    const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const move = moves[event.key];
    if (event.key === ' ' && !event.repeat) {
      this.#down = true;
      this.#image = undefined;
      this.#last = undefined;
      this.#draw({ ...this.#cursor });
    } else if (move) {
      const clamp = (value) => Math.min(SIZE, Math.max(0, value));
      this.#cursor = { x: clamp(this.#cursor.x + move[0]), y: clamp(this.#cursor.y + move[1]) };
      if (this.#down) this.#draw({ ...this.#cursor }); else this.redraw();
    } else if (event.key === 'c' || event.key === 'C') {
      this.clear();
    } else if (event.key !== ' ') {
      return;
    }
    event.preventDefault();
  }

  #draw(to) {
    if (this.#last) this.#strokes.at(-1).push(to); else this.#strokes.push([to]);
    this.#last = to;
    this.redraw();
    this.#changed();
  }

  clear() {
    this.#strokes = [];
    this.#last = undefined;
    this.#image = undefined;
    this.redraw();
    this.#changed();
  }

  /** Shows one of the data set's digits. */
  show(image) {
    this.clear();
    this.#image = image;
    this.redraw();
    this.#changed();
  }

  redraw() {
    const context = this.#context;
    context.clearRect(0, 0, SIZE, SIZE);
    const ink = getComputedStyle(this.#canvas).getPropertyValue('--ink');
    context.fillStyle = context.strokeStyle = ink;
    if (this.#image) {
      this.#image.forEach((value, at) => {
        context.globalAlpha = value;
        context.fillRect((at % 8) * 32, Math.floor(at / 8) * 32, 32, 32);
      });
      context.globalAlpha = 1;
    }
    this.#trace(context);
    if (document.activeElement === this.#canvas && this.#canvas.matches(':focus-visible')) {
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(this.#cursor.x, this.#cursor.y, BRUSH / 2, 0, 7);
      context.stroke();
    }
  }

  #trace(context) {
    context.lineWidth = BRUSH;
    context.lineCap = context.lineJoin = 'round';
    for (const [first, ...rest] of this.#strokes) {
      context.beginPath();
      context.moveTo(first.x, first.y);
      for (const { x, y } of rest.length > 0 ? rest : [{ x: first.x + .1, y: first.y }]) context.lineTo(x, y);
      context.stroke();
    }
  }

  /** The drawing as 64 values; none where there is nothing. */
  get pixels() {
    if (this.#image) return this.#image;
    if (this.#strokes.length === 0) return undefined;
    // As the data set's makers did: the drawing fills its box, and blocks of 4×4 dots are counted.
    const points = this.#strokes.flat();
    const [left, top] = [Math.min(...points.map(({ x }) => x)) - BRUSH / 2, Math.min(...points.map(({ y }) => y)) - BRUSH / 2];
    const [right, bottom] = [Math.max(...points.map(({ x }) => x)) + BRUSH / 2, Math.max(...points.map(({ y }) => y)) + BRUSH / 2];
    const scale = BOX / Math.max(right - left, bottom - top, SIZE / 3);
    const canvas = new OffscreenCanvas(BOX, BOX);
    const context = canvas.getContext('2d');
    context.translate(BOX / 2, BOX / 2);
    context.scale(scale, scale);
    context.translate(-(left + right) / 2, -(top + bottom) / 2);
    this.#trace(context);
    const { data } = context.getImageData(0, 0, BOX, BOX);
    return Float32Array.from({ length: 64 }, (_, at) => {
      let dots = 0;
      for (let y = 0; y < 4; y += 1) {
        for (let x = 0; x < 4; x += 1) dots += data[4 * ((4 * Math.floor(at / 8) + y) * BOX + 4 * (at % 8) + x) + 3] > 127 ? 1 : 0;
      }
      return dots / 16;
    });
  }
}
