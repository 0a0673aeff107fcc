"use strict";

const assert = require("node:assert/strict");
const http = require("node:http");
const test = require("node:test");
const { Document, cancellation, configured, install, registered } = require("./vscode");

const vscode = install();
const { activate } = require("../src/extension");

/** A server that answers with `reply(body, request)`: [status, JSON], or nothing at all. */
async function serve(context, reply) {
  const asked = [];
  const gone = [];
  const server = http.createServer((request, response) => {
    let text = "";
    request.on("data", (part) => (text += part));
    request.on("end", () => {
      const body = JSON.parse(text);
      asked.push({ url: request.url, key: request.headers.authorization, body });
      response.on("close", () => response.writableEnded || gone.push(body));
      const answer = reply(body);
      if (!answer) return;
      response.writeHead(answer[0], { "Content-Type": "application/json" });
      response.end(JSON.stringify(answer[1]));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  Object.assign(configured, {
    endpoint: `http://127.0.0.1:${server.address().port}`,
    delay: 0, apiKey: "", languages: ["*"], enabled: true, maxTokens: 64, model: "",
  });
  return { asked, gone };
}

function start() {
  registered.providers.length = 0;
  activate({ subscriptions: [] });
  return registered.providers[0];
}

const says = (text) => () => [200, { choices: [{ text }] }];
const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

function suggest(provider, marked, { language, kind = 1, token = cancellation().token } = {}) {
  const document = new Document(marked.replace("‸", ""), language);
  const position = document.positionAt(marked.indexOf("‸"));
  return provider.provideInlineCompletionItems(document, position, { triggerKind: kind }, token);
}

test("a suggestion stands at the cursor, and typing along asks no more", async (t) => {
  const { asked } = await serve(t, says("width * height"));
  const provider = start();
  const [item] = await suggest(provider, "def area():\n    return ‸\n");
  assert.equal(item.insertText, "width * height");
  assert.deepEqual(item.range.start, new vscode.Position(1, 11));
  assert.deepEqual(item.range.end, new vscode.Position(1, 11));
  assert.equal(asked[0].url, "/v1/completions");
  assert.equal(asked[0].body.prompt, "def area():\n    return ");
  assert.equal(asked[0].body.suffix, "\n");
  assert.equal(asked[0].body.session, true);
  const [rest] = await suggest(provider, "def area():\n    return wid‸\n");
  assert.equal(rest.insertText, "th * height");
  assert.equal(asked.length, 1);
});

test("the server is told the id of what was accepted, and nothing else", async (t) => {
  let status = 200;
  const { asked } = await serve(t, () => [status, { id: "cmpl-7", choices: [{ text: "a + b" }] }]);
  const provider = start();
  await suggest(provider, "x = ‸\n");
  const [rest] = await suggest(provider, "x = a ‸\n");
  assert.equal(asked.length, 1);
  await registered.commands[rest.command.command](...rest.command.arguments);
  assert.equal(asked[1].url, "/v1/events");
  assert.deepEqual(asked[1].body, { type: "select", completion_id: "cmpl-7", choice_index: 0 });
  status = 404; // another server, which knows no events: nobody is bothered
  await registered.commands[rest.command.command]("?");
  configured.endpoint = "http://127.0.0.1:9";
  await registered.commands[rest.command.command]("?");
});

test("a model is named when one is set", async (t) => {
  const { asked } = await serve(t, says("x"));
  const provider = start();
  await suggest(provider, "a‸");
  configured.model = "mine";
  await suggest(provider, "b‸");
  assert.deepEqual(asked.map((each) => each.body.model), [undefined, "mine"]);
});

test("a bracket that the editor closed is replaced", async (t) => {
  await serve(t, says("1, 2)"));
  const [item] = await suggest(start(), "print(‸)\n");
  assert.deepEqual(item.range.end, new vscode.Position(0, 7));
});

test("cancelling ends the request at the server", async (t) => {
  const { asked, gone } = await serve(t, () => null);
  const { token, cancel } = cancellation();
  const suggestion = suggest(start(), "a‸", { token });
  await until(() => asked.length === 1);
  cancel();
  assert.deepEqual(await suggestion, []);
  await until(() => gone.length === 1);
  assert.equal(registered.status.text, "codegen25");
});

test("cancelling within the delay asks nothing", async (t) => {
  const { asked } = await serve(t, says("x"));
  configured.delay = 50;
  const { token, cancel } = cancellation();
  const suggestion = suggest(start(), "a‸", { token });
  cancel();
  assert.deepEqual(await suggestion, []);
  assert.equal(asked.length, 0);
});

test("the key is sent, and a slash or /v1 at the endpoint's end does no harm", async (t) => {
  const { asked } = await serve(t, says("x"));
  configured.apiKey = "secret";
  configured.endpoint += "/v1/";
  await suggest(start(), "a‸");
  assert.deepEqual([asked[0].url, asked[0].key], ["/v1/completions", "Bearer secret"]);
});

test("other languages and a switched-off extension ask nothing, unless by hand", async (t) => {
  const { asked } = await serve(t, says("x"));
  const provider = start();
  configured.languages = ["python"];
  assert.deepEqual(await suggest(provider, "a‸", { language: "go" }), []);
  await registered.commands["codegen25.toggle"]();
  assert.equal(configured.enabled, false);
  assert.match(registered.status.tooltip, /off/);
  assert.deepEqual(await suggest(provider, "a‸"), []);
  assert.equal(asked.length, 0);
  assert.equal((await suggest(provider, "a‸", { kind: 0 })).length, 1);
});

test("what went wrong is said in the status bar, never thrown", async (t) => {
  let reply = [401, { error: { message: "no" } }];
  await serve(t, () => reply);
  const provider = start();
  assert.deepEqual(await suggest(provider, "a‸"), []);
  assert.match(registered.status.tooltip, /API key/);
  reply = [400, { error: { message: "max_tokens is 900" } }];
  await suggest(provider, "b‸");
  assert.match(registered.status.tooltip, /max_tokens is 900/);
  configured.endpoint = "http://127.0.0.1:9";
  await suggest(provider, "c‸");
  assert.match(registered.status.tooltip, /No answer from/);
});
