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
    for (const key of keys.toReversed()) press(key, false);
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
 * Types a text at a pace that guests can follow, until `signal` says to stop.
 * @param {Press} press
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<number>}  how many characters were typed
 */
export async function typeAll(press, text, signal) {
    // One end of line is one Enter, whichever way it is written.
    const characters = [...text.replaceAll("\r\n", "\n")].slice(0, MOST_TYPED);
    let count = 0;
    for (const character of characters) {
        if (signal.aborted) break;
        type(press, character);
        count += 1;
        await new Promise((done) => setTimeout(done, PACE));
    }
    return count;
}
