import type { Context } from "./context.js";
import { call, LocallyConnectedError } from "./errors.js";
import { type BufferRange, type GpuBound, GpuRunner } from "./gpu.js";
import type { Arrays, Program, Runner } from "./runner.js";

/** Samples that a model runs at once unless it is told otherwise, as in Keras. */
const BATCH = 32;
/** Most bytes of inputs and outputs that a layer runs at once. */
const AT_ONCE = 256 * 2 ** 20;

/** One of a layer's arrays. @internal */
export interface WeightInfo {
  /** Keras's name of it. */
  name: string;
  shape: number[];
  /** The program's names of it and of its gradient. */
  parameter: string;
  gradient: string;
  /** Whether the backward pass computes it: not of what is only measured, nor of frozen layers. */
  learned: boolean;
}

/** An array of `layer`'s by the programs' names. @internal */
export const weightInfo = (layer: string, name: string, shape: number[], learned: boolean): WeightInfo =>
  ({ name, shape, parameter: `${layer}/${name}`, gradient: `${layer}/grad_${name}`, learned });

/** What the wasm says of a layer. @internal */
export interface LayerInfo {
  name: string;
  className: string;
  trainable: boolean;
  inputShape: number[];
  outputShape: number[];
  config: Readonly<Record<string, unknown>>;
  weights: WeightInfo[];
}

/** A model in the wasm: what it computes, and how its arrays lie. @internal */
export interface Compiled {
  forward(keep: string): Uint8Array;
  backward(): Uint8Array;
  toCanonical(layer: string, weight: string, values: Float32Array): Float32Array;
  fromCanonical(layer: string, weight: string, values: Float32Array): Float32Array;
  free(): void;
}

/** What {@link Model.bindForward} and a layer's take. */
export interface BindOptions {
  /** Samples of a run. */
  batch: number;
  /** `[batch][input shape]` as 32-bit floats, with usage `STORAGE`. */
  input: GPUBuffer | BufferRange;
  /** `[batch][output shape]` as 32-bit floats, with usage `STORAGE`; another buffer than the input's. */
  output: GPUBuffer | BufferRange;
}

const size = (shape: readonly number[]): number => shape.reduce((all, one) => all * one, 1);

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

/** A model's parameters on a context, and what it computes. @internal */
export class Body {
  readonly context: Context;
  readonly compiled: Compiled;
  readonly inputShape: number[];
  readonly outputShape: number[];
  readonly infos: LayerInfo[];
  #runner: Runner;
  #forward: Program;
  #programs = new Map<string, Program>();
  #disposed = false;

  private constructor(context: Context, compiled: Compiled, infos: LayerInfo[], shapes: [number[], number[]], runner: Runner, forward: Program) {
    this.context = context;
    this.compiled = compiled;
    this.infos = infos;
    [this.inputShape, this.outputShape] = shapes;
    this.#runner = runner;
    this.#forward = forward;
  }

  static async create(context: Context, compiled: Compiled, infos: LayerInfo[], shapes: [number[], number[]]): Promise<Body> {
    try {
      const forward = call(() => compiled.forward(""));
      return new Body(context, compiled, infos, shapes, await context.runner(forward), forward);
    } catch (error) {
      compiled.free();
      throw error;
    }
  }

  check(): void {
    if (this.#disposed) throw new LocallyConnectedError("disposed", "it has been disposed of");
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.context.release(this.#runner);
    this.compiled.free();
  }

  set(parameter: string, values: Float32Array): void {
    this.#runner.set(parameter, values);
  }

  /** The model's output for `x`, and the outputs of those layers. */
  async forward(x: Float32Array, most: number, layers: readonly string[] = []): Promise<Arrays> {
    this.check();
    const batch = samples("the input", x, this.inputShape);
    const program = layers.length === 0 ? this.#forward : this.#program(layers.join("\n"), (keep) => this.compiled.forward(keep));
    const sizes = new Map([["output", size(this.outputShape)]]);
    for (const layer of layers) {
      const info = this.infos.find(({ name }) => name === layer);
      if (!info) throw new LocallyConnectedError("argument", `there is no layer "${layer}"`);
      // What the last layer gives is the model's output.
      if (info !== this.#last()) sizes.set(`${layer}/output`, size(info.outputShape));
    }
    const found: Arrays = Object.fromEntries([...sizes].map(([name, each]) => [name, new Float32Array(batch * each)]));
    await pieces(batch, most, async (first, count) => {
      const input = part(x, size(this.inputShape), first, count);
      const outputs = await this.#runner.run(program, count, { input }, [...sizes.keys()]);
      for (const [name, each] of sizes) found[name]!.set(outputs[name]!, first * each);
    });
    return found;
  }

  /** The last layer that computes anything: its output is the program's. */
  #last(): LayerInfo | undefined {
    return this.infos.findLast(({ weights, className }) => weights.length > 0 || !SHAPES_ONLY.has(className));
  }

  /**
   * The gradients of `Σ output · dy` by the program's names, those of `all` layers or of trainable ones; summed over the batch, but
   * `grad_input`. */
  async backward(x: Float32Array, dy: Float32Array, most: number, all = false): Promise<Arrays> {
    this.check();
    const [batch, given] = [samples("the input", x, this.inputShape), samples("the output's gradient", dy, this.outputShape)];
    if (given !== batch) {
      throw new LocallyConnectedError("shape", `the output's gradient has ${given} samples, but the input ${batch}`);
    }
    const program = this.#program("backward", () => this.compiled.backward());
    const weights = this.infos.flatMap((info) => info.weights).filter(({ learned }) => all || learned);
    const gradients = weights.map(({ gradient }) => gradient);
    const found: Arrays = { grad_input: new Float32Array(x.length) };
    await pieces(batch, most, async (first, count) => {
      const input = part(x, size(this.inputShape), first, count);
      const grad_output = part(dy, size(this.outputShape), first, count);
      const run = await this.#runner.run(program, count, { input, grad_output }, ["grad_input", ...gradients]);
      found["grad_input"]!.set(run["grad_input"]!, first * size(this.inputShape));
      for (const name of gradients) found[name] = found[name] ? sum(found[name], run[name]!) : run[name]!;
    });
    return found;
  }

  #program(key: string, make: (key: string) => Uint8Array): Program {
    let program = this.#programs.get(key);
    if (!program) {
      program = call(() => make(key));
      this.#programs.set(key, program);
    }
    return program;
  }

  async bindForward({ batch, input, output }: BindOptions): Promise<BoundForward> {
    this.check();
    if (!(this.#runner instanceof GpuRunner)) {
      throw new LocallyConnectedError("unsupported", "buffers of the page's need a context on WebGPU: this one runs on the CPU");
    }
    const given = { input: range("the input", input, batch, this.inputShape), output: range("the output", output, batch, this.outputShape) };
    if (given.input.buffer === given.output.buffer) {
      throw new LocallyConnectedError("argument", "the output is written and lies in the same buffer as the input, which WebGPU refuses");
    }
    return new BoundForward(batch, await this.#runner.bind(this.#forward, batch, given), this);
  }

  async getWeights(info: LayerInfo): Promise<Float32Array[]> {
    this.check();
    return Promise.all(info.weights.map(async ({ name, parameter }) => this.fromCanonical(info, name, await this.#runner.get(parameter))));
  }

  /** One of a layer's arrays, or its gradient, as Keras has it; of no samples a gradient is 0. */
  fromCanonical(info: LayerInfo, name: string, values: Float32Array | undefined): Float32Array {
    if (!values) return new Float32Array(size(info.weights.find((weight) => weight.name === name)?.shape ?? []));
    return call(() => this.compiled.fromCanonical(info.name, name, values));
  }

  setWeights(info: LayerInfo, weights: readonly Float32Array[]): void {
    this.check();
    if (weights.length !== info.weights.length) {
      const names = info.weights.map(({ name, shape }) => `${name} ${JSON.stringify(shape)}`).join(", ") || "none";
      throw new LocallyConnectedError("shape", `layer "${info.name}" has ${info.weights.length} arrays (${names}), but ${weights.length} are given`);
    }
    const canonical = info.weights.map(({ name, shape }, at) => {
      const values = weights[at]!;
      if (values.length !== size(shape)) {
        const expected = `${size(shape)} elements (shape ${JSON.stringify(shape)})`;
        throw new LocallyConnectedError("shape", `${name} must have ${expected}, but has ${values.length}`);
      }
      return call(() => this.compiled.toCanonical(info.name, name, values));
    });
    // All or nothing: what is wrong has shown by now.
    info.weights.forEach(({ parameter }, at) => this.#runner.set(parameter, canonical[at]!));
  }
}

/** Classes of Keras's that only give values another shape, or leave them as they are. */
const SHAPES_ONLY = new Set(["InputLayer", "Flatten", "Reshape", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise",
  "GaussianDropout", "AlphaDropout", "ActivityRegularization"]);

function samples(what: string, values: Float32Array, shape: readonly number[]): number {
  if (!(values instanceof Float32Array)) throw new LocallyConnectedError("argument", `${what} must be a Float32Array`);
  if (values.length % size(shape) === 0) return values.length / size(shape);
  const expected = `a multiple of ${size(shape)} elements (shape ${JSON.stringify(["batch", ...shape])})`;
  throw new LocallyConnectedError("shape", `${what} must have ${expected}, but has ${values.length}`);
}

function part(values: Float32Array, each: number, first: number, count: number): Float32Array {
  return values.subarray(first * each, (first + count) * each);
}

function sum(to: Float32Array, more: Float32Array): Float32Array {
  for (let i = 0; i < to.length; i += 1) to[i]! += more[i]!;
  return to;
}

/** Calls `run` with runs of samples, of at most `most` and as many fewer as the device's limits ask for. */
async function pieces(batch: number, most: number, run: (first: number, count: number) => Promise<void>): Promise<void> {
  let [first, atOnce] = [0, Math.max(1, Math.floor(most))];
  while (first < batch) {
    const count = Math.min(atOnce, batch - first);
    try {
      await run(first, count);
      first += count;
    } catch (error) {
      const tooMuch = error instanceof LocallyConnectedError && (error.kind === "limit" || error.kind === "out-of-memory");
      if (!tooMuch || count === 1) throw error;
      atOnce = Math.ceil(count / 2);
    }
  }
}

function range(what: string, given: GPUBuffer | BufferRange, batch: number, shape: readonly number[]): BufferRange {
  if (!Number.isInteger(batch) || batch < 1) throw new LocallyConnectedError("argument", `\`batch\` must be positive, but is ${batch}`);
  const { buffer, offset = 0 } = "buffer" in given ? given : { buffer: given };
  if (!(buffer.usage & GPUBufferUsage.STORAGE)) {
    throw new LocallyConnectedError("argument", `the buffer given as ${what} lacks GPUBufferUsage.STORAGE`);
  }
  const needed = 4 * batch * size(shape);
  if (buffer.size < offset + needed) {
    throw new LocallyConnectedError("shape", `${what} needs ${needed} bytes from byte ${offset} on, but the buffer has ${buffer.size}`);
  }
  return { buffer, offset };
}

/** As many samples as {@link AT_ONCE} bytes hold. @internal */
export function atOnce(body: Body): number {
  return AT_ONCE / (4 * (size(body.inputShape) + size(body.outputShape)));
}

/** A layer of a model. */
export class Layer {
  /** Its name, unique in the model. */
  readonly name: string;
  /** Keras's class, say `LocallyConnected2D`. */
  readonly className: string;
  /** Whether its gradients are computed. */
  readonly trainable: boolean;
  /** Shape of one input sample, without the batch. */
  readonly inputShape: readonly number[];
  /** Shape of one output sample, without the batch. */
  readonly outputShape: readonly number[];
  #body: Body;
  #info: LayerInfo;

  /** @internal */
  constructor(body: Body, info: LayerInfo) {
    ({ name: this.name, className: this.className, trainable: this.trainable, inputShape: this.inputShape, outputShape: this.outputShape } = info);
    this.#body = body;
    this.#info = info;
  }

  /** Number of weights and biases. */
  countParams(): number {
    return this.#info.weights.reduce((all, { shape }) => all + size(shape), 0);
  }

  /** Keras's dictionary of its arguments. */
  getConfig(): Record<string, unknown> {
    return structuredClone(this.#info.config) as Record<string, unknown>;
  }

  /** The names and shapes of its arrays, in the order of {@link Layer.getWeights}. */
  get weightShapes(): { name: string; shape: readonly number[] }[] {
    return this.#info.weights.map(({ name, shape }) => ({ name, shape: [...shape] }));
  }

  /** Its arrays as Keras has them: kernel and bias, in the layout of its `implementation`. */
  getWeights(): Promise<Float32Array[]> {
    return this.#body.getWeights(this.#info);
  }

  /** Replaces its arrays; nothing is replaced where one of them has another length. */
  setWeights(weights: readonly Float32Array[]): void {
    this.#body.setWeights(this.#info, weights);
  }
}

/** A model: layers with their weights on a context. */
export class Model {
  /** Its name. */
  readonly name: string;
  /** Its layers, in the order of execution. */
  readonly layers: readonly Layer[];
  /** Shape of one input sample, without the batch. */
  readonly inputShape: readonly number[];
  /** Shape of one output sample, without the batch. */
  readonly outputShape: readonly number[];
  /** @internal */
  protected readonly body: Body;

  /** @internal */
  constructor(name: string, body: Body) {
    this.name = name;
    this.body = body;
    this.inputShape = body.inputShape;
    this.outputShape = body.outputShape;
    this.layers = body.infos.map((info) => new Layer(body, info));
  }

  /** The layer of that name. */
  layer(name: string): Layer {
    const found = this.layers.find((layer) => layer.name === name);
    if (!found) throw new LocallyConnectedError("argument", `there is no layer "${name}"`);
    return found;
  }

  /** Number of weights and biases of all layers. */
  countParams(): number {
    return this.layers.reduce((all, layer) => all + layer.countParams(), 0);
  }

  /** The layers in a table, as Keras prints them. */
  summary(): string {
    const rows = this.layers.map((layer) => [
      `${layer.name} (${layer.className})`, `(None, ${layer.outputShape.join(", ")})`, layer.countParams().toLocaleString("en"),
    ]);
    const head = ["Layer (type)", "Output Shape", "Param #"];
    const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)) + 2);
    const line = (row: string[]): string => row.map((text, column) => text.padEnd(widths[column]!)).join("").trimEnd();
    const rule = (with_: string): string => with_.repeat(widths.reduce((all, one) => all + one, 0));
    const total = `Total params: ${this.countParams().toLocaleString("en")}`;
    return [`Model: "${this.name}"`, rule("_"), line(head), rule("="), ...rows.map(line), rule("="), total].join("\n");
  }

  /**
   * The model's output for `[samples][input shape]`, in one array of `[samples][output shape]`.
   *
   * @param options.batchSize samples at once; 32 unless said, as in Keras, and fewer where the device's limits ask for it.
   */
  async predict(x: Float32Array, { batchSize = BATCH }: { batchSize?: number } = {}): Promise<Float32Array> {
    return (await this.body.forward(x, batchSize))["output"]!;
  }

  /** What these layers give for `x`, after their activations, by their names: `[samples][output shape]` each. */
  async activations(x: Float32Array, layers: readonly string[], { batchSize = BATCH }: { batchSize?: number } = {}): Promise<Record<string, Float32Array>> {
    const found = await this.body.forward(x, batchSize, layers);
    return Object.fromEntries(layers.map((layer) => [layer, found[`${layer}/output`] ?? found["output"]!]));
  }

  /**
   * The gradients of `Σ output · dy`: `input`, and for each trainable layer `<layer>/kernel` and `<layer>/bias`, in the layouts
   * of {@link Layer.getWeights}, summed over the samples.
   */
  async gradients(x: Float32Array, dy: Float32Array, { batchSize = BATCH }: { batchSize?: number } = {}): Promise<Record<string, Float32Array>> {
    const found = await this.body.backward(x, dy, batchSize);
    const gradients: Record<string, Float32Array> = { input: found["grad_input"]! };
    for (const info of this.body.infos) {
      for (const { name, gradient, learned } of info.weights) {
        if (learned) gradients[`${info.name}/${name}`] = this.body.fromCanonical(info, name, found[gradient]);
      }
    }
    return gradients;
  }

  /** Binds the forward pass to buffers of the page's, once; then {@link BoundForward.record} it every frame. */
  bindForward(options: BindOptions): Promise<BoundForward> {
    return this.body.bindForward(options);
  }

  /** Frees its memory, on the device and in the wasm. */
  dispose(): void {
    this.body.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
