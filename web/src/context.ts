import type { Device } from "./core_glue.js";
import { GpuDevice, type Planning } from "./device.js";
import { LocallyConnectedError } from "./errors.js";
import { GpuRunner } from "./gpu_runner.js";
import type { Program, Runner } from "./runner.js";
import { loadedCore, type WasmSource } from "./wasm.js";

/** Wishes about how a device is used. */
export interface DeviceOptions {
  /** Most bytes of scratch memory of a pass; no limit but the device's unless said. */
  memoryBudget?: number;
  /** Takes one form of the kernels wherever there is one of it; the planner chooses unless said. */
  form?: "register" | "split" | "tiled";
}

/** What {@link Context.request} may take. */
export interface RequestOptions extends DeviceOptions {
  /** Only this; without it WebGPU, and where there is none the CPU. */
  kind?: "webgpu" | "cpu";
  /** As in `navigator.gpu.requestAdapter`; `"high-performance"` unless said. */
  powerPreference?: GPUPowerPreference;
  /** Where the CPU executor's wasm is, should it be needed: the `cpu.wasm` beside this module unless said. */
  cpuWasm?: WasmSource;
}

const LIMITS = [
  "maxStorageBufferBindingSize", "maxBufferSize", "maxComputeWorkgroupsPerDimension", "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment", "maxComputeWorkgroupStorageSize", "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX", "maxStorageBuffersPerShaderStage", "maxUniformBufferBindingSize",
] as const;
/** Those that more of makes fewer dispatches of large layers. */
const RAISED = ["maxStorageBufferBindingSize", "maxBufferSize"] as const;
/** Mesa's software driver ends a thread's loops after so many turns. */
const LAVAPIPE_TURNS = 65_535;

/** What layers and models run on: a GPU device, or the CPU. */
export class Context {
  /** What it is. */
  readonly kind: "webgpu" | "cpu";
  /** The adapter's name, as far as the browser tells, or that of the CPU executor. */
  readonly adapter: string;
  /** Of a context on the CPU that {@link Context.request} gave: why there is no GPU. */
  readonly reason: string | undefined;
  /** The GPU device; none on the CPU. */
  readonly device: GPUDevice | undefined;
  #gpu: GpuDevice | undefined;
  #owned: boolean;
  #disposed = false;
  /** Weak, so that what nobody holds any more is collected with its memory. */
  #runners = new Set<WeakRef<Runner>>();

  private constructor(kind: "webgpu" | "cpu", adapter: string, gpu?: GpuDevice, owned = false, reason?: string) {
    this.kind = kind;
    this.adapter = adapter;
    this.reason = reason;
    this.device = gpu?.device;
    this.#gpu = gpu;
    this.#owned = owned;
  }

  /**
   * The best there is: a device of its own on the best GPU adapter, with the adapter's own limits for large buffers, else the
   * CPU. `context.kind` says which, and `context.reason` why it isn't a GPU.
   *
   * @throws LocallyConnectedError of kind `"no-adapter"` where WebGPU alone was asked for and there is none.
   */
  static async request(options: RequestOptions = {}): Promise<Context> {
    loadedCore();
    if (options.kind === "cpu") return Context.cpu(options.cpuWasm);
    const found = await requestDevice(options.powerPreference ?? "high-performance");
    if (typeof found !== "string") return Context.#on(found, options, true);
    if (options.kind === "webgpu") throw new LocallyConnectedError("no-adapter", found);
    return Context.#onCpu(options.cpuWasm, found);
  }

  /**
   * A context on the page's own device, which stays the page's: it is never destroyed, nothing is listened to, and only what
   * this context made is freed by {@link Context.dispose}.
   */
  static fromDevice(device: GPUDevice, options: DeviceOptions = {}): Context {
    return Context.#on(device, options, false);
  }

  /** A context that runs on the calling thread, in WebAssembly with SIMD. Its wasm is fetched now. */
  static async cpu(source?: WasmSource): Promise<Context> {
    loadedCore();
    return Context.#onCpu(source);
  }

  static async #onCpu(source?: WasmSource, reason?: string): Promise<Context> {
    const { loadCpu } = await import("./cpu.js");
    return new Context("cpu", await loadCpu(source), undefined, false, reason);
  }

  static #on(device: GPUDevice, { memoryBudget, form }: DeviceOptions, owned: boolean): Context {
    const { vendor = "", architecture = "", description = "", isFallbackAdapter = false } = device.adapterInfo ?? {};
    const names = `${vendor} ${architecture} ${description}`.toLowerCase();
    const isCpu = isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|warp|basic render/.test(names);
    const planned = (planner: Device): void => {
      for (const name of LIMITS) planner.setLimit(name, device.limits[name]);
      // A driver that hides its name may be Mesa's.
      if (isCpu && !/swiftshader|warp|basic render/.test(names)) planner.setLimit("maxIterations", LAVAPIPE_TURNS);
      if (memoryBudget !== undefined) planner.setMemoryBudget(memoryBudget);
      if (form !== undefined) planner.setForm(form);
    };
    const gpu = new GpuDevice(device, planned, isCpu);
    // What is wrong with the wishes is thrown now.
    gpu.planner(loadedCore());
    const adapter = (description || `${vendor} ${architecture}`).trim() || "a GPU that the browser doesn't name";
    return new Context("webgpu", adapter, gpu, owned);
  }

  /** @internal Room for the parameters of a model whose forward pass is `program`, which `module` made. */
  async runner(program: Program, module: Planning = loadedCore()): Promise<Runner> {
    this.#check();
    const runner = this.#gpu ? await GpuRunner.create(this.#gpu, program, module) : new (await import("./cpu.js")).CpuRunner(program);
    if (this.#disposed) {
      runner.destroy();
      this.#check();
    }
    for (const ref of this.#runners) if (!ref.deref()) this.#runners.delete(ref);
    this.#runners.add(new WeakRef(runner));
    return runner;
  }

  /** @internal */
  release(runner: Runner): void {
    for (const ref of this.#runners) {
      if (ref.deref() !== runner) continue;
      this.#runners.delete(ref);
      runner.destroy();
    }
  }

  #check(): void {
    if (this.#disposed) throw new LocallyConnectedError("disposed", "the context has been disposed of");
  }

  /** Frees what its layers and models hold, and destroys the device unless it is the page's. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const ref of this.#runners) ref.deref()?.destroy();
    this.#runners.clear();
    if (this.#owned) this.#gpu?.device.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A device of the best adapter, or why there is none. */
async function requestDevice(powerPreference: GPUPowerPreference): Promise<GPUDevice | string> {
  const gpu = typeof navigator === "undefined" ? undefined : navigator.gpu;
  if (!gpu) return "this browser has no WebGPU";
  try {
    const adapter = await gpu.requestAdapter({ powerPreference });
    if (!adapter) return "this browser has WebGPU, but no adapter for it";
    const requiredLimits = Object.fromEntries(RAISED.map((name) => [name, adapter.limits[name]]));
    return await adapter.requestDevice({ label: "locally-connected", requiredLimits });
  } catch (error) {
    return `WebGPU gives no device: ${error instanceof Error ? error.message : String(error)}`;
  }
}
