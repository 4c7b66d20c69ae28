import initCore, * as core from "./core_glue.js";
import { LocallyConnectedError } from "./errors.js";
import type * as Train from "./train_glue.js";

/** Where a module's bytes come from. */
export type WasmSource = string | URL | Request | Response | PromiseLike<Response> | BufferSource | WebAssembly.Module;

/** What starts a module. */
export type Start = (options: { module_or_path: WasmSource }) => Promise<unknown>;

/** A module that is fetched and started once. A failed attempt may be repeated. */
export class Module {
  #start: Start;
  #url: () => URL;
  #started: Promise<void> | undefined;

  constructor(start: Start, url: () => URL) {
    this.#start = start;
    this.#url = url;
  }

  load(source?: WasmSource): Promise<void> {
    this.#started ??= this.#start({ module_or_path: source ?? this.#url() }).then(
      () => {},
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
/** What plans and makes layers: the core module, or that with training, which has all of it, where that was started first. */
let active: typeof core | undefined;

/**
 * Loads the WebAssembly of layers, layouts and planner. To be awaited once before anything else; more calls do nothing.
 *
 * @param source where it is: the `core.wasm` beside this module unless said. An URL, a response, or the bytes.
 */
export async function init(source?: WasmSource): Promise<void> {
  if (active) return;
  await coreModule.load(source);
  active ??= core;
}

/**
 * Loads the WebAssembly of models that are put together here, and of their training, which {@link Sequential.create} does by itself: for
 * pages that have it elsewhere, or want it early. It has all of the core's, so that a page that awaits it first needs no `init`.
 *
 * @param source where it is: the `train.wasm` beside this module unless said.
 */
export async function initTraining(source?: WasmSource): Promise<void> {
  await loadTraining(source);
}

/** The module with training, loaded. @internal */
export async function loadTraining(source?: WasmSource): Promise<typeof Train> {
  const { train, trainModule } = await import("./train_module.js");
  await trainModule.load(source);
  active ??= train as unknown as typeof core;
  return train;
}

/** The core module, once `init` has been awaited. */
export function loadedCore(): typeof core {
  if (!active) throw new LocallyConnectedError("not-initialised", "await init() before anything else");
  return active;
}
