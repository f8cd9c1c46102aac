// The toolbar and panels of a screen.

import { button, buttons, byId } from "../common/dom.js";
import { fullscreen } from "../common/fullscreen.js";
import { panels } from "../common/panels.js";
import { switchTheme } from "../common/theme.js";
import { chord, MOST_TYPED, typeAll } from "./keyboard.js";
import { COMBINATIONS, HELD, SINGLE } from "./keys.js";
import { touchKeyboard } from "./touch.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("../common/view.js").PageView} PageView */
/** @typedef {import("../common/link.js").Settings} Settings */

/** The way out of the screen for people without a mouse: everything else goes to the guest. */
const isWayOut = (/** @type {KeyboardEvent} */ event) =>
    event.ctrlKey && event.altKey && event.shiftKey && event.code === "KeyM";

const HINT =
    "Keys go to the guest. Ctrl+Alt+Shift+M brings you back to the toolbar. Keys that your browser keeps are under Keys; " +
    "in full screen it keeps fewer.";
const TOUCH_HINT = "Touch keyboard opens your device's keyboard. Keys that it lacks are under Keys.";

/** How long the hint stays. */
const HINT_LENGTH = 8000;

/**
 * @param {Viewer} viewer
 * @param {PageView} view
 * @param {Settings} settings
 */
export function controls(viewer, view, settings) {
    const press = viewer.press.bind(viewer);
    const opened = panels(["keys", "clipboard"]);
    const text = /** @type {HTMLTextAreaElement} */ (byId("clipboard-text"));
    let typing = new AbortController();

    /** @param {string} action @param {(button: HTMLButtonElement) => void} act */
    const on = (action, act) => {
        for (const each of buttons(action)) each.addEventListener("click", () => act(each));
    };
    /** @param {string} action @param {boolean} pressed */
    const mark = (action, pressed) => {
        for (const each of buttons(action)) each.setAttribute("aria-pressed", String(pressed));
    };

    // Keys.
    for (const { id, label, keys } of COMBINATIONS) {
        const each = byId("combinations").appendChild(button(label, { keys: id }));
        each.addEventListener("click", () => chord(press, keys));
    }
    for (const { id, label, key } of SINGLE) {
        const each = byId("single").appendChild(button(label, { keys: id }));
        each.addEventListener("click", () => chord(press, [key]));
    }
    const held = HELD.map(({ id, label, key }) => {
        const each = byId("held").appendChild(button(label, { keys: id }));
        each.setAttribute("aria-pressed", "false");
        each.addEventListener("click", () => {
            const down = each.getAttribute("aria-pressed") !== "true";
            each.setAttribute("aria-pressed", String(down));
            press(key, down);
        });
        return each;
    });

    // The screen.
    let viewOnly = settings.viewOnly;
    const setViewOnly = (/** @type {boolean} */ wanted) => {
        viewOnly = wanted;
        const effective = wanted || view.about?.readOnly === true;
        viewer.viewOnly = effective;
        view.viewOnly = effective;
        mark("view-only", effective);
        document.documentElement.toggleAttribute("data-view-only", effective);
        arm();
    };
    on("view-only", () => setViewOnly(!viewOnly));
    let scale = settings.scale;
    const setScale = (/** @type {boolean} */ wanted) => {
        scale = wanted;
        viewer.scale = wanted;
        mark("scale", wanted);
    };
    on("scale", () => setScale(!scale));
    on("screenshot", () => {
        viewer.canvas?.toBlob((picture) => {
            if (!picture) return;
            const save = document.createElement("a");
            save.href = URL.createObjectURL(picture);
            save.download = `${view.about?.name ?? "console"}.png`;
            save.click();
            URL.revokeObjectURL(save.href);
        });
    });
    on("theme", switchTheme);
    fullscreen(() => viewer.focus());

    // The clipboard.
    on("clipboard-copy", async () => {
        text.select();
        try {
            await navigator.clipboard.writeText(text.value);
            note("Copied.");
        } catch {
            note("The browser does not allow it: the text is selected, press Ctrl+C.");
        }
    });
    on("clipboard-send", () => {
        viewer.paste(text.value);
        note("Sent to the guest's clipboard.");
    });
    on("clipboard-type", async () => {
        typing.abort();
        typing = new AbortController();
        const { signal } = typing;
        const typed = await typeAll(press, text.value, signal);
        const long = [...text.value].length > MOST_TYPED ? ` The text is longer: at most ${MOST_TYPED} go at once.` : "";
        note(signal.aborted ? "Typing was stopped." : `Typed ${typed} characters.${long}`);
    });
    const note = (/** @type {string} */ words) => {
        byId("clipboard-note").textContent = words;
    };

    // Touch.
    const touch = /** @type {HTMLTextAreaElement} */ (byId("touch"));
    touchKeyboard(touch, press, (shown) => mark("keyboard", shown));
    let touched = false;
    for (const each of buttons("keyboard")) {
        // By the time of the click the field has lost the focus to the button.
        each.addEventListener("pointerdown", () => (touched = document.activeElement === touch));
        each.addEventListener("click", () => {
            if (touched) viewer.focus();
            else touch.focus();
            touched = false;
        });
    }

    // Out of the screen. Before noVNC, which takes every key.
    window.addEventListener(
        "keydown",
        (event) => {
            if (!isWayOut(event)) return;
            event.preventDefault();
            event.stopImmediatePropagation();
            viewer.release();
            document.querySelector(/** @type {"button"} */ ("#tools button:not(:disabled):not([hidden])"))?.focus();
        },
        { capture: true },
    );
    let hinted = false;
    const hint = () => {
        if (hinted || viewOnly) return;
        hinted = true;
        byId("hint").textContent = matchMedia("(pointer: coarse)").matches ? TOUCH_HINT : HINT;
        byId("hint").hidden = false;
        setTimeout(() => (byId("hint").hidden = true), HINT_LENGTH);
    };

    /** Enables what makes sense now. */
    const arm = () => {
        const connected = view.state === "connected";
        const input = connected && !document.documentElement.hasAttribute("data-view-only");
        for (const each of document.querySelectorAll(/** @type {"button"} */ ("button[data-needs]"))) {
            each.disabled = each.dataset.needs === "input" ? !input : !connected;
        }
        for (const each of document.querySelectorAll(/** @type {"button"} */ ("#keys .grid button"))) each.disabled = !input;
        for (const each of buttons("view-only")) each.disabled = !connected || view.about?.readOnly === true;
    };

    // Where there is no room for words, they come on hovering.
    for (const each of document.querySelectorAll(/** @type {"button"} */ ("#tools button"))) {
        each.title = each.textContent?.trim() ?? "";
    }
    setScale(scale);
    return {
        /** The guest's screen is there. */
        shown() {
            setViewOnly(viewOnly);
            setScale(scale);
            viewer.focus();
            hint();
        },
        /** It is gone. */
        gone() {
            typing.abort();
            for (const each of held) each.setAttribute("aria-pressed", "false");
            opened.close();
            byId("hint").hidden = true;
        },
        /** The guest has copied something. @param {string} copied */
        copied(copied) {
            text.value = copied;
            // Allowed without a question while the page has the focus, or not at all.
            if (document.hasFocus()) navigator.clipboard?.writeText(copied).catch(() => {});
        },
        arm,
    };
}
