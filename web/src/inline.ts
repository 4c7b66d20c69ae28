/**
 * All of the package's first entry, with the wasm of layers, planner and training inside: for pages that can't serve `.wasm` files.
 *
 * @packageDocumentation
 */
import bytes from "./train.wasm";
import { initTraining } from "./wasm.js";

export * from "./index.js";

/** Starts the WebAssembly that this module holds. To be awaited once before anything else; more calls do nothing. */
export function init(): Promise<void> {
  return initTraining(bytes as Uint8Array<ArrayBuffer>);
}
