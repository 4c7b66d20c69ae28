// Modules made smaller than the compiler makes them, by binaryen; and letters for what a module and its glue call each other's
// functions, in the place of names that people read, which a page need not download.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const WASM_OPT = 'node_modules/binaryen/bin/wasm-opt';
/** What the compiler takes for granted, too. */
const FEATURES = ['bulk-memory', 'multivalue', 'mutable-globals', 'nontrapping-float-to-int', 'reference-types', 'sign-ext', 'simd'];
// The stack lies first in memory and grows down, so that nothing that is right is found in the first kilobyte.
const SMALL = ['--low-memory-unused', '--strip-producers', '--strip-target-features'];
/** Longer functions stay apart though they have one caller: what is alike then stands together, and gzip finds it. */
const APART = ['--one-caller-inline-max-function-size', '25'];
/** Passes by module. Of some orders that were tried `core` is smallest after this one, when it is gzipped; on larger modules it takes a minute. */
const PASSES = {
  core: ['--generate-global-effects', '-O3', '--gufa-optimizing', '-Os', '--converge', ...SMALL],
  // What computes fast keeps its code as the compiler made it, but for functions that are there twice and how variables are numbered.
  cpu: ['--duplicate-function-elimination', '--reorder-locals', '--vacuum'],
};

/** wasm-bindgen's module of that name, a file, and its glue: `[wasm, glue]`. */
export async function optimised(name, file, glue) {
  const folder = mkdtempSync(join(tmpdir(), 'wasm-opt-'));
  try {
    const enabled = FEATURES.map((feature) => `--enable-${feature}`);
    const run = async (from, to, args) => (await promisify(execFile)(process.execPath, [WASM_OPT, ...args, ...enabled, from, '-o', to])).stdout;
    const [small, to] = ['small.wasm', 'named.wasm'].map((part) => join(folder, part));
    await run(file, small, PASSES[name] ?? [...APART, '-Os', ...SMALL]);
    // By itself: it says the names once for each turn of what runs beside it.
    const names = await run(small, to, ['--minify-imports-and-exports-and-modules']);
    return [readFileSync(to), renamed(glue, JSON.parse(names))];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The glue with the module's names: `imports` are `[module, name, letter]`, `exports` `[name, letter]`. */
function renamed(glue, { imports, exports }) {
  const exported = new Map(exports);
  const imported = new Map(imports.map(([, name, letter]) => [name, letter]));
  const [from, ...others] = new Set(imports.map(([module]) => module));
  if (others.length > 0) throw new Error(`imports of ${from} and ${others}`);
  let given = 0;
  // `wasm` is the instance's exports. What it imports are the functions of one object, each on a line of its own.
  const text = glue
    .replace(/\bwasm\.(\w+)/g, (all, name) => (exported.has(name) ? `wasm.${exported.get(name)}` : all))
    .replace(/^ {8}(\w+): /gm, (all, name) => {
      if (!imported.has(name)) return all;
      given += 1;
      return `        ${imported.get(name)}: `;
    })
    .replaceAll(`"${from}": `, '"a": ');
  if (given !== imported.size || text === glue) throw new Error(`${given} of ${imported.size} imports are in the glue`);
  return text;
}
