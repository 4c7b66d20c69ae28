/** By which errors are told apart. */
export type ErrorKind =
  /** An argument's value is none of those it may take. */
  | "argument"
  /** An array or a shape has another length than the layer asks for. */
  | "shape"
  /** The device's limits, or a memory budget, stand in the way. */
  | "limit"
  /** What was asked for is not offered, such as a layer of a class that doesn't run here. */
  | "unsupported"
  /** The device or the page ran out of memory. */
  | "out-of-memory"
  /** A file is malformed or holds something else than a model. */
  | "file"
  /** The GPU device was lost; whatever was on it is gone. */
  | "device-lost"
  /** The GPU device refused something that this package made. */
  | "device"
  /** There is no GPU adapter that was asked for. */
  | "no-adapter"
  /** The layer, the model or its context has been disposed of. */
  | "disposed"
  /** A training was ended by its `signal`, whose reason is the error's `cause`. */
  | "aborted"
  /** `init` hasn't been awaited, or a module couldn't be fetched. */
  | "not-initialised"
  /** A bug in this package. */
  | "internal";

/** What every function of this package throws, and every promise rejects with. */
export class LocallyConnectedError extends Error {
  /** By which errors are told apart. */
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LocallyConnectedError";
    this.kind = kind;
  }
}

/** What `action` gives, with what the wasm throws as an error of this package. */
export function call<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw asError(error);
  }
}

/** `error` as one of this package: from the wasm, `kind`, a line feed and the message. */
export function asError(error: unknown): LocallyConnectedError {
  if (error instanceof LocallyConnectedError) return error;
  if (typeof error === "string" && error.includes("\n")) {
    const end = error.indexOf("\n");
    return new LocallyConnectedError(error.slice(0, end) as ErrorKind, error.slice(end + 1));
  }
  return new LocallyConnectedError("internal", error instanceof Error ? error.message : String(error), { cause: error });
}
