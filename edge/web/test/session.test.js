import assert from "node:assert/strict";
import { test } from "node:test";
import { Refused, Unreachable } from "../src/common/edge.js";
import { Reasons } from "../src/common/reasons.js";
import { Session } from "../src/common/session.js";

/** @typedef {import("../src/common/session.js").End} End */

const LINK = { token: "a.b.c", binding: "x".repeat(43) };
const ABOUT = { kind: "vnc", name: "web-01", readOnly: false };

/**
 * A session whose edge and screen follow a script. Waits are over at once: the clock jumps.
 * @param {(Error | End)[]} script  what each attempt ends with; a question is answered unless an error comes
 * @param {() => Promise<typeof ABOUT>} [answer]
 */
function play(script, answer = async () => ABOUT) {
    const reasons = new Reasons();
    const row = (/** @type {import("../src/common/reasons.js").Retry} */ retry) => ({ words: "W.", next_step: "N.", retry });
    reasons.learn({
        killed: row("never"), used: row("never"), edge_draining: row("by_itself"), agent_unreachable: row("by_itself"),
    });
    /** @type {string[]} */
    const told = [];
    let time = 0;
    /** @type {Session} */
    let session;
    const steps = [...script];
    const parts = {
        link: LINK,
        reasons,
        now: () => time,
        ask: async () => {
            if (steps[0] instanceof Error) throw steps.shift();
            return answer();
        },
        connect: () => /** @type {WebSocket} */ ({ close() {} }),
        viewerOf: () => async (/** @type {WebSocket} */ _socket, /** @type {object} */ _about, /** @type {() => void} */ connected) => {
            const end = /** @type {End} */ (steps.shift());
            if (end.opened) connected();
            return end;
        },
        view: {
            meet() {},
            /** @param {string} state @param {string} reason @param {object | null} _wording @param {number} [seconds] */
            tell(state, reason, _wording, seconds) {
                const line = reason ? `${state} ${reason}` : state;
                if (told.at(-1) !== line) told.push(line);
                if (state === "reconnecting" && seconds) {
                    time += seconds * 1000;
                    queueMicrotask(() => session.reconnect());
                }
            },
        },
    };
    session = new Session(/** @type {import("../src/common/session.js").Parts} */ (parts));
    return { session, told };
}

const end = (/** @type {boolean} */ opened, /** @type {number} */ code, text = "") => ({ opened, code, text });

test("an end that only a person can mend is told, and nothing is tried", async () => {
    const { session, told } = play([end(true, 4413, "killed")]);
    await session.run();
    assert.deepEqual(told, ["asking", "connecting", "connected", "ended killed"]);
});

test("what passes by itself is tried again, after the link was asked about", async () => {
    const { session, told } = play([end(true, 1012, "edge_draining"), new Unreachable(), end(true, 4413, "killed")]);
    await session.run();
    assert.deepEqual(told, ["asking", "connecting", "connected", "reconnecting edge_draining",
        "reconnecting gateway_unreachable", "connecting", "connected", "ended killed"]);
});

test("a network cut is tried again, and the question finds the cause", async () => {
    const { session, told } = play([end(true, 1006), new Refused("used", {})]);
    await session.run();
    assert.deepEqual(told, ["asking", "connecting", "connected", "reconnecting connection_lost", "refused used"]);
});

test("upgrades that are refused without a cause come to an end", async () => {
    const { session, told } = play(Array.from({ length: 4 }, () => end(false, 1006)));
    await session.run();
    assert.equal(told.at(-1), "refused unreachable");
    assert.equal(told.filter((line) => line === "connecting").length, 4);
});

test("an edge that stays away is given up in the end", async () => {
    const { session, told } = play(Array.from({ length: 100 }, () => new Unreachable()));
    await session.run();
    assert.equal(told.at(-1), "ended gave_up");
});

test("a person who leaves while the edge is asked does not wait for it", async () => {
    const { session, told } = play([], () => new Promise(() => {}));
    const running = session.run();
    session.leave();
    await running;
    assert.deepEqual(told, ["asking", "ended left"]);
});

test("what the viewer found comes before what the close frame says", async () => {
    const { session, told } = play([{ ...end(true, 1000, "client_closed"), found: "not_understood" }]);
    await session.run();
    assert.equal(told.at(-1), "ended not_understood");
});

test("a close frame is a host's word: only codes of it are taken, and none of the page's own", async () => {
    const texts = [["from_another_release", "from_another_release"], ["Call 0800 1234!", "closed"], ["gave_up", "closed"],
        ["constructor", "constructor"], ["__proto__", "closed"], ["", "closed"]];
    for (const [text, reason] of texts) {
        const { session, told } = play([end(true, 4999, text)]);
        await session.run();
        assert.equal(told.at(-1), `ended ${reason}`);
    }
});

test("a restart is waited for, though nobody said what restarts", async () => {
    const { session, told } = play([end(true, 1012), end(true, 1001, "from_another_release"), end(true, 4413, "killed")]);
    await session.run();
    assert.equal(told.filter((line) => line === "reconnecting connection_lost").length, 2);
});

test("a person who leaves stays away until they come back", async () => {
    const { session, told } = play([end(true, 1006), end(true, 4413, "killed")]);
    const running = session.run();
    session.leave();
    await running;
    assert.equal(told.at(-1), "ended left");
    await session.run();
    assert.equal(told.at(-1), "ended killed");
});
