/**
 * Locally connected layers (convolution with unshared weights) in the browser: on WebGPU, and where there is none in
 * WebAssembly. `init` once, then a {@link Context}, then layers and models on it.
 *
 * @packageDocumentation
 */
export { init, type WasmSource } from "./wasm.js";
export { Context, type DeviceOptions, type RequestOptions } from "./context.js";
export { LocallyConnectedError, type ErrorKind } from "./errors.js";
export { type Activation, type ConfigLike, type LocallyConnectedConfig } from "./config.js";
export { LocallyConnected1D, LocallyConnected2D, LocallyConnected3D, type LayerGradients, type LayerOptions } from "./layers.js";
export { BoundForward, type BindOptions, Layer, Model } from "./model.js";
export { Sequential, type LayerSpec } from "./sequential.js";
export { type BufferRange } from "./gpu.js";
