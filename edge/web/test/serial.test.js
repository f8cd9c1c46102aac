import assert from "node:assert/strict";
import { test } from "node:test";
import { paced, prepare } from "../src/serial/paste.js";
import { held, whoIsHere } from "../src/serial/people.js";
import { RECENT, Stream } from "../src/serial/stream.js";
import { controlled } from "../src/serial/strip.js";
import { parse } from "../src/serial/wire.js";

const bytes = (/** @type {string} */ text) => new TextEncoder().encode(text);
const text = (/** @type {Uint8Array | string} */ part) => (typeof part === "string" ? part : new TextDecoder().decode(part));

/** A stream, and what it has shown: old bytes in brackets, words in angles. */
function shown() {
    let all = "";
    const stream = new Stream({
        show: (part, old) => void (all += old ? `[${text(part)}]` : text(part)),
        tell: (words) => void (all += `<${words}>`),
    });
    return { stream, all: () => all };
}

test("a stream shows each byte once, over connections that break anywhere", () => {
    const said = "0123456789abcdefghij";
    for (let cut = 0; cut <= said.length; cut += 1) {
        const { stream, all } = shown();
        assert.deepEqual(stream.begin("s", 0), { type: "history", last: RECENT });
        stream.at("s", 0);
        for (const each of said.slice(0, cut)) stream.data(bytes(each));
        stream.end();
        stream.data(bytes("nobody asked"));
        assert.deepEqual(stream.begin("s", 0), { type: "history", start: "s", from: cut });
        stream.at("s", cut);
        stream.data(bytes(said.slice(cut)));
        assert.equal(all(), said);
        assert.equal(stream.offset, said.length);
    }
});

test("what was said before is old, to the byte", () => {
    const { stream, all } = shown();
    stream.begin("s", 7);
    stream.at("s", 4);
    stream.data(bytes("abcdef"));
    assert.equal(all(), "[abc]def");
});

test("what does not come is told in words", () => {
    const { stream, all } = shown();
    stream.begin("s", 0);
    stream.at("s", 0);
    stream.data(bytes("a"));
    stream.skipped(1, 1001, "slow");
    stream.data(bytes("b"));
    stream.skipped(1002, 1002, "lost");
    assert.equal(all(), "a<1,000 bytes were left out: this page was too slow for them.>b<Something may be missing here: nobody was attached to the port.>");
    stream.end();
    stream.begin("s", 5000);
    stream.at("s", 1002);
    stream.skipped(1002, 1002, "lost");
    stream.skipped(1002, 4000, "not_kept");
    assert.ok(all().endsWith("attached to the port.><2,998 bytes are not kept any more.>"), all());
    stream.end();
    stream.begin("other", 3);
    stream.at("other", 0);
    stream.data(bytes("new"));
    assert.ok(all().endsWith("<The guest was started again.>[new]"), all());
});

test("a download collects all that is kept, and shows nothing again", async () => {
    const { stream, all } = shown();
    stream.begin("s", 0);
    stream.at("s", 90);
    stream.data(bytes("shown"));
    /** @type {(string | null)[]} */
    const files = [];
    const done = (/** @type {(Uint8Array | string)[] | null} */ parts) => void files.push(parts && parts.map(text).join(""));
    assert.deepEqual(stream.download(done), { type: "history" });
    assert.equal(stream.download(() => {}), null, "one at a time");
    stream.data(bytes(" on its way"));
    stream.at("s", 0);
    stream.data(bytes("first"));
    stream.skipped(5, 90, "not_kept");
    stream.data(bytes("shown on it"));
    assert.deepEqual(files, []);
    stream.data(bytes("s way, and more"));
    assert.equal(files.pop(), "first\r\n[85 bytes are not kept any more.]\r\nshown on its way, and more");
    assert.equal(all(), "shown on its way, and more");

    stream.download(done);
    stream.end();
    assert.deepEqual(files, [null]);
});

test("pasted text can neither run by itself nor end its brackets", () => {
    assert.deepEqual(prepare("ls -l", false), { text: "ls -l", lines: 1, runs: false, left: 0 });
    assert.deepEqual(prepare("one\r\ntwo\n", false), { text: "one\rtwo\r", lines: 2, runs: true, left: 0 });
    assert.deepEqual(prepare("a\x1b[201~\nrm -rf /\x03\n", true), { text: "\x1b[200~a[201~\rrm -rf /\r\x1b[201~", lines: 2, runs: false, left: 0 });
    assert.equal(prepare("é→😀\t", false).text, "é→😀\t");
    assert.equal(prepare("x".repeat(70_000), false).left, 70_000 - 65_536);
});

test("pasting is paced and can be stopped", async () => {
    /** @type {string[]} */
    const sent = [];
    const stop = new AbortController();
    const wait = async () => void (sent.length === 2 && stop.abort());
    assert.equal(await paced("😀".repeat(200), (part) => sent.push(part), stop.signal, wait), false);
    assert.deepEqual(sent, ["😀".repeat(64), "😀".repeat(64)]);
    sent.length = 0;
    assert.equal(await paced("y".repeat(200), (part) => sent.push(part), new AbortController().signal, async () => {}), true);
    assert.equal(sent.join(""), "y".repeat(200));
});

test("who is here is said in words", () => {
    const mia = { who: "mia", client: "192.0.2.7:40000", since: null };
    const state = /** @type {import("../src/serial/wire.js").PortState} */ ({ role: "writer", watchers: 0, attached: true, writer: mia });
    assert.equal(whoIsHere(state), "You write.");
    assert.equal(whoIsHere({ ...state, watchers: 2, attached: false }), "You write. 2 others watch. The guest does not run.");
    assert.equal(whoIsHere({ ...state, role: "watcher", watchers: 2 }), "You watch. mia writes. 1 other watches.");
    assert.equal(whoIsHere({ ...state, role: "watcher", watchers: 1, writer: null }), "You watch. Nobody writes.");
    assert.equal(held(mia, false).words, "mia has this console open.");
    assert.equal(held({ ...mia, who: null, client: "[2001:db8::1]:9" }, true).words, "Somebody at 2001:db8::1 has this console open.");
    assert.match(held(mia, true).next_step, /take it over/);
});

test("an agent's messages are read, and later ones passed over", () => {
    const state = parse('{"type":"state","role":"watcher","start":"3-71","oldest":0,"end":9,"writer":{"who":"mia","client":null,"since":1000},"watchers":2,"may":"write","can_break":false,"attached":true}');
    assert.ok(state?.type === "state");
    assert.deepEqual(state.state.writer, { who: "mia", client: null, since: new Date(1_000_000) });
    assert.deepEqual([state.state.mayWrite, state.state.mayForce], [true, false]);
    assert.deepEqual(parse('{"type":"at","start":"3-71","offset":4464}'), { type: "at", start: "3-71", offset: 4464 });
    assert.equal(parse('{"type":"resize"}'), null);
    assert.throws(() => parse("no JSON"));
    assert.throws(() => parse('{"type":"at","start":"3-71","offset":-0.5}'));
});

test("Ctrl on a strip of keys", () => {
    assert.equal(controlled("c"), "\x03");
    assert.equal(controlled("["), "\x1b");
    assert.equal(controlled("é"), "é");
});
