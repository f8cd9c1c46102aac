import assert from "node:assert/strict";
import { test } from "node:test";
import { mayReconnect, Reasons } from "../src/common/reasons.js";

const ROW = { words: "Words.", next_step: "Next.", reconnect: true };

test("the edge's words are used, the page's own come first, and nothing is left without words", () => {
    const reasons = new Reasons();
    assert.equal(reasons.knows("draining"), false);
    reasons.learn({ draining: ROW, left: ROW });
    assert.equal(reasons.word("draining"), ROW);
    assert.notEqual(reasons.word("left"), ROW);
    for (const code of ["unheard_of", "constructor", "__proto__", ""]) {
        assert.equal(reasons.knows(code), false);
        assert.ok(reasons.word(code).words.endsWith("."), code);
        assert.equal(reasons.word(code).reconnect, false);
    }
});

test("to reconnect is offered unless the link is worth nothing any more", () => {
    for (const code of ["superseded", "shut_off", "left", "gave_up", "idle", "not_running"]) assert.ok(mayReconnect(code), code);
    for (const code of ["used", "expired", "killed", "limit_reached", "no_link"]) assert.ok(!mayReconnect(code), code);
});
