import assert from "node:assert/strict";
import { test } from "node:test";
import { chord, type, typeAll } from "../src/vnc/keyboard.js";
import { ALT, COMBINATIONS, CONTROL, DELETE, HELD, SINGLE, typed } from "../src/vnc/keys.js";
import { difference, GROUND } from "../src/vnc/touch.js";

/** What was pressed, as text: `+` down, `-` up. */
function recorder() {
    /** @type {string[]} */
    const log = [];
    /** @param {import("../src/vnc/keys.js").Key} key @param {boolean} down */
    const press = (key, down) => void log.push(`${down ? "+" : "-"}${key.code || key.keysym.toString(16)}`);
    return { log, press };
}

test("a combination is released in the other order", () => {
    const { log, press } = recorder();
    chord(press, [CONTROL, ALT, DELETE]);
    assert.deepEqual(log, ["+ControlLeft", "+AltLeft", "+Delete", "-Delete", "-AltLeft", "-ControlLeft"]);
});

test("every printable character of a US keyboard has its key, and shift where it is needed", () => {
    for (let point = 0x20; point < 0x7f; point += 1) {
        const how = typed(String.fromCodePoint(point));
        assert.ok(how?.key.code, String.fromCodePoint(point));
        assert.equal(how.key.keysym, point);
    }
    const { log, press } = recorder();
    type(press, "A");
    type(press, "!");
    type(press, "a");
    assert.deepEqual(log, ["+ShiftLeft", "+KeyA", "-KeyA", "-ShiftLeft", "+ShiftLeft", "+Digit1", "-Digit1", "-ShiftLeft",
        "+KeyA", "-KeyA"]);
});

test("other characters are named by keysym, and control characters have none", () => {
    assert.deepEqual(typed("é"), { key: { keysym: 0xe9, code: "" }, shift: false });
    assert.deepEqual(typed("€"), { key: { keysym: 0x010020ac, code: "" }, shift: false });
    assert.deepEqual(typed("😀"), { key: { keysym: 0x0101f600, code: "" }, shift: false });
    assert.equal(typed("\n")?.key.code, "Enter");
    assert.equal(typed("\u0007"), null);
});

test("a text is typed whole, with one Enter for each end of line, and stops when told", async () => {
    const { log, press } = recorder();
    assert.equal(await typeAll(press, "a\r\nb", new AbortController().signal), 3);
    assert.deepEqual(log, ["+KeyA", "-KeyA", "+Enter", "-Enter", "+KeyB", "-KeyB"]);
    assert.equal(await typeAll(press, "abc", AbortSignal.abort()), 0);
});

test("buttons have ids of their own", () => {
    for (const list of [COMBINATIONS, HELD, SINGLE]) {
        const ids = list.map(({ id }) => id);
        assert.equal(new Set(ids).size, ids.length);
    }
});

test("what a touch keyboard did is seen from what its field became", () => {
    assert.deepEqual(difference(GROUND, `${GROUND}a`), { deleted: 0, typed: "a" });
    assert.deepEqual(difference(GROUND, GROUND.slice(1)), { deleted: 1, typed: "" });
    assert.deepEqual(difference(`${GROUND}helo`, `${GROUND}hello`), { deleted: 1, typed: "lo" });
    assert.deepEqual(difference(`${GROUND}hi`, `${GROUND}`), { deleted: 2, typed: "" });
});
