// The toolbar and panels of a screen.

import { button, buttons, byId } from "../common/dom.js";
import { fullscreen } from "../common/fullscreen.js";
import { panels } from "../common/panels.js";
import { savePicture } from "../common/picture.js";
import { switchTheme } from "../common/theme.js";
import { hush, toast } from "../common/toast.js";
import { toolbar } from "../common/toolbar.js";
import { clipboard } from "./clipboard.js";
import { Held } from "./held.js";
import { chord, type } from "./keyboard.js";
import { COMBINATIONS, HELD, SINGLE, STRIP } from "./keys.js";
import { touchKeyboard } from "./touch.js";

/** @typedef {import("./keys.js").Key} Key */
/** @typedef {import("./keys.js").Single} Single */
/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("../common/view.js").PageView} PageView */
/** @typedef {import("../common/link.js").Settings} Settings */

const HINT = "Keys go to the guest. `Ctrl+Alt+Shift+M` leads to the toolbar. What your browser keeps for itself is under Keys; in full screen it keeps less.";
const TOUCH_HINT = "Tap to click, tap with two fingers for the right button, drag with two to scroll.";
const FULL_HINT = "Hold `Esc` to leave full screen. The toolbar is at the upper edge.";
const HINT_LENGTH = 8000;

const TOUCH = matchMedia("(pointer: coarse)");

/**
 * @param {Viewer} viewer
 * @param {PageView} view
 * @param {Settings} settings
 */
export function controls(viewer, view, settings) {
    const root = document.documentElement;
    const press = viewer.press.bind(viewer);
    const pasteboard = clipboard(viewer);
    const opened = panels(["keys", "clipboard", "rest"], (name) => name === "clipboard" && pasteboard.stop());
    toolbar(() => viewer.release(), () => viewer.focus());
    byId("screen").addEventListener("pointerdown", () => opened.clear());

    /** @param {string} action @param {() => void} act */
    const on = (action, act) => {
        for (const each of buttons(action)) each.addEventListener("click", act);
    };
    /** @param {string} action @param {boolean} pressed */
    const mark = (action, pressed) => {
        for (const each of buttons(action)) each.setAttribute("aria-pressed", String(pressed));
    };

    // Keys.
    const held = new Held(press, () => {
        for (const { id, key } of HELD) {
            const hold = held.state(key);
            for (const each of document.querySelectorAll(/** @type {"button"} */ (`button[data-held="${id}"]`))) {
                each.setAttribute("aria-pressed", String(hold !== "up"));
                each.dataset.hold = hold;
            }
        }
    });
    const tap = (/** @type {Key} */ key) => {
        chord(press, [key]);
        held.spend();
    };
    for (const { title, narrow, combinations } of COMBINATIONS) {
        const place = group(title, narrow);
        for (const { id, label, name, keys } of combinations) {
            const each = place.appendChild(button(label, { keys: id, needs: "input" }));
            if (name) entitle(each, name);
            each.addEventListener("click", () => chord(press, keys));
        }
    }
    for (const single of SINGLE) keyButton("single", single).addEventListener("click", () => tap(single.key));
    for (const single of HELD) {
        const each = keyButton("held", single);
        each.dataset.held = single.id;
        each.addEventListener("click", () => held.toggle(single.key));
    }
    for (const single of STRIP) {
        const each = keyButton("strip", single);
        const holds = HELD.includes(single);
        if (holds) each.dataset.held = single.id;
        each.addEventListener("click", () => (holds ? held.cycle(single.key) : tap(single.key)));
    }
    held.forget();

    // The screen.
    let { viewOnly, scale } = settings;
    const setViewOnly = (/** @type {boolean} */ wanted) => {
        viewOnly = wanted;
        const effective = wanted || view.about?.readOnly === true;
        if (effective) {
            held.release();
            pasteboard.stop();
        }
        viewer.set({ viewOnly: effective });
        view.viewOnly = effective;
        mark("view-only", effective);
        root.toggleAttribute("data-view-only", effective);
        arm();
    };
    on("view-only", () => setViewOnly(!viewOnly));
    const setScale = (/** @type {boolean} */ wanted) => {
        scale = wanted;
        viewer.set({ scale });
        mark("scale", wanted);
        root.toggleAttribute("data-one-to-one", !wanted);
    };
    on("scale", () => setScale(!scale));
    const setDrag = (/** @type {boolean} */ drag) => {
        viewer.set({ drag });
        mark("pan", drag);
    };
    on("pan", () => setDrag(buttons("pan")[0].getAttribute("aria-pressed") !== "true"));
    on("screenshot", () => savePicture(viewer.canvas, view.about?.name ?? "console"));
    on("theme", switchTheme);
    fullscreen((full) => {
        viewer.focus();
        if (full) toast(FULL_HINT, HINT_LENGTH);
    });
    // What was chosen from the menu of the rest is done; the menu is in the way of what it does.
    byId("rest").addEventListener("click", () => opened.clear());

    // Touch.
    const touch = /** @type {HTMLTextAreaElement} */ (byId("touch"));
    touchKeyboard(touch, {
        tap,
        type(character) {
            type(press, character);
            held.spend();
        },
        shown(shown) {
            mark("keyboard", shown);
            byId("strip").hidden = !shown;
            viewer.set({ keepsKeyboard: shown });
            if (!shown) held.release();
        },
    });
    on("keyboard", () => (document.activeElement === touch ? viewer.focus() : touch.focus()));
    // A button that took the focus would take the keyboard off the phone's screen.
    for (const place of [byId("strip"), ...buttons("keyboard")]) {
        place.addEventListener("mousedown", (event) => event.preventDefault());
    }

    /** Enables what makes sense now. */
    const arm = () => {
        const connected = view.state === "connected";
        const input = connected && !root.hasAttribute("data-view-only");
        const makesSense = /** @type {Record<string, boolean>} */ ({
            input,
            screen: connected,
            session: view.state !== "ended" && view.state !== "refused",
            choice: connected && view.about?.readOnly !== true,
        });
        for (const each of document.querySelectorAll(/** @type {"button"} */ ("button[data-needs]"))) {
            each.disabled = !makesSense[each.dataset.needs ?? ""];
        }
    };

    setScale(scale);
    return {
        /** The guest's screen is there. */
        shown() {
            setViewOnly(viewOnly);
            setDrag(false);
            viewer.focus();
            const watches = viewOnly || view.about?.readOnly === true;
            if (!watches && first()) toast(TOUCH.matches ? TOUCH_HINT : HINT, HINT_LENGTH);
        },
        /** It is gone. */
        gone() {
            pasteboard.stop();
            held.forget();
            opened.close();
            hush();
        },
        /** Only a part of it is seen. @param {boolean} cut */
        cut(cut) {
            root.toggleAttribute("data-cut", cut);
            if (!cut) setDrag(false);
        },
        copied: pasteboard.copied,
        arm,
    };
}

/**
 * A group of the keys menu.
 * @param {string} title
 * @param {boolean} narrow
 */
function group(title, narrow) {
    const heading = document.createElement("h3");
    heading.textContent = title;
    const grid = document.createElement("div");
    grid.className = narrow ? "grid narrow" : "grid";
    byId("combinations").append(heading, grid);
    return grid;
}

/** @param {string} place @param {Single} single */
function keyButton(place, { id, label, name }) {
    const each = byId(place).appendChild(button(label, { keys: id, needs: "input" }));
    if (name) entitle(each, name);
    return each;
}

/** @param {HTMLButtonElement} each @param {string} name */
function entitle(each, name) {
    each.title = name;
    each.setAttribute("aria-label", name);
}

/** Whether this tab has not seen the hint yet. */
function first() {
    try {
        const seen = sessionStorage.getItem("porthole.hinted");
        sessionStorage.setItem("porthole.hinted", "1");
        return seen === null;
    } catch {
        return true;
    }
}
