// node run.mjs [NAME…]: the tests of web/test in headless Chromium ($CHROMIUM), or those whose module or name contains a NAME.
//
// Exit status 1 if a test fails, takes too long, or there is none.
import { launch, serve } from '../../xtask/browser/browser.mjs';
import { readFileSync } from 'node:fs';
import { demo } from './demo.mjs';

const MODULES = ['goldens', 'fixtures', 'devices', 'api', 'training'];
/** Steps of the driver's own. */
const DRIVEN = new Set(['prepareForACrash', 'afterACrash']);
const SECONDS = 120;
/** A page that trains waits for its second epoch up to 180 s. */
const DEMO_SECONDS = 240;

const folder = (path) => new URL(path, import.meta.url);
const FILES = {
  '/': folder('test.html'),
  '/dist/': folder('../dist/'),
  '/node_modules/locally-connected/': folder('../dist/'),
  '/demo/': folder('../demo/'),
  '/test/': folder('./'),
  '/fixtures/': folder('../../tests/fixtures/'),
  '/data/': folder('../../tests/data/'),
};

const within = (seconds, what, promise) => {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} took over ${seconds} s`)), seconds * 1000); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

let failed = 0;
let ran = 0;
async function report(name, action, seconds = SECONDS) {
  const start = performance.now();
  try {
    const note = await within(seconds, name, action());
    console.log(`ok ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)${typeof note === 'string' ? `: ${note}` : ''}`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED ${name} (${((performance.now() - start) / 1000).toFixed(1)} s): ${error.message}`);
  }
  ran += 1;
}

const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.some((word) => name.toLowerCase().includes(word.toLowerCase()));

const server = await serve(FILES);
const origin = `http://localhost:${server.address().port}`;
const browser = await launch(['--js-flags=--expose-gc', '--enable-precise-memory-info']);
try {
  const open = async () => {
    const page = await browser.newPage();
    page.on('pageerror', (error) => { failed += 1; console.error(`FAILED: the page threw ${error.stack}`); });
    page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') console.error(`page: ${message.text()}`); });
    await page.goto(origin, { timeout: 60_000 });
    await page.waitForFunction(() => window.ready, null, { timeout: 60_000 });
    return page;
  };
  const page = await open();
  console.log(`web: Chromium ${browser.version()}`);
  for (const module of MODULES) {
    for (const name of await page.evaluate((module) => window.testsOf(module), module)) {
      if (DRIVEN.has(name) || !isWanted(`${module}/${name}`)) continue;
      await report(`${module}/${name}`, () => page.evaluate(([module, name]) => window.run(module, name), [module, name]));
    }
  }
  await page.close();
  if (isWanted('readme/theExampleRunsAsItStands')) {
    await report('readme/theExampleRunsAsItStands', async () => {
      const [, example] = /```html\n([^]*?)```/.exec(readFileSync(folder('../README.md'), 'utf8'));
      const page = await browser.newPage();
      // As a page of its own, beside a node_modules.
      await page.route('**/example.html', (route) => route.fulfill({ contentType: 'text/html', body: `<body>${example}` }));
      await page.goto(`${origin}/example.html`);
      await page.waitForFunction(() => document.body.innerText.includes('values'), null, { timeout: 20_000 });
      const text = await page.innerText('body');
      if (!text.includes('webgpu: 576 values, the first is 1.00')) throw new Error(`the example says ${text}`);
      await page.close();
    });
  }
  for (const [name, test] of Object.entries(demo)) {
    if (isWanted(`demo/${name}`)) await report(`demo/${name}`, () => test(browser, origin), DEMO_SECONDS);
  }
  if (isWanted('devices/aCrashedGpuProcessRejects')) {
    await report('devices/aCrashedGpuProcessRejects', async () => {
      const page = await open();
      await page.evaluate(() => window.run('devices', 'prepareForACrash'));
      const session = await browser.newBrowserCDPSession();
      await session.send('Browser.crashGpuProcess').catch(() => {}); // It doesn't answer.
      await page.evaluate(() => window.run('devices', 'afterACrash'));
      await page.close();
    });
  }
} finally {
  await within(10, 'closing the browser', browser.close()).catch(() => {});
  server.close();
}
console.log(`web: ${ran} tests, ${failed} failed`);
process.exit(ran > 0 && failed === 0 ? 0 : 1);
