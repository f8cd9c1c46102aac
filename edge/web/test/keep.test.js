import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { beforeEach, test } from "node:test";
import { keep, recall, secret } from "../src/common/keep.js";

// Older versions of node have it under this name only.
globalThis.crypto ??= /** @type {Crypto} */ (webcrypto);

/** @type {Map<string, string>} */
const kept = new Map();
const storage = {
    getItem: (/** @type {string} */ name) => kept.get(name) ?? null,
    setItem: (/** @type {string} */ name, /** @type {string} */ value) => void kept.set(name, value),
};

/** @param {object} page  what `window` is */
const on = (page) => Object.assign(globalThis, { window: page });

beforeEach(() => {
    kept.clear();
    on({ sessionStorage: storage });
});

test("a link is found again by a reload, with its secret", () => {
    const link = keep("a.b.c");
    assert.deepEqual(recall(), link);
    assert.deepEqual(keep("a.b.c"), link, "the same token keeps the secret that it is bound to");
    assert.notEqual(keep("d.e.f").binding, link.binding);
    assert.equal(recall()?.token, "d.e.f");
});

test("secrets are 32 bytes of base64url, each time others", () => {
    const all = Array.from({ length: 200 }, secret);
    for (const each of all) assert.match(each, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(new Set(all).size, all.length);
});

test("where nothing may be kept a link is as good until the page goes", () => {
    const refuses = () => {
        throw new Error("SecurityError");
    };
    on(Object.defineProperty({}, "sessionStorage", { get: refuses }));
    assert.equal(keep("a.b.c").token, "a.b.c");
    assert.equal(recall(), null);
    on({ sessionStorage: { getItem: refuses, setItem: refuses } });
    assert.equal(keep("a.b.c").token, "a.b.c");
    assert.equal(recall(), null);
});

test("what somebody else left there is no link", () => {
    for (const text of ["", "{", "null", "7", "{}", '{"token":1,"binding":"x"}', '{"token":"x"}']) {
        kept.set("porthole.link", text);
        assert.equal(recall(), null, text);
    }
});
