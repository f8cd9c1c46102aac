// A serial port on a WebSocket: bytes to the terminal, what is typed to the agent, control messages to the page.

import { PROTOCOL, parse } from "./wire.js";
import { Stream } from "./stream.js";

/** @typedef {import("../common/session.js").End} End */
/** @typedef {import("../common/edge.js").About} About */
/** @typedef {import("./wire.js").PortState} PortState */
/** @typedef {import("./terminal.js").Screen} Screen */

/** From an open WebSocket to the agent's first word. */
const FIRST_WORD = 20_000;
/** How long the other side may take to say goodbye; it may be gone. */
const GOODBYE = 1000;
/** More than so much that waits to be sent is for a network that takes nothing. */
const MOST_UNSENT = 256 * 1024;

/**
 * What the page wants to hear.
 * @typedef {object} Listener
 * @property {(state: PortState) => void} state          how things are now
 * @property {(what: string, why: string) => void} refused
 * @property {() => void} gone                           the connection is over
 */

export class Viewer {
    /** @type {WebSocket | null} */
    #socket = null;
    /** @type {PortState | null} */
    #state = null;
    #encoder = new TextEncoder();
    #stream;
    #screen;
    #listener;

    /**
     * @param {Screen} screen
     * @param {Listener} listener
     */
    constructor(screen, listener) {
        this.#screen = screen;
        this.#listener = listener;
        this.#stream = new Stream(screen);
    }

    /**
     * Shows what comes from a socket until that closes.
     * @param {WebSocket} socket
     * @param {About} about
     * @param {() => void} connected
     * @returns {Promise<End>}
     */
    show(socket, about, connected) {
        socket.binaryType = "arraybuffer";
        let opened = false;
        /** @type {End["found"]} */
        let found;
        return new Promise((resolve) => {
            /** @param {number} code @param {string} text */
            const done = (code, text) => {
                clearTimeout(patience);
                if (this.#socket === socket) this.#leave();
                resolve({ opened, code, text, found });
            };
            /** @param {End["found"]} [why] */
            const giveUp = (why) => {
                found ??= why;
                if (this.#socket === socket) this.#leave();
                close(1000);
                setTimeout(() => done(1006, ""), GOODBYE);
            };
            const patience = setTimeout(() => giveUp("connection_lost"), FIRST_WORD);
            const close = socket.close.bind(socket);
            socket.close = () => giveUp();
            const ready = (/** @type {PortState} */ state) => {
                clearTimeout(patience);
                this.#socket = socket;
                this.#hear(state);
                connected();
            };
            socket.addEventListener("open", () => {
                opened = true;
                if (socket.protocol !== PROTOCOL) this.#plain(about, ready);
            });
            socket.addEventListener("close", ({ code, reason }) => done(code, reason));
            socket.addEventListener("message", ({ data }) => {
                if (found) return;
                try {
                    if (typeof data !== "string") this.#stream.data(new Uint8Array(data));
                    else this.#control(socket, data, ready);
                } catch (error) {
                    console.error(error);
                    giveUp("not_understood");
                }
            });
        });
    }

    /** Whether what is typed reaches the guest. */
    get writes() {
        return this.#socket !== null && this.#state?.role === "writer";
    }

    /** @param {string | Uint8Array} input */
    type(input) {
        if (!this.writes || !this.#socket || this.#socket.bufferedAmount > MOST_UNSENT) return;
        this.#socket.send(typeof input === "string" ? this.#encoder.encode(input) : new Uint8Array(input));
    }

    /** @param {"write" | "watch" | "break"} what */
    ask(what) {
        this.#say({ type: what });
    }

    /**
     * All that is kept of what the guest said; null if that breaks off.
     * @returns {Promise<(Uint8Array | string)[] | null>}
     */
    history() {
        return new Promise((done) => {
            const wanted = this.#stream.download(done);
            if (wanted) this.#say(wanted);
            else done(null);
        });
    }

    /** @param {object} message */
    #say(message) {
        if (this.#socket && this.#socket.protocol === PROTOCOL) this.#socket.send(JSON.stringify(message));
    }

    /**
     * @param {WebSocket} socket
     * @param {string} text
     * @param {(state: PortState) => void} ready
     */
    #control(socket, text, ready) {
        const message = parse(text);
        switch (message?.type) {
            case "state":
                if (this.#socket === socket) this.#hear(message.state);
                else {
                    ready(message.state);
                    this.#say(this.#stream.begin(message.state.start, message.state.end));
                }
                break;
            case "at":
                this.#stream.at(message.start, message.offset);
                break;
            case "skipped":
                this.#stream.skipped(message.from, message.to, message.why);
                break;
            case "refused":
                this.#listener.refused(message.what, message.why);
                break;
            case undefined:
        }
    }

    /**
     * An agent of an earlier release: it sends bytes from now on, and says nothing of who is here.
     * @param {About} about
     * @param {(state: PortState) => void} ready
     */
    #plain(about, ready) {
        ready({
            role: about.readOnly ? "watcher" : "writer", start: "", end: 0, writer: null, watchers: 0,
            mayWrite: !about.readOnly, mayForce: false, canBreak: false, attached: true,
        });
        // Offsets count from here: what was said meanwhile nobody knows.
        this.#stream = new Stream(this.#screen);
        this.#stream.at("", 0);
    }

    /** @param {PortState} state */
    #hear(state) {
        const before = this.#state;
        this.#state = state;
        if (before && before.attached !== state.attached) {
            this.#screen.tell(state.attached ? "The guest runs again." : "The guest has stopped.");
        }
        this.#screen.writable = state.role === "writer";
        this.#listener.state(state);
    }

    #leave() {
        this.#socket = null;
        this.#stream.end();
        this.#screen.writable = false;
        this.#listener.gone();
    }
}
