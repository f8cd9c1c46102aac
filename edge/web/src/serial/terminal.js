// The terminal that a serial port's bytes are shown on: xterm.js, with the page's colours, sizes and search.
//
// A serial line tells a guest nothing of its terminal's size, so guests take it for 80×24: that is what is shown, in
// characters as large as fit, until the person wants the whole window.

import { FitAddon, SearchAddon, Terminal } from "./xterm.js";

/** @typedef {import("@xterm/xterm").ITheme} Theme */

const COLUMNS = 80;
const ROWS = 24;
const SIZES = /** @type {const} */ ({ least: 6, usual: 15, most: 32, auto: 20 });
/** Lines that went out at the top, and can be looked at still. */
const SCROLLBACK = 10_000;

/** @type {Theme} */
const DARK = {
    background: "#0b0d10", foreground: "#dfe3e8", cursor: "#56c4e2", cursorAccent: "#0b0d10", selectionBackground: "#2b5a6b",
    black: "#1c2128", red: "#ff7b72", green: "#56d364", yellow: "#e3b341", blue: "#79b8ff", magenta: "#d2a8ff", cyan: "#56d4dd", white: "#cfd6de",
    brightBlack: "#8b949e", brightRed: "#ffa198", brightGreen: "#7ee787", brightYellow: "#f2cc60", brightBlue: "#a5d6ff", brightMagenta: "#e2c5ff", brightCyan: "#87e5ec", brightWhite: "#ffffff",
};
/** @type {Theme} */
const LIGHT = {
    background: "#ffffff", foreground: "#1b2026", cursor: "#0b6884", cursorAccent: "#ffffff", selectionBackground: "#b9dfec",
    black: "#24292f", red: "#b3261e", green: "#116329", yellow: "#7a5200", blue: "#0550ae", magenta: "#7b3fc4", cyan: "#14676b", white: "#57606a",
    brightBlack: "#6e7781", brightRed: "#c5352b", brightGreen: "#1a7f37", brightYellow: "#8a6100", brightBlue: "#1f6feb", brightMagenta: "#8250df", brightCyan: "#1b7c83", brightWhite: "#1b2026",
};

/**
 * What the terminal has to say.
 * @typedef {object} Listener
 * @property {(text: string) => void} typed       keys, and answers to what the guest asks a terminal
 * @property {(bytes: Uint8Array) => void} sent   the same, that is no text
 */

export class Screen {
    /** @type {Terminal} */
    terminal;
    /** What is written now was said before: whoever asked for something in it has had an answer. */
    #old = false;
    #fit = new FitAddon();
    #search = new SearchAddon();
    #place;
    /** What the person has chosen; null: as large as fits. @type {number | null} */
    #size = null;
    #fills = false;

    /**
     * @param {HTMLElement} place
     * @param {Listener} listener
     */
    constructor(place, listener) {
        this.#place = place;
        this.terminal = new Terminal({
            cols: COLUMNS,
            rows: ROWS,
            allowProposedApi: true,
            disableStdin: true,
            fontFamily: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
            fontSize: SIZES.usual,
            macOptionIsMeta: true,
            scrollback: SCROLLBACK,
            logLevel: "off",
            // A link is text that a guest has written: nothing here leads anywhere.
            linkHandler: { activate: () => {} },
        });
        this.terminal.loadAddon(this.#fit);
        this.terminal.loadAddon(this.#search);
        this.terminal.onData((text) => listener.typed(text));
        this.terminal.onBinary((text) => listener.sent(Uint8Array.from(text, (each) => each.charCodeAt(0))));
        this.#hush();
        this.terminal.open(place);
        this.#dress();
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#dress());
        new MutationObserver(() => this.#dress()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
        new ResizeObserver(() => this.#lay()).observe(place);
        this.#lay();
    }

    /** @param {Uint8Array} bytes @param {boolean} old */
    show(bytes, old) {
        // The terminal reads when it has time. What is old is known when it comes to that, so it goes through the queue, too.
        this.terminal.write("", () => (this.#old = old));
        this.terminal.write(bytes);
    }

    /**
     * Says something between what the guest says.
     * @param {string} words
     * @param {boolean} [anew]   whatever the guest has told its terminal to do is over
     */
    tell(words, anew = false) {
        // The first character ends a control sequence that the guest has not ended.
        const over = anew ? "\x1b[?1049l\x1b[?1;2004;1000;1002;1003;1006l\x1b[!p\x1b[r\x1b[999;1H" : "";
        this.terminal.write(`\x18${over}\x1b[0m\r\n\x1b[7m ${words} \x1b[0m\r\n`);
    }

    /** @param {boolean} on */
    set writable(on) {
        this.terminal.options.disableStdin = !on;
        this.terminal.options.cursorBlink = on;
    }

    /** The whole text that is there still. */
    get text() {
        const { normal, active } = this.terminal.buffer;
        const buffer = active.type === "alternate" ? active : normal;
        let text = "";
        for (let row = 0; row < buffer.length; row += 1) {
            const line = buffer.getLine(row);
            if (!line) continue;
            if (row > 0 && !line.isWrapped) text += "\n";
            text += line.translateToString(!buffer.getLine(row + 1)?.isWrapped);
        }
        return text.trimEnd();
    }

    /** Whether the whole window is filled, instead of 80×24. */
    get fills() {
        return this.#fills;
    }

    set fills(fills) {
        this.#fills = fills;
        this.#place.toggleAttribute("data-sized", this.#size !== null && !fills);
        this.#lay();
    }

    /** Larger or smaller characters; 0: as large as fit. @param {number} by */
    grow(by) {
        const now = this.terminal.options.fontSize ?? SIZES.usual;
        this.#size = by === 0 ? null : Math.max(SIZES.least, Math.min(SIZES.most, now + by));
        this.#place.toggleAttribute("data-sized", this.#size !== null && !this.#fills);
        this.#lay();
    }

    /**
     * Finds the next one, or the one before; false: there is none.
     * @param {string} text
     * @param {boolean} back
     * @param {boolean} [typing]   the person is writing it: what is found may stay where it is
     */
    find(text, back, typing = false) {
        const options = { incremental: typing && !back };
        return back ? this.#search.findPrevious(text, options) : this.#search.findNext(text, options);
    }

    focus() {
        this.terminal.focus();
    }

    /** A terminal answers when a guest asks what it is and how it is. What the history asks is not answered again. */
    #hush() {
        const { parser } = this.terminal;
        const isOld = () => this.#old;
        for (const id of [
            { final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" }, { final: "n" }, { prefix: "?", final: "n" },
            { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }, { final: "t" }, { prefix: ">", final: "q" },
        ]) {
            parser.registerCsiHandler(id, isOld);
        }
        parser.registerDcsHandler({ intermediates: "$", final: "q" }, isOld);
        for (const colour of [4, 10, 11, 12]) parser.registerOscHandler(colour, (data) => this.#old && data.includes("?"));
    }

    #dress() {
        const { theme } = document.documentElement.dataset;
        const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        this.terminal.options.theme = dark ? DARK : LIGHT;
    }

    /** Fits terminal and place to each other. */
    #lay() {
        const { terminal } = this;
        if (this.#place.clientWidth === 0) return;
        if (this.#fills) {
            terminal.options.fontSize = this.#size ?? SIZES.usual;
            this.#fit.fit();
            return;
        }
        if (terminal.cols !== COLUMNS || terminal.rows !== ROWS) terminal.resize(COLUMNS, ROWS);
        if (this.#size) {
            terminal.options.fontSize = this.#size;
            return;
        }
        // How many of the characters of now would fit tells how large they may be.
        const now = terminal.options.fontSize ?? SIZES.usual;
        const room = this.#fit.proposeDimensions();
        if (!room) return;
        const times = Math.min((room.cols + 0.5) / COLUMNS, (room.rows + 0.5) / ROWS);
        let size = Math.max(SIZES.least, Math.min(SIZES.auto, Math.floor(2 * now * times) / 2));
        terminal.options.fontSize = size;
        for (; size > SIZES.least; size -= 0.5) {
            const fits = this.#fit.proposeDimensions();
            if (!fits || (fits.cols >= COLUMNS && fits.rows >= ROWS)) break;
            terminal.options.fontSize = size - 0.5;
        }
    }
}
