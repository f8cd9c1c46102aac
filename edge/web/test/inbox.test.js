import assert from "node:assert/strict";
import { test } from "node:test";
import { inbox } from "../src/common/inbox.js";

test("what came before anybody read it is read first, once, and in order", () => {
    const socket = /** @type {WebSocket} */ (/** @type {unknown} */ (new EventTarget()));
    const say = (/** @type {string} */ data) => socket.dispatchEvent(new MessageEvent("message", { data }));
    const deliver = inbox(socket);
    assert.equal(socket.binaryType, "arraybuffer");
    say("RFB 003.008");
    say("1");
    /** @type {string[]} */
    const read = [];
    socket.addEventListener("message", ({ data }) => read.push(data));
    deliver();
    say("2");
    assert.deepEqual(read, ["RFB 003.008", "1", "2"]);
});
