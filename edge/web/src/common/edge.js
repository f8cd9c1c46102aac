// What a page asks its edge. Addresses are relative to the page, so that a prefix before all of them does no harm.

/** @typedef {import("./keep.js").Link} Link */
/** @typedef {import("./reasons.js").Wording} Wording */
/** @typedef {import("./reasons.js").Retry} Retry */

/**
 * @typedef {object} About
 * @property {string} kind       `vnc`, `spice`, `serial` or `tcp`
 * @property {string} name       the guest's
 * @property {boolean} readOnly  the agent takes no input of this session
 * @property {boolean} [force]   it may take over from who writes
 * @property {Holder | null} [writer]  who else writes, where only one may
 */

/**
 * Who writes to a serial port.
 * @typedef {object} Holder
 * @property {string | null} who      whom the link was made for
 * @property {string | null} client   the address that they came from
 * @property {Date | null} since
 */

/** The edge says no. */
export class Refused extends Error {
    /**
     * @param {string} reason
     * @param {Partial<Wording>} wording
     */
    constructor(reason, wording) {
        super(reason);
        this.reason = reason;
        this.wording = wording;
    }
}

/** The edge does not answer, or somebody else does. */
export class Unreachable extends Error {}

/** How long an answer may take: an edge waits for an agent for 10 seconds. */
const PATIENCE = 15_000;

/**
 * What the link is for. Nothing is used up by asking.
 * @param {Link} link
 * @returns {Promise<About>}
 */
export async function ask(link) {
    const answer = await json("api/console", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ token: link.token, binding: link.binding }),
    });
    return {
        kind: String(answer.kind),
        name: String(answer.name),
        readOnly: answer.read_only === true,
        force: answer.force === true,
        writer: holder(answer.writer),
    };
}

/**
 * Somebody who writes, as an edge or an agent says it.
 * @param {unknown} value
 * @returns {Holder | null}
 */
export function holder(value) {
    if (typeof value !== "object" || value === null) return null;
    const { who, client, since } = /** @type {Record<string, unknown>} */ (value);
    // An agent counts seconds, an edge writes it out.
    const date = typeof since === "number" ? new Date(since * 1000) : typeof since === "string" ? new Date(since) : null;
    return {
        who: typeof who === "string" ? who : null,
        client: typeof client === "string" ? client : null,
        since: date && !Number.isNaN(date.getTime()) ? date : null,
    };
}

/**
 * The table of reasons.
 * @returns {Promise<Record<string, Wording>>}
 */
export function reasons() {
    return json("api/reasons", {});
}

/**
 * The console itself.
 * @param {Link} link
 * @param {string[]} [protocols]   what is spoken, the best first
 */
export function connect(link, protocols = ["binary"]) {
    const url = new URL("websockify", location.href);
    url.protocol = url.protocol === "http:" ? "ws:" : "wss:";
    url.search = new URLSearchParams({ token: link.token }).toString();
    return new WebSocket(url, [...protocols, `porthole.bind.${link.binding}`]);
}

/**
 * @param {string} path
 * @param {RequestInit} request
 */
async function json(path, request) {
    let response;
    let body;
    try {
        response = await fetch(path, { ...request, credentials: "omit", signal: AbortSignal.timeout(PATIENCE) });
        body = await response.json();
    } catch (error) {
        throw new Unreachable("no answer", { cause: error });
    }
    if (response.ok) return body;
    if (typeof body?.reason !== "string") throw new Unreachable(`status ${response.status}`);
    const { words, next_step, retry } = body;
    const worded = typeof words === "string" && typeof next_step === "string" && typeof retry === "string";
    throw new Refused(body.reason, worded ? { words, next_step, retry: /** @type {Retry} */ (retry) } : {});
}
