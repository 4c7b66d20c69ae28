// Numbers as colours: grids of small squares, one canvas pixel each.
const colour = (name) => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data];
};

const mix = (from, to, share) => from.map((value, at) => value + (to[at] - value) * share);

/** `tiles` of `side`×`side` values in rows of `across`, with a gap between them; `values(tile, y, x)`, each `zoom` pixels wide. */
export function heatMap(canvas, { across, tiles, side, values, most, zoom = 1, diverging = false }) {
  const size = side * zoom;
  const down = Math.ceil(tiles / across);
  const [width, height] = [across * (size + 1) - 1, down * (size + 1) - 1];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const [none, positive, negative, full] = ['--zero', '--positive', '--negative', '--accent'].map(colour);
  for (let tile = 0; tile < tiles; tile += 1) {
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        const value = values(tile, Math.floor(y / zoom), Math.floor(x / zoom)) / (most || 1);
        const to = diverging ? (value < 0 ? negative : positive) : full;
        const share = Math.min(1, Math.abs(value)) ** 0.8;
        const at = 4 * ((Math.floor(tile / across) * (size + 1) + y) * width + (tile % across) * (size + 1) + x);
        image.data.set(mix(none, to, share), at);
      }
    }
  }
  context.putImageData(image, 0, 0);
}

export const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
