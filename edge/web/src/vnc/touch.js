// A phone's keyboard: it writes into a hidden field, and what it has written is typed in the guest.
//
// Such keyboards send few usable key events: they replace, compose and delete text. So the field holds a text of our own,
// and whatever it has become after an event tells what was meant.

import { BACKSPACE, RETURN } from "./keys.js";
import { chord, type } from "./keyboard.js";

/** @typedef {import("./keyboard.js").Press} Press */

/** Something to delete: an empty field would not tell that backspace was pressed. */
export const GROUND = "________";

/**
 * What to do to make `before` become `after`: how many characters to delete at its end, and what to type then. Pure.
 * @param {string} before
 * @param {string} after
 */
export function difference(before, after) {
    let same = 0;
    while (same < before.length && before[same] === after[same]) same += 1;
    return { deleted: [...before.slice(same)].length, typed: after.slice(same) };
}

/**
 * @param {HTMLTextAreaElement} field
 * @param {Press} press
 * @param {(shown: boolean) => void} shown
 */
export function touchKeyboard(field, press, shown) {
    let known = GROUND;
    const reset = () => {
        known = GROUND;
        field.value = GROUND;
        field.setSelectionRange(GROUND.length, GROUND.length);
    };
    field.addEventListener("input", (event) => {
        const { deleted, typed } = difference(known, field.value);
        for (let count = 0; count < deleted; count += 1) chord(press, [BACKSPACE]);
        for (const character of typed) type(press, character);
        known = field.value;
        // While a word is being composed the field is the keyboard's.
        const composing = /** @type {InputEvent} */ (event).isComposing;
        if (!composing && (known.length > 200 || known.length < 4 || typed.includes("\n"))) reset();
    });
    field.addEventListener("compositionend", reset);
    field.addEventListener("keydown", (event) => {
        if (event.isComposing) return;
        if (event.key === "Enter") {
            event.preventDefault();
            chord(press, [RETURN]);
            reset();
        }
    });
    field.addEventListener("focus", () => {
        reset();
        shown(true);
    });
    field.addEventListener("blur", () => shown(false));
}
