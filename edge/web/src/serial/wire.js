// `porthole.serial.v1`, as an agent speaks it: binary frames are the port's bytes, text frames are JSON objects.

import { holder } from "../common/edge.js";

/** @typedef {import("../common/edge.js").Holder} Holder */

export const PROTOCOL = "porthole.serial.v1";

/**
 * How things are on a port.
 * @typedef {object} PortState
 * @property {"writer" | "watcher"} role
 * @property {string} start      what offsets count from
 * @property {number} end        the offset of the next byte that the guest will say
 * @property {Holder | null} writer
 * @property {number} watchers
 * @property {boolean} mayWrite
 * @property {boolean} mayForce
 * @property {boolean} canBreak
 * @property {boolean} attached  whether the port answers
 */

/**
 * @typedef {{ type: "state", state: PortState }
 *     | { type: "at", start: string, offset: number }
 *     | { type: "skipped", from: number, to: number, why: string }
 *     | { type: "refused", what: string, why: string }} Message
 */

/**
 * Reads a text frame; null for what a later release says.
 * @param {string} text
 * @returns {Message | null}
 */
export function parse(text) {
    const said = JSON.parse(text);
    switch (said?.type) {
        case "state":
            return {
                type: "state",
                state: {
                    role: said.role === "writer" ? "writer" : "watcher",
                    start: String(said.start),
                    end: offset(said.end),
                    writer: holder(said.writer),
                    watchers: offset(said.watchers),
                    mayWrite: said.may === "write" || said.may === "force",
                    mayForce: said.may === "force",
                    canBreak: said.can_break === true,
                    attached: said.attached !== false,
                },
            };
        case "at":
            return { type: "at", start: String(said.start), offset: offset(said.offset) };
        case "skipped":
            return { type: "skipped", from: offset(said.from), to: offset(said.to), why: String(said.why) };
        case "refused":
            return { type: "refused", what: String(said.what), why: String(said.why) };
        default:
            return null;
    }
}

/** @param {unknown} value */
function offset(value) {
    if (!Number.isSafeInteger(value)) throw new Error(`${value} is no offset`);
    return /** @type {number} */ (value);
}
