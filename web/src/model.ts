import { type BindOptions, type BoundForward } from "./bound.js";
import { Body, type LayerInfo } from "./body.js";
import { type ArraysLike, type End, type NamedArrays, size } from "./ends.js";
import { LocallyConnectedError } from "./errors.js";
import type { Fitting } from "./fitting.js";
import type { CompileOptions, EvaluateOptions, FitOptions, History } from "./training.js";

/** Samples that a model runs at once unless it is told otherwise, as in Keras. */
const BATCH = 32;

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
  /** Its inputs, in Keras's order. */
  readonly inputs: readonly End[];
  /** Its outputs, in Keras's order. */
  readonly outputs: readonly End[];
  /** Shape of one sample of the (first) input, without the batch. */
  readonly inputShape: readonly number[];
  /** Shape of one sample of the (first) output, without the batch. */
  readonly outputShape: readonly number[];
  /** @internal */
  protected readonly body: Body;
  #fitting: Fitting | undefined;

  /** @internal */
  constructor(name: string, body: Body) {
    this.name = name;
    this.body = body;
    [this.inputs, this.outputs] = [body.inputs, body.outputs];
    [this.inputShape, this.outputShape] = [body.inputs[0]?.shape ?? [], body.outputs[0]?.shape ?? []];
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
   * The model's output for `[samples][input shape]`, in one array of `[samples][output shape]`. Of several inputs `x` has an array for
   * each, by name or in their order; of several outputs the answer has one for each, by name: `predict<NamedArrays>(x)`.
   *
   * @param options.batchSize samples at once; 32 unless said, as in Keras, and fewer where the device's limits ask for it.
   */
  async predict<Output extends Float32Array | NamedArrays = Float32Array>(x: ArraysLike, { batchSize = BATCH }: { batchSize?: number } = {}): Promise<Output> {
    const found = await this.body.forward(x, batchSize);
    return (this.outputs.length === 1 ? found[this.outputs[0]!.name] : found) as Output;
  }

  /** What these layers give for `x`, after their activations, by their names: `[samples][output shape]` each. */
  async activations(x: ArraysLike, layers: readonly string[], { batchSize = BATCH }: { batchSize?: number } = {}): Promise<Record<string, Float32Array>> {
    const found = await this.body.forward(x, batchSize, layers);
    return Object.fromEntries(layers.map((layer) => [layer, found[layer]!]));
  }

  /**
   * The gradients of `Σ output · dy`: `input` (of several inputs `input/<name>` each), and for each trainable layer `<layer>/kernel` and
   * `<layer>/bias`, in the layouts of {@link Layer.getWeights}, summed over the samples. Of several outputs `dy` has an array for each.
   */
  async gradients(x: ArraysLike, dy: ArraysLike, { batchSize = BATCH }: { batchSize?: number } = {}): Promise<Record<string, Float32Array>> {
    const found = await this.body.backward(x, dy, batchSize);
    const gradients: Record<string, Float32Array> = {};
    for (const end of this.inputs) gradients[end.buffer("input")] = found[end.buffer("grad_input")]!;
    for (const info of this.body.infos) {
      for (const { name, gradient, learned } of info.weights) {
        if (learned) gradients[`${info.name}/${name}`] = this.body.fromCanonical(info, name, found[gradient]);
      }
    }
    return gradients;
  }

  /**
   * Says what the model is trained by, as Keras's `compile`: the optimizer begins anew.
   *
   * @throws LocallyConnectedError of kind `"argument"` or `"unsupported"` for what isn't here; the model stays compiled as it was.
   */
  async compile(options: CompileOptions): Promise<void> {
    this.body.check();
    if (this.#fitting?.runs) throw new LocallyConnectedError("argument", "the model is being trained: compile it before or after");
    // Fetched where something is trained.
    const { Fitting } = await import("./fitting.js");
    this.#fitting = await Fitting.start(this.body, options);
  }

  #compiled(): Fitting {
    this.body.check();
    if (!this.#fitting) throw new LocallyConnectedError("argument", "the model needs a `loss`: compile it, or give `fit` one");
    return this.#fitting;
  }

  /**
   * Trains on `x` and what is wanted of it, `t`, as Keras's `fit`; resolves to the numbers of each epoch by Keras's names (`loss`,
   * `accuracy`, `val_loss`, …). With a `loss` among the options the model is compiled first; without one training goes on
   * where the last one ended, with all that the optimizer knows.
   *
   * Targets of a sparse crossentropy are class numbers. Where it fails or is ended, the weights are those of the last step.
   *
   * @throws LocallyConnectedError of kind `"aborted"` once `options.signal` aborts; `"argument"` for a loss that is no number.
   */
  async fit(x: ArraysLike, t: ArraysLike, options: FitOptions & Partial<CompileOptions> = {}): Promise<History> {
    if (options.loss !== undefined) await this.compile(options as CompileOptions);
    return this.#compiled().fit(x, t, options);
  }

  /** The loss and the metrics for `x` and what is wanted of it, as Keras's `evaluate`, by their names. */
  async evaluate(x: ArraysLike, t: ArraysLike, options: EvaluateOptions = {}): Promise<Record<string, number>> {
    return this.#compiled().evaluate(x, t, options);
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
