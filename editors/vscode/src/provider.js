// Inline completions: from a place in a document to what VS Code shows there.

"use strict";

const vscode = require("vscode");
const { Memory, around, replaced, requestBody, takes, textOf } = require("./core");
const { ServerError, complete } = require("./client");

/** What the editor runs when a whole suggestion was accepted. */
const ACCEPTED = "codegen25.accepted";

/**
 * @typedef {"idle" | "asking" | "off" | "failed"} State
 * @typedef {(state: State, detail?: string) => void} Report
 */

/** The settings, read when they are needed: they may change at any time. */
function settings() {
  const configuration = vscode.workspace.getConfiguration("codegen25");
  return {
    enabled: configuration.get("enabled", true),
    endpoint: configuration.get("endpoint", "http://127.0.0.1:8025"),
    apiKey: configuration.get("apiKey", ""),
    model: configuration.get("model", ""),
    maxTokens: configuration.get("maxTokens", 64),
    languages: configuration.get("languages", ["*"]),
    delay: configuration.get("delay", 75),
  };
}

/** @implements {vscode.InlineCompletionItemProvider} */
class Provider {
  /** @param {Report} report */
  constructor(report) {
    this.report = report;
    this.memory = new Memory();
  }

  /**
   * @param {vscode.TextDocument} document
   * @param {vscode.Position} position
   * @param {vscode.InlineCompletionContext} context
   * @param {vscode.CancellationToken} token
   * @returns {Promise<vscode.InlineCompletionItem[]>}
   */
  async provideInlineCompletionItems(document, position, context, token) {
    const wanted = settings();
    const byHand = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    if (!takes(document.languageId, wanted.languages) || !(wanted.enabled || byHand)) return [];
    const where = around(document.getText(), document.offsetAt(position));
    const known = this.memory.find(where);
    if (known !== null) return [item(known, document, position)];
    if (!byHand && !(await pause(wanted.delay, token))) return [];
    const found = await this.ask(where, wanted, document.languageId, token);
    return found && !token.isCancellationRequested ? [item(found, document, position)] : [];
  }

  /**
   * @param {import("./core").Around} where
   * @param {ReturnType<typeof settings>} wanted
   * @param {string} language
   * @param {vscode.CancellationToken} token
   */
  async ask(where, wanted, language, token) {
    const controller = new AbortController();
    const listening = token.onCancellationRequested(() => controller.abort());
    if (token.isCancellationRequested) controller.abort();
    this.report("asking");
    try {
      const body = requestBody(where, { ...wanted, language });
      const reply = await complete(wanted, body, controller.signal);
      const found = { text: textOf(reply), id: String(reply?.id ?? "") };
      if (found.text) this.memory.remember({ ...where, ...found });
      this.report("idle");
      return found.text ? found : null;
    } catch (error) {
      if (controller.signal.aborted) this.report("idle");
      else this.report("failed", error instanceof ServerError ? error.message : String(error));
      return null;
    } finally {
      listening.dispose();
    }
  }
}

/**
 * @param {import("./core").Suggestion} suggestion
 * @param {vscode.TextDocument} document
 * @param {vscode.Position} position
 */
function item({ text, id }, document, position) {
  const lineRest = document.lineAt(position.line).text.slice(position.character);
  const end = position.translate(0, replaced(text, lineRest));
  const command = { title: "Accepted", command: ACCEPTED, arguments: [id] };
  return new vscode.InlineCompletionItem(text, new vscode.Range(position, end), command);
}

/**
 * Wait, false when it was cancelled meanwhile.
 * @param {number} milliseconds
 * @param {vscode.CancellationToken} token
 * @returns {Promise<boolean>}
 */
function pause(milliseconds, token) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => done(true), milliseconds);
    const listening = token.onCancellationRequested(() => done(false));
    /** @param {boolean} whole */
    function done(whole) {
      clearTimeout(timer);
      listening.dispose();
      resolve(whole && !token.isCancellationRequested);
    }
  });
}

module.exports = { ACCEPTED, Provider, settings };
