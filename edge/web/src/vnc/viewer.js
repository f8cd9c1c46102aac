// A guest's screen by RFB: noVNC, fed with a WebSocket of our own, so that its close code can be read.

import { inbox } from "../common/inbox.js";

/** @typedef {import("../common/session.js").End} End */
/** @typedef {import("../common/edge.js").About} About */
/** @typedef {import("./keys.js").Key} Key */
/** @typedef {import("@novnc/novnc").default} RFB */

/** noVNC comes in a file of its own; it is on its way before it is needed. */
const novnc = () => import("@novnc/novnc");
let loading = novnc();
// Awaited, and its failure told, when a console is opened.
loading.catch(() => {});

/** From an open WebSocket to a screen. An agent opens the console before it accepts, so this is the guest's time alone. */
const HANDSHAKE = 20_000;

/** How long the other side may take to say goodbye; it may be gone. */
const GOODBYE = 1000;

/**
 * What the page wants to hear.
 * @typedef {object} Listener
 * @property {(socket: WebSocket) => void} shown  the guest's screen is there
 * @property {() => void} closing                 it is about to go
 * @property {(text: string) => void} copied      somebody copied text in the guest
 * @property {(cut: boolean) => void} cut         whether the window shows a part only, to be dragged
 */

/**
 * How the person wants it.
 * @typedef {object} Wishes
 * @property {boolean} viewOnly
 * @property {boolean} scale
 * @property {boolean} drag              a finger moves the part of the screen that is seen, rather than the guest's pointer
 * @property {boolean} keepsKeyboard     touching the screen does not take the focus
 * @property {boolean} resize
 * @property {number | null} quality
 * @property {number | null} compression
 */

/** Fingers cannot reach scroll bars. */
const TOUCH = matchMedia("(pointer: coarse)");

export class Viewer {
    /** @type {RFB | null} */
    #rfb = null;
    #target;
    #listener;
    #wishes;

    /**
     * @param {HTMLElement} target
     * @param {Wishes} wishes
     * @param {Listener} listener
     */
    constructor(target, wishes, listener) {
        this.#target = target;
        this.#wishes = wishes;
        this.#listener = listener;
        // A key that goes up while something else has the focus would stay down in the guest for ever.
        target.addEventListener("focusout", () => this.#letGo());
    }

    /**
     * Shows what comes from a socket until that closes.
     * @param {WebSocket} socket
     * @param {About} about
     * @param {() => void} connected
     * @returns {Promise<End>}
     */
    async show(socket, about, connected) {
        /** @type {RFB | null} */
        let rfb = null;
        let gone = false;
        const { end, giveUp } = watch(socket, () => {
            if (this.#rfb) this.#listener.closing();
            this.#rfb = null;
        });
        const deliver = inbox(socket);
        try {
            const { default: Client } = await loading;
            if (socket.readyState >= WebSocket.CLOSING) return await end;
            rfb = new Client(this.#target, socket, { shared: true });
        } catch (error) {
            console.error(error);
            loading = novnc();
            loading.catch(() => {});
            giveUp("not_loaded");
            return await end;
        }
        const screen = rfb;
        const patience = setTimeout(() => giveUp("connection_lost"), HANDSHAKE);
        screen.addEventListener("connect", () => {
            clearTimeout(patience);
            this.#rfb = screen;
            this.#apply();
            const canvas = this.canvas;
            // For those who go from control to control by keyboard, and those who hear the page.
            canvas?.setAttribute("tabindex", "0");
            canvas?.setAttribute("role", "application");
            canvas?.setAttribute("aria-label", `Screen of ${about.name}. Keys go to the guest.`);
            canvas?.setAttribute("aria-keyshortcuts", "Control+Alt+Shift+M");
            connected();
            this.#listener.shown(socket);
        });
        screen.addEventListener("clipboard", (event) => {
            this.#listener.copied(String(/** @type {CustomEvent} */ (event).detail.text));
        });
        screen.addEventListener("clippingviewport", () => this.#listener.cut(screen.clippingViewport));
        screen.addEventListener("disconnect", () => (gone = true));
        // The agent speaks security type None to us; whoever asks for a password is no agent of ours.
        screen.addEventListener("credentialsrequired", () => giveUp("not_understood"));
        screen.background = "transparent";
        // Else there is no pointer over a guest that does not draw one.
        screen.showDotCursor = true;
        deliver();

        const result = await end;
        clearTimeout(patience);
        if (!gone) screen.disconnect();
        return result;
    }

    /** Changes what the person wants. @param {Partial<Wishes>} wishes */
    set(wishes) {
        // noVNC sends nothing any more then, not even that keys go up.
        if (wishes.viewOnly) this.#letGo();
        this.#wishes = { ...this.#wishes, ...wishes };
        this.#apply();
    }

    /** The guest's picture, while there is one. */
    get canvas() {
        return this.#rfb ? this.#target.querySelector("canvas") : null;
    }

    /** @param {Key} key @param {boolean} down */
    press(key, down) {
        this.#rfb?.sendKey(key.keysym, key.code || null, down);
    }

    /** Keys go to the guest from now on. */
    focus() {
        this.#rfb?.focus({ preventScroll: true });
    }

    /** Keys do not go to the guest any more. */
    release() {
        this.#letGo();
        this.#rfb?.blur();
    }

    /** @param {string} text */
    paste(text) {
        this.#rfb?.clipboardPasteFrom(text);
    }

    #apply() {
        const rfb = this.#rfb;
        if (!rfb) return;
        const { viewOnly, scale, drag, keepsKeyboard, resize, quality, compression } = this.#wishes;
        rfb.viewOnly = viewOnly;
        rfb.clipViewport = TOUCH.matches && !scale;
        rfb.dragViewport = drag;
        rfb.scaleViewport = scale;
        rfb.focusOnClick = !keepsKeyboard;
        if (rfb.resizeSession !== resize) rfb.resizeSession = resize;
        if (quality !== null) rfb.qualityLevel = quality;
        if (compression !== null) rfb.compressionLevel = compression;
    }

    /** Lets go of every key. noVNC does so when its window loses the keyboard. */
    #letGo() {
        if (this.#rfb) window.dispatchEvent(new Event("blur"));
    }
}

/**
 * Watches a socket until it closes, from either side. Comes before noVNC: `closing` is called while its canvas has the
 * last picture.
 * @param {WebSocket} socket
 * @param {() => void} closing
 */
function watch(socket, closing) {
    let opened = false;
    /** @type {End["found"]} */
    let found;
    /** @type {(end: End) => void} */
    let done;
    /** @type {Promise<End>} */
    const end = new Promise((resolve) => (done = resolve));
    socket.addEventListener("open", () => (opened = true));
    socket.addEventListener("close", ({ code, reason: text }) => {
        closing();
        done({ opened, code, text, found });
    });
    const close = socket.close.bind(socket);
    // Without a code it is noVNC that closes it, for the stream makes no sense to it.
    socket.close = (code) => {
        if (code === undefined) found ??= "not_understood";
        closing();
        close(1000);
        setTimeout(() => done({ opened, code: 1006, text: "", found }), GOODBYE);
    };
    /** @param {End["found"]} why */
    const giveUp = (why) => {
        found ??= why;
        socket.close(1000);
    };
    return { end, giveUp };
}
