import assert from "node:assert/strict";
import { test } from "node:test";
import { Held } from "../src/vnc/held.js";
import { chord, MOST_TYPED, toType, type, typeAll } from "../src/vnc/keyboard.js";
import { ALT, COMBINATIONS, CONTROL, DELETE, HELD, named, SHIFT, SINGLE, STRIP, typed } from "../src/vnc/keys.js";
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
    /** @type {number[]} */
    const told = [];
    const { characters } = toType("a\r\nb");
    assert.equal(await typeAll(press, characters, new AbortController().signal, (count) => told.push(count)), 3);
    assert.deepEqual(log, ["+KeyA", "-KeyA", "+Enter", "-Enter", "+KeyB", "-KeyB"]);
    assert.deepEqual(told, [1, 2, 3]);
    const stop = new AbortController();
    assert.equal(await typeAll(press, [..."abc"], stop.signal, (count) => count === 2 && stop.abort()), 2);
});

test("what is too long or not on the keyboard is known before it is typed", () => {
    assert.deepEqual(toType("aé\u0007b"), { characters: ["a", "é", "\u0007", "b"], left: 0, doubtful: 2 });
    const long = toType("x".repeat(MOST_TYPED + 7));
    assert.deepEqual([long.characters.length, long.left], [MOST_TYPED, 7]);
});

test("buttons have ids of their own, and names where their label alone says little", () => {
    const combinations = COMBINATIONS.flatMap((group) => group.combinations);
    for (const list of [combinations, HELD, SINGLE, STRIP]) {
        const ids = list.map(({ id }) => id);
        assert.equal(new Set(ids).size, ids.length);
    }
    for (const { label, name } of [...combinations, ...SINGLE]) assert.ok(name || label.length > 1, label);
});

test("keys that write nothing are known by the browser's names", () => {
    assert.equal(named("ArrowLeft")?.keysym, 0xff51);
    assert.equal(named("Enter")?.code, "Enter");
    assert.equal(named("F5")?.code, "F5");
    for (const name of ["a", "Unidentified", "Process", "CapsLock", "Shift"]) assert.equal(named(name), null, name);
});

test("a modifier is held until it is pressed again", () => {
    const { log, press } = recorder();
    const held = new Held(press, () => {});
    held.toggle(SHIFT);
    held.spend();
    assert.equal(held.state(SHIFT), "held");
    held.toggle(SHIFT);
    assert.deepEqual(log, ["+ShiftLeft", "-ShiftLeft"]);
});

test("over a touch keyboard a modifier is for the next key, or locked", () => {
    const { log, press } = recorder();
    const held = new Held(press, () => {});
    held.cycle(CONTROL);
    held.spend();
    assert.deepEqual(log, ["+ControlLeft", "-ControlLeft"]);
    held.cycle(CONTROL);
    held.cycle(CONTROL);
    held.spend();
    assert.equal(held.state(CONTROL), "held");
    held.cycle(CONTROL);
    assert.deepEqual(log, ["+ControlLeft", "-ControlLeft", "+ControlLeft", "-ControlLeft"]);
});

test("all that is held can be let go of, or forgotten when the guest is gone", () => {
    const { log, press } = recorder();
    const held = new Held(press, () => {});
    held.toggle(CONTROL);
    held.cycle(ALT);
    held.release();
    assert.deepEqual(log, ["+ControlLeft", "+AltLeft", "-ControlLeft", "-AltLeft"]);
    held.toggle(CONTROL);
    held.forget();
    assert.equal(held.state(CONTROL), "up");
    assert.equal(log.length, 5);
});

test("what a touch keyboard did is seen from what its field became", () => {
    assert.deepEqual(difference(GROUND, `${GROUND}a`), { deleted: 0, typed: ["a"] });
    assert.deepEqual(difference(GROUND, GROUND.slice(1)), { deleted: 1, typed: [] });
    assert.deepEqual(difference(`${GROUND}helo`, `${GROUND}hello`), { deleted: 1, typed: ["l", "o"] });
    assert.deepEqual(difference(`${GROUND}hi`, `${GROUND}`), { deleted: 2, typed: [] });
    // Characters that are two units of UTF-16 and share the first.
    assert.deepEqual(difference("😀", "😁"), { deleted: 1, typed: ["😁"] });
});
