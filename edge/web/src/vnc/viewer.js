// A guest's screen by RFB: noVNC, fed with a WebSocket of our own, so that its close code can be read.

/** @typedef {import("../common/session.js").End} End */
/** @typedef {import("../common/edge.js").About} About */
/** @typedef {import("./keys.js").Key} Key */
/** @typedef {import("@novnc/novnc").default} RFB */

/** noVNC comes in a file of its own; it is on its way before it is needed. */
const novnc = import("@novnc/novnc");
// Awaited, and its failure told, when a console is opened.
novnc.catch(() => {});

/**
 * What the page wants to hear.
 * @typedef {object} Listener
 * @property {() => void} shown                 the guest's screen is there
 * @property {() => void} closing               it is about to go
 * @property {(text: string) => void} copied    somebody copied text in the guest
 */

export class Viewer {
    /** @type {RFB | null} */
    #rfb = null;
    #viewOnly = false;
    #scale = true;
    #target;
    #listener;

    /**
     * @param {HTMLElement} target
     * @param {Listener} listener
     */
    constructor(target, listener) {
        this.#target = target;
        this.#listener = listener;
    }

    /**
     * Shows what comes from a socket until that closes.
     * @param {WebSocket} socket
     * @param {About} _about
     * @param {() => void} connected
     * @returns {Promise<End>}
     */
    async show(socket, _about, connected) {
        let opened = false;
        let refused = "";
        /** @type {Promise<End>} */
        const end = new Promise((done) => {
            socket.addEventListener("open", () => (opened = true));
            // Before noVNC listens: the last picture must be taken before it clears its canvas.
            socket.addEventListener("close", ({ code, reason }) => {
                if (this.#rfb) this.#listener.closing();
                done({ opened, code, reason: refused || reason });
            });
        });
        let Client;
        try {
            ({ default: Client } = await novnc);
        } catch {
            socket.close(1000);
            await end;
            return { opened, code: 1006, reason: "" };
        }
        if (socket.readyState >= WebSocket.CLOSING) return end;

        const rfb = new Client(this.#target, socket, { shared: true });
        rfb.background = "transparent";
        rfb.scaleViewport = this.#scale;
        rfb.viewOnly = this.#viewOnly;
        rfb.addEventListener("connect", () => {
            this.#rfb = rfb;
            // noVNC leaves it out of the tab order; then nobody without a mouse would come back to it.
            if (this.canvas) this.canvas.tabIndex = 0;
            connected();
            this.#listener.shown();
        });
        rfb.addEventListener("clipboard", (event) => {
            this.#listener.copied(String(/** @type {CustomEvent} */ (event).detail.text));
        });
        // The agent speaks security type None to us; whoever asks for a password is no agent of ours.
        const strange = () => {
            refused = "not_understood";
            rfb.disconnect();
        };
        rfb.addEventListener("credentialsrequired", strange);
        rfb.addEventListener("securityfailure", strange);
        const result = await end;
        // noVNC gives up by itself when the stream makes no sense to it.
        this.#rfb = null;
        return result;
    }

    /** @param {boolean} on */
    set viewOnly(on) {
        this.#viewOnly = on;
        if (this.#rfb) this.#rfb.viewOnly = on;
    }

    /** @param {boolean} on */
    set scale(on) {
        this.#scale = on;
        if (this.#rfb) this.#rfb.scaleViewport = on;
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

    /** Lets go of every key: the person's hands are elsewhere now, and the guest would see them held for good. */
    release() {
        // noVNC does so when its window loses the keyboard.
        window.dispatchEvent(new Event("blur"));
        this.#rfb?.blur();
    }

    /** @param {string} text */
    paste(text) {
        this.#rfb?.clipboardPasteFrom(text);
    }
}
