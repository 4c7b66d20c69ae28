import { atOnce, Body, type Compiled, type LayerInfo, type WeightInfo } from "./body.js";
import type { BindOptions, BoundForward } from "./bound.js";
import { type ConfigLike, readConfig } from "./config.js";
import type { Context } from "./context.js";
import { LocallyConnectedError } from "./errors.js";
import { Layer } from "./model.js";
import { loadedCore } from "./wasm.js";
import type { LayerModel } from "./core_glue.js";

/** Gradients of `Σ output · dy`, in the layouts of the weights. */
export interface LayerGradients {
  /** `[samples][input shape]`. */
  gradInput: Float32Array;
  /** As the kernel, summed over the samples. */
  gradKernel: Float32Array;
  /** As the bias, summed over the samples; none where there is no bias. */
  gradBias: Float32Array | undefined;
}

/** What a layer is made for. */
export interface LayerOptions {
  /** Shape of one sample, without the batch; channels where `dataFormat` says. */
  inputShape: readonly number[];
}

/** @internal */
export function toSizes(argument: string, shape: readonly number[]): Uint32Array {
  if (!Array.isArray(shape) || !shape.every((size) => Number.isInteger(size) && size >= 0 && size <= 0xffffffff)) {
    throw new LocallyConnectedError("argument", `\`${argument}\` must be a list of sizes, but is ${JSON.stringify(shape)}`);
  }
  return Uint32Array.from(shape);
}

/** A layer's arrays, whose gradients are always wanted: it is alone. */
function weightsOf(model: LayerModel): LayerInfo["weights"] {
  const { LayerModel } = loadedCore();
  const info = (name: string, shape: Uint32Array, [parameter, gradient]: string[]): WeightInfo =>
    ({ name, shape: [...shape], parameter: parameter!, gradient: gradient!, learned: true });
  const bias = model.biasShape();
  return [info("kernel", model.kernelShape(), LayerModel.kernelNames()), ...(bias ? [info("bias", bias, LayerModel.biasNames())] : [])];
}

/** A locally connected layer of any rank, by itself. Its weights are zero until they are set. */
abstract class LocallyConnected extends Layer {
  readonly #body: Body;
  readonly #info: LayerInfo;

  /** @internal */
  constructor(body: Body) {
    super(body, body.infos[0]!);
    this.#body = body;
    this.#info = body.infos[0]!;
  }

  /** @internal */
  protected static async body(rank: number, context: Context, config: ConfigLike, options: LayerOptions): Promise<Body> {
    const className = `LocallyConnected${rank}D`;
    const read = readConfig(className, rank, config, `locally_connected${rank}d`);
    const inputShape = toSizes("inputShape", options?.inputShape);
    const model = read.with(loadedCore(), (made) => new (loadedCore().LayerModel)(made, inputShape));
    const { name, trainable } = read;
    const info: LayerInfo = {
      name, className, trainable, inputShape: [...inputShape], outputShape: [...model.shape()], config: read.config, weights: weightsOf(model),
    };
    const [inputs, outputs] = [[{ name: "input", shape: info.inputShape }], [{ name: info.name, shape: info.outputShape }]];
    return Body.create(context, { compiled: model as Compiled, infos: [info], inputs, outputs });
  }

  /** The output for `[samples][input shape]`, as many samples as `x` has: `[samples][output shape]`. */
  async forward(x: Float32Array): Promise<Float32Array> {
    return (await this.#body.forward(x, atOnce(this.#body)))[this.#info.name]!;
  }

  /** The gradients of `Σ output · dy` for `x`, `dy` having the output's shape. */
  async backward(x: Float32Array, dy: Float32Array): Promise<LayerGradients> {
    const found = await this.#body.backward(x, dy, atOnce(this.#body), true);
    const gradient = (name: string): Float32Array | undefined => {
      const weight = this.#info.weights.find((weight) => weight.name === name);
      return weight && this.#body.fromCanonical(this.#info, name, found[weight.gradient]);
    };
    return { gradInput: found["grad_input"]!, gradKernel: gradient("kernel")!, gradBias: gradient("bias") };
  }

  /** Binds the forward pass to buffers of the page's, once; then {@link BoundForward.record} it every frame. */
  bindForward(options: BindOptions): Promise<BoundForward> {
    return this.#body.bindForward(options);
  }

  /** Frees its memory, on the device and in the wasm. */
  dispose(): void {
    this.#body.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Keras's `LocallyConnected1D`: windows along one axis, with weights of their own at each place. */
export class LocallyConnected1D extends LocallyConnected {
  /** Makes the layer for inputs `[steps, channels]` (or `[channels, steps]`). */
  static async create(context: Context, config: ConfigLike, options: LayerOptions): Promise<LocallyConnected1D> {
    return new LocallyConnected1D(await LocallyConnected.body(1, context, config, options));
  }
}

/** Keras's `LocallyConnected2D`: windows over an image, with weights of their own at each place. */
export class LocallyConnected2D extends LocallyConnected {
  /** Makes the layer for inputs `[rows, columns, channels]` (or `[channels, rows, columns]`). */
  static async create(context: Context, config: ConfigLike, options: LayerOptions): Promise<LocallyConnected2D> {
    return new LocallyConnected2D(await LocallyConnected.body(2, context, config, options));
  }
}

/** The same over three axes, which Keras has not. */
export class LocallyConnected3D extends LocallyConnected {
  /** Makes the layer for inputs `[depth, rows, columns, channels]` (or the channels first). */
  static async create(context: Context, config: ConfigLike, options: LayerOptions): Promise<LocallyConnected3D> {
    return new LocallyConnected3D(await LocallyConnected.body(3, context, config, options));
  }
}
