// A GPUDevice as this package sees it: its pipelines, each made once, and its errors and its loss as rejected promises.

import { LocallyConnectedError } from "./errors.js";
import type { WrittenShader } from "./plan.js";
import type * as core from "./core_glue.js";

/** A shader's pipeline and the layout of all that it binds. */
export interface Compiled { layout: GPUBindGroupLayout; pipeline: GPUComputePipeline }

/** A module that plans programs. */
export type Planning = Pick<typeof core, "Device">;

const SCOPES = ["internal", "out-of-memory", "validation"] as const;
/** A page's or this package's device, with the pipelines made for it. */
export class GpuDevice {
  readonly device: GPUDevice;
  /** The planner for its limits, of a module that makes programs: each plans its own. */
  readonly planner: (module: Planning) => core.Device;
  #pipelines = new Map<string, Promise<Compiled>>();
  #waiting = new Set<(error: LocallyConnectedError) => void>();
  #lost: LocallyConnectedError | undefined;
  #patience: Promise<unknown>;

  constructor(device: GPUDevice, planned: (planner: core.Device) => void = () => {}, isCpu = false) {
    this.device = device;
    const planners = new Map<Planning, core.Device>();
    this.planner = (module) => {
      let planner = planners.get(module);
      if (!planner) {
        planner = new module.Device(isCpu);
        planned(planner);
        planners.set(module, planner);
      }
      return planner;
    };
    // The promise outlives us where the page's device does.
    const weak = new WeakRef(this);
    this.#patience = device.lost;
    void device.lost.then(({ message, reason }) => {
      const self = weak.deref();
      if (self) self.#lose(message || reason || "no reason given");
    });
  }

  #lose(why: string): void {
    this.#lost = new LocallyConnectedError("device-lost", `the device was lost: ${why}`);
    for (const reject of this.#waiting) reject(this.#lost);
    this.#waiting.clear();
  }

  /** Fails once the device is lost. */
  check(): void {
    if (this.#lost) throw new LocallyConnectedError("device-lost", this.#lost.message);
  }

  /** What `action` gives, or that the device was lost: whatever the browser does with promises of a lost device. */
  guard<T>(action: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.check();
      this.#waiting.add(reject);
      const done = (): void => { this.#waiting.delete(reject); };
      action().then(
        (value) => { done(); resolve(value); },
        async (error: unknown) => {
          // A browser may say so only after it has failed what ran.
          if (!(error instanceof LocallyConnectedError)) {
            await Promise.race([this.#patience, new Promise((late) => { setTimeout(late, 200); })]);
          }
          done();
          reject(this.#lost ?? deviceError(error));
        },
      );
    });
  }

  /** What `action` makes at once; the device's first error over it is thrown. */
  async scoped<T>(what: string, action: () => T, undo: (made: T) => void): Promise<T> {
    for (const scope of SCOPES) this.device.pushErrorScope(scope);
    const caught: Promise<GPUError | null>[] = [];
    let made: T;
    try {
      made = action();
    } finally {
      for (const _ of SCOPES) caught.push(this.device.popErrorScope());
    }
    const error = (await Promise.all(caught)).find((error) => error !== null);
    if (error) {
      undo(made);
      const kind = error instanceof GPUOutOfMemoryError ? "out-of-memory" : "device";
      throw new LocallyConnectedError(kind, `${what}: ${error.message}`);
    }
    return made;
  }

  /** A shader's pipeline, made once for the device. */
  pipeline(shader: WrittenShader): Promise<Compiled> {
    let compiled = this.#pipelines.get(shader.wgsl);
    if (!compiled) {
      compiled = this.#compile(shader);
      this.#pipelines.set(shader.wgsl, compiled);
      compiled.catch(() => this.#pipelines.delete(shader.wgsl));
    }
    return compiled;
  }

  async #compile({ name, wgsl, entry_point: entryPoint, bindings }: WrittenShader): Promise<Compiled> {
    const storage = bindings.map((access) => (access === "read" ? "read-only-storage" : "storage") as GPUBufferBindingType);
    const entries = ["uniform" as const, ...storage].map((type, binding) => ({
      binding, visibility: GPUShaderStage.COMPUTE, buffer: { type },
    }));
    const { layout, pipeline } = await this.scoped(`shader ${name}`, () => {
      const module = this.device.createShaderModule({ label: name, code: wgsl });
      const layout = this.device.createBindGroupLayout({ label: name, entries });
      const pipelineLayout = this.device.createPipelineLayout({ label: name, bindGroupLayouts: [layout] });
      const compute = { module, entryPoint };
      const pipeline = this.device.createComputePipelineAsync({ label: name, layout: pipelineLayout, compute });
      pipeline.catch(() => {}); // Where a scope has an error, that is thrown.
      return { layout, pipeline };
    }, () => {});
    return { layout, pipeline: await pipeline };
  }
}

function deviceError(error: unknown): LocallyConnectedError {
  if (error instanceof LocallyConnectedError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new LocallyConnectedError("device", `the device reports: ${message}`, { cause: error });
}

/** All buffers that a model, or one of its bound programs, has on a device: what is to be destroyed when it is gone. */
export class Buffers {
  #made: GPUBuffer[] = [];

  make(device: GPUDevice, label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = device.createBuffer({ label, size, usage });
    this.#made.push(buffer);
    return buffer;
  }

  /** Takes a buffer in. */
  adopt(buffer: GPUBuffer): void {
    this.#made.push(buffer);
  }

  /** Gives a buffer out. */
  release(buffer: GPUBuffer): void {
    this.#made = this.#made.filter((other) => other !== buffer);
  }

  destroy(): void {
    for (const buffer of this.#made.splice(0)) buffer.destroy();
  }
}

/** Frees what is collected without having been destroyed. */
export const collected = /* @__PURE__ */ new FinalizationRegistry<Buffers[]>((all) => all.forEach((buffers) => buffers.destroy()));
