// A serial console's page, put together: the link out of the URL, the session, the terminal, the controls.

import { byId } from "./common/dom.js";
import { connect } from "./common/edge.js";
import { arrive, open } from "./common/open.js";
import { PageView } from "./common/view.js";
import { controls } from "./serial/controls.js";
import { held, whoIsHere } from "./serial/people.js";
import { styleByObjects } from "./serial/policy.js";
import { Screen } from "./serial/terminal.js";
import { Viewer } from "./serial/viewer.js";
import { PROTOCOL } from "./serial/wire.js";

const { link } = arrive();
styleByObjects();
const view = new PageView((state) => tools.arm(state));
const screen = new Screen(byId("screen"), {
    typed: (text) => viewer.type(tools.held(text)),
    sent: (bytes) => viewer.type(bytes),
});
const viewer = new Viewer(screen, {
    state(state) {
        view.detail = whoIsHere(state);
        tools.state(state);
    },
    refused: (what, why) => tools.refused(what, why),
    gone: () => tools.gone(),
});
const tools = controls(screen, viewer, view);

open(link, view, {
    connect: (to) => connect(to, [PROTOCOL, "binary"]),
    viewerOf: (kind) => (kind === "serial" ? viewer.show.bind(viewer) : null),
    refuses: ({ writer, readOnly, force }, byItself) => {
        if (!writer || readOnly || (force && !byItself)) return null;
        return { reason: "in_use", wording: held(writer, force === true) };
    },
});
