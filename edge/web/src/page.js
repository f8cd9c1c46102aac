// A console page, put together: the link out of the URL, the session, the viewer of its kind, the controls.

import { buttons, byId } from "./common/dom.js";
import { ask, connect, reasons as tableOfReasons } from "./common/edge.js";
import { keep, recall } from "./common/keep.js";
import { read } from "./common/link.js";
import { Reasons } from "./common/reasons.js";
import { Session } from "./common/session.js";
import { applyTheme } from "./common/theme.js";
import { PageView } from "./common/view.js";
import { controls } from "./vnc/controls.js";
import { Viewer } from "./vnc/viewer.js";

applyTheme();
const { token, settings, clean } = read(location.href);
const link = token ? keep(token) : recall();
// The address bar, the history and what people copy from them hold no link from here on.
history.replaceState(history.state, "", clean);

const reasons = new Reasons();
// What this edge would say, for when it cannot. Nothing waits for it.
tableOfReasons().then((table) => reasons.learn(table), () => {});

const last = /** @type {HTMLCanvasElement} */ (byId("last"));
const view = new PageView(() => tools.arm());
const viewer = new Viewer(byId("screen"), {
    shown() {
        performance.mark("porthole:connected");
        last.hidden = true;
        tools.shown();
    },
    closing() {
        keepPicture();
        tools.gone();
    },
    copied: (text) => tools.copied(text),
});
const tools = controls(viewer, view, settings);

/** Keeps the last picture in sight: what the guest said last may be why it ended. */
function keepPicture() {
    const { canvas } = viewer;
    if (!canvas?.width) return;
    last.width = canvas.width;
    last.height = canvas.height;
    last.getContext("2d")?.drawImage(canvas, 0, 0);
    last.hidden = false;
}

if (link) {
    const session = new Session({
        link,
        ask,
        connect,
        viewerOf: (kind) => (kind === "vnc" ? viewer.show.bind(viewer) : null),
        reasons,
        view,
        now: () => performance.now(),
    });
    for (const button of buttons("reconnect")) button.addEventListener("click", () => session.reconnect());
    for (const button of buttons("disconnect")) button.addEventListener("click", () => session.leave());
    // A network that has come back is worth a try at once.
    window.addEventListener("online", () => view.state === "reconnecting" && session.reconnect());
    void session.run();
} else {
    view.tell("refused", "no_link", reasons.word("no_link"));
}
for (const button of buttons("close")) {
    button.addEventListener("click", () => {
        // Only windows that a script has opened may be closed; else the last picture is left to look at.
        window.close();
        byId("notice").hidden = true;
    });
}
