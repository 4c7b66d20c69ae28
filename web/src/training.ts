import type { TrainingModule } from "./body.js";
import { type ArraysLike, type End, type NamedArrays } from "./ends.js";
import { arrays } from "./ends.js";
import { call, LocallyConnectedError } from "./errors.js";
import { type Named, named } from "./named.js";
import type * as train from "./train_glue.js";

/** The same for all outputs, or for each by its name. */
type OfOutputs<T> = T | Readonly<Record<string, T>>;

/** What Keras's `compile` is told. */
export interface CompileOptions {
  /**
   * What is to become small: `"mse"`, `"mae"`, `"huber"`, `"binary_crossentropy"`, `"categorical_crossentropy"`,
   * `"sparse_categorical_crossentropy"`, or a class of Keras's with its arguments. Of several outputs one for all, or `{ name: loss }`.
   */
  loss: OfOutputs<Named>;
  /**
   * `"rmsprop"` unless said, as in Keras; `"sgd"`, `"adam"`; or `{ className: "AdamW", weightDecay: 0.01, clipnorm: 1 }` with Keras 2.15's
   * arguments.
   */
  optimizer?: Named;
  /** In place of the optimizer's own: a number, or a schedule, say `{ className: "ExponentialDecay", initialLearningRate: 0.01, … }`. */
  learningRate?: number | Exclude<Named, string>;
  /** What is counted besides: `"accuracy"`, the losses by their names, `{ className: "BinaryAccuracy", threshold: 0.4 }`. */
  metrics?: readonly Named[] | Readonly<Record<string, Named | readonly Named[]>>;
  /** The same, each sample by its weight. */
  weightedMetrics?: readonly Named[] | Readonly<Record<string, Named | readonly Named[]>>;
  /** Of several outputs, what each loss is multiplied by in the whole; 1 unless said. */
  lossWeights?: readonly number[] | Readonly<Record<string, number>>;
  /** Of the samples' orders, dropout and noise: 0 unless said, so that the same training gives the same numbers. */
  seed?: number;
}

/** What {@link Model.evaluate} may be told. */
export interface EvaluateOptions {
  /** Samples at once; 32 unless said. */
  batchSize?: number;
  /** What each sample counts, in all outputs or for each by its name. */
  sampleWeight?: Float32Array | NamedArrays;
}

/** Numbers by Keras's names: `loss`, the metrics', and with `val_` in front those of the validation. */
export type Logs = Record<string, number>;

/** The numbers of each epoch, by their names. */
export type History = Record<string, number[]>;

/** An epoch that is over. */
export interface EpochRecord {
  /** Its number, from 0. */
  epoch: number;
  /** That of its last step. */
  learningRate: number;
  /** Means over its samples. */
  logs: Logs;
}

/** A batch that was trained on. */
export interface BatchRecord {
  /** The number of its epoch, from 0. */
  epoch: number;
  /** Its own number in the epoch, from 0. */
  batch: number;
  /** Batches of the epoch. */
  batches: number;
  /** The mean loss of the epoch's samples so far. */
  loss: number;
}

/** What {@link Model.fit} may be told, by Keras's names. */
export interface FitOptions extends EvaluateOptions {
  /** How many epochs; with `initialEpoch` the number of the one before which training ends. 1 unless said. */
  epochs?: number;
  /** The number of the first epoch, from 0; counted on from the last training unless said. */
  initialEpoch?: number;
  /** Whether each epoch takes the samples in an order of its own, drawn by `seed`; it does unless said. */
  shuffle?: boolean;
  /** What part of the samples, the last ones, is for validation. */
  validationSplit?: number;
  /** Samples and what is wanted of them, and how much each counts, that each epoch is validated by. */
  validationData?: readonly [ArraysLike, ArraysLike] | readonly [ArraysLike, ArraysLike, Float32Array | NamedArrays];
  /** What each class's samples count besides: a list from class 0 on, or `{ 0: 1, 1: 2.5 }`. */
  classWeight?: readonly number[] | Readonly<Record<number, number>>;
  /** Is told of each epoch; `false` ends the training with it. A promise is waited for. */
  onEpoch?: (record: EpochRecord) => boolean | void | Promise<void>;
  /** Is told of each batch. A promise is waited for. */
  onBatch?: (record: BatchRecord) => void | Promise<void>;
  /** Ends the training before its next step: the promise rejects with kind `"aborted"`. */
  signal?: AbortSignal;
}

const fail = (argument: string, expected: string, value: unknown): never => {
  throw new LocallyConnectedError("argument", `\`${argument}\` must be ${expected}, but is ${JSON.stringify(value)}`);
};

/** A whole number of at least `least` that 32 bits hold. @internal */
export function whole(argument: string, value: number, least: number): number {
  return Number.isInteger(value) && value >= least && value <= 0xffffffff ? value : fail(argument, `a whole number from ${least} on`, value);
}

const isNamed = (value: object): boolean => "className" in value || "class_name" in value;

/** What `given` says of each output: for all the same, or by name. */
function ofEach<T>(argument: string, given: unknown, outputs: readonly End[], isOne: (given: unknown) => given is T): [string, T][] {
  if (isOne(given)) return outputs.map(({ name }) => [name, given]);
  if (typeof given !== "object" || given === null) return fail(argument, "one for all outputs, or by their names", given);
  const list = Array.isArray(given) ? given.map((one: T, at): [string, T] => [outputs[at]?.name ?? `output ${at}`, one]) : Object.entries(given);
  const unknown = list.find(([name]) => outputs.every((output) => output.name !== name));
  if (unknown) return fail(argument, `for outputs that there are: ${outputs.map(({ name }) => name).join(", ")}`, unknown[0]);
  return list as [string, T][];
}

/** What a training is told, in the module. @internal */
export function compileOf(options: CompileOptions, outputs: readonly End[], module: TrainingModule): train.Compile {
  const { optimizer = "rmsprop", learningRate, loss, metrics = [], weightedMetrics = [], lossWeights = {}, seed = 0 } = options;
  const isOne = (given: unknown): given is Named => typeof given === "string" || (typeof given === "object" && given !== null && isNamed(given));
  return call(() => {
    const of = typeof optimizer === "string" ? { className: optimizer } : optimizer;
    const rate = learningRate === undefined ? {} : { learning_rate: learningRate };
    const given = of.config === undefined ? { ...of, ...rate } : { ...of, config: { ...(of.config as object), ...rate } };
    const made = new module.Compile(named("optimizer", given, module.Named), whole("seed", seed, 0));
    const weights = new Map(ofEach("lossWeights", lossWeights, outputs, (_): _ is number => false));
    for (const [output, one] of ofEach("loss", loss, outputs, isOne)) {
      made.loss(output, named("loss", one, module.Named), weights.get(output));
    }
    for (const [argument, list, weighted] of [["metrics", metrics, false], ["weightedMetrics", weightedMetrics, true]] as const) {
      const isList = (given: unknown): given is readonly Named[] => Array.isArray(given);
      for (const [output, some] of ofEach<Named | readonly Named[]>(argument, list, outputs, isList)) {
        for (const one of isOne(some) ? [some] : some) made.metric(output, named(argument, one, module.Named), weighted);
      }
    }
    return made;
  });
}

/** Samples and what is wanted of them, in the module. @internal */
export function dataOf(
  module: TrainingModule, [inputs, outputs]: readonly [readonly End[], readonly End[]],
  x: ArraysLike, t: ArraysLike, weight: Float32Array | NamedArrays | undefined,
): train.TrainingData {
  const data = new module.TrainingData();
  for (const [{ name }, values] of arrays("the input", x, inputs)) data.input(name, values);
  for (const [{ name }, values] of arrays("the target", t, outputs)) data.target(name, values);
  if (weight instanceof Float32Array) data.weight("", weight);
  else if (weight !== undefined) for (const [{ name }, values] of arrays("`sampleWeight`", weight, outputs)) data.weight(name, values);
  return data;
}

/** How many epochs of what, in the module, `done` having been trained before. @internal */
export function settingsOf(module: TrainingModule, options: FitOptions, done: number): train.FitSettings {
  const { batchSize = 32, epochs = 1, initialEpoch, shuffle = true, validationSplit, classWeight } = options;
  const settings = new module.FitSettings();
  settings.batch_size = whole("batchSize", batchSize, 1);
  settings.initial_epoch = initialEpoch === undefined ? done : whole("initialEpoch", initialEpoch, 0);
  settings.epochs = whole("epochs", epochs, 0) + (initialEpoch === undefined ? done : 0);
  settings.shuffle = shuffle;
  if (validationSplit !== undefined) settings.validation_split = validationSplit;
  if (classWeight !== undefined) {
    const weights = Array.isArray(classWeight) ? classWeight : Object.keys(classWeight).map((_, at) => (classWeight as Record<number, number>)[at]);
    if (!weights.every((weight) => typeof weight === "number")) return fail("classWeight", "weights of all classes from 0 on", classWeight);
    settings.weighClasses(Float32Array.from(weights as number[]));
  }
  return settings;
}
