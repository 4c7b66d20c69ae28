// A model's parameters on a GPUDevice, and its programs: each planned by the wasm for the device's limits, bound once for a batch.

import { Buffers, collected, type GpuDevice, type Planning } from "./device.js";
import { call, LocallyConnectedError } from "./errors.js";
import { type BufferRange, gather, GpuBound, type Held } from "./gpu.js";
import { PLAN_VERSION, toBuffer, type WrittenBuffer, type WrittenPlan } from "./plan.js";
import { type Arrays, AT_ONCE, type Program, type Runner } from "./runner.js";

/** Bound programs that a model keeps ready: in a training those for whole batches and for the last, with as many of evaluation and prediction. */
const KEPT = 6;

/** Whether a buffer lasts from run to run, zero until it is set or a program updates it. */
function isKept({ usage }: WrittenBuffer): boolean {
  return usage === "parameter" || usage === "state";
}

/** By which a model knows what it keeps. */
const keyOf = ({ usage, name }: WrittenBuffer): string => `${usage} ${name}`;

interface Ready { program: Program; batch: number; bound: Promise<GpuBound> }

function destroyLater(bound: Promise<GpuBound>): void {
  void bound.then((bound) => bound.destroy(), () => {});
}

/** A model's parameters on a device, and its programs bound to them. */
export class GpuRunner implements Runner {
  #device: GpuDevice;
  #module: Planning;
  #own = new Buffers();
  #shared = new Map<string, Held[]>();
  /** By the program and the batch, the least recently used first. */
  #bound: Ready[] = [];

  private constructor(device: GpuDevice, module: Planning) {
    [this.#device, this.#module] = [device, module];
    collected.register(this, [this.#own], this);
  }

  /** With the parameters of `program`, and what its optimizer keeps of them, all zero. */
  static async create(device: GpuDevice, program: Program, module: Planning): Promise<GpuRunner> {
    const runner = new GpuRunner(device, module);
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
      const planned = this.#device.planner(this.#module).plan(program, batch);
      const plan = JSON.parse(planned.json()) as WrittenPlan;
      const words = plan.buffers.map(({ usage }, place) => (usage === "constant" ? planned.words(place) : new Uint32Array()));
      planned.free();
      if (plan.version !== PLAN_VERSION) throw new LocallyConnectedError("internal", `a plan of version ${plan.version}`);
      return { plan, words: (place) => words[place]! };
    });
  }

  /** A buffer that all programs share: made once for a name and a part of its array. */
  #keep(buffer: WrittenBuffer, words?: Uint32Array): GPUBuffer {
    const key = keyOf(buffer);
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

  /** Binds a program, a training's to the gradients that are held, to buffers of the page's where some are given. */
  async bind(program: Program, batch: number, given: Record<string, BufferRange> = {}, trains = false): Promise<GpuBound> {
    return this.#device.guard(async () => {
      const { plan, words } = this.#plan(program, batch);
      const shared = (buffer: WrittenBuffer, place: number): GPUBuffer | undefined => {
        if (buffer.usage === "constant") return this.#keep(buffer, words(place));
        const held = trains && buffer.usage === "gradient";
        return isKept(buffer) || held ? this.#keep(buffer) : undefined;
      };
      return GpuBound.create(this.#device, plan, shared, given);
    });
  }

  /** A bound program of those that are kept, or a new one. */
  #ready(program: Program, batch: number, trains: boolean): Promise<GpuBound> {
    const at = this.#bound.findIndex((ready) => ready.program === program && ready.batch === batch);
    const ready = at < 0 ? { program, batch, bound: this.bind(program, batch, {}, trains) } : this.#bound.splice(at, 1)[0]!;
    this.#bound.push(ready);
    if (at < 0) ready.bound.catch(() => { this.#bound = this.#bound.filter((other) => other !== ready); });
    if (this.#bound.length > KEPT) destroyLater(this.#bound.shift()!.bound);
    return ready.bound;
  }

  async run(program: Program, batch: number, inputs: Arrays, outputs: readonly string[], trains = false): Promise<Arrays> {
    return this.#device.guard(async () => (await this.#ready(program, batch, trains)).run(inputs, outputs));
  }

  async hold(store: Program): Promise<void> {
    await this.#device.guard(async () => {
      // What is bound is bound to those of another training.
      this.#release();
      for (const [key, parts] of this.#shared) {
        if (!key.startsWith("state ") && !key.startsWith("gradient ")) continue;
        this.#shared.delete(key);
        for (const { gpu } of parts) {
          this.#own.release(gpu);
          gpu.destroy();
        }
      }
      const { plan } = this.#plan(store, 1);
      await this.#device.scoped("what is trained", () => {
        for (const buffer of plan.buffers) if (isKept(buffer) || buffer.usage === "gradient") this.#keep(buffer);
      }, () => {});
    });
  }

  samplesAtOnce(program: Program): number {
    return call(() => this.#device.planner(this.#module).samplesAtOnce(program, AT_ONCE));
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
    const parts = ["parameter", "state", "gradient"].map((usage) => this.#shared.get(`${usage} ${name}`)).find((parts) => parts);
    if (!parts) throw new LocallyConnectedError("internal", `there is no parameter ${name}`);
    return parts;
  }

  #release(): void {
    for (const { bound } of this.#bound.splice(0)) destroyLater(bound);
  }

  destroy(): void {
    this.#release();
    this.#own.destroy();
    collected.unregister(this);
  }
}
