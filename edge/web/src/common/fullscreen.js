// Full screen, where the browser gives the page more keys (Alt+Tab, Escape, …) than in a window.

import { buttons } from "./dom.js";

/** @param {(full: boolean) => void} changed */
export function fullscreen(changed) {
    const [button] = buttons("fullscreen");
    if (!document.fullscreenEnabled) {
        button.hidden = true;
        return;
    }
    button.addEventListener("click", async () => {
        try {
            if (document.fullscreenElement) await document.exitFullscreen();
            else await document.documentElement.requestFullscreen({ navigationUI: "hide" });
        } catch {
            // The browser has its reasons, and shows them.
        }
    });
    document.addEventListener("fullscreenchange", () => {
        const full = document.fullscreenElement !== null;
        button.setAttribute("aria-pressed", String(full));
        document.documentElement.toggleAttribute("data-full", full);
        const { keyboard } = /** @type {{ keyboard?: { lock(): Promise<void>, unlock(): void } }} */ (
            /** @type {unknown} */ (navigator)
        );
        if (full) keyboard?.lock().catch(() => {});
        else keyboard?.unlock();
        changed(full);
    });
}
