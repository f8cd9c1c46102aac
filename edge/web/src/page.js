// A console page, put together: the link out of the URL, the session, the viewer of its kind, the controls.

import { buttons, byId } from "./common/dom.js";
import { ask, connect, reasons as tableOfReasons } from "./common/edge.js";
import { keep, recall } from "./common/keep.js";
import { read } from "./common/link.js";
import { keepPicture, replacePicture } from "./common/picture.js";
import { Reasons } from "./common/reasons.js";
import { Session } from "./common/session.js";
import { applyTheme } from "./common/theme.js";
import { PageView } from "./common/view.js";
import { fitToSight } from "./common/window.js";
import { controls } from "./vnc/controls.js";
import { Viewer } from "./vnc/viewer.js";

applyTheme();
fitToSight();
const { token, settings, clean } = read(location.href);
const link = token ? keep(token) : recall();
// The address bar, the history and what people copy from them hold no link from here on.
history.replaceState(history.state, "", clean);

const reasons = new Reasons();
const view = new PageView(() => tools.arm());
const viewer = new Viewer(byId("screen"), { ...settings, drag: false, keepsKeyboard: false }, {
    shown(socket) {
        performance.mark("porthole:connected");
        replacePicture(socket);
        tools.shown();
    },
    closing() {
        keepPicture(viewer.canvas);
        tools.gone();
    },
    copied: (text) => void tools.copied(text),
    cut: (cut) => tools.cut(cut),
});
const tools = controls(viewer, view, settings);

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
