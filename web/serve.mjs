// node serve.mjs PORT: the demo page on http://localhost:PORT, as long as it runs.
import { serve } from '../xtask/browser/browser.mjs';

const folder = (path) => new URL(path, import.meta.url);
const server = await serve({
  '/': folder('demo/index.html'),
  '/demo/': folder('demo/'),
  '/dist/': folder('dist/'),
  '/fixtures/': folder('../tests/fixtures/'),
}, Number(process.argv[2] ?? 8000));
console.log(`the demo page is on http://localhost:${server.address().port}/demo/index.html; stop it with Ctrl+C`);
