// Makes `dist/`, which an edge serves as its `web_root`.
//
//   dist/vnc.html … serial.html … index.html              the pages
//   dist/assets/page.HASH.js serial.HASH.js *.css         our own code and style
//   dist/vendor/novnc/rfb.HASH.js LICENSE.txt …           noVNC, in a file of its own, with its licences
//   dist/vendor/xterm/xterm.HASH.js LICENSE.txt …         xterm.js, likewise
//   *.gz                                                  each of them packed, which an edge sends to who takes it
//
// Names carry a hash of what is in the file, so that browsers keep them for good; the pages, whose names are fixed, say
// which ones are current. Built aside and moved into place: an edge that serves meanwhile never sees half of it.

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const novnc = join(root, "node_modules/@novnc/novnc");
const xtermPackages = ["xterm", "addon-fit", "addon-search"].map((name) => join(root, "node_modules/@xterm", name));
const next = join(root, "dist.next");
const dist = join(root, "dist");

/** What every bundle is made with: what browsers of the last three years understand. */
const common = /** @type {const} */ ({
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    legalComments: "inline",
    logLevel: "warning",
});

/**
 * Bundles one entry, writes it under a name with its hash, and says what that is.
 * @param {string} folder
 * @param {string} name
 * @param {import("esbuild").BuildOptions} options
 */
async function bundle(folder, name, options) {
    const result = await build({ ...common, ...options, write: false });
    const [file] = result.outputFiles;
    const hash = createHash("sha256").update(file.contents).digest("hex").slice(0, 20);
    const [stem, type] = name.split(".");
    const path = `${folder}/${stem}.${hash}.${type}`;
    await mkdir(join(next, folder), { recursive: true });
    await writeFile(join(next, path), file.contents);
    return path;
}

await rm(next, { recursive: true, force: true });

const rfb = await bundle("vendor/novnc", "rfb.js", { entryPoints: [join(novnc, "core/rfb.js")] });
const xterm = await bundle("vendor/xterm", "xterm.js", { entryPoints: [join(root, "src/serial/xterm.js")] });
/** @type {import("esbuild").Plugin} */
const vendor = {
    name: "vendor",
    setup(on) {
        on.onResolve({ filter: /^@novnc\/novnc$/ }, () => ({ path: `../${rfb}`, external: true }));
        on.onResolve({ filter: /^\.\/xterm\.js$/ }, () => ({ path: `../${xterm}`, external: true }));
    },
};
const entry = (/** @type {string} */ path) => ({ entryPoints: [join(root, "src", path)], plugins: [vendor] });
const script = await bundle("assets", "page.js", entry("page.js"));
const serialScript = await bundle("assets", "serial.js", entry("serial.js"));
const style = await bundle("assets", "page.css", { entryPoints: [join(root, "src/style/page.css")] });
const serialStyle = await bundle("assets", "serial.css", { entryPoints: [join(root, "src/style/serial.css")] });

/** @param {string} folder of a package */
const versionOf = async (folder) => JSON.parse(await readFile(join(folder, "package.json"), "utf8")).version;
const version = await versionOf(novnc);
await cp(join(novnc, "LICENSE.txt"), join(next, "vendor/novnc/LICENSE.txt"));
await cp(join(novnc, "AUTHORS"), join(next, "vendor/novnc/AUTHORS"));
await cp(join(novnc, "docs/LICENSE.MPL-2.0"), join(next, "vendor/novnc/LICENSE.MPL-2.0.txt"));
await cp(join(novnc, "vendor/pako/LICENSE"), join(next, "vendor/novnc/LICENSE.pako.txt"));
await writeFile(
    join(next, "vendor/novnc/SOURCE.txt"),
    `rfb.*.js is noVNC ${version}, unmodified, joined into one file and shortened by a bundler. Its source form is the
npm package @novnc/novnc ${version} (https://github.com/novnc/noVNC, tag v${version}). It is under the Mozilla Public
License 2.0 (LICENSE.txt, LICENSE.MPL-2.0.txt), and contains pako (MIT, LICENSE.pako.txt).
`,
);

const parts = await Promise.all(xtermPackages.map(async (each) => `@xterm/${basename(each)} ${await versionOf(each)}`));
const licences = await Promise.all(xtermPackages.map((each) => readFile(join(each, "LICENSE"), "utf8")));
await writeFile(join(next, "vendor/xterm/LICENSE.txt"), [...new Set(licences)].join("\n"));
await writeFile(
    join(next, "vendor/xterm/SOURCE.txt"),
    `xterm.*.js is xterm.js, unmodified, joined into one file and shortened by a bundler. Its source form are the npm
packages ${parts.join(", ")} (https://github.com/xtermjs/xterm.js).
They are under the MIT License (LICENSE.txt). The style sheet of @xterm/xterm is in assets/serial.*.css.
`,
);

await cp(join(root, "pages/icon.svg"), join(next, "icon.svg"));
const pages = {
    "console.html": "console", "vnc.html": "console", "vnc_auto.html": "console", "serial.html": "serial", "index.html": "index",
};
for (const [page, source] of Object.entries(pages)) {
    const text = await readFile(join(root, `pages/${source}.html`), "utf8");
    const files = { script, style, rfb, xterm, "serial-script": serialScript, "serial-style": serialStyle };
    await writeFile(
        join(next, page),
        text.replaceAll(/\{\{([a-z-]+)\}\}/g, (_, name) => files[/** @type {keyof typeof files} */ (name)]),
    );
}

// Smaller ones fit into one packet as they are.
for (const each of await readdir(next, { recursive: true, withFileTypes: true })) {
    if (!each.isFile() || !/\.(js|css|html|svg)$/.test(each.name)) continue;
    const path = join(each.parentPath ?? each.path, each.name);
    const plain = await readFile(path);
    if (plain.length > 1024) await writeFile(`${path}.gz`, gzipSync(plain, { level: 9 }));
}

// The old one goes last: an edge finds one or the other.
const old = join(root, "dist.old");
await rm(old, { recursive: true, force: true });
await rename(dist, old).catch(() => {});
await rename(next, dist);
await rm(old, { recursive: true, force: true });
