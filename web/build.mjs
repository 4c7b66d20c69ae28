// node build.mjs: dist/ of src/, once `cargo xtask web` has put the wasm and its glue there. Types are checked on the way.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
process.chdir(here);
rmSync('dist', { recursive: true, force: true });
mkdirSync('dist');
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '--project', '.'], { stdio: 'inherit' });
for (const name of readdirSync('src').filter((name) => name.endsWith('_glue.d.ts'))) copyFileSync(`src/${name}`, `dist/${name}`);
await build({
  entryPoints: ['src/index.ts', 'src/keras.ts', 'src/inline.ts'],
  outdir: 'dist',
  bundle: true,
  splitting: true, // What entries share is there once, the CPU executor's glue where it is needed.
  chunkNames: 'chunk-[hash]',
  format: 'esm',
  target: 'es2023',
  minify: true,
  keepNames: false,
  legalComments: 'none',
  loader: { '.wasm': 'binary' },
  logLevel: 'warning',
});
for (const name of readdirSync('src').filter((name) => name.endsWith('.wasm'))) copyFileSync(`src/${name}`, `dist/${name}`);
const { devDependencies, ...manifest } = JSON.parse(readFileSync('package.json', 'utf8'));
writeFileSync('dist/package.json', `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync('README.md', 'dist/README.md');
for (const license of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(`../${license}`, `dist/${license}`);
