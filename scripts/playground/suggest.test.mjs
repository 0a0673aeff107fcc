// The page's pure part: node --test scripts/playground/suggest.test.mjs

import assert from "node:assert/strict";
import test from "node:test";
import {
  Memory, Pace, choicesOf, firstWord, placeTokens, split,
} from "../../src/codegen25/serve/playground/suggest.js";

const texts = (...all) => all.map((text) => ({ text }));

test("a text parts at the cursor", () => {
  assert.deepEqual(split("abc", 1), { prefix: "a", suffix: "bc" });
});

test("words are accepted one by one, and together they are the whole", () => {
  const whole = "return größe[0]\n    + x_1\n";
  const words = [];
  for (let rest = whole; rest; rest = rest.slice(words.at(-1).length)) {
    words.push(firstWord(rest));
    assert.ok(words.at(-1));
  }
  assert.deepEqual(words, ["return", " größe", "[", "0", "]", "\n    +", " x_1", "\n"]);
  assert.equal(firstWord(""), "");
});

test("typing that agrees goes on with the answer", () => {
  const memory = new Memory();
  const entry = memory.remember("x = ", "\n", texts("foo(1)", "far"));
  assert.deepEqual(memory.find("x = fo", "\n"), { entry, index: 0, used: 2 });
  assert.deepEqual(memory.find("x = fa", "\n"), { entry, index: 1, used: 2 });
  assert.deepEqual(memory.find("x = f", "\n", entry, 1), { entry, index: 1, used: 1 });
  for (const [prefix, suffix] of [["x = g", "\n"], ["x =", "\n"], ["x = foo(1)", "\n"], ["x = f", ""]]) {
    assert.equal(memory.find(prefix, suffix), null);
  }
});

test("the latest answer leads; asked again, it replaces itself; the oldest go", () => {
  const memory = new Memory();
  memory.remember("a", "", texts("bcd"));
  const late = memory.remember("ab", "", texts("xyz"));
  assert.equal(memory.find("ab", "").entry, late);
  const again = memory.remember("ab", "", texts("uvw"));
  assert.equal(memory.find("ab", "").entry, again);
  for (let i = 0; i < 100; i++) memory.remember(`p${i}`, "", texts("t"));
  assert.equal(memory.find("ab", ""), null);
});

test("white space alone is no suggestion", () => {
  const memory = new Memory();
  memory.remember("a", "", texts("b \n"));
  assert.equal(memory.find("ab", ""), null);
});

test("the pause before asking stays within its bounds and follows the typing", () => {
  const fast = new Pace();
  for (let now = 0; now < 3000; now += 60) fast.typed(now);
  const slow = new Pace();
  for (let now = 0; now < 30000; now += 600) slow.typed(now);
  assert.ok(Pace.LEAST <= fast.delay && fast.delay < slow.delay && slow.delay === Pace.MOST);
  for (let i = 0; i < 20; i++) slow.answered(5000);
  assert.equal(slow.delay, Pace.LEAST);
});

const logprobs = (...tokens) => ({
  tokens,
  token_logprobs: tokens.map((_, i) => -i),
  top_logprobs: tokens.map((token) => ({ other: -3, [token]: 0 })),
});

test("tokens have places in the text", () => {
  const placed = placeTokens("a + b", logprobs("a", " +", " b", "<eom>"));
  assert.deepEqual(placed.map(({ start, end }) => [start, end]), [[0, 1], [1, 3], [3, 5]]);
  assert.equal(placed[1].p, Math.exp(-1));
  assert.deepEqual(placed[1].top.map(({ token }) => token), [" +", "other"]);
});

test("a word's typed beginning and what a rule cut off have none", () => {
  const placed = placeTokens("urn x", logprobs(" ret", "urn", " xyz", "!"));
  assert.deepEqual(placed.map(({ token, start, end }) => [token, start, end]), [["urn", 0, 3], [" xyz", 3, 5]]);
});

test("tokens that don't spell the text, or none, are no fault", () => {
  assert.deepEqual(placeTokens("é", logprobs("\ufffd", "\ufffd")), []);
  assert.deepEqual(placeTokens("a", null), []);
  assert.deepEqual(placeTokens("", logprobs("<eom>")), []);
  assert.equal(placeTokens("a", { ...logprobs("a"), top_logprobs: null })[0].top.length, 0);
});

test("each text is one alternative", () => {
  const reply = { choices: [
    { text: "a", stop_reason: "end" }, { text: "b", finish_reason: "length" }, { text: "a" },
  ] };
  assert.deepEqual(
    choicesOf(reply).map(({ text, reason, rule }) => [text, reason, rule]),
    [["a", "end", null], ["b", "length", null]],
  );
  assert.deepEqual(choicesOf({}), []);
});
