// What is known about suggestions: pure functions and small classes, no page and no network.

const REMEMBERED = 64;

/** The text before and after the cursor. */
export function split(text, cursor) {
  return { prefix: text.slice(0, cursor), suffix: text.slice(cursor) };
}

/** The first word of a suggestion, with the white space before it. */
export function firstWord(text) {
  return text.match(/^(?:\s*(?:[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]+)|\s+)/u)?.[0] ?? "";
}

/** Whether there is something to show: white space alone says nothing. */
export function worthShowing(text) {
  return /\S/.test(text);
}

/** Answers by where they were asked for, the latest first. */
export class Memory {
  #past = [];

  /** Keep `choices` ([{text, …}]) asked for between `prefix` and `suffix`. */
  remember(prefix, suffix, choices) {
    const entry = { prefix, suffix, choices };
    this.#past = [entry, ...this.#past.filter((each) => !same(each, entry))].slice(0, REMEMBERED);
    return entry;
  }

  /** The entry that what was typed since agrees with, how many characters of its choice `index`
   * were typed, or null. The entry `first` and its choice `index` are looked at before others. */
  find(prefix, suffix, first = null, index = 0) {
    const entries = first ? [first, ...this.#past] : this.#past;
    for (const entry of entries) {
      const typed = typedSince(entry, prefix, suffix);
      if (typed === null) continue;
      const order = entry === first ? [index, ...entry.choices.keys()] : entry.choices.keys();
      for (const i of order) {
        const text = entry.choices[i]?.text ?? "";
        if (text.startsWith(typed) && worthShowing(text.slice(typed.length))) {
          return { entry, index: i, used: typed.length };
        }
      }
    }
    return null;
  }

  forget() {
    this.#past = [];
  }
}

function same(a, b) {
  return a.prefix === b.prefix && a.suffix === b.suffix;
}

function typedSince(entry, prefix, suffix) {
  const agrees = suffix === entry.suffix && prefix.startsWith(entry.prefix);
  return agrees ? prefix.slice(entry.prefix.length) : null;
}

/** How long to wait after a keystroke: somebody who types fast pauses visibly, a server that takes
 * long should be asked early. Times are milliseconds. */
export class Pace {
  static LEAST = 60;
  static MOST = 200;
  #gap = 150;
  #answer = 60;
  #last = null;

  typed(now) {
    if (this.#last !== null && now - this.#last < 1000) {
      this.#gap += 0.3 * (now - this.#last - this.#gap);
    }
    this.#last = now;
  }

  answered(took) {
    this.#answer += 0.3 * (took - this.#answer);
  }

  get delay() {
    const wanted = 1.3 * this.#gap - 0.5 * this.#answer;
    return Math.round(Math.min(Pace.MOST, Math.max(Pace.LEAST, wanted)));
  }
}

const PART = /^bytes:((?:\\x[0-9a-f]{2})+)$/;

/** Tokens of text, each [{token, p, top}]. Those that spell a character together are one: with the
 * probability of all of them, and no alternatives, which are parts of characters. */
function wholeTokens({ tokens, token_logprobs: own, top_logprobs: others }) {
  const found = [];
  let open = null;
  for (const [i, token] of tokens.entries()) {
    const p = Math.exp(own[i]);
    const part = PART.exec(token);
    if (!part) {
      open = null;
      const top = Object.entries(others?.[i] ?? {})
        .map(([each, logprob]) => ({ token: each, p: Math.exp(logprob) }))
        .sort((a, b) => b.p - a.p);
      found.push({ token, p, top });
      continue;
    }
    if (!open) found.push((open = { bytes: [], token: "", p: 1, top: [] }));
    open.bytes.push(...part[1].slice(2).split("\\x").map((each) => Number.parseInt(each, 16)));
    open.p *= p;
    open.token = decoded(open.bytes);
    if (isWhole(open.bytes)) open = null;
  }
  return found;
}

function decoded(bytes, fatal = false) {
  return new TextDecoder("utf-8", { fatal, ignoreBOM: true }).decode(new Uint8Array(bytes));
}

function isWhole(bytes) {
  try {
    decoded(bytes, true);
    return true;
  } catch {
    return false;
  }
}

/** The tokens of a choice, as places in its text: [{start, end, token, p, top: [{token, p}]}].
 * A token that is not shown (the end of the span, what a stop rule cut off, the beginning of a word
 * that was typed already) has no place; one that is shown in part has that part's. */
export function placeTokens(text, logprobs) {
  const tokens = logprobs?.tokens ? wholeTokens(logprobs) : [];
  const all = tokens.map(({ token }) => token).join("");
  const skipped = all.startsWith(text) ? 0 : all.indexOf(text);
  if (!text || skipped < 0) return [];
  const placed = [];
  let at = -skipped;
  for (const { token, p, top } of tokens) {
    const start = Math.max(0, at);
    const end = Math.min(text.length, at + token.length);
    at += token.length;
    if (end > start) placed.push({ start, end, token, p, top });
  }
  return placed;
}

/** Choices of a reply, each text once, with their tokens placed. */
export function choicesOf(reply) {
  const byText = new Map();
  for (const choice of reply.choices ?? []) {
    if (byText.has(choice.text)) continue;
    byText.set(choice.text, {
      text: choice.text,
      tokens: placeTokens(choice.text, choice.logprobs),
      reason: choice.stop_reason ?? choice.finish_reason ?? null,
      rule: choice.stop_rule ?? null,
    });
  }
  return [...byText.values()];
}
