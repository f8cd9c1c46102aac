// What every console page does with its link: opens the session, and lets the person's buttons and a network that comes
// back act on it.

import { buttons } from "./dom.js";
import { ask, reasons as tableOfReasons } from "./edge.js";
import { keep, recall } from "./keep.js";
import { read } from "./link.js";
import { Reasons } from "./reasons.js";
import { Session } from "./session.js";
import { applyTheme } from "./theme.js";
import { fitToSight } from "./window.js";

/** @typedef {import("./keep.js").Link} Link */
/** @typedef {import("./session.js").Parts} Parts */
/** @typedef {import("./view.js").PageView} PageView */

/** The link of this window, taken out of its address, and how the person wants the console. */
export function arrive() {
    applyTheme();
    fitToSight();
    const { token, settings, clean } = read(location.href);
    const link = token ? keep(token) : recall();
    // The address bar, the history and what people copy from them hold no link from here on.
    history.replaceState(history.state, "", clean);
    return { link, settings };
}

/**
 * @param {Link | null} link
 * @param {PageView} view
 * @param {Pick<Parts, "connect" | "viewerOf" | "refuses">} how
 */
export function open(link, view, how) {
    const reasons = new Reasons();
    if (link) {
        const session = new Session({ ...how, link, ask, reasons, view, now: () => performance.now() });
        for (const button of buttons("reconnect")) button.addEventListener("click", () => session.reconnect());
        for (const button of buttons("disconnect")) button.addEventListener("click", () => session.leave());
        // A network that has come back, and a person who has, are worth a try at once.
        const hurry = () => view.state === "reconnecting" && session.reconnect();
        window.addEventListener("online", hurry);
        document.addEventListener("visibilitychange", () => !document.hidden && hurry());
        void session.run();
    } else {
        view.tell("refused", "no_link", reasons.word("no_link"));
    }
    for (const button of buttons("close")) {
        button.addEventListener("click", () => {
            // Only windows that a script has opened may be closed.
            window.close();
            view.putAway();
        });
    }
    // What this edge would say, for when it cannot. After the question what the link is for: nothing waits for this.
    tableOfReasons().then((table) => reasons.learn(table), () => {});
}
