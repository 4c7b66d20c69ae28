// Runs programs in the wasm's CPU executor, on the calling thread.

import initCpu, * as cpu from "./cpu_glue.js";
import { call } from "./errors.js";
import { type Arrays, AT_ONCE, type Program, type Runner } from "./runner.js";
import { Module, type WasmSource } from "./wasm.js";

const cpuModule = /* @__PURE__ */ new Module(initCpu as never, () => new URL("./cpu.wasm", import.meta.url));

/** Fetches the CPU executor, once, and says what it is. */
export async function loadCpu(source?: WasmSource): Promise<string> {
  await cpuModule.load(source);
  return `WebAssembly${cpu.hasVectors() ? " SIMD" : ""}`;
}

/** Bound programs that a model keeps ready: in a training those for whole batches and for the last, with as many of evaluation and prediction. */
const KEPT = 6;

export class CpuRunner implements Runner {
  #weights: cpu.CpuWeights;
  #first: Uint8Array;
  #bound: { program: Program; batch: number; bound: cpu.CpuBound }[] = [];

  /** With the parameters of `program`, all zero. */
  constructor(program: Program) {
    this.#first = call(() => program.bytes());
    this.#weights = call(() => new cpu.CpuWeights(this.#first));
  }

  async hold(store: Program): Promise<void> {
    // What is bound has gradients of its own.
    this.#release();
    call(() => this.#weights.hold(store.bytes()));
  }

  samplesAtOnce(program: Program): number {
    return call(() => cpu.samplesWithin(program.bytes(), AT_ONCE));
  }

  set(name: string, values: Float32Array): void {
    call(() => this.#weights.set(this.#first, name, values));
  }

  async get(name: string): Promise<Float32Array> {
    return call(() => this.#weights.get(name));
  }

  async run(program: Program, batch: number, inputs: Arrays, outputs: readonly string[], trains = false): Promise<Arrays> {
    return call(() => {
      const at = this.#bound.findIndex((kept) => kept.program === program && kept.batch === batch);
      const kept = at < 0 ? { program, batch, bound: new cpu.CpuBound(program.bytes(), batch, trains) } : this.#bound.splice(at, 1)[0]!;
      this.#bound.push(kept);
      if (this.#bound.length > KEPT) this.#bound.shift()!.bound.free();
      for (const [name, values] of Object.entries(inputs)) kept.bound.write(name, values);
      kept.bound.run(this.#weights);
      return Object.fromEntries(outputs.map((name) => [name, kept.bound.read(name, this.#weights)]));
    });
  }

  #release(): void {
    for (const { bound } of this.#bound.splice(0)) bound.free();
  }

  destroy(): void {
    this.#release();
    this.#weights.free();
  }
}
