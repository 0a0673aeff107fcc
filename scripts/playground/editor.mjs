// The parts of CodeMirror 6 that the playground uses, for esbuild to bundle. No logic of ours:
// that is src/codegen25/serve/playground/*.js, which needs no build.

import { indentUnit, LanguageSupport, StreamLanguage } from "@codemirror/language";
import { javascriptLanguage, typescriptLanguage } from "@codemirror/lang-javascript";
import { pythonLanguage } from "@codemirror/lang-python";
import { c, cpp, csharp, java, kotlin } from "@codemirror/legacy-modes/mode/clike";
import { go } from "@codemirror/legacy-modes/mode/go";
import { ruby } from "@codemirror/legacy-modes/mode/ruby";
import { rust } from "@codemirror/legacy-modes/mode/rust";
import { shell } from "@codemirror/legacy-modes/mode/shell";

export { Compartment, EditorState, Prec, StateEffect, StateField } from "@codemirror/state";
export {
  Decoration,
  EditorView,
  WidgetType,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
export { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
export {
  HighlightStyle,
  bracketMatching,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
export { tags } from "@lezer/highlight";

const parsed = (language) => new LanguageSupport(language);
const streamed = (mode) => new LanguageSupport(StreamLanguage.define(mode));

/** Name -> extension that highlights the language, with its usual indentation. */
export const languages = {
  python: [parsed(pythonLanguage), indentUnit.of("    ")],
  javascript: [parsed(javascriptLanguage), indentUnit.of("  ")],
  typescript: [parsed(typescriptLanguage), indentUnit.of("  ")],
  c: [streamed(c), indentUnit.of("    ")],
  cpp: [streamed(cpp), indentUnit.of("    ")],
  csharp: [streamed(csharp), indentUnit.of("    ")],
  go: [streamed(go), indentUnit.of("\t")],
  java: [streamed(java), indentUnit.of("    ")],
  kotlin: [streamed(kotlin), indentUnit.of("    ")],
  ruby: [streamed(ruby), indentUnit.of("  ")],
  rust: [streamed(rust), indentUnit.of("    ")],
  shell: [streamed(shell), indentUnit.of("  ")],
};
