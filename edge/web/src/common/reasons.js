// Why a console was refused or ended, in words: the edge's table, and the few things that only a page can know.

/**
 * @typedef {object} Wording
 * @property {string} words       what happened
 * @property {string} next_step   what the person can do
 * @property {boolean} reconnect  it passes by itself: the page tries again
 */

/**
 * What happens before or without an edge.
 * @type {Record<string, Wording>}
 */
const OWN = {
    no_link: {
        words: "There is no console link in this window.",
        next_step: "Open the link that you were given, or ask for a new one.",
        reconnect: false,
    },
    gateway_unreachable: {
        words: "The console gateway cannot be reached.",
        next_step: "Check your network connection.",
        reconnect: true,
    },
    connection_lost: {
        words: "The connection was lost.",
        next_step: "Check your network connection.",
        reconnect: true,
    },
    gave_up: {
        words: "The console could not be reached for five minutes.",
        next_step: "Check your network connection, then reconnect; if it stays so, tell the operator.",
        reconnect: false,
    },
    no_page: {
        words: "This page cannot show consoles of this kind.",
        next_step: "Ask for a link to another console of the guest, or use a native client.",
        reconnect: false,
    },
    not_secure: {
        words: "This page was not loaded securely.",
        next_step: "Open it with https:// instead of http://.",
        reconnect: false,
    },
    not_understood: {
        words: "The guest's screen asks for something that this page does not speak.",
        next_step: "Use a native viewer, or tell the operator.",
        reconnect: false,
    },
    left: {
        words: "You have disconnected.",
        next_step: "You can reconnect while the link is valid.",
        reconnect: false,
    },
};

const UNKNOWN = {
    words: "The console was closed.",
    next_step: "Ask for a new link; if it stays so, tell the operator.",
    reconnect: false,
};

/** The reasons of one edge. */
export class Reasons {
    /** @type {Record<string, Wording>} */
    #table = {};

    /** @param {Record<string, Wording>} table */
    learn(table) {
        this.#table = { ...this.#table, ...table };
    }

    /**
     * @param {string} code
     * @returns {Wording}
     */
    word(code) {
        return OWN[code] ?? this.#table[code] ?? UNKNOWN;
    }

    /** Whether the code is one that this page knows. @param {string} code */
    knows(code) {
        return code in OWN || code in this.#table;
    }
}
