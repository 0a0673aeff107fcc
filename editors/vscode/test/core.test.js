"use strict";

const assert = require("node:assert/strict");
const test = require("node:test");
const { AFTER, BEFORE, Memory, around, replaced, requestBody, takes, textOf } = require("../src/core");

test("a short text is sent whole", () => {
  assert.deepEqual(around("abcdef", 2), { prefix: "ab", suffix: "cdef" });
  assert.deepEqual(around("", 0), { prefix: "", suffix: "" });
});

test("the far ends of a long text are cut, and the cut holds still while somebody types", () => {
  const text = Array.from({ length: 60_000 }, (_, i) => String(i % 10)).join("");
  const offset = 40_123;
  const { prefix, suffix } = around(text, offset);
  assert.ok(prefix.length <= BEFORE && prefix.length >= BEFORE / 2);
  assert.equal(suffix.length, AFTER);
  assert.ok(text.startsWith(prefix, offset - prefix.length));
  const typed = around(`${text.slice(0, offset)}x${text.slice(offset)}`, offset + 1);
  assert.equal(typed.prefix, `${prefix}x`);
});

test("no character is cut in half", () => {
  const text = "🙂".repeat(BEFORE);
  for (const offset of [BEFORE, BEFORE + 2, BEFORE + 4]) {
    const { prefix, suffix } = around(`${text.slice(0, 1)}${text}`.slice(1), offset);
    for (const part of [prefix, suffix]) assert.ok(part.isWellFormed?.() ?? true);
  }
  const odd = around(`a${text}`, BEFORE + 3);
  assert.equal(odd.prefix, Buffer.from(odd.prefix, "utf8").toString("utf8"));
  assert.equal(odd.suffix, Buffer.from(odd.suffix, "utf8").toString("utf8"));
});

test("the request is one of a typing session", () => {
  const wanted = { maxTokens: 7, language: "go", model: "" };
  const body = requestBody({ prefix: "a", suffix: "b" }, wanted);
  assert.deepEqual(body, {
    prompt: "a", suffix: "b", max_tokens: 7, temperature: 0, seed: 0, language: "go", session: true,
  });
  assert.equal(requestBody({ prefix: "a", suffix: "b" }, { ...wanted, model: " mine " }).model, "mine");
});

test("white space alone and odd replies are nothing to show", () => {
  for (const reply of [null, {}, { choices: [] }, { choices: [{}] }, { choices: [{ text: " \n" }] }]) {
    assert.equal(textOf(reply), "");
  }
  assert.equal(textOf({ choices: [{ text: "x" }] }), "x");
});

test("what is typed through is not asked for again", () => {
  const memory = new Memory();
  memory.remember({ prefix: "x = ", suffix: "\n", text: "foo(1)", id: "7" });
  assert.deepEqual(memory.find({ prefix: "x = ", suffix: "\n" }), { text: "foo(1)", id: "7" });
  assert.deepEqual(memory.find({ prefix: "x = fo", suffix: "\n" }), { text: "o(1)", id: "7" });
  assert.equal(memory.find({ prefix: "x = g", suffix: "\n" }), null);
  assert.equal(memory.find({ prefix: "x = foo(1)", suffix: "\n" }), null);
  assert.equal(memory.find({ prefix: "x =", suffix: "\n" }), null);
  assert.equal(memory.find({ prefix: "x = f", suffix: "y" }), null);
});

test("the latest answer leads, and old ones are forgotten", () => {
  const memory = new Memory();
  memory.remember({ prefix: "a", suffix: "", text: "bcd", id: "1" });
  memory.remember({ prefix: "ab", suffix: "", text: "xyz", id: "2" });
  assert.equal(memory.find({ prefix: "ab", suffix: "" })?.text, "xyz");
  for (let i = 0; i < 100; i++) memory.remember({ prefix: `p${i}`, suffix: "", text: "t", id: "" });
  assert.equal(memory.find({ prefix: "ab", suffix: "" }), null);
});

test("closing characters that the text says again are replaced", () => {
  assert.equal(replaced("foo(1)", ")"), 1);
  assert.equal(replaced("foo(1)", ")  "), 1);
  assert.equal(replaced("'a'])", "])"), 2);
  assert.equal(replaced("foo(1", ")"), 0);
  assert.equal(replaced("foo(1)", ""), 0);
  assert.equal(replaced("foo + bar", "bar"), 0);
  assert.equal(replaced("foo(1)\nbar()", ")"), 0);
});

test("languages are those named, or all", () => {
  assert.ok(takes("go", ["*"]));
  assert.ok(takes("go", ["python", "go"]));
  assert.ok(!takes("go", ["python"]));
});
