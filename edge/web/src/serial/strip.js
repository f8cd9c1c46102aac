// Keys that a phone's keyboard lacks, in a strip above it.

import { button, byId } from "../common/dom.js";

/** @typedef {import("./terminal.js").Screen} Screen */
/** @typedef {import("./viewer.js").Viewer} Viewer */

/** What they send; of cursor keys the last character, because a program chooses what comes before it. */
const KEYS = /** @type {const} */ ([
    ["escape", "Esc", "\x1b"], ["tab", "Tab", "\t"], ["control", "Ctrl", ""], ["left", "←", "D"], ["up", "↑", "A"], ["down", "↓", "B"],
    ["right", "→", "C"], ["pipe", "|", "|"], ["slash", "/", "/"], ["dash", "-", "-"], ["tilde", "~", "~"], ["interrupt", "^C", "\x03"],
    ["home", "Home", "H"], ["end", "End", "F"], ["page-up", "PgUp", "\x1b[5~"], ["page-down", "PgDn", "\x1b[6~"],
]);
const CURSOR = new Set(["left", "up", "down", "right", "home", "end"]);

/**
 * What a key gives together with Ctrl. Pure.
 * @param {string} typed
 */
export function controlled(typed) {
    const [first = "", ...rest] = typed;
    const code = first.toUpperCase().charCodeAt(0);
    if (first === " ") return `\0${rest.join("")}`;
    return code >= 0x40 && code < 0x60 ? String.fromCharCode(code - 0x40) + rest.join("") : typed;
}

/**
 * @param {Screen} screen
 * @param {Viewer} viewer
 */
export function strip(screen, viewer) {
    const place = byId("strip");
    const touch = matchMedia("(any-pointer: coarse)");
    let control = false;
    const hold = (/** @type {boolean} */ on) => {
        control = on;
        place.querySelector("[data-keys=control]")?.setAttribute("aria-pressed", String(on));
    };
    for (const [id, label, sends] of KEYS) {
        const each = place.appendChild(button(label, { keys: id }));
        each.addEventListener("click", () => {
            if (id === "control") {
                hold(!control);
                return;
            }
            const { applicationCursorKeysMode } = screen.terminal.modes;
            const before = CURSOR.has(id) ? (applicationCursorKeysMode ? "\x1bO" : "\x1b[") : "";
            viewer.type(held(before + sends));
        });
    }
    // A button that took the focus would take the keyboard off the phone's screen.
    place.addEventListener("mousedown", (event) => event.preventDefault());
    /** @param {string} typed */
    const held = (typed) => {
        if (!control) return typed;
        hold(false);
        return controlled(typed);
    };
    let wanted = false;
    const lay = () => {
        place.hidden = !wanted || !touch.matches;
    };
    touch.addEventListener("change", lay);
    return {
        held,
        /** @param {boolean} on */
        show(on) {
            wanted = on;
            lay();
            if (!on) hold(false);
        },
    };
}
