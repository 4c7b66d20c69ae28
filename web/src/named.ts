import { LocallyConnectedError } from "./errors.js";
import type * as train from "./train_glue.js";

/** Something of Keras's: its name, or its class with arguments, in camelCase beside it or as Keras's dictionary in `config`. */
export type Named = string | { className?: string; class_name?: string; config?: unknown; [argument: string]: unknown };

/** The class of arguments in whichever module takes them. @internal */
export type NamedClass = typeof train.Named;

/** `kernelSize` to `kernel_size`, `beta1` to `beta_1`; what is undefined is left out. @internal */
export function snake(given: object): Record<string, unknown> {
  const name = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/^beta([12])$/, "beta_$1");
  return Object.fromEntries(Object.entries(given).flatMap(([key, value]) => (value === undefined ? [] : [[name(key), value]])));
}

/** Of Keras 3's dictionaries, what says where the class is from. */
const FROM = ["module", "registered_name", "build_config", "shared_object_id"];

/** `value`, which is `what`, for the wasm. @internal */
export function named(what: string, value: unknown, made: NamedClass): train.Named {
  if (typeof value === "string") return new made(value);
  const fail = (): never => {
    throw new LocallyConnectedError("argument", `\`${what}\` must be a name, or a class with its arguments, but is ${JSON.stringify(value)}`);
  };
  if (typeof value !== "object" || value === null) return fail();
  const { class_name: name, config, ...rest } = snake(value);
  if (typeof name !== "string") return fail();
  for (const key of FROM) delete rest[key];
  const found = new made(name.split(">").at(-1)!);
  try {
    for (const [key, argument] of Object.entries({ ...rest, ...snake((config ?? {}) as object) })) {
      if (argument === null) continue;
      if (typeof argument === "number" || typeof argument === "boolean") found.number(key, Number(argument));
      else if (typeof argument === "string") found.text(key, argument);
      else if (Array.isArray(argument) && argument.every((one) => typeof one === "number")) found.numbers(key, Float64Array.from(argument));
      else found.named(key, named(`${what}.${key}`, argument, made));
    }
  } catch (error) {
    found.free();
    throw error;
  }
  return found;
}
