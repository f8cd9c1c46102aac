// What the person sees of a session's state: the status line, a card while they wait, the notice over the last picture,
// the page's title.

import { buttons, byId } from "./dom.js";

/** @typedef {import("./session.js").State} State */
/** @typedef {import("./session.js").View} View */
/** @typedef {import("./edge.js").About} About */
/** @typedef {import("./reasons.js").Wording} Wording */

/** @implements {View} */
export class PageView {
    /** @type {About | null} */
    about = null;
    /** @type {State} */
    state = "asking";
    #viewOnly = false;
    /** @type {string | null} */
    #detail = null;
    /** Whether the same link is worth another try. */
    #mayRetry = false;
    #onChange;

    /** @param {(state: State) => void} onChange */
    constructor(onChange) {
        this.#onChange = onChange;
    }

    /** @param {About} about */
    meet(about) {
        this.about = about;
        document.documentElement.dataset.kind = about.kind;
        byId("name").textContent = about.name;
        byId("name").title = about.name;
    }

    /**
     * @param {State} state
     * @param {string} reason
     * @param {Wording | null} wording
     * @param {number} [seconds]   until the next try
     */
    tell(state, reason, wording, seconds) {
        this.state = state;
        const root = document.documentElement;
        const over = state === "ended" || state === "refused";
        const line = this.#line(state, wording);
        say(byId("status"), line, seconds);
        this.#wait(state, wording, seconds);
        const fresh = this.#notice(over ? wording : null, reason);
        root.dataset.reason = reason;
        root.dataset.state = state;
        document.title = this.#title(state);
        this.#onChange(state);
        if (fresh) byId("notice").querySelector(/** @type {"button"} */ ("button:not([hidden])"))?.focus();
    }

    /** The person has read the notice: the last picture is theirs to look at, and the way back is in the bar. */
    putAway() {
        byId("notice").hidden = true;
        byId("again").hidden = !this.#mayRetry;
    }

    /** @param {boolean} on */
    set viewOnly(on) {
        this.#viewOnly = on;
        if (this.state === "connected") this.tell("connected", "", null);
    }

    /** What is said instead of "Connected", of a console that has more to say. @param {string | null} words */
    set detail(words) {
        this.#detail = words;
        if (this.state === "connected") this.tell("connected", "", null);
    }

    /**
     * Shows the notice or takes it away; whether it is a new one.
     * @param {Wording | null} wording
     * @param {string} reason
     */
    #notice(wording, reason) {
        const notice = byId("notice");
        const fresh = notice.hidden && wording !== null;
        notice.hidden = wording === null;
        byId("again").hidden = true;
        if (wording) {
            byId("notice-title").textContent = wording.words;
            byId("notice-text").textContent = this.about ? `Console of ${this.about.name}.` : "";
            byId("notice-next").textContent = wording.next_step;
            byId("notice-code").textContent = reason;
            notice.toggleAttribute("data-calm", reason === "left");
            this.#mayRetry = wording.retry !== "never";
            for (const again of buttons("reconnect")) if (notice.contains(again)) again.hidden = !this.#mayRetry;
        }
        return fresh;
    }

    /**
     * The card while the person waits.
     * @param {State} state
     * @param {Wording | null} wording
     * @param {number} [seconds]
     */
    #wait(state, wording, seconds) {
        const again = state === "reconnecting";
        byId("now").hidden = !again;
        byId("wait-title").textContent = again ? (wording?.words ?? "") : "";
        byId("wait-text").textContent = again
            ? `Reconnecting${seconds ? ` in ${seconds} s` : "…"}`
            : this.about ? `Connecting to ${this.about.name}…` : "Connecting…";
    }

    /**
     * @param {State} state
     * @param {Wording | null} wording
     */
    #line(state, wording) {
        switch (state) {
            case "asking":
                return "Asking what this link is for";
            case "connecting":
                return "Connecting";
            case "connected":
                if (this.#detail) return this.#detail;
                if (this.about?.readOnly) return "Connected, read-only";
                return this.#viewOnly ? "Connected, view only" : "Connected";
            case "reconnecting":
                return `${wording?.words ?? ""} Reconnecting`.trim();
            case "ended":
            case "refused":
                return wording?.words ?? "Closed";
        }
    }

    /** @param {State} state */
    #title(state) {
        const name = this.about?.name ?? "Console";
        return state === "connected" || state === "asking" || state === "connecting" ? name : `${name} (${state})`;
    }
}

/**
 * Puts words into a status line. Readers of screens hear each change of it, so it changes only when something happens,
 * and the seconds, which change all the time, are for the eye alone.
 * @param {HTMLElement} line
 * @param {string} words
 * @param {number} [seconds]
 */
function say(line, words, seconds) {
    const [said, counted] = /** @type {HTMLCollectionOf<HTMLElement>} */ (line.children);
    if (said.textContent !== words) said.textContent = words;
    counted.textContent = seconds ? ` in ${seconds} s` : "";
    line.title = words;
}
