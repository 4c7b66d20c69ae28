// What a module and its glue call each other's functions: letters in the place of names that people read, which a page need not download.

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const IMPORTS = 2;
const EXPORTS = 7;
/** Kinds of what is imported. */
const [FUNCTION, TABLE, MEMORY, GLOBAL, TAG] = [0, 1, 2, 3, 4];

/** The name of that number: a to Z, then aa, ab, …. */
function short(number) {
  const last = LETTERS[number % LETTERS.length];
  return number < LETTERS.length ? last : short(Math.floor(number / LETTERS.length) - 1) + last;
}

/** Reads and writes what sections of WebAssembly are made of. */
class Section {
  #bytes;
  #at;
  #written = [];

  constructor(bytes, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get ended() {
    return this.#at >= this.#bytes.length;
  }

  byte() {
    return this.#bytes[this.#at++];
  }

  /** An unsigned number, LEB128. */
  number() {
    let [value, place] = [0, 1];
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * place;
      if (byte < 0x80) return value;
      place *= 0x80;
    }
  }

  take(length) {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  rest() {
    return this.take(this.#bytes.length - this.#at);
  }

  text() {
    return new TextDecoder('utf-8', { fatal: true }).decode(this.take(this.number()));
  }

  write(...bytes) {
    this.#written.push(Uint8Array.from(bytes));
  }

  writeNumber(value) {
    for (let rest = value; ; rest = Math.floor(rest / 0x80)) {
      if (rest < 0x80) return this.write(rest);
      this.write(0x80 + (rest % 0x80));
    }
  }

  writeBytes(bytes) {
    this.writeNumber(bytes.length);
    this.#written.push(bytes);
  }

  /** What `read` passes over, as it is. */
  copy(read) {
    const start = this.#at;
    read();
    this.#written.push(this.#bytes.subarray(start, this.#at));
  }

  limits() {
    const flags = this.byte();
    this.number();
    if (flags & 1) this.number();
  }

  get written() {
    return Buffer.concat(this.#written);
  }
}

/** Imports with other names, which `renamed` is told; their modules' name becomes `a`. */
function imports(section, renamed) {
  const modules = new Set();
  const count = section.number();
  section.writeNumber(count);
  for (let at = 0; at < count; at += 1) {
    modules.add(section.text());
    section.writeBytes(Buffer.from('a'));
    section.writeBytes(Buffer.from(renamed(section.text())));
    section.copy(() => {
      const kind = section.byte();
      if (kind === FUNCTION) section.number();
      else if (kind === TABLE) { section.byte(); section.limits(); }
      else if (kind === MEMORY) section.limits();
      else if (kind === GLOBAL) section.take(2);
      else if (kind === TAG) { section.byte(); section.number(); }
      else throw new Error(`an import of kind ${kind}`);
    });
  }
  if (modules.size !== 1) throw new Error(`imports of ${modules.size} modules`);
  return [...modules][0];
}

function exports(section, renamed) {
  const count = section.number();
  section.writeNumber(count);
  for (let at = 0; at < count; at += 1) {
    section.writeBytes(Buffer.from(renamed(section.text())));
    section.copy(() => { section.byte(); section.number(); });
  }
}

/** Gives each name a short one, once. */
function naming() {
  const names = new Map();
  return [names, (name) => {
    if (names.has(name)) throw new Error(`two are named ${name}`);
    names.set(name, short(names.size));
    return names.get(name);
  }];
}

/** wasm-bindgen's module and its glue, with short names between them: `[wasm, glue]`. */
export function shortened(wasm, glue) {
  const [exported, renameExport] = naming();
  const [imported, renameImport] = naming();
  const module = new Section(wasm);
  module.copy(() => module.take(8));
  let from;
  while (!module.ended) {
    const id = module.byte();
    const section = new Section(module.take(module.number()));
    if (id === IMPORTS) from = imports(section, renameImport);
    else if (id === EXPORTS) exports(section, renameExport);
    else section.copy(() => section.rest());
    module.write(id);
    module.writeBytes(section.written);
  }
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
  return [module.written, text];
}
