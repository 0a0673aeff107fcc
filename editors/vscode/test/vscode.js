// The part of VS Code that the extension uses, for tests outside of it. `install()` makes
// require("vscode") find it; what the extension registers is kept in `registered`.

"use strict";

const Module = require("node:module");

class Position {
  constructor(line, character) {
    Object.assign(this, { line, character });
  }
  translate(lines, characters) {
    return new Position(this.line + lines, this.character + characters);
  }
}

class Range {
  constructor(start, end) {
    Object.assign(this, { start, end });
  }
}

class InlineCompletionItem {
  constructor(insertText, range, command) {
    Object.assign(this, { insertText, range, command });
  }
}

/** A document of text, its lines ended by \n. */
class Document {
  constructor(text, languageId = "python") {
    Object.assign(this, { text, languageId });
  }
  getText() {
    return this.text;
  }
  lineAt(line) {
    return { text: this.text.split("\n")[line] };
  }
  offsetAt({ line, character }) {
    const before = this.text.split("\n").slice(0, line);
    return before.reduce((sum, each) => sum + each.length + 1, 0) + character;
  }
  positionAt(offset) {
    const lines = this.text.slice(0, offset).split("\n");
    return new Position(lines.length - 1, lines.at(-1).length);
  }
}

/** A cancellation token and what cancels it. */
function cancellation() {
  const listeners = new Set();
  const token = {
    isCancellationRequested: false,
    onCancellationRequested(listener) {
      listeners.add(listener);
      return { dispose: () => listeners.delete(listener) };
    },
  };
  const cancel = () => {
    token.isCancellationRequested = true;
    for (const listener of [...listeners]) listener();
  };
  return { token, cancel };
}

const configured = {};
const registered = { commands: {}, providers: [], status: null, changed: [] };

const vscode = {
  Position,
  Range,
  InlineCompletionItem,
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 },
  StatusBarAlignment: { Left: 1, Right: 2 },
  ConfigurationTarget: { Global: 1 },
  workspace: {
    getConfiguration: () => ({
      get: (name, usual) => configured[name] ?? usual,
      update: async (name, value) => {
        configured[name] = value;
        for (const listener of registered.changed) {
          listener({ affectsConfiguration: () => true });
        }
      },
    }),
    onDidChangeConfiguration: (listener) => {
      registered.changed.push(listener);
      return { dispose() {} };
    },
  },
  window: {
    createStatusBarItem: () => (registered.status = { show() {}, dispose() {} }),
  },
  commands: {
    registerCommand: (name, run) => {
      registered.commands[name] = run;
      return { dispose() {} };
    },
  },
  languages: {
    registerInlineCompletionItemProvider: (_, provider) => {
      registered.providers.push(provider);
      return { dispose() {} };
    },
  },
};

function install() {
  const load = Module._load;
  Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
  return vscode;
}

module.exports = { Document, cancellation, configured, install, registered };
