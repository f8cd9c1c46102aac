// Why a console was refused or ended, in words: the edge's table, and the few things that only a page can know.

/**
 * The page, without being asked; only the person; nobody, because the link is worth nothing any more.
 * @typedef {"by_itself" | "by_person" | "never"} Retry
 */

/**
 * @typedef {object} Wording
 * @property {string} words       what happened
 * @property {string} next_step   what the person can do
 * @property {Retry} retry        who may open the same link again
 */

/**
 * What happens before, after or without an edge.
 * @satisfies {Record<string, Wording>}
 */
const OWN = {
    no_link: {
        words: "There is no console link in this window.",
        next_step: "Open the link that you were given, or ask for a new one.",
        retry: "never",
    },
    gateway_unreachable: {
        words: "The console gateway cannot be reached.",
        next_step: "Check your network connection.",
        retry: "by_itself",
    },
    connection_lost: {
        words: "The connection was lost.",
        next_step: "Check your network connection.",
        retry: "by_itself",
    },
    gave_up: {
        words: "The console could not be reached for five minutes.",
        next_step: "Check your network connection, then reconnect; if it stays so, tell the operator.",
        retry: "by_person",
    },
    no_page: {
        words: "This page cannot show consoles of this kind.",
        next_step: "Ask for a link to another console of the guest, or use a native client.",
        retry: "never",
    },
    not_loaded: {
        words: "A part of this page could not be loaded.",
        next_step: "Check your network connection, then reload the page.",
        retry: "by_itself",
    },
    not_understood: {
        words: "The guest's screen asks for something that this page does not speak.",
        next_step: "Use a native viewer, or tell the operator.",
        retry: "by_person",
    },
    left: {
        words: "You have disconnected.",
        next_step: "You can reconnect while the link is valid.",
        retry: "by_person",
    },
    closed: {
        words: "The console was closed.",
        next_step: "Reconnect, or ask for a new link; if it stays so, tell the operator.",
        retry: "by_person",
    },
};

/** What a page finds out by itself. @typedef {keyof typeof OWN} OwnReason */

/** What codes look like. */
const CODE = /^[a-z][a-z_]{0,39}$/;

/** The reasons of one edge. */
export class Reasons {
    /** @type {Map<string, Wording>} */
    #table = new Map();

    /** @param {Record<string, Wording>} table */
    learn(table) {
        for (const [code, wording] of Object.entries(table)) this.#table.set(code, wording);
    }

    /**
     * @param {string} code
     * @returns {Wording}
     */
    word(code) {
        const own = Object.hasOwn(OWN, code) ? OWN[/** @type {OwnReason} */ (code)] : undefined;
        return own ?? this.#table.get(code) ?? OWN.closed;
    }

    /** Whether this edge knows it. @param {string} code */
    knows(code) {
        return this.#table.has(code);
    }
}

/**
 * A close frame's text, if it can be a reason code. It is a host's word: no other text of it is shown, and none is taken
 * for what only this page can know.
 * @param {string} text
 */
export function isCode(text) {
    return CODE.test(text) && !Object.hasOwn(OWN, text);
}
