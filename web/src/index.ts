/**
 * Locally connected layers (convolution with unshared weights) in the browser: on WebGPU, and where there is none in
 * WebAssembly. `init` once, then a {@link Context}, then layers and models on it.
 *
 * @packageDocumentation
 */
export { init, initTraining, type WasmSource } from "./wasm.js";
export { Context, type DeviceOptions, type RequestOptions } from "./context.js";
export { LocallyConnectedError, type ErrorKind } from "./errors.js";
export { type Activation, type ConfigLike, type LocallyConnectedConfig } from "./config.js";
export { LocallyConnected1D, LocallyConnected2D, LocallyConnected3D, type LayerGradients, type LayerOptions } from "./layers.js";
export { type BindOptions, type BoundBuffers, BoundForward } from "./bound.js";
export { type ArraysLike, type End, type NamedArrays } from "./ends.js";
export { Layer, Model } from "./model.js";
export { type Named } from "./named.js";
export type { BatchRecord, CompileOptions, EpochRecord, EvaluateOptions, FitOptions, History, Logs } from "./training.js";
export type { SaveFormat } from "./keras_module.js";
export { Sequential, type LayerSpec } from "./sequential.js";
export { type BufferRange } from "./gpu.js";
