// node npm.mjs: packs web/dist as npm would, installs it in a project with Vite and TypeScript (fixture/), checks types, builds,
// and runs the result in headless Chromium ($CHROMIUM). Fetches Vite from npm.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { launch, serve } from '../../xtask/browser/browser.mjs';

const EXPECTED = 'found webgpu 9.5 144 8 1 function file cpu 9.5 144 8 1 function file';
const web = fileURLToPath(new URL('..', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'locally-connected-npm-'));
let status = 1;
try {
  const run = (program, words, cwd = project) => execFileSync(program, words, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
  cpSync(new URL('fixture/', import.meta.url), project, { recursive: true });
  const packed = run('npm', ['pack', '--pack-destination', project, '--loglevel', 'error'], join(web, 'dist')).trim();
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel', 'error', `./${packed}`]);
  // As strict as can be, all declarations of ours checked, and no types but the language's and the browser's.
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2023,dom,esnext.disposable'];
  run(process.execPath, [join(web, 'node_modules/typescript/bin/tsc'), ...options, 'main.ts']);
  run('npx', ['vite', 'build', '--logLevel', 'error']);
  const dist = pathToFileURL(`${project}/dist/`);
  const server = await serve({ '/': new URL('index.html', dist), '/assets/': new URL('assets/', dist) });
  const browser = await launch();
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.stack}`));
  await page.goto(`http://localhost:${server.address().port}/`);
  await page.waitForFunction(() => document.body.innerText.includes('found'), null, { timeout: 30_000 });
  const text = await page.innerText('body');
  await browser.close();
  if (text === EXPECTED) status = 0; else console.error(`error: the page says ${text}, not ${EXPECTED}`);
} catch (error) {
  console.error(`error: ${error.message}\n${error.stdout ?? ''}`);
} finally {
  rmSync(project, { recursive: true, force: true });
}
if (status === 0) console.log('npm: the package installs, type-checks, builds with Vite and runs');
process.exit(status);
