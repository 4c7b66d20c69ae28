// The module with Keras's files: apart, so that it is fetched where it is needed.

import initKerasGlue, * as glue from "./keras_glue.js";
import { Module, type WasmSource } from "./wasm.js";

export { glue };
const kerasModule = /* @__PURE__ */ new Module(initKerasGlue as never, () => new URL("./keras.wasm", import.meta.url));

/**
 * Loads the reader's WebAssembly, which {@link loadModel} and {@link Sequential.save} do by themselves: for pages that have it
 * elsewhere, or want it early.
 *
 * @param source where it is: the `keras.wasm` beside this module unless said.
 */
export function initKeras(source?: WasmSource): Promise<void> {
  return kerasModule.load(source);
}

/** File formats that are written: Keras's two, safetensors with all of a layer's arguments, and arrays alone. */
export type SaveFormat = "h5" | "keras" | "safetensors" | "npz";
