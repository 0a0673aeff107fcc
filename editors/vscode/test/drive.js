// node test/drive.js ENDPOINT [KEY] < document: load the built extension outside VS Code, ask at the
// mark ‸, print {"texts", "status"} as JSON.

"use strict";

const { readFileSync } = require("node:fs");
const { Document, cancellation, configured, install, registered } = require("./vscode");

install();
const { activate } = require(process.env.EXTENSION ?? "../dist/extension.js");

async function main() {
  const [endpoint, apiKey = ""] = process.argv.slice(2);
  Object.assign(configured, { endpoint, apiKey, delay: 0 });
  activate({ subscriptions: [] });
  const marked = readFileSync(0, "utf8");
  const document = new Document(marked.replace("‸", ""));
  const items = await registered.providers[0].provideInlineCompletionItems(
    document, document.positionAt(marked.indexOf("‸")), { triggerKind: 1 }, cancellation().token,
  );
  const { text, tooltip } = registered.status;
  console.log(JSON.stringify({ texts: items.map((each) => each.insertText), status: text, tooltip }));
}

main();
