// node check.mjs DIR: compiles every variant of DIR/variants.json with Tint, in headless Chromium.
//
// variants.json is an array of { name, file, entry_point, constants: { NAME: number }, pipeline }; `file` lies in DIR. The
// driver compiles those that aren't `pipeline: false` too.
// $CHROMIUM is the browser. Exit status 1 if a variant fails, there is none, or the check itself cannot be made.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const WHOLE_RUN_MINUTES = 15;
const AT_ONCE = 8;

function variantsOf(dir) {
  const variants = JSON.parse(readFileSync(join(dir, 'variants.json'), 'utf8'));
  if (!Array.isArray(variants)) throw new Error('variants.json is not an array');
  const sources = new Map();
  for (const variant of variants) {
    if (typeof variant.file !== 'string') throw new Error(`variants.json: no file in ${JSON.stringify(variant)}`);
    if (!sources.has(variant.file)) sources.set(variant.file, readFileSync(join(dir, variant.file), 'utf8'));
  }
  return { variants, sources };
}

// navigator.gpu exists in secure contexts only, and http://localhost is one.
async function serve() {
  const html = readFileSync(new URL('page.html', import.meta.url));
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return server;
}

async function check(dir) {
  const { variants, sources } = variantsOf(dir);
  if (variants.length === 0) throw new Error(`${dir}/variants.json lists no variant`);
  const server = await serve();
  let browser;
  try {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, timeout: 60_000 });
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error.message}`));
    await page.goto(`http://localhost:${server.address().port}/`, { timeout: 60_000 });
    await page.waitForFunction(() => window.ready, null, { timeout: 60_000 });
    const adapter = await page.evaluate(() => window.openDevice());
    console.log(`tint: Chromium ${browser.version()}, ${adapter}, WebGPU default limits`);

    let failed = 0;
    const compile = async (variant) => {
      const job = [variant, sources.get(variant.file)];
      const errors = await page.evaluate(([variant, source]) => window.compile(variant, source), job);
      if (errors.length === 0) return;
      failed += 1;
      const constants = JSON.stringify(variant.constants ?? {});
      console.error(`FAILED ${variant.name} (${variant.file}, ${variant.entry_point}, ${constants})`);
      for (const error of errors) console.error(`  ${error.trimEnd().replaceAll('\n', '\n  ')}`);
    };
    const queue = [...variants];
    const worker = async () => { while (queue.length > 0) await compile(queue.shift()); };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const pipelines = variants.filter((variant) => variant.pipeline !== false).length;
    console.log(`${variants.length} shader variants compiled by Tint, ${pipelines} as pipelines, ${failed} failed`);
    return failed === 0;
  } finally {
    const patience = new Promise((resolve) => setTimeout(resolve, 10_000));
    await Promise.race([browser?.close(), patience]);
    server.close();
  }
}

if (process.argv.length !== 3) {
  console.error('usage: node check.mjs DIR');
  process.exit(1);
}
setTimeout(() => {
  console.error(`error: the Tint check took over ${WHOLE_RUN_MINUTES} minutes`);
  process.exit(1); // playwright kills its browser on exit
}, WHOLE_RUN_MINUTES * 60_000).unref();
try {
  process.exit((await check(process.argv[2])) ? 0 : 1);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
