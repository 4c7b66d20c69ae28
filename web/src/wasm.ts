import initCore, * as core from "./core_glue.js";
import { LocallyConnectedError } from "./errors.js";

/** Where a module's bytes come from. */
export type WasmSource = string | URL | Request | Response | PromiseLike<Response> | BufferSource | WebAssembly.Module;

type Start = (options: { module_or_path: WasmSource }) => Promise<unknown>;

/** A module that is fetched and started once. A failed attempt may be repeated. */
export class Module {
  #start: Start;
  #url: () => URL;
  #started: Promise<void> | undefined;
  ready = false;

  constructor(start: Start, url: () => URL) {
    this.#start = start;
    this.#url = url;
  }

  load(source?: WasmSource): Promise<void> {
    this.#started ??= this.#start({ module_or_path: source ?? this.#url() }).then(
      () => { this.ready = true; },
      (error: unknown) => {
        this.#started = undefined;
        const why = error instanceof Error ? error.message : String(error);
        throw new LocallyConnectedError("not-initialised", `the module could not be loaded: ${why}`, { cause: error });
      },
    );
    return this.#started;
  }
}

const coreModule = /* @__PURE__ */ new Module(initCore as Start, () => new URL("./core.wasm", import.meta.url));

/**
 * Loads the WebAssembly of layers, layouts and planner. To be awaited once before anything else; more calls do nothing.
 *
 * @param source where it is: the `core.wasm` beside this module unless said. An URL, a response, or the bytes.
 */
export function init(source?: WasmSource): Promise<void> {
  return coreModule.load(source);
}

/** The core module, once `init` has been awaited. */
export function loadedCore(): typeof core {
  if (!coreModule.ready) throw new LocallyConnectedError("not-initialised", "await init() before anything else");
  return core;
}
