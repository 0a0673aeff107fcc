// npm ci && npm run build
// writes editor.js and LICENSES.txt of src/codegen25/serve/playground/, or into another folder:
// node build.mjs FOLDER

import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "../../src/codegen25/serve/playground");

const result = await build({
  absWorkingDir: here,
  entryPoints: ["editor.mjs"],
  outfile: join(out, "editor.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  banner: { js: "// CodeMirror 6, bundled by scripts/playground. Licences: LICENSES.txt" },
  metafile: true,
});

/** The folders under node_modules that something in the bundle came from, in order. */
function bundledPackages() {
  const inputs = Object.values(result.metafile.outputs)[0].inputs;
  const names = Object.entries(inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1])
    .filter(Boolean);
  return [...new Set(names)].sort();
}

function licence(name) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e(\.|$)/i.test(each));
  if (!file || !existsSync(join(folder, file))) throw new Error(`${name} carries no licence text`);
  const text = readFileSync(join(folder, file), "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
}

const rule = `\n${"-".repeat(80)}\n\n`;
const head = "editor.js is a bundle of these packages, each under the licence that follows its name.\n";
writeFileSync(join(out, "LICENSES.txt"), [head, ...bundledPackages().map(licence)].join(rule));
