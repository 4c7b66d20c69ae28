// The module with Keras's files: apart, so that it is fetched where it is needed.

import { call } from "./errors.js";
import initKerasGlue, * as glue from "./keras_glue.js";
import { Module, type Start, type WasmSource } from "./wasm.js";

export { glue };
const kerasModule = /* @__PURE__ */ new Module(initKerasGlue as Start, () => new URL("./keras.wasm", import.meta.url));

/**
 * Loads the reader's WebAssembly, which {@link loadModel} and {@link Sequential.save} do by themselves: for pages that have it
 * elsewhere, or want it early.
 *
 * @param source where it is: the `keras.wasm` beside this module unless said.
 */
export function initKeras(source?: WasmSource): Promise<void> {
  return kerasModule.load(source);
}

/**
 * Loads the WebAssembly that makes files' bytes, which `save` does by itself.
 *
 * @param source where it is: the `save.wasm` beside this module unless said.
 */
export async function initSaving(source?: WasmSource): Promise<void> {
  await (await import("./save_module.js")).saveModule.load(source);
}

/** The bytes of a file that the reader has put together. @internal */
export async function fileOf(keras: glue.KerasModel, format: SaveFormat): Promise<Uint8Array> {
  const parts = call(() => keras.parts(format));
  const { save, saveModule } = await import("./save_module.js");
  await saveModule.load();
  return call(() => save.fileOf(parts));
}

/** File formats that are written: Keras's two, safetensors with all of a layer's arguments, and arrays alone. */
export type SaveFormat = "h5" | "keras" | "safetensors" | "npz";
