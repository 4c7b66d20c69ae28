import { call, LocallyConnectedError } from "./errors.js";
import { type Named, named, snake } from "./named.js";
import type * as core from "./core_glue.js";
import type * as train from "./train_glue.js";

/** Keras's activations by name, or one of its activation layers with arguments. */
export type Activation =
  | "linear" | "relu" | "relu6" | "leaky_relu" | "elu" | "selu" | "gelu" | "sigmoid" | "hard_sigmoid" | "tanh"
  | "softmax" | "log_softmax" | "softplus" | "softsign" | "swish" | "silu" | "mish" | "exponential"
  | (string & {})
  | { className?: string; class_name?: string; config?: unknown; [argument: string]: unknown };

/**
 * The arguments of a locally connected layer: Keras's, in camelCase or as Keras writes them. A dictionary of Keras's
 * `get_config` is taken as it is.
 */
export interface LocallyConnectedConfig {
  /** Output channels. */
  filters: number;
  /** Size of the window along each spatial axis; one number for all of them. */
  kernelSize: number | readonly number[];
  /** Steps between windows; 1 unless said. */
  strides?: number | readonly number[];
  /**
   * What happens at the edges: `"valid"` unless said. `"same"` is Keras's, for implementations 2 and 3; `"sameUpper"`
   * TensorFlow's and ONNX's; or `[before, after]` for each axis.
   */
  padding?: "valid" | "same" | "sameUpper" | "circular" | readonly (readonly [number, number])[];
  /** Where the channels stand: last unless said. */
  dataFormat?: "channels_last" | "channels_first";
  /** Steps between the taps of a window; 1 unless said. */
  dilationRate?: number | readonly number[];
  /** Groups of channels, each connected to its own filters only; 1 unless said. */
  groups?: number;
  /** Applied after the bias; none unless said. */
  activation?: Activation | null;
  /** Whether there is a bias for each output element; there is unless said. */
  useBias?: boolean;
  /** The same in words: `"perFilter"` is a bias that all locations share. */
  bias?: "perLocation" | "perFilter" | "none";
  /** Keras's: in which layout weights are given and taken, not how it is executed. 1 unless said. */
  implementation?: 1 | 2 | 3;
  /** The name; Keras's for the class unless said. */
  name?: string;
  /** Whether its gradients are wanted; they are unless said. */
  trainable?: boolean;
  /** How new weights and biases are drawn where {@link Sequential} draws them: Keras's `"glorot_uniform"` and `"zeros"` unless said. */
  kernelInitializer?: Named;
  biasInitializer?: Named;
  /** What weights, bias and output add to the loss in training: nothing unless said. */
  kernelRegularizer?: Named | null;
  biasRegularizer?: Named | null;
  activityRegularizer?: Named | null;
  /** What weights and bias are brought back to after each step of a training: nothing unless said. */
  kernelConstraint?: Named | null;
  biasConstraint?: Named | null;
  /** How weights are kept: `"float16"` halves their bytes. Sums are 32-bit floats in either case. */
  dtype?: "float32" | "float16";
  /** How it is executed; the planner chooses unless said. */
  execution?: "auto" | "loop" | "dense" | "sparse";
}

/** A configuration as Keras's `get_config` gives it, or as JavaScript writes it. */
export type ConfigLike = LocallyConnectedConfig | Readonly<Record<string, unknown>>;

type Given = Record<string, unknown>;

/** Arguments that say how a layer begins and is trained. */
const RULES = new Set([
  "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer",
  "kernel_constraint", "bias_constraint",
]);
/** Arguments that are kept and nothing to anybody. */
const KEPT = new Set(["batch_input_shape", "dynamic"]);

function fail(argument: string, expected: string, value: unknown): never {
  throw new LocallyConnectedError("argument", `\`${argument}\` must be ${expected}, but is ${JSON.stringify(value)}`);
}

function positive(argument: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value)) fail(argument, "a positive integer", value);
  if (value <= 0 || value > 0xffffffff) throw new LocallyConnectedError("argument", `\`${argument}\` must be positive, but is ${value}`);
  return value;
}

function perAxis(argument: string, rank: number, value: unknown): Uint32Array {
  const all = Array.isArray(value) ? value : Array.from({ length: rank }, () => value);
  if (all.length !== rank) {
    throw new LocallyConnectedError("argument", `\`${argument}\` must have ${rank} elements, one per spatial axis, but has ${all.length}`);
  }
  return Uint32Array.from(all, (one) => positive(argument, one));
}

function number(value: unknown, unset: number): number {
  if (value === undefined || value === null) return unset;
  return typeof value === "number" ? value : fail("an argument of an activation layer", "a number", value);
}

/** Keras's name of an activation, or its layer's class with the numbers that the wasm takes. */
export function readActivation(value: unknown): [string, Float32Array] {
  if (value === undefined || value === null) return ["linear", new Float32Array()];
  if (typeof value === "string") return [value, new Float32Array()];
  if (typeof value !== "object") fail("activation", "a name or an activation layer of Keras", value);
  const { class_name: name, config, ...rest } = snake(value);
  if (typeof config === "string") return [config, new Float32Array()];
  const given = snake((config as object | undefined) ?? rest);
  switch (name) {
    case "Activation": return readActivation(given["activation"]);
    case "ReLU": return ["ReLU", Float32Array.of(number(given["max_value"], NaN), number(given["negative_slope"], 0), number(given["threshold"], 0))];
    case "LeakyReLU": return ["ReLU", Float32Array.of(NaN, number(given["alpha"] ?? given["negative_slope"], Math.fround(0.3)), 0)];
    case "ThresholdedReLU": return ["ReLU", Float32Array.of(NaN, 0, number(given["theta"], 1))];
    case "ELU": return ["ELU", Float32Array.of(number(given["alpha"], 1))];
    case "Softmax":
      if (number(given["axis"], -1) !== -1) throw new LocallyConnectedError("unsupported", "softmax is only supported over the last axis, -1");
      return ["softmax", new Float32Array()];
    default: return fail("activation", "a name or an activation layer of Keras", value);
  }
}

/** A locally connected layer's arguments, read, and Keras's dictionary of them. */
export interface ReadConfig {
  name: string;
  trainable: boolean;
  config: Given;
  /** What `action` makes of the arguments, read by a module: rules are of use to training alone. */
  with: <Made>(module: typeof core | typeof train, action: (made: core.LayerConfig) => Made) => Made;
}

/** Reads the arguments of a layer of class `className`, of `rank` spatial axes. What the library refuses it refuses itself. */
export function readConfig(className: string, rank: number, given: ConfigLike, unnamed: string): ReadConfig {
  if (typeof given !== "object" || given === null) fail("config", "an object", given);
  const all = snake(given);
  const take = (name: string): unknown => {
    const value = all[name];
    delete all[name];
    return value ?? undefined;
  };
  const kept = Object.entries(all).filter(([name]) => KEPT.has(name) || RULES.has(name));
  const rules = kept.filter(([name, value]) => RULES.has(name) && value !== null);
  for (const [name] of kept) delete all[name];
  const filters = take("filters");
  const kernelSize = take("kernel_size");
  for (const [name, value] of [["filters", filters], ["kernel_size", kernelSize]]) {
    if (value === undefined) throw new LocallyConnectedError("argument", `\`${String(name)}\` is needed here: it has no default`);
  }
  const name = (take("name") ?? unnamed) as string;
  const trainable = (take("trainable") ?? true) as boolean;
  const strides = perAxis("strides", rank, take("strides") ?? 1);
  const dilation = perAxis("dilation_rate", rank, take("dilation_rate") ?? 1);
  const groups = positive("groups", take("groups") ?? 1);
  const padding = take("padding") ?? "valid";
  const dataFormat = String(take("data_format") ?? "channels_last").toLowerCase();
  const activation = take("activation");
  const useBias = take("use_bias") ?? true;
  if (typeof useBias !== "boolean") fail("use_bias", "true or false", useBias);
  const bias = String(take("bias") ?? (useBias ? "per_location" : "none")).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const implementation = take("implementation") ?? 1;
  if (typeof implementation !== "number") fail("implementation", "one of 1, 2, 3", implementation);
  const dtype = (take("dtype") ?? "float32") as string;
  if (!["float32", "float16", "mixed_float16"].includes(dtype)) fail("dtype", "\"float32\" or \"float16\"", dtype);
  const execution = (take("execution") ?? "auto") as string;
  const [left] = Object.keys(all);
  if (left !== undefined) throw new LocallyConnectedError("argument", `${className} has no argument \`${left}\``);

  const read = { filters: positive("filters", filters), kernelSize: perAxis("kernel_size", rank, kernelSize) };
  const [activationName, activationNumbers] = readActivation(activation);
  const make = (module: typeof core | typeof train): core.LayerConfig => {
    const config = new module.LayerConfig(read.filters, read.kernelSize);
    config.strides(strides);
    config.dilationRate(dilation);
    config.groups(groups);
    if (Array.isArray(padding)) config.pads(Uint32Array.from(padding.flat() as number[]));
    else config.padding(String(padding) === "sameUpper" ? "same_upper" : String(padding).toLowerCase());
    config.dataFormat(dataFormat);
    config.activation(activationName, activationNumbers);
    config.bias(bias);
    config.implementation(implementation);
    config.execution(execution);
    if (dtype !== "float32") config.halfWeights();
    if ("Named" in module) {
      (config as train.LayerConfig).trainable(trainable);
      for (const [name, value] of rules) (config as train.LayerConfig).rule(name, named(name, value, module.Named));
    }
    return config;
  };
  // Keras's own dictionary first, behind it what Keras's layers have no words for.
  const own = { dilation_rate: [...dilation], groups, bias, execution };
  const usual = { dilation_rate: Array(rank).fill(1), groups: 1, bias: useBias ? "per_location" : "none", execution: "auto" };
  const beyond = Object.entries(own).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(usual[key as keyof typeof usual]));
  const config = {
    name, trainable, dtype, filters: read.filters, kernel_size: [...read.kernelSize], strides: [...strides], padding,
    data_format: dataFormat, activation: activation ?? "linear", use_bias: useBias && bias !== "none",
    kernel_initializer: { class_name: "GlorotUniform", config: { seed: null } }, bias_initializer: { class_name: "Zeros", config: {} },
    kernel_regularizer: null, bias_regularizer: null, activity_regularizer: null, kernel_constraint: null, bias_constraint: null,
    implementation, ...Object.fromEntries([...kept, ...beyond]),
  };
  return {
    name, trainable, config,
    with: (module, action) => call(() => {
      const made = make(module);
      try { return action(made); } finally { made.free(); }
    }),
  };
}
