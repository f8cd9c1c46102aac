// What the person sees of a session's state: the status line, the notice over the last picture, the page's title.

import { byId, buttons } from "./dom.js";

/** @typedef {import("./session.js").State} State */
/** @typedef {import("./session.js").View} View */
/** @typedef {import("./edge.js").About} About */
/** @typedef {import("./reasons.js").Wording} Wording */

/** After these, opening the same link again has no chance. */
const FINAL = new Set(["used", "not_yours", "expired", "revoked", "killed", "bad_signature", "unknown_token", "no_link",
    "wrong_node", "unknown_node", "no_page", "limit_reached", "migrated", "no_such_kind", "missing_token"]);

/** @implements {View} */
export class PageView {
    /** @type {About | null} */
    about = null;
    /** @type {State} */
    state = "asking";
    #viewOnly = false;
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
        document.title = about.name;
    }

    /**
     * @param {State} state
     * @param {string} reason
     * @param {Wording | null} wording
     * @param {number} [seconds]
     */
    tell(state, reason, wording, seconds) {
        this.state = state;
        const root = document.documentElement;
        byId("status").textContent = this.#status(state, wording, seconds);
        byId("now").hidden = state !== "reconnecting";
        const over = state === "ended" || state === "refused";
        if (over && wording) {
            byId("notice-title").textContent = wording.words;
            byId("notice-text").textContent = this.about ? `Console of ${this.about.name}.` : "";
            byId("notice-next").textContent = wording.next_step;
            byId("notice-code").textContent = reason;
        }
        const notice = byId("notice");
        const fresh = notice.hidden && over;
        notice.hidden = !over;
        for (const again of buttons("reconnect")) if (notice.contains(again)) again.hidden = FINAL.has(reason);
        root.dataset.reason = reason;
        root.dataset.state = state;
        document.title = this.#title(state);
        this.#onChange(state);
        if (fresh) notice.querySelector(/** @type {"button"} */ ("button:not([hidden])"))?.focus();
    }

    /** @param {boolean} on */
    set viewOnly(on) {
        this.#viewOnly = on;
        if (this.state === "connected") this.tell("connected", "", null);
    }

    /**
     * @param {State} state
     * @param {Wording | null} wording
     * @param {number} [seconds]
     */
    #status(state, wording, seconds) {
        switch (state) {
            case "asking":
                return "Asking what this link is for";
            case "connecting":
                return "Connecting";
            case "connected":
                if (this.about?.readOnly) return "Connected, read-only";
                return this.#viewOnly ? "Connected, view only" : "Connected";
            case "reconnecting":
                return `${wording?.words ?? ""} ${seconds ? `Reconnecting in ${seconds} s` : "Reconnecting"}`.trim();
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
