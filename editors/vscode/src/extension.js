// The extension: one provider, its commands, one item in the status bar.

"use strict";

const vscode = require("vscode");
const { accepted } = require("./client");
const { ACCEPTED, Provider, settings } = require("./provider");

const LOOKS = {
  idle: ["codegen25", "Completions are on"],
  asking: ["$(loading~spin) codegen25", "Asking the server"],
  off: ["$(circle-slash) codegen25", "Completions are off"],
  failed: ["$(warning) codegen25", ""],
};

/** @param {vscode.ExtensionContext} context */
function activate(context) {
  const status = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Right, 100);
  status.name = "codegen25";
  status.command = "codegen25.toggle";

  /** @type {import("./provider").Report} */
  const report = (state, detail) => {
    const shown = settings().enabled || state === "failed" ? state : "off";
    const [text, says] = LOOKS[shown];
    status.text = text;
    status.tooltip = `${detail ?? says}. A click switches completions on or off.`.replace("..", ".");
  };

  const toggle = async () => {
    const configuration = vscode.workspace.getConfiguration("codegen25");
    await configuration.update("enabled", !settings().enabled, vscode.ConfigurationTarget.Global);
  };

  report("idle");
  status.show();
  context.subscriptions.push(
    status,
    vscode.commands.registerCommand("codegen25.toggle", toggle),
    vscode.commands.registerCommand(ACCEPTED, (id) => accepted(settings(), String(id))),
    vscode.languages.registerInlineCompletionItemProvider({ pattern: "**" }, new Provider(report)),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("codegen25")) report("idle");
    }),
  );
}

function deactivate() {}

module.exports = { activate, deactivate };
