// The headless Chromium that the checks run in ($CHROMIUM), with files of ours served on http://localhost.
import { createServer } from 'node:http';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
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
const TYPES = {
  '.html': 'text/html', '.js': 'text/javascript', '.json': 'application/json', '.wasm': 'application/wasm', '.css': 'text/css',
};

// The file that stands for a path of the page's: named, or in a folder whose path ends with a slash.
function find(files, path) {
  if (files[path] !== undefined) return files[path];
  const folder = Object.keys(files).find((name) => name !== '/' && name.endsWith('/') && path.startsWith(name));
  const file = folder && new URL(path.slice(folder.length), files[folder]);
  return file && file.href.startsWith(files[folder].href) && existsSync(file) && statSync(file).isFile() ? file : undefined;
}

// navigator.gpu exists in secure contexts only, and http://localhost is one.
export async function serve(files, port = 0) {
  const server = createServer(({ url }, response) => {
    const file = find(files, new URL(url, 'http://localhost').pathname);
    if (file === undefined) return response.writeHead(404).end();
    const type = TYPES[extname(`${file}`)] ?? 'application/octet-stream';
    return response.setHeader('content-type', type).setHeader('cache-control', 'no-store').end(readFileSync(file));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return server;
}

export const launch = (flags = []) => chromium.launch({
  executablePath: process.env.CHROMIUM, args: [...FLAGS, ...flags], timeout: 60_000,
});

// What `check(page, version of Chromium)` gives; `files` are paths or URLs of files by the paths that the page asks for,
// '/' being the page, which sets `window.ready`.
async function inBrowser(files, check) {
  const server = await serve(files);
  let browser;
  try {
    browser = await launch();
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(`page: ${error.message}`));
    await page.goto(`http://localhost:${server.address().port}/`, { timeout: 60_000 });
    await page.waitForFunction(() => window.ready, null, { timeout: 60_000 });
    return await check(page, browser.version());
  } finally {
    const patience = new Promise((resolve) => setTimeout(resolve, 10_000));
    await Promise.race([browser?.close(), patience]);
    server.close();
  }
}

// Runs a check for a script's only argument and ends the process: status 1 unless the check gives true, in time.
export async function main(usage, minutes, files, check) {
  if (process.argv.length !== 3) {
    console.error(`usage: ${usage}`);
    process.exit(1);
  }
  setTimeout(() => {
    console.error(`error: the check took over ${minutes} minutes`);
    process.exit(1); // playwright kills its browser on exit
  }, minutes * 60_000).unref();
  try {
    const argument = process.argv[2];
    process.exit((await inBrowser(files(argument), (page, version) => check(argument, page, version))) ? 0 : 1);
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exit(1);
  }
}
