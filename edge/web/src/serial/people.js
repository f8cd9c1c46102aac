// Who is on a serial port, in words. Pure.

/** @typedef {import("../common/edge.js").Holder} Holder */
/** @typedef {import("../common/reasons.js").Wording} Wording */
/** @typedef {import("./wire.js").PortState} PortState */

/**
 * What the status line says of an open port.
 * @param {PortState} state
 */
export function whoIsHere(state) {
    const others = state.watchers - (state.role === "watcher" ? 1 : 0);
    const audience = others > 0 ? ` ${others} ${others === 1 ? "other watches" : "others watch"}.` : "";
    const guest = state.attached ? "" : " The guest does not run.";
    if (state.role === "writer") return `You write.${audience}${guest}`;
    const writer = state.writer ? `${named(state.writer)} writes.` : "Nobody writes.";
    return `You watch. ${writer}${audience}${guest}`;
}

/**
 * Somebody has the port, and this link may not take it over, or nobody has said that it should.
 * @param {Holder} holder
 * @param {boolean} force
 * @returns {Wording}
 */
export function held(holder, force) {
    const since = holder.since ? ` since ${holder.since.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
    const client = holder.who && holder.client ? `, from ${host(holder.client)}` : "";
    return {
        words: `${named(holder)} has this console open.`,
        next_step: `They write to it${since}${client}. ` +
            (force ? "Reconnect to take it over." : "Try again later, or ask for a link that may take over."),
        retry: "by_person",
    };
}

/** @param {Holder} holder */
export function named({ who, client }) {
    if (who) return who;
    return client ? `Somebody at ${host(client)}` : "Somebody";
}

/** An address without its port, which means nothing to anybody. @param {string} client */
function host(client) {
    return client.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}
