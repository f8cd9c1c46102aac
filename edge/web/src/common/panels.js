// Panels that a toolbar button opens and closes. One at a time; Escape closes; the focus goes in and comes back.

import { byId, buttons } from "./dom.js";

/** @param {string[]} names  ids of panels, which are their buttons' actions, too */
export function panels(names) {
    /** @type {string | null} */
    let open = null;

    /** @param {string | null} name */
    const show = (name) => {
        const before = open;
        open = name;
        for (const each of names) {
            byId(each).hidden = each !== open;
            for (const button of buttons(each)) button.setAttribute("aria-expanded", String(each === open));
        }
        if (open) byId(open).querySelector(/** @type {"button"} */ (".grid button, textarea"))?.focus();
        else if (before) buttons(before)[0]?.focus();
    };

    for (const name of names) {
        for (const button of buttons(name)) button.addEventListener("click", () => show(open === name ? null : name));
        byId(name).addEventListener("keydown", (event) => {
            if (event.key !== "Escape") return;
            event.stopPropagation();
            show(null);
        });
    }
    for (const button of buttons("close-panel")) button.addEventListener("click", () => show(null));
    return { close: () => open && show(null) };
}
