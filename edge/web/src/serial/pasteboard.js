// Pasting: what is one line goes at once, what the guest would run line by line is shown first.

import { buttons, byId } from "../common/dom.js";
import { toast } from "../common/toast.js";
import { MOST_PASTED, paced, prepare } from "./paste.js";

/** @typedef {import("./terminal.js").Screen} Screen */
/** @typedef {import("./viewer.js").Viewer} Viewer */

const NEWS = 4000;
/** A paste that is longer takes a while, and can be stopped. */
const LONG = 1024;

/**
 * @param {Screen} screen
 * @param {Viewer} viewer
 * @param {{ open(name: string): void, close(): void }} panels
 */
export function pasteboard(screen, viewer, panels) {
    const field = /** @type {HTMLTextAreaElement} */ (byId("paste-text"));
    const [button] = buttons("paste-send");
    const label = button.textContent;
    /** @type {AbortController | null} */
    let under = null;
    const prepared = (/** @type {string} */ text) => prepare(text, screen.terminal.modes.bracketedPasteMode);
    const note = () => {
        const { lines, runs, left } = prepared(field.value);
        const many = runs ? `${lines} ${lines === 1 ? "line that ends" : "lines"}: a shell runs each as it comes.` : "";
        byId("paste-note").textContent = many + (left ? ` ${left} characters too many: at most ${MOST_PASTED} go.` : "");
    };
    const send = async (/** @type {string} */ text) => {
        const { text: input, left } = prepared(text);
        under = new AbortController();
        const { signal } = under;
        if (input.length > LONG) {
            panels.open("paste");
            button.textContent = "Stop";
        }
        const whole = await paced(input, (part) => viewer.type(part), signal);
        under = null;
        button.textContent = label;
        if (!whole) toast("Pasting was stopped", NEWS);
        else if (left) toast(`${left} characters were left out: at most ${MOST_PASTED} go at once`, NEWS);
        if (!whole) return;
        field.value = "";
        panels.close();
        screen.focus();
    };
    const offer = (/** @type {string} */ text) => {
        field.value = text;
        note();
        panels.open("paste");
    };

    // Before the terminal, which would send all of it.
    byId("screen").addEventListener(
        "paste",
        (event) => {
            event.preventDefault();
            event.stopImmediatePropagation();
            const text = event.clipboardData?.getData("text/plain") ?? "";
            if (!text || !viewer.writes || under) return;
            if (prepared(text).runs) offer(text);
            else void send(text);
        },
        { capture: true },
    );
    field.addEventListener("input", note);
    button.addEventListener("click", () => {
        if (under) under.abort();
        else if (field.value) void send(field.value);
    });
    return {
        /** Nothing more of it is sent. */
        stop: () => under?.abort(),
    };
}
