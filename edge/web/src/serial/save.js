// What a guest said, as a file.

/**
 * @param {(Uint8Array | string)[]} parts
 * @param {string} name
 */
export function save(parts, name) {
    const link = document.createElement("a");
    const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-").replace("T", "_");
    link.href = URL.createObjectURL(new Blob(/** @type {BlobPart[]} */ (parts), { type: "text/plain" }));
    link.download = `${name} ${time}.log`;
    link.click();
    // Some browsers read it only after the click is over.
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
