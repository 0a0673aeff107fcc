// The code editor: CodeMirror with the page's colours. It lives in a shadow root, where CodeMirror
// adopts its style sheets instead of writing <style> elements, which a strict policy would block.

import {
  Compartment, EditorState, EditorView, HighlightStyle, bracketMatching, defaultKeymap,
  highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, history, historyKeymap,
  indentOnInput, indentWithTab, keymap, languages, lineNumbers, syntaxHighlighting, tags as t,
} from "./editor.js";

const colours = HighlightStyle.define([
  { tag: [t.keyword, t.operatorKeyword, t.modifier, t.self, t.bool, t.null], color: "var(--code-keyword)" },
  { tag: [t.string, t.special(t.string), t.character, t.regexp], color: "var(--code-string)" },
  { tag: [t.comment, t.docString], color: "var(--code-comment)" },
  { tag: [t.number, t.integer, t.float], color: "var(--code-number)" },
  { tag: [t.definition(t.function(t.variableName)), t.definition(t.className), t.className, t.typeName],
    color: "var(--code-name)" },
  { tag: [t.function(t.variableName), t.function(t.propertyName)], color: "var(--code-call)" },
  { tag: t.meta, color: "var(--code-number)" },
]);

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--text)", backgroundColor: "var(--paper)", fontSize: "var(--code-size)" },
  "&.cm-focused": { outline: "none" }, // the page outlines the host
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto" },
  ".cm-content": { padding: "0.75rem 0", caretColor: "var(--text)" },
  ".cm-line": { padding: "0 1rem 0 0.5rem" },
  ".cm-gutters": { backgroundColor: "var(--paper)", color: "var(--faint)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "2.6rem", padding: "0 0.5rem 0 0.75rem" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--line)" },
  ".cm-activeLineGutter": { color: "var(--soft)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--match)" },
  ".cm-ghost": { color: "var(--ghost)", fontStyle: "italic" },
  ".cm-ghost-token:hover": { backgroundColor: "var(--match)", borderRadius: "2px" },
  ".cm-unsure": { textDecoration: "underline dotted var(--unsure)", textUnderlineOffset: "0.25em" },
  ".cm-doubtful": { textDecoration: "underline wavy var(--doubtful)", textUnderlineOffset: "0.25em" },
});

/** An editor in `host`. `extra` are more extensions; `onUpdate` is CodeMirror's update listener. */
export function createEditor(host, { label, describedBy, extra, onUpdate }) {
  const root = host.attachShadow({ mode: "open" });
  const language = new Compartment();
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      extensions: [
        extra,
        lineNumbers(), highlightActiveLine(), highlightActiveLineGutter(), highlightSpecialChars(),
        history(), indentOnInput(), bracketMatching(), syntaxHighlighting(colours), look,
        language.of(languages.python),
        keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
        EditorView.contentAttributes.of({ "aria-label": label, "aria-description": describedBy }),
        EditorView.updateListener.of(onUpdate),
      ],
    }),
  });
  const setLanguage = (name) =>
    view.dispatch({ effects: language.reconfigure(languages[name] ?? []) });
  return { view, setLanguage };
}

/** Replace the whole text and put the cursor into it. */
export function replaceText(view, text, cursor) {
  view.dispatch({
    changes: { from: 0, to: view.state.doc.length, insert: text },
    selection: { anchor: cursor },
    scrollIntoView: true,
  });
}

/** Insert text at the cursor as if it were typed. */
export function insertText(view, text) {
  const { from, to } = view.state.selection.main;
  view.dispatch({
    changes: { from, to, insert: text },
    selection: { anchor: from + text.length },
    userEvent: "input.complete",
    scrollIntoView: true,
  });
}
