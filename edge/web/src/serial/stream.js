// What a serial port has said, by offset. Pure: messages go in, what to show and to send comes out.
//
//   begin() ─► history {start, from}     the first time: the most recent bytes
//   control(at) ─► data(bytes) … ─► shown, each byte once
//                    control(skipped) ─► told in words
//
// A download asks for the history again on the same connection: what was shown already goes to the file alone.

/** How much of the history is shown at first: some thousand lines. */
export const RECENT = 256 * 1024;

/**
 * What to show.
 * @typedef {object} Screen
 * @property {(bytes: Uint8Array, old: boolean) => void} show   `old`: said before this connection began
 * @property {(words: string, anew?: boolean) => void} tell     words of the page's own; `anew`: nothing of before counts
 */

/** @typedef {{ parts: (Uint8Array | string)[], until: number, done: (parts: (Uint8Array | string)[] | null) => void }} Download */

export class Stream {
    #screen;
    /** Of which start of the guest. @type {string | null} */
    #start = null;
    /** The offset of the first byte that was not shown yet. */
    #shown = 0;
    /** The offset of the byte that comes next. @type {number | null} */
    #next = null;
    /** What was said when this connection began ends here. */
    #old = 0;
    /** Where it was told that something may be missing. @type {number | null} */
    #lost = null;
    /** @type {Download | null} */
    #download = null;

    /** @param {Screen} screen */
    constructor(screen) {
        this.#screen = screen;
    }

    /** The offset of the first byte that was not shown yet. */
    get offset() {
        return this.#shown;
    }

    /**
     * A connection is there: what to ask for.
     * @param {string} start  what offsets count from now
     * @param {number} end    what was said until now
     */
    begin(start, end) {
        this.#next = null;
        this.#old = end;
        return start === this.#start
            ? { type: "history", start, from: this.#shown }
            : { type: "history", last: RECENT };
    }

    /** The connection is gone: a download cannot be finished. */
    end() {
        this.#download?.done(null);
        this.#download = null;
        this.#next = null;
    }

    /**
     * The bytes that come next are those from this offset on.
     * @param {string} start
     * @param {number} offset
     */
    at(start, offset) {
        this.#next = offset;
        if (this.#start === start) {
            if (offset > this.#shown) this.#miss(this.#shown, offset, "not_kept");
        } else {
            if (this.#start !== null) this.#screen.tell("The guest was started again.", true);
            this.#start = start;
            this.#shown = offset;
            this.#lost = null;
        }
        if (this.#download) Object.assign(this.#download, { parts: [], until: this.#shown });
        this.#finish();
    }

    /** @param {Uint8Array} bytes */
    data(bytes) {
        if (this.#next === null) return;
        const from = this.#next;
        this.#next += bytes.length;
        this.#download?.parts.push(bytes);
        if (this.#next > this.#shown) {
            const old = this.#old - this.#shown;
            const fresh = bytes.subarray(Math.max(0, this.#shown - from));
            this.#shown = this.#next;
            const before = fresh.subarray(0, Math.max(0, old));
            const after = fresh.subarray(before.length);
            if (before.length) this.#screen.show(before, true);
            if (after.length) this.#screen.show(after, false);
        }
        this.#finish();
    }

    /**
     * Bytes do not come.
     * @param {number} from
     * @param {number} to
     * @param {string} why
     */
    skipped(from, to, why) {
        this.#next = to;
        this.#download?.parts.push(`\r\n[${missing(from, to, why)}]\r\n`);
        const lost = why === "lost" && to === this.#shown && to !== this.#lost;
        if (to > this.#shown || lost) this.#miss(Math.max(from, this.#shown), to, why);
        if (lost) this.#lost = to;
        this.#finish();
    }

    /**
     * Collects all that is kept; what to ask for. `done` gets nothing if that breaks off.
     * @param {(parts: (Uint8Array | string)[] | null) => void} done
     */
    download(done) {
        if (this.#download || this.#next === null) return null;
        this.#download = { parts: [], until: Infinity, done };
        return { type: "history" };
    }

    /** @param {number} from @param {number} to @param {string} why */
    #miss(from, to, why) {
        this.#screen.tell(missing(from, to, why));
        this.#shown = to;
    }

    #finish() {
        const download = this.#download;
        if (!download || this.#next === null || this.#next < download.until) return;
        this.#download = null;
        download.done(download.parts);
    }
}

/**
 * What does not come, in words.
 * @param {number} from
 * @param {number} to
 * @param {string} why
 */
export function missing(from, to, why) {
    if (why === "lost") return "Something may be missing here: nobody was attached to the port.";
    const bytes = `${(to - from).toLocaleString("en")} bytes`;
    if (why === "slow") return `${bytes} were left out: this page was too slow for them.`;
    if (why === "not_kept") return `${bytes} are not kept any more.`;
    return `${bytes} are missing here.`;
}
