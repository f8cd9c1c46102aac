// The clipboard's panel: text from the guest, text to the guest, text typed as keys.

import { buttons, byId } from "../common/dom.js";
import { toast } from "../common/toast.js";
import { MOST_TYPED, toType, typeAll } from "./keyboard.js";

/** @typedef {import("./viewer.js").Viewer} Viewer */

/** How long it is said that the guest has copied something. */
const NEWS = 2500;

/** @param {Viewer} viewer */
export function clipboard(viewer) {
    const text = /** @type {HTMLTextAreaElement} */ (byId("clipboard-text"));
    const [type] = buttons("clipboard-type");
    const typeLabel = type.textContent;
    /** @type {AbortController | null} */
    let typing = null;

    const note = (/** @type {string} */ words) => {
        byId("clipboard-note").textContent = words;
    };
    /** @param {string} action @param {() => void} act */
    const on = (action, act) => {
        for (const button of buttons(action)) button.addEventListener("click", act);
    };

    on("clipboard-copy", async () => {
        text.select();
        try {
            await navigator.clipboard.writeText(text.value);
            note("Copied.");
        } catch {
            note("The browser does not allow it. The text is selected: press Ctrl+C.");
        }
    });
    on("clipboard-send", () => {
        viewer.paste(text.value);
        note("Sent. A guest without a clipboard ignores it: type the text as keys instead.");
    });
    on("clipboard-type", async () => {
        if (typing) {
            typing.abort();
            return;
        }
        const { characters, left, doubtful } = toType(text.value);
        const cut = left ? ` At most ${MOST_TYPED} characters go at once: ${left} stay.` : "";
        const strange = doubtful ? ` ${doubtful} are not on a US keyboard and may be missing.` : "";
        typing = new AbortController();
        type.textContent = "Stop typing";
        const { signal } = typing;
        const count = await typeAll(viewer.press.bind(viewer), characters, signal, (done) => {
            if (done % 20 === 1) note(`Typing ${done} of ${characters.length}. Closing this stops it.${cut}`);
        });
        typing = null;
        type.textContent = typeLabel;
        note(`${signal.aborted ? "Stopped after" : "Typed"} ${count} characters.${strange}${cut}`);
    });

    return {
        /** The guest has copied something. @param {string} copied */
        async copied(copied) {
            // What somebody is writing there is theirs.
            if (document.activeElement !== text) text.value = copied;
            const { userActivation, clipboard } = navigator;
            try {
                // Right after a key or a click it is the person who copies. At other times a guest would overwrite what
                // they are about to paste elsewhere; some browsers would not have it either.
                if (userActivation?.isActive === false) throw new Error("nobody asked for it");
                await clipboard.writeText(copied);
                toast("Copied from the guest", NEWS);
            } catch {
                toast("The guest has copied text: see Clipboard", NEWS);
            }
        },
        /** Nothing is typed any more. */
        stop: () => typing?.abort(),
    };
}
