// What the tests of a page share: assertions, devices that are asked for once, arrays compared, NumPy's files.
import * as lc from '/dist/index.js';

export { lc };

export function assert(condition, message) {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

export const equal = (found, expected, what) =>
  assert(JSON.stringify(found) === JSON.stringify(expected), `${what} is ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);

// The error that a promise rejects with, or a function throws, by its kind.
export async function fails(kind, action) {
  let error;
  try {
    await action();
  } catch (caught) {
    error = caught;
  }
  assert(error !== undefined, `nothing failed, expected an error of kind ${kind}`);
  assert(error instanceof lc.LocallyConnectedError && error.kind === kind, `expected kind ${kind}, found ${error.kind}: ${error.stack}`);
  return error;
}

export function sameBits(found, expected, what) {
  assert(found.length === expected.length, `${what} has ${found.length} values, not ${expected.length}`);
  for (let i = 0; i < expected.length; i += 1) {
    assert(Object.is(found[i] + 0, expected[i] + 0), `${what}[${i}] is ${found[i]}, not ${expected[i]}`);
  }
}

// No value may be off by more than `tolerance` of the largest, or of 1 where that is less.
export function near(found, expected, what, tolerance = 2e-5) {
  assert(found.length === expected.length, `${what} has ${found.length} values, not ${expected.length}`);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  for (let i = 0; i < expected.length; i += 1) {
    const off = Math.abs(found[i] - expected[i]) / largest;
    assert(off <= tolerance, `${what}[${i}] is ${found[i]}, not ${expected[i]} (off by ${off})`);
  }
}

// Values that repeat after 97, from -1 to 1.
export const values = (count, factor = 37) => Float32Array.from({ length: count }, (_, i) => ((factor * i) % 97) / 48 - 1);

let adapter;
export async function device(requiredLimits = {}) {
  adapter = await navigator.gpu.requestAdapter();
  return adapter.requestDevice({ requiredLimits });
}

const kinds = new Map();
// A context that tests share.
export function shared(kind) {
  const make = { webgpu: () => lc.Context.request({ kind: 'webgpu' }), cpu: () => lc.Context.cpu(), borrowed: async () => lc.Context.fromDevice(await device()) };
  if (!kinds.has(kind)) kinds.set(kind, make[kind]());
  return kinds.get(kind);
}

export const fetched = async (url) => {
  const response = await fetch(url);
  assert(response.ok, `${url}: ${response.status}`);
  return response.arrayBuffer();
};

// An .npy file's array as 32-bit floats, with its shape.
export function npy(buffer) {
  const view = new DataView(buffer);
  const [start, length] = view.getUint8(6) === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const header = new TextDecoder().decode(new Uint8Array(buffer, start, length));
  const type = /'descr': '([^']+)'/.exec(header)[1];
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(',').filter((size) => size.trim()).map(Number);
  const data = buffer.slice(start + length);
  const arrays = { '<f4': Float32Array, '<f8': Float64Array, '<i4': Int32Array, '<i8': BigInt64Array, '|u1': Uint8Array };
  assert(arrays[type] && !header.includes("'fortran_order': True"), `an array of ${type} that this can't read`);
  return { shape, values: Float32Array.from(new arrays[type](data), Number) };
}

// The arrays of an .npz, stored or deflated, by their names.
export async function npz(buffer) {
  const view = new DataView(buffer);
  let end = buffer.byteLength - 22;
  while (view.getUint32(end, true) !== 0x06054b50) end -= 1;
  let at = view.getUint32(end + 16, true);
  const arrays = {};
  for (let entry = view.getUint16(end + 10, true); entry > 0; entry -= 1) {
    const [method, packed, nameLength] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint16(at + 28, true)];
    const name = new TextDecoder().decode(new Uint8Array(buffer, at + 46, nameLength));
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    let data = new Blob([buffer.slice(start, start + packed)]);
    if (method === 8) data = await new Response(data.stream().pipeThrough(new DecompressionStream('deflate-raw'))).blob();
    arrays[name.replace(/\.npy$/, '')] = npy(await data.arrayBuffer());
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return arrays;
}
