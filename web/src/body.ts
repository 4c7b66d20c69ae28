import { type BindOptions, BoundForward, ranges } from "./bound.js";
import type { Context } from "./context.js";
import { type ArraysLike, arrays, type End, ends, samples, size } from "./ends.js";
import { call, LocallyConnectedError } from "./errors.js";
import { GpuRunner } from "./gpu_runner.js";
import { type Arrays, AT_ONCE, type Program, type Runner } from "./runner.js";
import type * as train from "./train_glue.js";

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
  /** What keeps the weights of a layer that no output depends on: none of its programs has them. */
  keeper?: WeightKeeper | undefined;
}

/** Weights as Keras has them, in the model's file. @internal */
export interface WeightKeeper {
  weight(layer: string, weight: string): Float32Array;
  setWeight(layer: string, weight: string, values: Float32Array): void;
}

/** A model in the wasm: what it computes, and how its arrays lie. @internal */
export interface Compiled {
  forward(keep: string): Program;
  backward(): Program;
  toCanonical(layer: string, weight: string, values: Float32Array): Float32Array;
  fromCanonical(layer: string, weight: string, values: Float32Array): Float32Array;
  /** Not in the core. */
  training?(compile: train.Compile): train.Training;
  free(): void;
}

/** The module that models are in. @internal */
export type TrainingModule = typeof train;

/** What a {@link Body} is made of. @internal */
export interface Parts {
  compiled: Compiled;
  /** None in the core. */
  module?: TrainingModule;
  infos: LayerInfo[];
  inputs: { name: string; shape: number[] }[];
  outputs: { name: string; shape: number[] }[];
}

/** A model's parameters on a context, and what it computes. @internal */
export class Body {
  readonly context: Context;
  readonly compiled: Compiled;
  readonly module: TrainingModule | undefined;
  readonly infos: LayerInfo[];
  readonly inputs: readonly End[];
  readonly outputs: readonly End[];
  readonly runner: Runner;
  #forward: Program;
  #programs = new Map<string, Program>();
  #disposed = false;

  private constructor(context: Context, parts: Parts, runner: Runner, forward: Program) {
    this.context = context;
    ({ compiled: this.compiled, infos: this.infos } = parts);
    this.module = parts.module;
    [this.inputs, this.outputs] = [ends(parts.inputs), ends(parts.outputs)];
    this.runner = runner;
    this.#forward = forward;
  }

  static async create(context: Context, parts: Parts): Promise<Body> {
    try {
      const forward = call(() => parts.compiled.forward(""));
      return new Body(context, parts, await context.runner(forward, parts.module), forward);
    } catch (error) {
      parts.compiled.free();
      throw error;
    }
  }

  check(): void {
    if (this.#disposed) throw new LocallyConnectedError("disposed", "it has been disposed of");
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.context.release(this.runner);
    for (const program of [this.#forward, ...this.#programs.values()]) program.free();
    this.compiled.free();
  }

  set(parameter: string, values: Float32Array): void {
    this.runner.set(parameter, values);
  }

  /** The model's outputs for `x`, and what those layers give, each by its name. */
  async forward(x: ArraysLike, most: number, layers: readonly string[] = []): Promise<Arrays> {
    this.check();
    const given = arrays("the input", x, this.inputs);
    const batch = samples("the input", given);
    const program = layers.length === 0 ? this.#forward : this.#program(layers.join("\n"), (keep) => this.compiled.forward(keep));
    const shapes = new Map(this.outputs.map(({ name, shape }) => [name, shape]));
    for (const layer of layers) shapes.set(layer, this.#info(layer).outputShape);
    const wanted = ends([...shapes].map(([name, shape]) => ({ name, shape })));
    const found: Arrays = Object.fromEntries(wanted.map(({ name, shape }) => [name, new Float32Array(batch * size(shape))]));
    await pieces(batch, most, async (first, count) => {
      const outputs = await this.runner.run(program, count, part("input", given, first, count), wanted.map((end) => end.buffer("output")));
      for (const end of wanted) found[end.name]!.set(outputs[end.buffer("output")]!, first * size(end.shape));
    });
    return found;
  }

  #info(layer: string): LayerInfo {
    const info = this.infos.find(({ name }) => name === layer);
    if (!info) throw new LocallyConnectedError("argument", `there is no layer "${layer}"`);
    return info;
  }

  /**
   * The gradients of `Σ output · dy` by the program's names, those of `all` layers or of trainable ones; summed over the batch, but
   * those of the inputs. */
  async backward(x: ArraysLike, dy: ArraysLike, most: number, all = false): Promise<Arrays> {
    this.check();
    const [given, wanted] = [arrays("the input", x, this.inputs), arrays("the output's gradient", dy, this.outputs)];
    const [batch, count] = [samples("the input", given), samples("the output's gradient", wanted)];
    if (count !== batch) {
      throw new LocallyConnectedError("shape", `the output's gradient has ${count} samples, but the input ${batch}`);
    }
    const program = this.#program("backward", () => this.compiled.backward());
    const weights = this.infos.flatMap((info) => info.weights).filter(({ learned }) => all || learned);
    const gradients = weights.map(({ gradient }) => gradient);
    const ofInputs = given.map(([end, values]): [string, number, Float32Array] => [end.buffer("grad_input"), size(end.shape), new Float32Array(values.length)]);
    const found: Arrays = Object.fromEntries(ofInputs.map(([name, , values]) => [name, values]));
    await pieces(batch, most, async (first, count) => {
      const inputs = { ...part("input", given, first, count), ...part("grad_output", wanted, first, count) };
      const run = await this.runner.run(program, count, inputs, [...ofInputs.map(([name]) => name), ...gradients]);
      for (const [name, each, values] of ofInputs) values.set(run[name]!, first * each);
      for (const name of gradients) found[name] = found[name] ? sum(found[name], run[name]!) : run[name]!;
    });
    return found;
  }

  #program(key: string, make: (key: string) => Program): Program {
    let program = this.#programs.get(key);
    if (!program) {
      program = call(() => make(key));
      this.#programs.set(key, program);
    }
    return program;
  }

  async bindForward({ batch, input, output }: BindOptions): Promise<BoundForward> {
    this.check();
    if (!(this.runner instanceof GpuRunner)) {
      throw new LocallyConnectedError("unsupported", "buffers of the page's need a context on WebGPU: this one runs on the CPU");
    }
    const [inputs, outputs] = [ranges("input", input, batch, this.inputs), ranges("output", output, batch, this.outputs)];
    const read = Object.values(inputs).map(({ buffer }) => buffer);
    if (Object.values(outputs).some(({ buffer }) => read.includes(buffer))) {
      throw new LocallyConnectedError("argument", "the output is written and lies in the same buffer as the input, which WebGPU refuses");
    }
    return new BoundForward(batch, await this.runner.bind(this.#forward, batch, { ...inputs, ...outputs }), this);
  }

  async getWeights(info: LayerInfo): Promise<Float32Array[]> {
    this.check();
    const { keeper } = info;
    if (keeper) return call(() => info.weights.map(({ name }) => keeper.weight(info.name, name)));
    return Promise.all(info.weights.map(async ({ name, parameter }) => this.fromCanonical(info, name, await this.runner.get(parameter))));
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
    const { keeper } = info;
    const laid = info.weights.map(({ name, shape }, at) => {
      const values = weights[at]!;
      if (values.length !== size(shape)) {
        const expected = `${size(shape)} elements (shape ${JSON.stringify(shape)})`;
        throw new LocallyConnectedError("shape", `${name} must have ${expected}, but has ${values.length}`);
      }
      return keeper ? values : call(() => this.compiled.toCanonical(info.name, name, values));
    });
    // All or nothing: what is wrong has shown by now.
    info.weights.forEach(({ name, parameter }, at) => {
      if (keeper) call(() => keeper.setWeight(info.name, name, laid[at]!));
      else this.runner.set(parameter, laid[at]!);
    });
  }
}

/** Some of the samples, by the programs' names of `what`. */
function part(what: string, given: readonly [End, Float32Array][], first: number, count: number): Arrays {
  return Object.fromEntries(given.map(([end, values]) => {
    const each = size(end.shape);
    return [end.buffer(what), values.subarray(first * each, (first + count) * each)];
  }));
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

/** As many samples as {@link AT_ONCE} bytes hold. @internal */
export function atOnce({ inputs, outputs }: Body): number {
  const each = [...inputs, ...outputs].reduce((all, { shape }) => all + size(shape), 0);
  return AT_ONCE / (4 * each);
}
