import assert from "node:assert/strict";
import { test } from "node:test";
import { Reasons } from "../src/common/reasons.js";

/** @type {import("../src/common/reasons.js").Wording} */
const ROW = { words: "Words.", next_step: "Next.", retry: "by_itself" };

test("the edge's words are used, the page's own come first, and nothing is left without words", () => {
    const reasons = new Reasons();
    assert.equal(reasons.knows("draining"), false);
    reasons.learn({ draining: ROW, left: ROW });
    assert.equal(reasons.word("draining"), ROW);
    assert.notEqual(reasons.word("left"), ROW);
    for (const code of ["unheard_of", "constructor", "__proto__", ""]) {
        assert.equal(reasons.knows(code), false);
        assert.ok(reasons.word(code).words.endsWith("."), code);
        assert.equal(reasons.word(code).retry, "by_person");
    }
});
