/** Arrays by the names of a program's buffers. */
export type Arrays = Record<string, Float32Array>;

/** What is computed, as the wasm writes it. One object stands for one program. */
export type Program = Uint8Array;

/** A model's parameters on whatever computes, and its programs there. */
export interface Runner {
  /** Replaces a parameter. */
  set(name: string, values: Float32Array): void;
  /** A parameter's values. */
  get(name: string): Promise<Float32Array>;
  /** Runs a program for `batch` samples; gives those of its outputs and gradients that are asked for. */
  run(program: Program, batch: number, inputs: Arrays, outputs: readonly string[]): Promise<Arrays>;
  /** Frees all memory. */
  destroy(): void;
}
