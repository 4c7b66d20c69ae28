/** A module's bytes, put into the bundle. */
declare module "*.wasm" {
  const bytes: Uint8Array;
  export default bytes;
}
