// A guest's screen, put together: the link out of the URL, the session, the viewer, the controls.

import { byId } from "./common/dom.js";
import { connect } from "./common/edge.js";
import { arrive, open } from "./common/open.js";
import { keepPicture, replacePicture } from "./common/picture.js";
import { PageView } from "./common/view.js";
import { controls } from "./vnc/controls.js";
import { Viewer } from "./vnc/viewer.js";

const { link, settings } = arrive();
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

open(link, view, { connect, viewerOf: (kind) => (kind === "vnc" ? viewer.show.bind(viewer) : null) });
