// A few words over the screen that go away by themselves.

import { byId } from "./dom.js";

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Parts in backquotes are keys.
 * @param {string} words
 * @param {number} length  in milliseconds
 */
export function toast(words, length) {
    const place = byId("hint");
    place.replaceChildren(
        ...words.split("`").map((part, index) => {
            if (index % 2 === 0) return part;
            const key = document.createElement("kbd");
            key.textContent = part;
            return key;
        }),
    );
    place.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(hush, length);
}

export function hush() {
    clearTimeout(timer);
    byId("hint").hidden = true;
}
