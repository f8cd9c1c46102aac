// The toolbar under the keyboard's hands: the way out of the screen and back, and from button to button.

import { byId, buttons } from "./dom.js";

/** Everything else goes to the guest. */
const isWayOut = (/** @type {KeyboardEvent} */ event) =>
    event.ctrlKey && event.altKey && event.shiftKey && event.code === "KeyM";

/** @param {HTMLElement} bar */
function usable(bar) {
    return [...bar.querySelectorAll("button")].filter((button) => !button.disabled && button.getClientRects().length > 0);
}

/**
 * @param {() => void} leave  the screen loses the keyboard
 * @param {() => void} enter  the screen gets it
 */
export function toolbar(leave, enter) {
    const bar = byId("tools");

    // Before the viewer, which takes every key.
    window.addEventListener(
        "keydown",
        (event) => {
            if (!isWayOut(event)) return;
            event.preventDefault();
            event.stopImmediatePropagation();
            leave();
            usable(bar)[0]?.focus();
        },
        { capture: true },
    );
    bar.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            enter();
            return;
        }
        const list = usable(bar);
        const at = list.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
        const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: list.length - 1 }[event.key];
        if (at < 0 || to === undefined) return;
        event.preventDefault();
        list.at(to % list.length)?.focus();
    });
    // In full screen, without a mouse at its upper edge: the bar stays while it has the focus.
    for (const button of buttons("bar")) button.addEventListener("click", () => usable(bar)[0]?.focus());
    // Where there is no room for words they come on hovering.
    for (const button of bar.querySelectorAll("button")) button.title ||= button.textContent?.trim() ?? "";
}
