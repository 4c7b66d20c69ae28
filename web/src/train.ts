/**
 * All of the package's first entry, with layers, planner and training in one WebAssembly: for pages that train, which so fetch one
 * instead of two.
 *
 * @packageDocumentation
 */
export * from "./index.js";
export { initTraining as init } from "./wasm.js";
