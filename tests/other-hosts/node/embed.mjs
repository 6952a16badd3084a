// The policy in a Node program: `node embed.mjs policy.wasm` asks how long to wait before the third retry.

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { transpile } from "@bytecodealliance/jco";

/** A policy's component as a JavaScript module. A program that always uses the same one runs `npx jco transpile` once and imports what it wrote. */
export async function load(component) {
  const folder = await mkdtemp(join(tmpdir(), "upright-policy-"));
  try {
    const { files, imports } = await transpile(await readFile(component), { name: "policy", outDir: folder });
    if (imports.length > 0) throw new Error(`${component} imports ${imports.join(", ")}; a policy imports nothing`);
    for (const [path, bytes] of Object.entries(files)) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes);
    }
    await writeFile(join(folder, "package.json"), '{"type":"module"}');
    return await import(pathToFileURL(join(folder, "policy.js")));
  } finally {
    await rm(folder, { recursive: true });
  }
}

if (process.argv[1]?.endsWith("embed.mjs")) {
  const { metadata, backoff } = await load(process.argv[2]);
  const retry = {
    maxRetries: 3, baseDelay: 1, maxDelay: 60, backoffFactor: 2,
    jitter: false, jitterRange: { low: 0.8, high: 1.2 }, jitterMayExceedMax: false,
  };
  console.log(metadata.describe().name, "waits", backoff.delay(retry, 2, 0.5), "s");
}
