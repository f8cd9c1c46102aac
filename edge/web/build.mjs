// Makes `dist/`, which an edge serves as its `web_root`.
//
//   dist/vnc.html vnc_auto.html console.html index.html   the pages
//   dist/assets/page.HASH.js page.HASH.css                our own code and style
//   dist/vendor/novnc/rfb.HASH.js LICENSE.txt …           noVNC, in a file of its own, with its licences
//   *.gz                                                  each of them packed, which an edge sends to who takes it
//
// Names carry a hash of what is in the file, so that browsers keep them for good; the pages, whose names are fixed, say
// which ones are current. Built aside and moved into place: an edge that serves meanwhile never sees half of it.

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const novnc = join(root, "node_modules/@novnc/novnc");
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
const script = await bundle("assets", "page.js", {
    entryPoints: [join(root, "src/page.js")],
    plugins: [
        {
            name: "vendor",
            setup(on) {
                on.onResolve({ filter: /^@novnc\/novnc$/ }, () => ({ path: `../${rfb}`, external: true }));
            },
        },
    ],
});
const style = await bundle("assets", "page.css", { entryPoints: [join(root, "src/style/page.css")] });

const version = JSON.parse(await readFile(join(novnc, "package.json"), "utf8")).version;
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

await cp(join(root, "pages/icon.svg"), join(next, "icon.svg"));
const pages = { "console.html": "console", "vnc.html": "console", "vnc_auto.html": "console", "index.html": "index" };
for (const [page, source] of Object.entries(pages)) {
    const text = await readFile(join(root, `pages/${source}.html`), "utf8");
    await writeFile(
        join(next, page),
        text.replaceAll("{{script}}", script).replaceAll("{{style}}", style).replaceAll("{{rfb}}", rfb),
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
