import { LocallyConnectedError } from "./errors.js";
import type { BufferRange, GpuBound } from "./gpu.js";
import { type End, size } from "./ends.js";

/** A buffer of the page's, or a range of one; of several inputs or outputs each by its name. */
export type BoundBuffers = GPUBuffer | BufferRange | Readonly<Record<string, GPUBuffer | BufferRange>>;

/** What {@link Model.bindForward} and a layer's take. */
export interface BindOptions {
  /** Samples of a run. */
  batch: number;
  /** `[batch][input shape]` as 32-bit floats, with usage `STORAGE`. */
  input: BoundBuffers;
  /** `[batch][output shape]` as 32-bit floats, with usage `STORAGE`; another buffer than the input's. */
  output: BoundBuffers;
}

/** A forward pass bound to buffers of the page's: record it into any compute pass, as often as you like. */
export class BoundForward {
  /** Samples of a run. */
  readonly batch: number;
  #bound: GpuBound;
  /** Its parameters must outlive it. */
  readonly #model: object;

  /** @internal */
  constructor(batch: number, bound: GpuBound, model: object) {
    this.batch = batch;
    this.#bound = bound;
    this.#model = model;
  }

  /**
   * Records the pass: sets pipelines and bind groups, dispatches. Nothing is allocated, submitted or waited for, and whatever
   * else is in `pass` stays as it is but for its pipeline and bind group 0.
   */
  record(pass: GPUComputePassEncoder): void {
    this.#bound.record(pass);
  }

  /** Frees what it made; the page's buffers and the model live on. */
  dispose(): void {
    void this.#model;
    this.#bound.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const isBuffer = (given: object): given is GPUBuffer => given instanceof GPUBuffer;
const isRange = (given: object): given is BufferRange => "buffer" in given && given.buffer instanceof GPUBuffer;

/** The page's buffers by the names of the program's. @internal */
export function ranges(what: "input" | "output", given: BoundBuffers, batch: number, ends: readonly End[]): Record<string, BufferRange> {
  if (!Number.isInteger(batch) || batch < 1) throw new LocallyConnectedError("argument", `\`batch\` must be positive, but is ${batch}`);
  const alone = isBuffer(given) || isRange(given);
  if (alone && ends.length > 1) {
    const names = ends.map(({ name }) => name).join(", ");
    throw new LocallyConnectedError("argument", `the model has ${ends.length} ${what}s (${names}): \`${what}\` must have a buffer for each`);
  }
  return Object.fromEntries(ends.map((end) => {
    const one = alone ? given : (given as Readonly<Record<string, GPUBuffer | BufferRange>>)[end.name];
    if (!one) throw new LocallyConnectedError("argument", `there is no buffer for the ${what} "${end.name}"`);
    return [end.buffer(what), range(`the ${what}`, one, batch, end.shape)];
  }));
}

function range(what: string, given: GPUBuffer | BufferRange, batch: number, shape: readonly number[]): BufferRange {
  const { buffer, offset = 0 } = isBuffer(given) ? { buffer: given } : given;
  if (!(buffer.usage & GPUBufferUsage.STORAGE)) {
    throw new LocallyConnectedError("argument", `the buffer given as ${what} lacks GPUBufferUsage.STORAGE`);
  }
  const needed = 4 * batch * size(shape);
  if (buffer.size < offset + needed) {
    throw new LocallyConnectedError("shape", `${what} needs ${needed} bytes from byte ${offset} on, but the buffer has ${buffer.size}`);
  }
  return { buffer, offset };
}
