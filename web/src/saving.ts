// A model that was put together here as a file: described as this project's safetensors describe one, which the wasm reads and writes
// in any format.

import { Body, type LayerInfo } from "./body.js";
import { readActivation } from "./config.js";
import { size } from "./ends.js";
import { call } from "./errors.js";
import { fileOf, glue, initKeras, type SaveFormat } from "./keras_module.js";
import { snake } from "./named.js";

/** The Keras whose dictionaries these are. */
const KERAS = "2.15.0";
/** What Keras's locally connected layers have no arguments for. */
const BEYOND = ["dilation_rate", "groups", "bias", "execution"];

type Dictionary = Record<string, unknown>;
const isObject = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value);

/** A value of a layer's arguments as Keras writes it: what has a class has its own arguments in `config`. */
function written(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { class_name: className, config, ...rest } = snake(value);
  if (className === undefined) return dictionary(value);
  return { class_name: className, config: typeof config === "string" ? config : dictionary({ ...rest, ...(config as object | undefined) }) };
}

const dictionary = (given: object): Dictionary => Object.fromEntries(Object.entries(snake(given)).map(([key, value]) => [key, written(value)]));

/** What a locally connected layer has besides Keras's arguments: all that says what it computes; nothing where it has no more. */
function own(config: Dictionary): Dictionary | undefined {
  const { padding, bias, execution } = config;
  const isKeras = BEYOND.every((key) => config[key] === undefined) && (padding === "valid" || padding === "same") && config["dtype"] === "float32";
  if (isKeras) return undefined;
  const [name, numbers] = readActivation(config["activation"]);
  const [first, second, third] = numbers;
  const activations: Dictionary = {
    ReLU: { relu: { max_value: Number.isNaN(first) ? null : first, negative_slope: second, threshold: third } }, ELU: { elu: { alpha: first } },
  };
  const { filters, kernel_size, strides, data_format, dilation_rate, groups } = config;
  const implementation = { loop: "loop", dense: "dense_matmul", sparse: "sparse_gather" }[String(execution)] ?? "auto";
  const pads = Array.isArray(padding) ? { explicit: padding } : String(padding) === "sameUpper" ? "same_upper" : padding;
  return snake({
    filters, kernel_size, strides, data_format, dilation_rate, groups, implementation, padding: pads,
    bias: bias ?? (config["use_bias"] === false ? "none" : "per_location"), activation: activations[name] ?? name,
    dtype: config["dtype"] === "float32" ? "f32" : "f16",
  });
}

/** A layer as a Sequential's dictionary lists it. */
function listed({ className, name, config }: LayerInfo): Dictionary {
  const given = dictionary(config);
  if (className.startsWith("LocallyConnected")) {
    for (const key of BEYOND) delete given[key];
    if (given["padding"] !== "same") given["padding"] = "valid";
  }
  return { class_name: className, config: { ...given, name } };
}

/** The model as this project's safetensors. */
async function safetensors(name: string, body: Body): Promise<Uint8Array> {
  const infos = body.infos;
  const layers = infos.map(listed);
  const shape = [null, ...(body.inputs[0]?.shape ?? [])];
  const input = { batch_input_shape: shape, dtype: "float32", sparse: false, ragged: false };
  if (infos[0]?.className === "InputLayer") layers[0] = { class_name: "InputLayer", config: { ...input, name: infos[0].name } };
  else layers.unshift({ class_name: "InputLayer", config: { ...input, name: `${infos[0]?.name ?? "model"}_input` } });
  const beyond = infos.filter(({ className }) => className.startsWith("LocallyConnected"))
    .flatMap((info) => { const more = own(info.config as Dictionary); return more ? [[info.name, more] as const] : []; });
  const model = { class_name: "Sequential", config: { name, layers } };
  const metadata = { version: 1, keras_version: KERAS, model, layers: Object.fromEntries(beyond) };

  const header: Dictionary = { __metadata__: { locally_connected: JSON.stringify(metadata) } };
  const arrays: Float32Array[] = [];
  let bytes = 0;
  for (const info of infos) {
    const values = await body.getWeights(info);
    info.weights.forEach((weight, at) => {
      const end = bytes + 4 * size(weight.shape);
      header[`${info.name}/${weight.name}`] = { dtype: "F32", shape: weight.shape, data_offsets: [bytes, end] };
      arrays.push(values[at]!);
      bytes = end;
    });
  }
  // Spaces behind it, so that what follows is aligned.
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const start = 8 + Math.ceil(encoded.length / 8) * 8;
  const file = new Uint8Array(start + bytes).fill(0x20, 8, start);
  new DataView(file.buffer).setBigUint64(0, BigInt(start - 8), true);
  file.set(encoded, 8);
  let at = start;
  for (const values of arrays) {
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return file;
}

/** The bytes of a file of that format. @internal */
export async function save(name: string, body: Body, format: SaveFormat): Promise<Uint8Array> {
  const [file] = await Promise.all([safetensors(name, body), initKeras()]);
  const keras = call(() => glue.KerasModel.read(file, "model.safetensors"));
  try {
    return await fileOf(keras, format);
  } finally {
    keras.free();
  }
}
