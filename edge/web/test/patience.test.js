import assert from "node:assert/strict";
import { test } from "node:test";
import { GIVES_UP_AFTER, Patience } from "../src/common/patience.js";

test("waits grow to a bound, and begin anew after a success", () => {
    const patience = new Patience();
    assert.deepEqual([0, 0, 0, 0, 0, 0].map(() => patience.next(0)), [1000, 2000, 4000, 8000, 15000, 15000]);
    patience.rest();
    assert.equal(patience.next(0), 1000);
});

test("it gives up when the time has run out, counted from the first failure", () => {
    const patience = new Patience();
    assert.equal(patience.next(1000), 1000);
    assert.equal(patience.next(1000 + GIVES_UP_AFTER - 1), 2000);
    assert.equal(patience.next(1000 + GIVES_UP_AFTER), null);
    patience.rest();
    assert.equal(patience.next(1000 + GIVES_UP_AFTER), 1000);
});
