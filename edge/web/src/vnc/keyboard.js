// Presses keys in the guest on behalf of buttons, pasted text and touch keyboards.

import { SHIFT, typed } from "./keys.js";

/** @typedef {import("./keys.js").Key} Key */
/** @typedef {(key: Key, down: boolean) => void} Press */

/** The most characters that are typed at once: more is a file, and a file is not typed. */
export const MOST_TYPED = 4096;

/** Between two characters, in milliseconds. Firmware and boot loaders lose keys that come faster. */
const PACE = 12;

/**
 * Presses keys one after the other and releases them in the other order.
 * @param {Press} press
 * @param {Key[]} keys
 */
export function chord(press, keys) {
    for (const key of keys) press(key, true);
    for (const key of [...keys].reverse()) press(key, false);
}

/**
 * Types one character.
 * @param {Press} press
 * @param {string} character
 */
export function type(press, character) {
    const how = typed(character);
    if (how) chord(press, how.shift ? [SHIFT, how.key] : [how.key]);
}

/**
 * The characters of a text that are typed: one end of line is one Enter, whichever way it is written. `doubtful` are
 * those that a US keyboard lacks; a guest takes them only if its screen's server knows their names.
 * @param {string} text
 */
export function toType(text) {
    const all = [...text.replaceAll("\r\n", "\n")];
    const characters = all.slice(0, MOST_TYPED);
    return { characters, left: all.length - characters.length, doubtful: characters.filter((each) => !typed(each)?.key.code).length };
}

/**
 * Types characters at a pace that guests can follow, until `signal` says to stop.
 * @param {Press} press
 * @param {string[]} characters
 * @param {AbortSignal} signal
 * @param {(count: number) => void} [told]  how many are done
 * @returns {Promise<number>}  how many were typed
 */
export async function typeAll(press, characters, signal, told) {
    let count = 0;
    for (const character of characters) {
        if (signal.aborted) break;
        type(press, character);
        count += 1;
        told?.(count);
        await new Promise((done) => setTimeout(done, PACE));
    }
    return count;
}
