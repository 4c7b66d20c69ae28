// A program's plan as the crate writes it (`WrittenPlan`): every buffer, shader and dispatch with all of its numbers.

export interface WrittenPart {
  first_entry: number;
  entries: number;
  first_filter: number;
  filters: number;
  all_filters: number;
}

export interface WrittenBuffer {
  name: string;
  usage: "input" | "output" | "parameter" | "state" | "gradient" | "scratch" | "constant";
  dtype: "f32" | "f16" | "u32";
  elements: number;
  bytes: number;
  /** Of weights and their gradients, which part of the array it holds; none is all of it. */
  part?: WrittenPart;
}

export interface WrittenShader {
  name: string;
  wgsl: string;
  entry_point: string;
  bindings: ("read" | "write")[];
}

export interface WrittenDispatch {
  shader: number;
  uniform: number[];
  bindings: { buffer: number; offset: number; size: number }[];
  workgroups: [number, number, number];
}

export interface WrittenPlan {
  version: number;
  batch: number;
  buffers: WrittenBuffer[];
  shaders: WrittenShader[];
  dispatches: WrittenDispatch[];
}

/** The version that `gpu.ts` runs. */
export const PLAN_VERSION = 2;

/** Calls `visit` with each run of neighbouring elements of a part: where it begins in the whole array and in the buffer. */
function runs(part: WrittenPart | undefined, elements: number, visit: (whole: number, own: number, length: number) => void): void {
  if (part === undefined) return visit(0, 0, elements);
  const { first_entry, entries, first_filter, filters, all_filters } = part;
  if (filters === all_filters) return visit(first_entry * all_filters, 0, elements);
  for (let entry = 0; entry < entries; entry += 1) {
    visit((first_entry + entry) * all_filters + first_filter, entry * filters, filters);
  }
}

/** The bytes of a buffer that holds its part of `values`. */
export function toBuffer({ part, elements, bytes, dtype }: WrittenBuffer, values: Float32Array): Uint8Array<ArrayBuffer> {
  const data = new ArrayBuffer(bytes);
  if (dtype === "f16") {
    const halves = new Uint16Array(data);
    runs(part, elements, (whole, own, length) => {
      for (let i = 0; i < length; i += 1) halves[own + i] = toHalf(values[whole + i] ?? 0);
    });
  } else {
    const floats = new Float32Array(data);
    runs(part, elements, (whole, own, length) => floats.set(values.subarray(whole, whole + length), own));
  }
  return new Uint8Array(data);
}

/** Puts a buffer's part into the whole array. */
export function fromBuffer({ part, elements, dtype }: WrittenBuffer, data: ArrayBuffer, offset: number, values: Float32Array): void {
  if (dtype === "f16") {
    const halves = new Uint16Array(data, offset, elements);
    runs(part, elements, (whole, own, length) => {
      for (let i = 0; i < length; i += 1) values[whole + i] = fromHalf(halves[own + i] ?? 0);
    });
  } else {
    const floats = new Float32Array(data, offset, elements);
    runs(part, elements, (whole, own, length) => values.set(floats.subarray(own, own + length), whole));
  }
}

const word = new DataView(/* @__PURE__ */ new ArrayBuffer(4));

/** The bits of the nearest 16-bit float, ties to even. */
export function toHalf(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const rest = bits & 0x7fffffff;
  if (rest >= 0x7f800000) return sign | 0x7c00 | (rest > 0x7f800000 ? 0x200 : 0);
  if (rest >= 0x477ff000) return sign | 0x7c00;
  // Of subnormal results the implicit bit is shifted in.
  const shift = rest < 0x38800000 ? 126 - (rest >>> 23) : 13;
  if (shift > 24) return sign;
  const mantissa = rest < 0x38800000 ? (rest & 0x7fffff) | 0x800000 : rest - 0x38000000;
  const [kept, cut, half] = [mantissa >>> shift, mantissa & ((1 << shift) - 1), 1 << (shift - 1)];
  return sign | (kept + (cut > half || (cut === half && (kept & 1) === 1) ? 1 : 0));
}

/** The value of a 16-bit float's bits. */
export function fromHalf(bits: number): number {
  const [exponent, mantissa] = [(bits >>> 10) & 31, bits & 1023];
  const size = exponent === 31 ? (mantissa === 0 ? Infinity : NaN)
    : exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}
