// node build.mjs [--large]: dist/ of src/, once `cargo xtask web` has put the wasm and its glue there. Types are checked on the way. With
// --large sizes are said and not held: the wasm has a standard library that wasn't compiled to be small.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { optimised } from './optimise.mjs';

/** Most bytes, gzipped, that a page loads: what was reached on 2026-11-29. */
const BUDGETS = {
  /** `.` on WebGPU: JavaScript and `core.wasm`. */
  layers: 110_000,
  /** `./train`, with training in place of `core.wasm`. To be 150. */
  training: 306_000,
  /** The CPU executor besides. */
  cpu: 245_000,
  /** What `./keras` loads besides `./train`: JavaScript and the reader. */
  keras: 400_000,
  /** What makes the bytes of files, fetched when something is saved. With `keras` 550 at most. */
  saving: 133_000,
};

const here = fileURLToPath(new URL('.', import.meta.url));
process.chdir(here);
rmSync('dist', { recursive: true, force: true });
mkdirSync('dist');
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--project', '.'], { stdio: 'inherit' });
for (const name of readdirSync('src').filter((name) => name.endsWith('_glue.d.ts'))) copyFileSync(`src/${name}`, `dist/${name}`);
// Modules with their glue, by the modules' names.
const modules = new Map(await Promise.all(readdirSync('src').filter((name) => name.endsWith('.wasm')).map(async (name) => {
  const module = name.replace('.wasm', '');
  const [wasm, glue] = await optimised(module, `src/${name}`, readFileSync(`src/${module}_glue.js`, 'utf8'));
  return [module, { wasm, glue }];
})));
const ofModules = {
  name: 'modules',
  setup({ onLoad }) {
    onLoad({ filter: /_glue\.js$/ }, ({ path }) => ({ contents: modules.get(basename(path, '_glue.js')).glue, loader: 'js' }));
    onLoad({ filter: /\.wasm$/ }, ({ path }) => ({ contents: modules.get(basename(path, '.wasm')).wasm, loader: 'binary' }));
  },
};
const { metafile } = await build({
  metafile: true,
  plugins: [ofModules],
  absWorkingDir: here,
  entryPoints: ['src/index.ts', 'src/train.ts', 'src/keras.ts', 'src/inline.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true, // What entries share is there once, the CPU executor's glue where it is needed.
  chunkNames: 'chunk-[hash]',
  format: 'esm',
  target: 'es2023',
  minify: true,
  keepNames: false,
  legalComments: 'none',
  logLevel: 'warning',
});
// For tests alone.
await build({
  absWorkingDir: here, entryPoints: ['src/run_plan.ts'], outdir: 'test/built', bundle: true, format: 'esm', target: 'es2023', logLevel: 'warning',
});
rmSync('dist/run_plan.d.ts');
for (const [module, { wasm }] of modules) writeFileSync(`dist/${module}.wasm`, wasm);
const { devDependencies, ...manifest } = JSON.parse(readFileSync('package.json', 'utf8'));
writeFileSync('dist/package.json', `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync('README.md', 'dist/README.md');
for (const license of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(`../${license}`, `dist/${license}`);

const gzipped = (name) => gzipSync(readFileSync(`dist/${name}`), { level: 9 }).length;
const brotli = (name) => brotliCompressSync(readFileSync(`dist/${name}`), { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
// An entry with the chunks that it imports at once, and with those that it imports when they are needed.
const loaded = (name, later = false, seen = new Set()) => {
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const { path, kind } of metafile.outputs[`dist/${name}`].imports) {
    if (kind === 'import-statement' || later) loaded(path.replace('dist/', ''), later, seen);
  }
  return seen;
};
const sum = (names) => [gzipped, brotli].map((packed) => [...names].reduce((all, name) => all + packed(name), 0));
const beyond = (names, known) => [...names].filter((name) => !known.has(name));
const entry = loaded('index.js');
// What is imported later is the other modules, and what makes and trains models.
const later = beyond(loaded('index.js', true), entry);
const holding = (...sources) => later.filter((name) => sources.some((source) => `src/${source}.ts` in metafile.outputs[`dist/${name}`].inputs));
const training = new Set([...loaded('train.js'), ...holding('train_module', 'building', 'fitting')]);
const sizes = {
  layers: sum([...entry, 'core.wasm']),
  training: sum([...training, 'train.wasm']),
  cpu: sum([...holding('cpu'), 'cpu.wasm']),
  keras: sum([...beyond(loaded('keras.js'), training), 'keras.wasm']),
  saving: sum([...holding('save_module'), 'save.wasm']),
};
for (const [what, [bytes, brotlied]] of Object.entries(sizes)) {
  const most = BUDGETS[what];
  console.log(`${what}: ${(bytes / 1000).toFixed(1)} kB gzipped, of at most ${most / 1000}; ${(brotlied / 1000).toFixed(1)} kB by Brotli`);
  if (bytes > most && !process.argv.includes('--large')) {
    console.error(`error: ${what} is ${bytes - most} bytes too large`);
    process.exitCode = 1;
  }
}
