// The toolbar and panels of a terminal.

import { buttons, byId } from "../common/dom.js";
import { fullscreen } from "../common/fullscreen.js";
import { panels } from "../common/panels.js";
import { switchTheme } from "../common/theme.js";
import { hush, toast } from "../common/toast.js";
import { toolbar } from "../common/toolbar.js";
import { named } from "./people.js";
import { pasteboard } from "./pasteboard.js";
import { save } from "./save.js";
import { strip } from "./strip.js";

/** @typedef {import("./terminal.js").Screen} Screen */
/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./wire.js").PortState} PortState */
/** @typedef {import("../common/view.js").PageView} PageView */

const NEWS = 3000;
const FULL_HINT = "Hold `Esc` to leave full screen. The toolbar is at the upper edge.";

/**
 * @param {Screen} screen
 * @param {Viewer} viewer
 * @param {PageView} view
 */
export function controls(screen, viewer, view) {
    const { terminal } = screen;
    /** @type {PortState | null} */
    let port = null;
    const opened = panels(["find", "paste", "size", "rest"], (name) => name === "paste" && paste.stop());
    const paste = pasteboard(screen, viewer, opened);
    const keys = strip(screen, viewer);
    toolbar(() => terminal.blur(), () => screen.focus());
    byId("screen").addEventListener("pointerdown", () => opened.clear());
    byId("rest").addEventListener("click", () => opened.clear());

    /** @param {string} action @param {() => void} act */
    const on = (action, act) => {
        for (const each of buttons(action)) each.addEventListener("click", act);
    };
    /** @param {string} action @param {boolean} pressed */
    const mark = (action, pressed) => {
        for (const each of buttons(action)) each.setAttribute("aria-pressed", String(pressed));
    };

    // What a button did is done: keys go to the guest again. On a phone that would bring up its keyboard.
    const touch = matchMedia("(pointer: coarse)");
    const back = () => touch.matches || screen.focus();

    // Copy.
    const copy = async () => {
        const chosen = terminal.getSelection();
        try {
            await navigator.clipboard.writeText(chosen || screen.text);
            toast(chosen ? "Copied" : "Copied all that is shown and what went out at the top", NEWS);
        } catch {
            toast("The browser does not allow it: select the text and press `Ctrl+Insert`", NEWS);
        }
    };
    on("copy", () => void copy());
    // The browser's own search and copy see a part of a terminal only.
    terminal.attachCustomKeyEventHandler((event) => {
        if (event.type !== "keydown" || event.altKey || event.metaKey) return true;
        const shifted = event.ctrlKey && event.shiftKey ? event.code : "";
        if (shifted === "KeyC" || (event.ctrlKey && event.key === "Insert")) void copy();
        else if (shifted === "KeyF") opened.open("find");
        // The browser pastes, and the page hears of it.
        else return shifted !== "KeyV" && !(event.shiftKey && event.key === "Insert");
        event.preventDefault();
        return false;
    });

    // Search.
    const text = /** @type {HTMLInputElement} */ (byId("find-text"));
    const find = (/** @type {boolean} */ back, typing = false) => {
        const found = text.value === "" || screen.find(text.value, back, typing);
        byId("find-note").textContent = found ? "" : "It is not there.";
        text.setAttribute("aria-invalid", String(!found));
    };
    text.addEventListener("input", () => find(true, true));
    text.addEventListener("keydown", (event) => event.key === "Enter" && find(!event.shiftKey));
    on("find-back", () => find(true));
    on("find-on", () => find(false));

    // Size.
    const size = (/** @type {boolean} */ fills) => {
        byId("screen").toggleAttribute("data-fills", fills);
        screen.fills = fills;
        mark("standard", !fills);
        mark("fill", fills);
    };
    on("smaller", () => screen.grow(-1));
    on("larger", () => screen.grow(1));
    on("auto", () => screen.grow(0));
    on("standard", () => size(false));
    on("fill", () => size(true));
    const told = () => {
        byId("stty").textContent = `stty rows ${terminal.rows} columns ${terminal.cols}`;
    };
    terminal.onResize(told);
    told();
    on("stty", () => {
        viewer.type(`${byId("stty").textContent}\r`);
        screen.focus();
    });

    // The port.
    on("role", () => {
        viewer.ask(port?.role === "writer" ? "watch" : "write");
        back();
    });
    on("break", () => {
        viewer.ask("break");
        back();
    });
    on("save", async () => {
        back();
        const parts = await viewer.history();
        if (parts) save(parts, view.about?.name ?? "console");
        else toast("The history could not be read", NEWS);
    });
    on("theme", switchTheme);
    fullscreen((full) => {
        screen.focus();
        if (full) toast(FULL_HINT, 8000);
    });

    /** What the button does that changes who writes. */
    const role = () => {
        const [button] = buttons("role");
        const [label] = button.getElementsByTagName("span");
        button.hidden = port !== null && !port.mayWrite;
        const takes = port?.role !== "writer" && port?.writer !== null && port?.writer !== undefined;
        label.textContent = port?.role === "writer" ? "Only watch" : takes ? "Take over" : "Write";
        button.title = port?.role === "writer" ? "Let somebody else write"
            : takes && port?.writer ? `${named(port.writer)} writes now` : "Type in the guest";
        button.querySelector("use")?.setAttribute("href", port?.role === "writer" ? "#i-eye" : "#i-pen");
        return port !== null && (port.role === "writer" || !takes || port.mayForce);
    };

    /** Enables what makes sense now. */
    const arm = () => {
        const connected = view.state === "connected";
        const makesSense = /** @type {Record<string, boolean>} */ ({
            input: connected && viewer.writes,
            screen: connected,
            session: view.state !== "ended" && view.state !== "refused",
            role: role() && connected,
            break: connected && viewer.writes && port?.canBreak === true,
        });
        for (const each of document.querySelectorAll(/** @type {"button"} */ ("button[data-needs]"))) {
            each.disabled = !makesSense[each.dataset.needs ?? ""];
        }
        for (const each of buttons("break")) each.hidden = port?.canBreak !== true;
        keys.show(connected && viewer.writes);
    };

    let before = view.state;
    return {
        /** @param {import("../common/session.js").State} state */
        arm(state) {
            arm();
            if (state === "connected" && before !== "connected") screen.focus();
            before = state;
        },
        /** Things have changed on the port. @param {PortState} now */
        state(now) {
            if (port && port.role !== now.role && now.role === "writer") screen.focus();
            port = now;
            document.documentElement.dataset.role = now.role;
            arm();
        },
        /** @param {string} what @param {string} why */
        refused(what, why) {
            const writer = port?.writer ? `${named(port.writer)} writes now.` : "Somebody else writes now.";
            toast(why === "in_use" ? writer : `The guest's host refused: ${what} (${/^[a-z_]{1,40}$/.test(why) ? why : "?"})`, NEWS);
        },
        /** The connection is over. */
        gone() {
            paste.stop();
            hush();
            arm();
        },
        /** What is typed, with the keys that are held. @param {string} typed */
        held: (typed) => keys.held(typed),
    };
}
