// Runs plans on a GPUDevice: pipelines and bind groups once, then nothing but dispatches into a pass. It knows WebGPU and no
// kernel: every size, range and number of workgroups stands in the plan.

import { Buffers, collected, type GpuDevice } from "./device.js";
import { LocallyConnectedError } from "./errors.js";
import { fromBuffer, type WrittenBuffer, type WrittenPlan } from "./plan.js";
import type { Arrays } from "./runner.js";

/** A range of a buffer of the page's. */
export interface BufferRange {
  buffer: GPUBuffer;
  /** In bytes, a multiple of the device's `minStorageBufferOffsetAlignment`; 0 unless said. */
  offset?: number;
}

interface Step { pipeline: GPUComputePipeline; group: GPUBindGroup; x: number; y: number; z: number }
/** A plan's buffer on the device. */
export interface Held extends WrittenBuffer { gpu: GPUBuffer }

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
    const read = this.#held.filter(({ name }) => outputs.includes(name));
    const size = read.reduce((bytes, buffer) => bytes + buffer.bytes, 0);
    device.pushErrorScope("validation");
    // Until there is something to wait for nothing waits: runs of one bound program come one after another.
    for (const [name, values] of Object.entries(inputs)) {
      for (const buffer of this.#held) {
        if (buffer.name === name && buffer.usage === "input") device.queue.writeBuffer(buffer.gpu, 0, values as Float32Array<ArrayBuffer>);
      }
    }
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.record(pass);
    pass.end();
    if (size === 0) {
      device.queue.submit([encoder.finish()]);
      refuse(await device.popErrorScope());
      return {};
    }
    // While it is mapped it is nobody's to destroy but ours.
    const kept = this.#staging.pop();
    if (kept) this.#own.release(kept);
    const staging = kept
      ?? device.createBuffer({ label: "readback", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
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
    refuse(await refused);
    return found;
  }

  destroy(): void {
    this.#destroyed = true;
    this.#staging = [];
    this.#own.destroy();
    collected.unregister(this);
  }
}

function refuse(error: GPUError | null): void {
  if (error) throw new LocallyConnectedError("device", `the device reports: ${error.message}`);
}

/** Whole arrays, of buffers one behind another in `data`. */
export function gather(buffers: readonly WrittenBuffer[], data: ArrayBuffer): Arrays {
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
