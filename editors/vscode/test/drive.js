// node test/drive.js ENDPOINT [KEY [MODEL]] < document: load the built extension outside VS Code, ask
// at the mark ‸, accept what is suggested, print {"texts", "status"} as JSON.

"use strict";

const { readFileSync } = require("node:fs");
const { Document, cancellation, configured, install, registered } = require("./vscode");

install();
const { activate } = require(process.env.EXTENSION ?? "../dist/extension.js");

async function main() {
  const [endpoint, apiKey = "", model = ""] = process.argv.slice(2);
  Object.assign(configured, { endpoint, apiKey, model, delay: 0 });
  activate({ subscriptions: [] });
  const marked = readFileSync(0, "utf8");
  const document = new Document(marked.replace("‸", ""));
  const items = await registered.providers[0].provideInlineCompletionItems(
    document, document.positionAt(marked.indexOf("‸")), { triggerKind: 1 }, cancellation().token,
  );
  for (const { command } of items) await registered.commands[command.command](...command.arguments);
  const { text, tooltip } = registered.status;
  console.log(JSON.stringify({ texts: items.map((each) => each.insertText), status: text, tooltip }));
}

main();
