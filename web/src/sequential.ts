import { Body } from "./body.js";
import type { Context } from "./context.js";
import { call } from "./errors.js";
import { type LayerOptions, toSizes } from "./layers.js";
import type { SaveFormat } from "./keras_module.js";
import { Model } from "./model.js";
import { loadTraining } from "./wasm.js";

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

/** Layers one after another, put together by the page. */
export class Sequential extends Model {
  /** Makes the model for inputs of `inputShape`, without the batch, with new weights as Keras would draw them. */
  static async create(context: Context, layers: readonly LayerSpec[], options: SequentialOptions): Promise<Sequential> {
    const inputShape = toSizes("inputShape", options?.inputShape);
    const [module, { add }] = await Promise.all([loadTraining(), import("./building.js")]);
    const model = call(() => new module.SequentialModel(inputShape));
    const inputs = [{ name: "input", shape: [...inputShape] }];
    let body: Body | undefined;
    try {
      const names = new Set<string>();
      const infos = layers.map((spec) => add(module, model, spec, names));
      call(() => model.draw(options.seed ?? 0));
      const outputs = [{ name: model.outputName(), shape: [...model.shape()] }];
      body = await Body.create(context, { compiled: call(() => model.model()), module, infos, inputs, outputs });
      for (const { parameter } of infos.flatMap(({ weights }) => weights)) body.set(parameter, call(() => model.takeParameter(parameter)));
      return new Sequential(options.name ?? "sequential", body);
    } catch (error) {
      body?.dispose();
      throw error;
    } finally {
      model.free();
    }
  }

  /**
   * The bytes of a file with its layers and the weights as they are now, which Keras 2 opens where its layers are Keras's. What
   * writes it (`keras.wasm`, `save.wasm`) is fetched now.
   *
   * @throws LocallyConnectedError of kind `"file"` or `"unsupported"` for layers that the format can't express: `"safetensors"` can all.
   */
  async save(format: SaveFormat): Promise<Uint8Array> {
    this.body.check();
    const { save } = await import("./saving.js");
    return save(this.name, this.body, format);
  }
}
