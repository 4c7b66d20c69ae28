import type { Body, TrainingModule } from "./body.js";
import type { ArraysLike } from "./ends.js";
import { asError, LocallyConnectedError } from "./errors.js";
import type { Arrays, Program } from "./runner.js";
import { type CompileOptions, compileOf, dataOf, type EvaluateOptions, type FitOptions, type History, type Logs, settingsOf, whole } from "./training.js";
import type * as train from "./train_glue.js";

/** Milliseconds that a training on the page's thread takes from it at once. */
const AT_A_STRETCH = 12;

/** A turn of the page's event loop. Not a timer's: in a hidden page these come once in a second, or in a minute. */
const turn = (): Promise<void> => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    resolve();
  };
  port2.postMessage(undefined);
});

const byName = (names: readonly string[], values: ArrayLike<number>): Logs => Object.fromEntries(names.map((name, at) => [name, values[at]!]));

/** A model's training: what the wasm's loop calls (`web/rust/train.rs`), and what it is called by. */
export class Fitting {
  readonly #body: Body;
  readonly #module: TrainingModule;
  #trainer: train.Trainer | undefined;
  /** Of the fit that runs. */
  #options: FitOptions = {};
  #history: History = {};
  #runs = false;
  /** What the page's callback threw: thrown as it is. */
  #thrown: { error: unknown } | undefined;
  #pending: unknown;
  #since = 0;

  private constructor(body: Body, module: TrainingModule) {
    this.#body = body;
    this.#module = module;
  }

  /** Compiles a model, whose parameters stay what they are. */
  static async start(body: Body, options: CompileOptions): Promise<Fitting> {
    const { module, compiled } = body;
    if (!module || !compiled.training) throw new LocallyConnectedError("internal", "a model without training");
    const fitting = new Fitting(body, module);
    const compile = compileOf(options, body.outputs, module);
    try {
      const training = compiled.training(compile);
      await body.runner.hold(training.store());
      fitting.#trainer = await module.Trainer.start(training, fitting);
      return fitting;
    } catch (error) {
      throw fitting.#failure(error);
    } finally {
      compile.free();
    }
  }

  /** Whether it is being trained or evaluated. */
  get runs(): boolean {
    return this.#runs;
  }

  /** See `Model.fit`. */
  fit(x: ArraysLike, t: ArraysLike, options: FitOptions): Promise<History> {
    return this.#alone(options, async (trainer) => {
      const [module, { inputs, outputs }] = [this.#module, this.#body];
      const settings = settingsOf(module, options, trainer.epochs());
      const [vx, vt, weight] = options.validationData ?? [];
      const validation = vx && vt ? dataOf(module, [inputs, outputs], vx, vt, weight) : undefined;
      const data = dataOf(module, [inputs, outputs], x, t, options.sampleWeight);
      this.#history = {};
      await trainer.fit(data, validation, settings);
      await this.#pending;
      return this.#history;
    });
  }

  /** See `Model.evaluate`. */
  evaluate(x: ArraysLike, t: ArraysLike, { batchSize = 32, sampleWeight }: EvaluateOptions): Promise<Logs> {
    return this.#alone({}, async (trainer) => {
      const [module, { inputs, outputs }] = [this.#module, this.#body];
      const data = dataOf(module, [inputs, outputs], x, t, sampleWeight);
      const [names, values] = await trainer.evaluate(data, whole("batchSize", batchSize, 1)) as [string[], Float64Array];
      return byName(names, values);
    });
  }

  async #alone<T>(options: FitOptions, action: (trainer: train.Trainer) => Promise<T>): Promise<T> {
    if (this.#runs) {
      throw new LocallyConnectedError("argument", "the model is being trained: wait for it, or give `fit` its `validationData`");
    }
    [this.#options, this.#thrown, this.#pending, this.#since] = [options, undefined, undefined, performance.now()];
    this.#runs = true;
    try {
      this.#check();
      return await action(this.#trainer!);
    } catch (error) {
      throw this.#failure(error);
    } finally {
      this.#runs = false;
    }
  }

  /** Whether it may go on. */
  #check(): void {
    this.#body.check();
    if (this.#thrown) throw this.#thrown.error;
    const { signal } = this.#options;
    if (signal?.aborted) throw new LocallyConnectedError("aborted", "the training was ended by its signal", { cause: signal.reason });
  }

  /** What is thrown to the page: its own callback's error, or ours. */
  #failure(error: unknown): unknown {
    if (this.#thrown) return this.#thrown.error;
    try {
      // Whatever fails once it is disposed of fails because of that.
      this.#body.check();
    } catch (disposed) {
      return disposed;
    }
    return asError(error);
  }

  /** Lets the page draw and answer where programs run on its own thread. */
  async #pause(): Promise<void> {
    const pending = this.#pending;
    this.#pending = undefined;
    await pending;
    if (this.#body.context.kind === "webgpu" || performance.now() - this.#since < AT_A_STRETCH) return;
    await turn();
    this.#since = performance.now();
  }

  #tell(action: () => unknown): boolean {
    try {
      const answer = action();
      if (answer instanceof Promise) this.#pending = answer;
      return answer !== false;
    } catch (error) {
      this.#thrown = { error };
      throw error;
    }
  }

  // What the wasm calls.

  /** @internal */
  async run(program: Program, batch: number, names: readonly string[], values: readonly Float32Array[], outputs: readonly string[]): Promise<Float32Array[]> {
    await this.#pause();
    this.#check();
    const inputs: Arrays = Object.fromEntries(names.map((name, at) => [name, values[at]!]));
    const found = await this.#body.runner.run(program, batch, inputs, outputs, true);
    return outputs.map((name) => found[name]!);
  }

  /** @internal */
  async write(name: string, values: Float32Array): Promise<void> {
    this.#check();
    this.#body.runner.set(name, values);
  }

  /** @internal */
  async read(name: string): Promise<Float32Array> {
    this.#check();
    return this.#body.runner.get(name);
  }

  /** @internal */
  samplesAtOnce(program: Program): number {
    return this.#body.runner.samplesAtOnce(program);
  }

  /** @internal */
  get wantsBatches(): boolean {
    return this.#options.onBatch !== undefined;
  }

  /** @internal */
  epoch(epoch: number, learningRate: number, names: readonly string[], values: Float64Array): boolean {
    const logs = byName(names, values);
    for (const [name, value] of Object.entries(logs)) (this.#history[name] ??= []).push(value);
    return this.#tell(() => this.#options.onEpoch?.({ epoch, learningRate, logs }));
  }

  /** @internal */
  batch(epoch: number, batch: number, batches: number, loss: number): void {
    this.#tell(() => this.#options.onBatch?.({ epoch, batch, batches, loss }));
  }
}
