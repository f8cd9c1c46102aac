// The life of a console on a page. Knows no DOM and no protocol: a viewer shows the screen, a view tells the person.
//
//            ┌────────────────────────── try again ───────────────────────────┐
//            ▼                                                                │
//   asking ─────► connecting ─────► connected ─────► it passes by itself ─► reconnecting ─► gave up
//      │              │                 │                                     (1, 2, 4 … 15 s)
//      ▼              ▼                 ▼
//   refused         ended             ended        the person may ask to reconnect
//
// Before each attempt it asks what the link is for: a browser does not let a page see why a WebSocket was refused.

import { Refused, Unreachable } from "./edge.js";
import { Patience } from "./patience.js";
import { isCode } from "./reasons.js";

/** @typedef {import("./edge.js").About} About */
/** @typedef {import("./keep.js").Link} Link */
/** @typedef {import("./reasons.js").OwnReason} OwnReason */
/** @typedef {import("./reasons.js").Reasons} Reasons */
/** @typedef {import("./reasons.js").Wording} Wording */

/** @typedef {"asking" | "connecting" | "connected" | "reconnecting" | "ended" | "refused"} State */

/**
 * How a connection ended.
 * @typedef {object} End
 * @property {boolean} opened    the upgrade was accepted
 * @property {number} code       the close code; 1006 when none came
 * @property {string} text       the close frame's text: a reason code, if it came from an agent
 * @property {OwnReason} [found] what the viewer itself found to be the reason
 */

/**
 * Shows a console until its WebSocket closes.
 * @typedef {(socket: WebSocket, about: About, connected: () => void) => Promise<End>} Viewer
 */

/**
 * What the page shows.
 * @typedef {object} View
 * @property {(state: State, reason: string, wording: Wording | null, seconds?: number) => void} tell
 * @property {(about: About) => void} meet
 */

/**
 * A refusal that the page foresees, in its own words.
 * @typedef {object} Refusal
 * @property {string} reason
 * @property {Wording} wording
 */

/**
 * @typedef {object} Parts
 * @property {Link} link
 * @property {(link: Link) => Promise<About>} ask
 * @property {(link: Link) => WebSocket} connect
 * @property {(kind: string) => Viewer | null} viewerOf
 * @property {(about: About, byItself: boolean) => Refusal | null} [refuses]  what an answer means that is no refusal yet
 * @property {Reasons} reasons
 * @property {View} view
 * @property {() => number} now
 */

/** After so many upgrades refused without a cause, the person is told, rather than kept waiting. */
const MYSTERIES = 4;

/** Close codes that say, without a reason that is known here, that something on the way went away for a while. */
const PASSING = new Set([1001, 1006, 1012, 1013, 1014]);

export class Session {
    #parts;
    #patience = new Patience();
    /** @type {WebSocket | null} */
    #socket = null;
    /** @type {(() => void) | null} */
    #hurry = null;
    /** @type {(() => void) | null} */
    #giveUpAsking = null;
    #running = false;
    #left = false;
    #mysteries = 0;

    /** @param {Parts} parts */
    constructor(parts) {
        this.#parts = parts;
    }

    /** Opens the console, and keeps it open. Ends when only the person can do something. */
    async run() {
        if (this.#running) return;
        this.#running = true;
        this.#left = false;
        this.#mysteries = 0;
        this.#patience.rest();
        this.#parts.view.tell("asking", "", null);
        try {
            let byItself = false;
            while (await this.#attempt(byItself)) byItself = true;
        } finally {
            this.#running = false;
        }
    }

    /** Tries at once instead of waiting; after an end, begins anew. */
    reconnect() {
        if (this.#hurry) this.#hurry();
        else void this.run();
    }

    /** The person has had enough. */
    leave() {
        this.#left = true;
        this.#socket?.close(1000);
        this.#giveUpAsking?.();
        this.#hurry?.();
    }

    /**
     * One attempt; true: try again.
     * @param {boolean} byItself   nobody has asked for this one
     */
    async #attempt(byItself) {
        const { connect, link, viewerOf, refuses, view, reasons } = this.#parts;
        let about;
        try {
            about = await this.#ask();
        } catch (error) {
            if (this.#left) return this.#settle("ended", "left");
            if (error instanceof Refused) return this.#settle("refused", error.reason, error.wording);
            if (error instanceof Unreachable) return this.#settle("refused", "gateway_unreachable");
            throw error;
        }
        if (this.#left) return this.#settle("ended", "left");
        view.meet(about);
        const viewer = viewerOf(about.kind);
        if (!viewer) return this.#settle("refused", "no_page");
        const foreseen = refuses?.(about, byItself);
        if (foreseen) return this.#settle("refused", foreseen.reason, foreseen.wording);
        view.tell("connecting", "", null);
        this.#socket = connect(link);
        const end = await viewer(this.#socket, about, () => {
            this.#patience.rest();
            this.#mysteries = 0;
            view.tell("connected", "", null);
        });
        this.#socket = null;
        if (this.#left) return this.#settle("ended", "left");
        if (end.found) return this.#settle("ended", end.found);
        if (reasons.knows(end.text)) return this.#settle("ended", end.text);
        if (!end.opened) {
            this.#mysteries += 1;
            // The next question tells the cause, if the link is it; a console that stays away has no other words.
            if (this.#mysteries >= MYSTERIES) return this.#settle("refused", "unreachable", {}, false);
        }
        if (PASSING.has(end.code)) return this.#settle("ended", "connection_lost");
        return this.#settle("ended", isCode(end.text) ? end.text : "closed");
    }

    /** Asks what the link is for, or until the person has had enough. */
    #ask() {
        const { ask, link } = this.#parts;
        const left = new Promise((/** @type {(never: never) => void} */ _, giveUp) => {
            this.#giveUpAsking = () => giveUp(new Unreachable("not waited for"));
        });
        return Promise.race([ask(link), left]).finally(() => (this.#giveUpAsking = null));
    }

    /**
     * Tells the person; true: after a while, try again.
     * @param {"ended" | "refused"} state
     * @param {string} reason
     * @param {Partial<Wording>} [told]   in the edge's own words
     * @param {boolean} [again]           false: not by itself, whatever the table says
     */
    async #settle(state, reason, told = {}, again = true) {
        const { reasons, view, now } = this.#parts;
        const wording = { ...reasons.word(reason), ...told };
        const wait = wording.retry === "by_itself" && again && !this.#left ? this.#patience.next(now()) : undefined;
        if (wait === undefined) {
            view.tell(state, reason, wording);
            return false;
        }
        if (wait === null) {
            view.tell("ended", "gave_up", reasons.word("gave_up"));
            return false;
        }
        await this.#wait(wait, (seconds) => view.tell("reconnecting", reason, wording, seconds));
        if (!this.#left) return true;
        view.tell("ended", "left", reasons.word("left"));
        return false;
    }

    /**
     * @param {number} length
     * @param {(seconds: number) => void} count
     */
    async #wait(length, count) {
        const until = this.#parts.now() + length;
        let hurried = false;
        for (;;) {
            const left = until - this.#parts.now();
            if (left <= 0 || hurried) break;
            count(Math.ceil(left / 1000));
            await new Promise((/** @type {(value?: unknown) => void} */ done) => {
                const timer = setTimeout(done, Math.min(left, 1000));
                this.#hurry = () => {
                    clearTimeout(timer);
                    hurried = true;
                    done();
                };
            });
        }
        this.#hurry = null;
        count(0);
    }
}
