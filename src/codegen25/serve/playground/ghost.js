// Ghost text: a suggestion shown at the cursor, in the document's place but not part of it.

import { Decoration, EditorView, Prec, StateEffect, StateField, WidgetType, keymap } from "./editor.js";

const show = StateEffect.define();

/** A suggestion on the screen: `text`, and its `tokens` ([{start, end, p, …}], may be empty). */
class Ghost extends WidgetType {
  constructor(text, tokens) {
    super();
    this.text = text;
    this.tokens = tokens;
  }

  eq(other) {
    return other.text === this.text && other.tokens.length === this.tokens.length;
  }

  ignoreEvent() {
    return false; // the pointer is followed over it, and a click goes to the text
  }

  toDOM() {
    const element = document.createElement("span");
    element.className = "cm-ghost";
    element.setAttribute("aria-hidden", "true"); // the page's live region says it
    let at = 0;
    for (const [index, token] of this.tokens.entries()) {
      if (token.start > at) element.append(this.text.slice(at, token.start));
      const part = document.createElement("span");
      part.className = `cm-ghost-token${token.p < 0.2 ? " cm-doubtful" : token.p < 0.5 ? " cm-unsure" : ""}`;
      part.dataset.index = String(index);
      part.textContent = this.text.slice(token.start, token.end);
      element.append(part);
      at = token.end;
    }
    if (at < this.text.length) element.append(this.text.slice(at));
    return element;
  }
}

const field = StateField.define({
  create: () => null,
  update(ghost, transaction) {
    for (const effect of transaction.effects) if (effect.is(show)) return effect.value;
    return transaction.docChanged || transaction.selection ? null : ghost;
  },
  provide: (self) =>
    EditorView.decorations.from(self, (ghost) => {
      if (!ghost) return Decoration.none;
      const widget = Decoration.widget({ widget: new Ghost(ghost.text, ghost.tokens), side: 1 });
      return Decoration.set([widget.range(ghost.at)]);
    }),
});

/** What is shown, {at, text, tokens}, or null. */
export function ghostOf(view) {
  return view.state.field(field);
}

/** Show `text` at the cursor, or nothing. */
export function setGhost(view, text, tokens = []) {
  if (!text && !ghostOf(view)) return;
  const value = text ? { at: view.state.selection.main.head, text, tokens } : null;
  view.dispatch({ effects: show.of(value) });
}

/** The extension. `keys` maps CodeMirror key names to functions that return whether they acted;
 * `onHover(token, rectangle)` is told of the token under the pointer, or null. */
export function ghostText(keys, onHover) {
  const bindings = Object.entries(keys).map(([key, run]) => ({ key, run: () => run() }));
  const hover = EditorView.domEventHandlers({
    mousemove(event, view) {
      const part = event.target.closest?.(".cm-ghost-token");
      const token = part && ghostOf(view)?.tokens[Number(part.dataset.index)];
      onHover(token ?? null, part?.getClientRects()[0]);
    },
    mouseleave: () => onHover(null),
  });
  return [field, Prec.highest(keymap.of(bindings)), hover];
}
