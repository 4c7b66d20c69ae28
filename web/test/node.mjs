// node node.mjs [NAME…]: the quick tests in Node: bits and files on Dawn, the WebGPU that Chromium has (npm's `webgpu`), and on the CPU
// executor. Those whose names contain a NAME; $VK_DRIVER_FILES chooses the Vulkan driver, Chromium's SwiftShader unless said.
//
// Exit status 1 if a test fails or there is none. The package is for pages: what it fetches is read from files here.
import { existsSync, readFileSync } from 'node:fs';
import { register } from 'node:module';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
if (!process.env.VK_DRIVER_FILES && existsSync(SWIFTSHADER)) process.env.VK_DRIVER_FILES = SWIFTSHADER;

const folder = (path) => new URL(path, import.meta.url);
const FOLDERS = {
  '/dist/': folder('../dist/'), '/test/': folder('./'), '/demo/': folder('../demo/'),
  '/fixtures/': folder('../../tests/fixtures/'), '/data/': folder('../../tests/data/'),
};
const find = (path) => {
  const name = Object.keys(FOLDERS).find((name) => path.startsWith(name));
  return name && new URL(path.slice(name.length), FOLDERS[name]);
};
// Imports go through hooks of a thread of their own.
const folders = JSON.stringify(Object.entries(FOLDERS).map(([path, url]) => [path, url.href]));
const hooks = `
  export async function resolve(path, context, next) {
    const found = ${folders}.find(([folder]) => path.startsWith(folder));
    return found ? { url: found[1] + path.slice(found[0].length), format: 'module', shortCircuit: true } : next(path, context);
  }`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
globalThis.fetch = async (request) => {
  const url = find(`${request}`) ?? new URL(`${request}`);
  const headers = { 'content-type': url.pathname.endsWith('.wasm') ? 'application/wasm' : 'application/octet-stream' };
  return existsSync(url) ? new Response(readFileSync(url), { headers }) : new Response(null, { status: 404 });
};

const TESTS = {
  goldens: ['goldensOnWebGPU', 'goldensOnCpu', 'goldensInEveryForm'],
  fixtures: ['graphsOnCpu', 'savedModelsAreReadAgain'],
  training: ['stepsOnTheCpuHaveTheCratesBits', 'stepsOnWebGPUAreTheCrates', 'filesAreTrainedAndSaved'],
};

const { create, globals } = await import('webgpu');
Object.assign(globalThis, globals);
// Held for as long as the process lives: Dawn goes with it.
const gpu = create([]);
Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
const { init } = await import('../dist/index.js');
await init();
const adapter = await gpu.requestAdapter();
if (!adapter) throw new Error(`no adapter by ${process.env.VK_DRIVER_FILES ?? 'the drivers there are'}`);
console.log(`node: ${process.version}, ${adapter.info.description || adapter.info.vendor}`);

const wanted = process.argv.slice(2);
let [ran, failed] = [0, 0];
for (const [module, names] of Object.entries(TESTS)) {
  const tests = await import(`./${module}.js`);
  for (const name of names) {
    if (wanted.length > 0 && !wanted.some((word) => `${module}/${name}`.toLowerCase().includes(word.toLowerCase()))) continue;
    const start = performance.now();
    const took = () => `(${((performance.now() - start) / 1000).toFixed(1)} s)`;
    ran += 1;
    try {
      const note = await tests[name]();
      console.log(`ok ${module}/${name} ${took()}${typeof note === 'string' ? `: ${note}` : ''}`);
    } catch (error) {
      failed += 1;
      console.error(`FAILED ${module}/${name} ${took()}: ${error.stack}`);
    }
  }
}
console.log(`node: ${ran} tests, ${failed} failed`);
process.exit(ran > 0 && failed === 0 ? 0 : 1);
