// A phone's keyboard: it writes into a hidden field, and what it has written is typed in the guest.
//
// Such keyboards send few usable key events: they replace, compose and delete text. So the field holds a text of our own,
// and whatever it has become after an event tells what was meant.

import { BACKSPACE, named } from "./keys.js";

/** @typedef {import("./keys.js").Key} Key */

/** Something to delete: an empty field would not tell that backspace was pressed. */
export const GROUND = "________";

/** A field that has grown so long begins anew. */
const LONGEST = 200;

/**
 * What to do to make `before` become `after`: how many characters to delete at its end, and what to type then. Pure.
 * @param {string} before
 * @param {string} after
 */
export function difference(before, after) {
    const [old, now] = [[...before], [...after]];
    let same = 0;
    while (same < old.length && old[same] === now[same]) same += 1;
    return { deleted: old.length - same, typed: now.slice(same) };
}

/**
 * What the keyboard does to the guest.
 * @typedef {object} Typist
 * @property {(key: Key) => void} tap
 * @property {(character: string) => void} type
 * @property {(shown: boolean) => void} shown
 */

/**
 * @param {HTMLTextAreaElement} field
 * @param {Typist} typist
 */
export function touchKeyboard(field, typist) {
    let known = GROUND;
    const reset = () => {
        known = GROUND;
        field.value = GROUND;
        field.setSelectionRange(GROUND.length, GROUND.length);
    };
    field.addEventListener("input", (event) => {
        const { deleted, typed } = difference(known, field.value);
        for (let count = 0; count < deleted; count += 1) typist.tap(BACKSPACE);
        for (const character of typed) typist.type(character);
        known = field.value;
        // While a word is being composed the field is the keyboard's.
        const composing = /** @type {InputEvent} */ (event).isComposing;
        const worn = known.length > LONGEST || known.length < GROUND.length / 2 || typed.includes("\n");
        if (!composing && worn) reset();
    });
    field.addEventListener("compositionend", reset);
    // Keys that write nothing; some keyboards for phones have them.
    field.addEventListener("keydown", (event) => {
        const key = event.isComposing ? null : named(event.key);
        if (!key) return;
        event.preventDefault();
        typist.tap(key);
        reset();
    });
    field.addEventListener("focus", () => {
        reset();
        typist.shown(true);
    });
    field.addEventListener("blur", () => typist.shown(false));
}
