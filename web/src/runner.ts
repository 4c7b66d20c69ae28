import type * as core from "./core_glue.js";

/** Arrays by the names of a program's buffers. */
export type Arrays = Record<string, Float32Array>;

/** What is computed, in the module that made it and plans it. One object stands for one program. */
export type Program = core.Program;

/** A model's parameters on whatever computes, and its programs there. */
export interface Runner {
  /** Makes room for the states and gradients of a training's store, all zero, in place of those of another. Parameters stay. */
  hold(store: Program): Promise<void>;
  /** How many samples of a program it runs at once. */
  samplesAtOnce(program: Program): number;
  /** Replaces a parameter or a state. */
  set(name: string, values: Float32Array): void;
  /** The values of a parameter, or of what it {@link hold}s. */
  get(name: string): Promise<Float32Array>;
  /** Runs a program for `batch` samples; gives those of its outputs and gradients that are asked for. What `trains` goes by the gradients that are
   * held, others by gradients of their own. */
  run(program: Program, batch: number, inputs: Arrays, outputs: readonly string[], trains?: boolean): Promise<Arrays>;
  /** Frees all memory. */
  destroy(): void;
}

/** Most bytes of samples, and of what is computed from them, that run at once. */
export const AT_ONCE = 256 * 2 ** 20;
