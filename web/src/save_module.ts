// The module that makes files' bytes: apart, so that it is fetched when something is saved.

import initSave, * as save from "./save_glue.js";
import { Module, type Start } from "./wasm.js";

export { save };
export const saveModule = /* @__PURE__ */ new Module(initSave as Start, () => new URL("./save.wasm", import.meta.url));
