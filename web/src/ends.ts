// A model's inputs and outputs, and the arrays that are given for them.

import { LocallyConnectedError } from "./errors.js";

/** Arrays by the names of a model's inputs or outputs. */
export type NamedArrays = Readonly<Record<string, Float32Array>>;

/** Arrays for a model's inputs or outputs: of one alone the array, of several each by its name, or all in their order. */
export type ArraysLike = Float32Array | readonly Float32Array[] | NamedArrays;

/** Elements of one sample. @internal */
export const size = (shape: readonly number[]): number => shape.reduce((all, one) => all * one, 1);

/** An input or an output of a model. */
export class End {
  /** Its name: of an input that of its layer, of an output that of the layer that gives it. */
  readonly name: string;
  /** Shape of one sample, without the batch. */
  readonly shape: readonly number[];
  readonly #several: boolean;

  /** @internal */
  constructor(name: string, shape: readonly number[], several: boolean) {
    this.name = name;
    this.shape = shape;
    this.#several = several;
  }

  /** The programs' name of a buffer of it. @internal */
  buffer(what: string): string {
    return this.#several ? `${what}/${this.name}` : what;
  }
}

/** Inputs or outputs, in their order. @internal */
export function ends(described: readonly { name: string; shape: readonly number[] }[]): End[] {
  return described.map(({ name, shape }) => new End(name, shape, described.length > 1));
}

/** The arrays of `what`, each with its input or output. @internal */
export function arrays(what: string, given: ArraysLike, ends: readonly End[]): [End, Float32Array][] {
  const fail = (why: string): never => { throw new LocallyConnectedError("argument", why); };
  const names = ends.map(({ name }) => `"${name}"`).join(", ");
  const checked = (values: unknown): Float32Array => (values instanceof Float32Array ? values : fail(`${what} must be a Float32Array`));
  if (given instanceof Float32Array || typeof given !== "object" || given === null) {
    if (ends.length !== 1) return fail(`${what} must be arrays for each of ${names}`);
    return [[ends[0]!, checked(given)]];
  }
  if (Array.isArray(given)) {
    if (ends.length === 1 && !(given[0] instanceof Float32Array)) return fail(`${what} must be a Float32Array`);
    if (given.length !== ends.length) return fail(`${what} must be ${ends.length} arrays, for ${names}, but are ${given.length}`);
    return ends.map((end, at) => [end, checked(given[at])]);
  }
  const named = given as NamedArrays;
  const unknown = Object.keys(named).find((name) => ends.every((end) => end.name !== name));
  if (unknown !== undefined) return fail(`${what}: there is no "${unknown}", but ${names}`);
  return ends.map((end) => [end, named[end.name] === undefined ? fail(`${what}: there is nothing for "${end.name}"`) : checked(named[end.name])]);
}

/** How many samples there are, the same in all arrays. @internal */
export function samples(what: string, given: readonly [End, Float32Array][]): number {
  let found: number | undefined;
  for (const [{ name, shape }, values] of given) {
    const which = given.length > 1 ? `${what} "${name}"` : what;
    if (values.length % size(shape) !== 0) {
      const expected = `a multiple of ${size(shape)} elements (shape ${JSON.stringify(["batch", ...shape])})`;
      throw new LocallyConnectedError("shape", `${which} must have ${expected}, but has ${values.length}`);
    }
    const count = values.length / size(shape);
    if (found !== undefined && found !== count) throw new LocallyConnectedError("shape", `${which} has ${count} samples, but others ${found}`);
    found = count;
  }
  return found ?? 0;
}
