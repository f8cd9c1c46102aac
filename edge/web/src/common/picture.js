// The guest's last picture: in sight while its screen is away, because what a guest said last may be why it ended.

import { byId } from "./dom.js";

/** Pixels come right after a connection; were there none for so long, the old ones would lie. */
const LONGEST = 2000;

/** Stands for the wait for new pixels, if there is one. @type {object | null} */
let waiting = null;

/**
 * Keeps what the canvas shows.
 * @param {HTMLCanvasElement | null} canvas
 */
export function keepPicture(canvas) {
    if (waiting) {
        // The canvas has had no pixels yet: the picture before it is still the last.
        waiting = null;
        return;
    }
    if (!canvas?.width) return;
    const last = /** @type {HTMLCanvasElement} */ (byId("last"));
    last.width = canvas.width;
    last.height = canvas.height;
    last.getContext("2d")?.drawImage(canvas, 0, 0);
    last.hidden = false;
}

/** The screen is there again: shows it as soon as it has pixels. @param {WebSocket} socket */
export function replacePicture(socket) {
    const last = byId("last");
    if (last.hidden) return;
    const wait = {};
    waiting = wait;
    const gone = () => {
        if (waiting !== wait) return;
        waiting = null;
        last.hidden = true;
    };
    setTimeout(gone, LONGEST);
    // The viewer draws what a message brings by the second frame after it.
    socket.addEventListener("message", () => requestAnimationFrame(() => requestAnimationFrame(gone)), { once: true });
}

/**
 * Saves what the canvas shows as a file.
 * @param {HTMLCanvasElement | null} canvas
 * @param {string} name
 */
export function savePicture(canvas, name) {
    canvas?.toBlob((picture) => {
        if (!picture) return;
        const link = document.createElement("a");
        const time = new Date().toISOString().slice(0, 19).replaceAll(":", "-").replace("T", "_");
        link.href = URL.createObjectURL(picture);
        link.download = `${name} ${time}.png`;
        link.click();
        // Some browsers read it only after the click is over.
        setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
}
