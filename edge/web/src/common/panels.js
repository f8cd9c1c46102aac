// Panels that a toolbar button opens and closes. One at a time; Escape closes; the focus goes in and comes back.

import { byId, buttons } from "./dom.js";

/** Where panels cover the screen. */
const NARROW = matchMedia("(max-width: 720px)");

/**
 * @param {string[]} names              ids of panels, which are their buttons' actions, too
 * @param {(name: string) => void} closed
 */
export function panels(names, closed) {
    /** @type {string | null} */
    let open = null;

    /** @param {string | null} name @param {boolean} [focus] */
    const show = (name, focus = true) => {
        const before = open;
        if (before === name) return;
        open = name;
        for (const each of names) {
            byId(each).toggleAttribute("data-open", each === open);
            for (const button of buttons(each)) button.setAttribute("aria-expanded", String(each === open));
        }
        if (before) closed(before);
        if (!focus) return;
        if (open) first(byId(open))?.focus();
        else if (before) buttons(before)[0]?.focus();
    };

    for (const name of names) {
        for (const button of buttons(name)) button.addEventListener("click", () => show(open === name ? null : name));
        byId(name).addEventListener("keydown", (event) => {
            if (event.key !== "Escape" || open !== name) return;
            event.stopPropagation();
            show(null);
        });
    }
    for (const button of buttons("close-panel")) button.addEventListener("click", () => show(null));
    return {
        /** Opens one, if it is not open. @param {string} name */
        open: (name) => show(name),
        close: () => show(null, byId(open ?? names[0]).contains(document.activeElement)),
        /** The person turned to the screen. */
        clear: () => (NARROW.matches || open === "rest") && show(null, false),
    };
}

/**
 * What a panel is for, before the button that closes it.
 * @param {HTMLElement} panel
 */
function first(panel) {
    const content = panel.querySelector(/** @type {"button"} */ ("textarea, input, .grid button:not(:disabled)"));
    return content ?? [...panel.querySelectorAll("button")].find((each) => !each.disabled && each.getClientRects().length > 0);
}
