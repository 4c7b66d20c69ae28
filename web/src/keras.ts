import { Body, type LayerInfo, type Parts, weightInfo } from "./body.js";
import type { Context } from "./context.js";
import { asError, call, LocallyConnectedError } from "./errors.js";
import { fileOf, glue, initKeras, type SaveFormat } from "./keras_module.js";
import { Model } from "./model.js";
import { loadTraining } from "./wasm.js";

export { initKeras, initSaving, type SaveFormat } from "./keras_module.js";
export { LocallyConnectedError, type ErrorKind } from "./errors.js";
export { type BindOptions, type BoundBuffers, BoundForward } from "./bound.js";
export { type ArraysLike, type End, type NamedArrays } from "./ends.js";
export { Layer, Model } from "./model.js";
export type { BatchRecord, CompileOptions, EpochRecord, EvaluateOptions, FitOptions, History, Logs } from "./training.js";

/** What {@link loadModel} may be told. */
export interface LoadOptions {
  /** The file's name, for messages, and where the first bytes don't tell the format. */
  name?: string;
  /**
   * The model of a file of weights alone: Keras's JSON (`model.to_json()`), as text or read, or the name of a built-in one:
   * `"deepface"`, `"deepface-embedding"`, `"alltnn"`.
   */
  architecture?: string | object;
}

/** A model of a file. */
export class FileModel extends Model {
  /** The version of Keras that wrote the file. */
  readonly kerasVersion: string;
  /** What is written, with the weights as they were read or last saved. */
  readonly #keras: glue.KerasModel;
  #freed = false;

  /** @internal */
  constructor(name: string, version: string, body: Body, keras: glue.KerasModel) {
    super(name, body);
    this.kerasVersion = version;
    this.#keras = keras;
  }

  /**
   * The bytes of a file with the layers as they were read and the weights as they are now. The module that makes them (`save.wasm`) is
   * fetched now.
   */
  async save(format: SaveFormat): Promise<Uint8Array> {
    const { body } = this;
    body.check();
    for (const info of body.infos) {
      // Weights of what no output depends on are there already.
      if (info.weights.length === 0 || info.keeper) continue;
      const arrays = await body.getWeights(info);
      // The page may have disposed of it meanwhile.
      body.check();
      info.weights.forEach(({ name }, at) => call(() => this.#keras.setWeight(info.name, name, arrays[at]!)));
    }
    return fileOf(this.#keras, format);
  }

  override dispose(): void {
    super.dispose();
    if (!this.#freed) this.#keras.free();
    this.#freed = true;
  }
}

interface Described {
  name: string;
  kerasVersion: string;
  inputs: Parts["inputs"];
  outputs: Parts["outputs"];
  layers: (Omit<LayerInfo, "weights"> & { weights: { name: string; shape: number[] }[]; learned: string[]; computed: boolean })[];
}

/**
 * Reads a model that Keras saved (`.h5`, `.hdf5`, `.keras`), or one in `.safetensors` that this project wrote; the bytes tell
 * the format.
 *
 * @throws LocallyConnectedError of kind `"file"` for what holds no model, and `"unsupported"` with the names of all layers that
 * don't run here.
 */
export async function loadModel(
  context: Context,
  data: ArrayBuffer | Uint8Array | Blob | Response | PromiseLike<Response>,
  { name, architecture }: LoadOptions = {},
): Promise<FileModel> {
  const [[bytes, from], module] = await Promise.all([read(data), loadTraining(), initKeras()]);
  const json = typeof architecture === "object" ? JSON.stringify(architecture) : architecture;
  const keras = call(() => glue.KerasModel.read(bytes, name ?? from, json));
  let body: Body | undefined;
  try {
    const { name, kerasVersion, inputs, outputs, layers } = call(() => JSON.parse(keras.describe()) as Described);
    const infos = layers.map(({ weights, learned, computed, ...layer }): LayerInfo => ({
      ...layer, keeper: computed ? undefined : keras, weights: weights.map(({ name, shape }) => weightInfo(layer.name, name, shape, learned.includes(name))),
    }));
    const compiled = call(() => module.GraphModel.read(keras.graph()));
    body = await Body.create(context, { compiled, module, infos, inputs, outputs });
    for (const parameter of call(() => JSON.parse(keras.parameters()) as string[])) {
      body.set(parameter, call(() => keras.takeParameter(parameter)));
    }
    return new FileModel(name, kerasVersion, body, keras);
  } catch (error) {
    body?.dispose();
    keras.free();
    throw asError(error);
  }
}

async function read(data: ArrayBuffer | Uint8Array | Blob | Response | PromiseLike<Response>): Promise<[Uint8Array, string]> {
  const given = await data;
  if (given instanceof Uint8Array) return [given, "the model's file"];
  if (given instanceof ArrayBuffer) return [new Uint8Array(given), "the model's file"];
  try {
    if (given instanceof Response) {
      if (!given.ok) throw new LocallyConnectedError("file", `${given.url}: the server says ${given.status} ${given.statusText}`);
      return [new Uint8Array(await given.arrayBuffer()), new URL(given.url || "file:model").pathname.split("/").at(-1) ?? "model"];
    }
    if (given instanceof Blob) return [new Uint8Array(await given.arrayBuffer()), (given as File).name ?? "the model's file"];
  } catch (error) {
    throw error instanceof LocallyConnectedError ? error : new LocallyConnectedError("file", `the file can't be read: ${String(error)}`, { cause: error });
  }
  throw new LocallyConnectedError("argument", "a model is an ArrayBuffer, a Uint8Array, a Blob or a Response");
}
