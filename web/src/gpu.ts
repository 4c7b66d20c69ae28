// Runs plans on a GPUDevice: pipelines and bind groups once, then nothing but dispatches into a pass. It knows WebGPU and no
// kernel: every size, range and number of workgroups stands in the plan.

import { call, LocallyConnectedError } from "./errors.js";
import { fromBuffer, PLAN_VERSION, toBuffer, type WrittenBuffer, type WrittenPlan, type WrittenShader } from "./plan.js";
import type { Arrays, Program, Runner } from "./runner.js";
import type * as core from "./core_glue.js";

/** A range of a buffer of the page's. */
export interface BufferRange {
  buffer: GPUBuffer;
  /** In bytes, a multiple of the device's `minStorageBufferOffsetAlignment`; 0 unless said. */
  offset?: number;
}

interface Compiled { layout: GPUBindGroupLayout; pipeline: GPUComputePipeline }
interface Step { pipeline: GPUComputePipeline; group: GPUBindGroup; x: number; y: number; z: number }
interface Held extends WrittenBuffer { gpu: GPUBuffer }

const SCOPES = ["internal", "out-of-memory", "validation"] as const;
/** Bound programs that a model keeps ready. */
const KEPT = 4;

/** A page's or this package's device, with the pipelines made for it. */
export class GpuDevice {
  readonly device: GPUDevice;
  /** The planner for its limits. */
  readonly planner: core.Device | undefined;
  #pipelines = new Map<string, Promise<Compiled>>();
  #waiting = new Set<(error: LocallyConnectedError) => void>();
  #lost: LocallyConnectedError | undefined;
  #patience: Promise<unknown>;

  constructor(device: GPUDevice, planner?: core.Device) {
    this.device = device;
    this.planner = planner;
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

const collected = /* @__PURE__ */ new FinalizationRegistry<Buffers[]>((all) => all.forEach((buffers) => buffers.destroy()));

/** A program of a model's for a batch: `record` it into any compute pass of the device's. */
export class GpuBound {
  #device: GpuDevice;
  #held: Held[];
  #steps: Step[];
  #own: Buffers;
  #staging: GPUBuffer[] = [];
  #destroyed = false;

  private constructor(device: GpuDevice, held: Held[], steps: Step[], own: Buffers) {
    this.#device = device;
    this.#held = held;
    this.#steps = steps;
    this.#own = own;
  }

  /** Makes the pipelines, buffers and bind groups. `shared` are the model's, `given` the page's, by name. */
  static async create(
    device: GpuDevice,
    plan: WrittenPlan,
    shared: (buffer: WrittenBuffer, place: number) => GPUBuffer | undefined,
    given: Record<string, BufferRange>,
  ): Promise<GpuBound> {
    const shaders = await Promise.all(plan.shaders.map((shader) => device.pipeline(shader)));
    const own = new Buffers();
    const gpu = device.device;
    return device.scoped("buffers and bind groups", () => {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const held = plan.buffers.map((buffer, place) => {
        const existing = given[buffer.name]?.buffer ?? shared(buffer, place);
        return { ...buffer, gpu: existing ?? own.make(gpu, buffer.name, buffer.bytes, usage) };
      });
      // One buffer has the uniforms of all dispatches, as far apart as the device asks for.
      const alignment = gpu.limits.minUniformBufferOffsetAlignment;
      const stride = Math.ceil(Math.max(4, ...plan.dispatches.map(({ uniform }) => 4 * uniform.length)) / alignment) * alignment;
      const words = new Uint32Array((stride / 4) * Math.max(1, plan.dispatches.length));
      plan.dispatches.forEach(({ uniform }, at) => words.set(uniform, (stride / 4) * at));
      const uniforms = own.make(gpu, "uniforms", words.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
      gpu.queue.writeBuffer(uniforms, 0, words);
      const steps = plan.dispatches.map(({ shader, uniform, bindings, workgroups: [x, y, z] }, at): Step => {
        const { layout, pipeline } = shaders[shader]!;
        const storage = bindings.map(({ buffer, offset, size }) => {
          const { gpu, name } = held[buffer]!;
          return { buffer: gpu, offset: offset + (given[name]?.offset ?? 0), size };
        });
        const resources = [{ buffer: uniforms, offset: stride * at, size: 4 * uniform.length }, ...storage];
        const entries = resources.map((resource, binding) => ({ binding, resource }));
        const label = plan.shaders[shader]!.name;
        return { pipeline, group: gpu.createBindGroup({ label, layout, entries }), x, y, z };
      });
      const bound = new GpuBound(device, held, steps, own);
      collected.register(bound, [own], bound);
      return bound;
    }, (bound) => bound.destroy());
  }

  /** Records all dispatches. Nothing is allocated, submitted or waited for. */
  record(pass: GPUComputePassEncoder): void {
    const steps = this.#steps;
    for (let at = 0; at < steps.length; at += 1) {
      const step = steps[at]!;
      pass.setPipeline(step.pipeline);
      pass.setBindGroup(0, step.group);
      pass.dispatchWorkgroups(step.x, step.y, step.z);
    }
  }

  /** Writes the inputs, runs all dispatches and reads what is asked for. */
  async run(inputs: Arrays, outputs: readonly string[]): Promise<Arrays> {
    const { device } = this.#device;
    const read = this.#held.filter(({ name, usage }) => outputs.includes(name) && (usage === "output" || usage === "gradient"));
    const size = read.reduce((bytes, buffer) => bytes + buffer.bytes, 0);
    device.pushErrorScope("validation");
    // Until the last line nothing waits: runs of one bound program come one after another.
    for (const [name, values] of Object.entries(inputs)) {
      for (const buffer of this.#held) {
        if (buffer.name === name && buffer.usage === "input") device.queue.writeBuffer(buffer.gpu, 0, values as Float32Array<ArrayBuffer>);
      }
    }
    // While it is mapped it is nobody's to destroy but ours.
    const kept = this.#staging.pop();
    if (kept) this.#own.release(kept);
    const staging = kept
      ?? device.createBuffer({ label: "readback", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.record(pass);
    pass.end();
    let at = 0;
    for (const { gpu, bytes } of read) {
      encoder.copyBufferToBuffer(gpu, 0, staging, at, bytes);
      at += bytes;
    }
    device.queue.submit([encoder.finish()]);
    const refused = device.popErrorScope();
    try {
      await staging.mapAsync(GPUMapMode.READ, 0, size);
    } catch (error) {
      staging.destroy();
      throw (await refused) ?? error;
    }
    const data = staging.getMappedRange(0, size);
    const found = gather(read, data);
    staging.unmap();
    // Destroyed rather than dropped: a dropped buffer keeps its memory until it is collected.
    if (this.#destroyed || this.#staging.length > 1) {
      staging.destroy();
    } else {
      this.#staging.push(staging);
      this.#own.adopt(staging);
    }
    const error = await refused;
    if (error) throw new LocallyConnectedError("device", `the device reports: ${error.message}`);
    return found;
  }

  destroy(): void {
    this.#destroyed = true;
    this.#staging = [];
    this.#own.destroy();
    collected.unregister(this);
  }
}

/** Whole arrays, of buffers one behind another in `data`. */
function gather(buffers: readonly WrittenBuffer[], data: ArrayBuffer): Arrays {
  const found: Arrays = {};
  const lengths = new Map<string, number>();
  for (const { name, elements } of buffers) lengths.set(name, (lengths.get(name) ?? 0) + elements);
  for (const [name, length] of lengths) found[name] = new Float32Array(length);
  let at = 0;
  for (const buffer of buffers) {
    fromBuffer(buffer, data, at, found[buffer.name]!);
    at += buffer.bytes;
  }
  return found;
}

/** Whether a buffer lasts from run to run, zero until it is set or a program updates it. */
function isKept({ usage }: WrittenBuffer): boolean {
  return usage === "parameter" || usage === "state";
}

interface Ready { program: Program; batch: number; bound: Promise<GpuBound> }

function destroyLater(bound: Promise<GpuBound>): void {
  void bound.then((bound) => bound.destroy(), () => {});
}

/** A model's parameters on a device, and its programs bound to them. */
export class GpuRunner implements Runner {
  #device: GpuDevice;
  #own = new Buffers();
  #shared = new Map<string, Held[]>();
  /** By the program and the batch, the least recently used first. */
  #bound: Ready[] = [];

  private constructor(device: GpuDevice) {
    this.#device = device;
    collected.register(this, [this.#own], this);
  }

  /** With the parameters of `program`, and what its optimizer keeps of them, all zero. */
  static async create(device: GpuDevice, program: Program): Promise<GpuRunner> {
    const runner = new GpuRunner(device);
    const { plan } = runner.#plan(program, 1);
    await device.guard(() => device.scoped("parameters", () => {
      for (const buffer of plan.buffers) {
        if (isKept(buffer)) runner.#keep(buffer);
      }
    }, () => runner.destroy()));
    return runner;
  }

  #plan(program: Program, batch: number): { plan: WrittenPlan; words: (place: number) => Uint32Array } {
    return call(() => {
      const planned = this.#device.planner!.plan(program, batch);
      const plan = JSON.parse(planned.json()) as WrittenPlan;
      const words = plan.buffers.map(({ usage }, place) => (usage === "constant" ? planned.words(place) : new Uint32Array()));
      planned.free();
      if (plan.version !== PLAN_VERSION) throw new LocallyConnectedError("internal", `a plan of version ${plan.version}`);
      return { plan, words: (place) => words[place]! };
    });
  }

  /** A buffer that all programs share: made once for a name and a part of its array. */
  #keep(buffer: WrittenBuffer, words?: Uint32Array): GPUBuffer {
    const key = `${buffer.usage} ${buffer.name}`;
    const parts = this.#shared.get(key) ?? [];
    this.#shared.set(key, parts);
    const same = ({ part }: WrittenBuffer): boolean =>
      part?.first_entry === buffer.part?.first_entry && part?.first_filter === buffer.part?.first_filter;
    const known = parts.find(same);
    if (known) return known.gpu;
    const { device } = this.#device;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const gpu = this.#own.make(device, buffer.name, buffer.bytes, usage);
    if (words) device.queue.writeBuffer(gpu, 0, words as Uint32Array<ArrayBuffer>);
    parts.push({ ...buffer, gpu });
    return gpu;
  }

  async bind(program: Program, batch: number, given: Record<string, BufferRange> = {}): Promise<GpuBound> {
    return this.#device.guard(async () => {
      const { plan, words } = this.#plan(program, batch);
      const shared = (buffer: WrittenBuffer, place: number): GPUBuffer | undefined => {
        if (buffer.usage === "constant") return this.#keep(buffer, words(place));
        return isKept(buffer) ? this.#keep(buffer) : undefined;
      };
      return GpuBound.create(this.#device, plan, shared, given);
    });
  }

  /** A bound program of those that are kept, or a new one. */
  #ready(program: Program, batch: number): Promise<GpuBound> {
    const at = this.#bound.findIndex((ready) => ready.program === program && ready.batch === batch);
    const ready = at < 0 ? { program, batch, bound: this.bind(program, batch) } : this.#bound.splice(at, 1)[0]!;
    this.#bound.push(ready);
    if (at < 0) ready.bound.catch(() => { this.#bound = this.#bound.filter((other) => other !== ready); });
    if (this.#bound.length > KEPT) destroyLater(this.#bound.shift()!.bound);
    return ready.bound;
  }

  async run(program: Program, batch: number, inputs: Arrays, outputs: readonly string[]): Promise<Arrays> {
    return this.#device.guard(async () => (await this.#ready(program, batch)).run(inputs, outputs));
  }

  set(name: string, values: Float32Array): void {
    this.#device.check();
    for (const part of this.#parts(name)) this.#device.device.queue.writeBuffer(part.gpu, 0, toBuffer(part, values));
  }

  async get(name: string): Promise<Float32Array> {
    return this.#device.guard(async () => {
      const { device } = this.#device;
      const parts = this.#parts(name);
      const size = parts.reduce((bytes, part) => bytes + part.bytes, 0);
      const staging = device.createBuffer({ label: `copy of ${name}`, size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      try {
        const encoder = device.createCommandEncoder();
        let at = 0;
        for (const { gpu, bytes } of parts) {
          encoder.copyBufferToBuffer(gpu, 0, staging, at, bytes);
          at += bytes;
        }
        device.queue.submit([encoder.finish()]);
        await staging.mapAsync(GPUMapMode.READ);
        return gather(parts, staging.getMappedRange())[name]!;
      } finally {
        staging.destroy();
      }
    });
  }

  #parts(name: string): Held[] {
    const parts = this.#shared.get(`parameter ${name}`) ?? this.#shared.get(`state ${name}`);
    if (!parts) throw new LocallyConnectedError("internal", `there is no parameter ${name}`);
    return parts;
  }

  destroy(): void {
    for (const { bound } of this.#bound.splice(0)) destroyLater(bound);
    this.#own.destroy();
    collected.unregister(this);
  }
}
