import assert from "node:assert/strict";
import { test } from "node:test";
import { read } from "../src/common/link.js";

const at = (/** @type {string} */ rest) => read(`https://consoles.example.org/${rest}`);

test("a token is taken out of the query, and nothing of it stays", () => {
    const { token, clean } = at("vnc_auto.html?token=a.b-_.c&view_only=1#token=x");
    assert.equal(token, "a.b-_.c");
    assert.equal(clean, "/vnc_auto.html?view_only=1");
});

test("noVNC's path carries a token, too", () => {
    assert.equal(at("vnc.html?path=websockify%3Ftoken%3Da.b.c").token, "a.b.c");
    assert.equal(at("vnc.html?path=%3Fx%3D1%26token%3Da.b.c").token, "a.b.c");
    assert.equal(at("vnc.html?path=%3Ftoken%3Da.b.c").clean, "/vnc.html");
    assert.equal(at("vnc.html?path=websockify").token, null);
});

test("an empty token is none", () => {
    assert.equal(at("console?token=").token, null);
    assert.equal(at("console").token, null);
});

test("settings have noVNC's names", () => {
    const none = { viewOnly: false, scale: true, resize: false, quality: null, compression: null };
    assert.deepEqual(at("console").settings, none);
    assert.deepEqual(at("console?view_only=true&resize=off").settings, { ...none, viewOnly: true, scale: false });
    assert.deepEqual(at("console?view_only=0&resize=scale").settings, none);
    assert.deepEqual(at("console?resize=remote").settings, { ...none, resize: true });
    assert.deepEqual(at("console?quality=9&compression=0").settings, { ...none, quality: 9, compression: 0 });
    assert.deepEqual(at("console?quality=10&compression=x").settings, none);
});
