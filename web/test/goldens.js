// The 50 cases of real Keras (tests/data/keras_goldens.json): every number is a dyadic rational, so that any order of
// summation gives the same bits.
import { assert, device, lc, sameBits, shared } from './harness.js';

const cases = (async () => (await (await fetch('/data/keras_goldens.json')).json()).cases)();
const size = (shape) => shape.reduce((all, one) => all * one, 1);
const made = (shape, factor, modulus, centre, scale) =>
  Float32Array.from({ length: size(shape) }, (_, i) => (((factor * i) % modulus) - centre) / scale);

async function check(context, given, execution) {
  const { in_shape, kernel_shape, bias_shape, out_shape, nd, ...rest } = given;
  const class_ = [lc.LocallyConnected1D, lc.LocallyConnected2D, lc.LocallyConnected3D][nd - 1];
  // Keras's own names of the arguments.
  const { filters, kernel_size, strides, data_format, padding, implementation, activation } = rest;
  const config = { filters, kernel_size, strides, data_format, padding, implementation, activation, execution };
  const layer = await class_.create(context, config, { inputShape: in_shape.slice(1) });
  const what = `${JSON.stringify(config)} on ${in_shape}`;
  try {
    layer.setWeights([made(kernel_shape, 53, 23, 11, 16), made(bias_shape, 29, 13, 6, 8)]);
    const [x, dy] = [made(in_shape, 37, 19, 9, 8), made(out_shape, 41, 17, 8, 8)];
    sameBits(await layer.forward(x), rest.y_x128.map((v) => v / 128), `output of ${what}`);
    const { gradInput, gradKernel, gradBias } = await layer.backward(x, dy);
    sameBits(gradInput, rest.dx_x128.map((v) => v / 128), `input gradient of ${what}`);
    sameBits(gradKernel, rest.dw_x64.map((v) => v / 64), `kernel gradient of ${what}`);
    sameBits(gradBias, rest.db_x8.map((v) => v / 8), `bias gradient of ${what}`);
  } finally {
    layer.dispose();
  }
}

export async function goldensOnWebGPU() {
  const context = await shared('webgpu');
  assert(context.kind === 'webgpu', 'there is no WebGPU here');
  assert((await cases).length === 50, 'there are 50 goldens');
  for (const given of await cases) await check(context, given, 'auto');
}

export async function goldensOnCpu() {
  const { adapter } = await shared('cpu');
  assert(adapter === 'WebAssembly SIMD', `the CPU executor is ${adapter}`);
  for (const given of await cases) await check(await shared('cpu'), given, 'auto');
}

// A software adapter takes none of these by itself. All three ways to execute, both data formats, one and two axes.
export async function goldensInEveryForm() {
  const some = (await cases).filter((_, index) => [3, 20, 37].includes(index));
  for (const execution of ['dense', 'sparse']) {
    for (const given of some) await check(await shared('webgpu'), given, execution);
  }
  for (const form of ['register', 'split', 'tiled']) {
    const context = lc.Context.fromDevice(await device(), { form });
    for (const given of some) await check(context, given, 'loop');
    context.device.destroy();
  }
}
