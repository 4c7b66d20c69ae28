// node test.mjs FOLDER: the app in headless Chromium ($CHROMIUM), its module and glue being app.wasm and app.js in FOLDER, the npm package in
// web/dist beside it. `cargo xtask audit browser` builds all of it.
import { pathToFileURL } from 'node:url';
import { launch, serve } from '../../xtask/browser/browser.mjs';

const folder = (path) => new URL(path, import.meta.url);
const SECONDS = 240;

const server = await serve({
  '/': folder('page.html'),
  '/app/': pathToFileURL(`${process.argv[2]}/`),
  '/dist/': folder('../../web/dist/'),
  '/data/': folder('../../tests/data/'),
});
const browser = await launch();
let failed = 0;

async function open() {
  const page = await browser.newPage();
  page.on('pageerror', (error) => { failed += 1; console.error(`FAILED: the page threw ${error.stack}`); });
  page.on('console', (message) => { if (message.type() === 'error') { failed += 1; console.error(`FAILED: ${message.text()}`); } });
  await page.goto(`http://localhost:${server.address().port}/`, { timeout: 60_000 });
  await page.waitForFunction(() => window.ready, null, { timeout: 60_000 });
  return page;
}

// A panic is a promise that never settles: so a limit for each.
async function test(name, action) {
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
  let timer;
  try {
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('it never settled')), SECONDS * 1000); });
    const note = await Promise.race([action(), late]);
    console.log(`ok app/${name} (${seconds()} s): ${note}`);
  } catch (error) {
    failed += 1;
    console.error(`FAILED app/${name} (${seconds()} s): ${error.message}`);
  } finally {
    clearTimeout(timer);
  }
}

try {
  const page = await open();
  for (const name of ['lent', 'freed', 'told', 'goldens']) await test(name, () => page.evaluate((name) => window.tests[name](), name));
  await test('lost', async () => {
    await page.evaluate(() => window.tests.beforeLoss());
    const session = await browser.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess').catch(() => {}); // It doesn't answer.
    return page.evaluate(() => window.tests.afterLoss());
  });
} finally {
  await Promise.race([browser.close(), new Promise((late) => { setTimeout(late, 10_000); })]);
  server.close();
}
console.log(`app: ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
