import { Body, type Compiled, type LayerInfo, weightInfo } from "./body.js";
import { readActivation, readConfig } from "./config.js";
import type { Context } from "./context.js";
import { call, LocallyConnectedError } from "./errors.js";
import { type LayerOptions, toSizes } from "./layers.js";
import type { SaveFormat } from "./keras_module.js";
import { Model } from "./model.js";
import { named, snake } from "./named.js";
import { loadTraining } from "./wasm.js";
import type * as train from "./train_glue.js";

/**
 * A layer of a {@link Sequential}: Keras's class and its arguments, in camelCase beside it or as Keras's dictionary in `config`.
 *
 * `LocallyConnected1D`, `2D`, `3D`, `Dense`; `Activation`, `ReLU`, `LeakyReLU`, `ThresholdedReLU`, `ELU`, `Softmax`; `Flatten`,
 * `Reshape`; `Dropout`, `SpatialDropout1D` to `3D`, `GaussianDropout`, `GaussianNoise`, `AlphaDropout` and `ActivityRegularization`,
 * which do something in training alone; `InputLayer`.
 */
export type LayerSpec = { className: string; config?: Readonly<Record<string, unknown>>; name?: string; [argument: string]: unknown };

/** What {@link Sequential.create} is told. */
export interface SequentialOptions extends LayerOptions {
  /** The model's name: `"sequential"` unless said. */
  name?: string;
  /** What new weights are drawn by, each layer's by its initializers: 0 unless said. The same seed gives the same weights everywhere. */
  seed?: number;
}

const NOISE = new Set(["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "AlphaDropout"]);
const ACTIVATIONS = new Set(["Activation", "ReLU", "LeakyReLU", "ThresholdedReLU", "ELU", "Softmax"]);

/** Layers one after another, put together by the page. */
export class Sequential extends Model {
  /** Makes the model for inputs of `inputShape`, without the batch, with new weights as Keras would draw them. */
  static async create(context: Context, layers: readonly LayerSpec[], options: SequentialOptions): Promise<Sequential> {
    const inputShape = toSizes("inputShape", options?.inputShape);
    const module = await loadTraining();
    const model = call(() => new module.SequentialModel(inputShape));
    let infos: LayerInfo[];
    try {
      const names = new Set<string>();
      infos = layers.map((spec) => add(module, model, spec, names));
      call(() => model.draw(options.seed ?? 0));
    } catch (error) {
      model.free();
      throw error;
    }
    const outputs = [{ name: model.outputName(), shape: [...model.shape()] }];
    const inputs = [{ name: "input", shape: [...inputShape] }];
    const body = await Body.create(context, { compiled: model as Compiled, module, infos, inputs, outputs });
    try {
      for (const { parameter } of infos.flatMap(({ weights }) => weights)) body.set(parameter, call(() => model.takeParameter(parameter)));
    } catch (error) {
      body.dispose();
      throw error;
    }
    return new Sequential(options.name ?? "sequential", body);
  }

  /**
   * The bytes of a file with its layers and the weights as they are now, which Keras 2 opens where its layers are Keras's. The module
   * that writes it (`keras.wasm`) is fetched now.
   *
   * @throws LocallyConnectedError of kind `"file"` or `"unsupported"` for layers that the format can't express: `"safetensors"` can all.
   */
  async save(format: SaveFormat): Promise<Uint8Array> {
    this.body.check();
    const { save } = await import("./saving.js");
    return save(this.name, this.body, format);
  }
}

/** A layer's arrays by the programs' names. */
function weightsOf(model: train.SequentialModel, layer: string): LayerInfo["weights"] {
  return call(() => model.weightNames(layer).map((name) => weightInfo(layer, name, [...model.weightShape(layer, name)], model.learns(layer, name))));
}

/** A name that no layer has yet: Keras's, numbered from the second on. */
function unnamed(className: string, names: Set<string>): string {
  const name = className.replace(/([a-z])([A-Z])|([A-Z])([A-Z][a-z])/g, "$1$3_$2$4").replace(/(\d)D$/, "$1d").toLowerCase();
  for (let number = 0; ; number += 1) {
    const numbered = number === 0 ? name : `${name}_${number}`;
    if (!names.has(numbered)) return numbered;
  }
}

function add(module: typeof train, model: train.SequentialModel, spec: LayerSpec, names: Set<string>): LayerInfo {
  const { className, config, ...beside } = spec;
  const given = { ...beside, ...config };
  const fallback = unnamed(className, names);
  const inputShape = [...model.shape()];
  const rank = /^LocallyConnected([123])D$/.exec(className)?.[1];
  let info: Omit<LayerInfo, "outputShape">;
  if (rank) {
    const read = readConfig(className, Number(rank), given, fallback);
    read.with(module, (made) => model.local(read.name, made as train.LayerConfig));
    info = { name: read.name, className, trainable: read.trainable, inputShape, config: read.config, weights: weightsOf(model, read.name) };
  } else {
    const name = String(given["name"] ?? fallback);
    const trainable = given["trainable"] !== false;
    call(() => {
      if (ACTIVATIONS.has(className)) {
        const [of, numbers] = readActivation({ className, config: given });
        model.activation(name, of, numbers);
      } else if (className === "Dense") {
        const { activation, name: _, ...rest } = snake(given);
        const [of, numbers] = readActivation(activation);
        const dense = named("layer", { className, config: rest }, module.Named);
        const activated = new module.Named(of);
        activated.numbers("numbers", Float64Array.from(numbers));
        dense.named("activation", activated);
        model.dense(name, dense);
      } else if (NOISE.has(className) || className === "ActivityRegularization") {
        const { name: _, ...rest } = snake(given);
        const read = named("layer", { className, config: rest }, module.Named);
        if (NOISE.has(className)) model.noise(name, read); else model.activityRegularization(name, read);
      } else if (className === "Flatten") {
        model.flatten(name, (given["dataFormat"] ?? given["data_format"]) === "channels_first");
      } else if (className === "Reshape") {
        model.reshape(name, target(given["targetShape"] ?? given["target_shape"], inputShape));
      } else if (className !== "InputLayer") {
        throw new LocallyConnectedError("unsupported", `a layer of class ${className} is not supported here`);
      }
    });
    info = { name, className, trainable, inputShape, config: { ...given, name }, weights: weightsOf(model, name) };
  }
  if (names.has(info.name)) throw new LocallyConnectedError("argument", `two layers have the name "${info.name}"`);
  names.add(info.name);
  return { ...info, outputShape: [...model.shape()] };
}

/** Keras's target, in which one size may be −1. */
function target(given: unknown, input: readonly number[]): Uint32Array {
  const wrong = new LocallyConnectedError("argument", `\`targetShape\` must be a list of sizes, one of which may be -1, but is ${JSON.stringify(given)}`);
  if (!Array.isArray(given) || given.filter((size) => size === -1).length > 1) throw wrong;
  const known = given.filter((size) => size !== -1).reduce((all: number, size: number) => all * size, 1);
  const sizes = given.map((size: number) => (size === -1 ? input.reduce((all, one) => all * one, 1) / known : size));
  if (!sizes.every((size) => Number.isInteger(size) && size > 0)) throw wrong;
  return Uint32Array.from(sizes);
}
