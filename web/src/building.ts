// A layer of a Sequential, from what the page says of it to the wasm: apart, so that it is fetched with the first model.

import { type LayerInfo, weightInfo } from "./body.js";
import { readActivation, readConfig } from "./config.js";
import { call, LocallyConnectedError } from "./errors.js";
import { named, snake } from "./named.js";
import type { LayerSpec } from "./sequential.js";
import type * as train from "./train_glue.js";

const NOISE = new Set(["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "AlphaDropout"]);
const ACTIVATIONS = new Set(["Activation", "ReLU", "LeakyReLU", "ThresholdedReLU", "ELU", "Softmax"]);

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

/** Adds a layer to the model, with a name that is not among `names`. @internal */
export function add(module: typeof train, model: train.SequentialModel, spec: LayerSpec, names: Set<string>): LayerInfo {
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
