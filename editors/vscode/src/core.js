// What is asked, and what an answer means at the cursor. Pure: no editor, no network.

"use strict";

/** Characters sent before and after the cursor; the server cuts to what its model can read. */
const BEFORE = 16_000;
const AFTER = 8_000;
const REMEMBERED = 64;

/**
 * @typedef {{prefix: string, suffix: string}} Around
 * @typedef {{text: string, id: string}} Suggestion a text, and what the server knows it by
 * @typedef {Around & Suggestion} Answer
 */

/**
 * The text around an offset, the nearest of it. Cut by whole steps, so that the far ends stay where
 * they are while somebody types: a cut that moves with every character spoils the server's cache.
 * @param {string} text
 * @param {number} offset
 * @returns {Around}
 */
function around(text, offset) {
  const step = BEFORE / 2;
  const start = offset <= BEFORE ? 0 : Math.ceil((offset - BEFORE) / step) * step;
  return { prefix: text.slice(whole(text, start), offset), suffix: text.slice(offset, whole(text, offset + AFTER)) };
}

/**
 * An offset that does not part the two halves of a character.
 * @param {string} text
 * @param {number} offset
 */
function whole(text, offset) {
  const code = text.charCodeAt(offset);
  return code >= 0xdc00 && code <= 0xdfff ? offset - 1 : offset;
}

/**
 * The body for `/v1/completions`.
 * @param {Around} where
 * @param {{maxTokens: number, language: string, model: string}} wanted
 */
function requestBody({ prefix, suffix }, { maxTokens, language, model }) {
  const named = model.trim() ? { model: model.trim() } : {};
  const how = { max_tokens: maxTokens, temperature: 0, seed: 0, language, session: true };
  return { ...named, prompt: prefix, suffix, ...how };
}

/**
 * The text of a reply, "" when it has none worth showing.
 * @param {any} reply
 * @returns {string}
 */
function textOf(reply) {
  const text = reply?.choices?.[0]?.text;
  return typeof text === "string" && /\S/.test(text) ? text : "";
}

/** Answers that were given, the latest first. */
class Memory {
  constructor() {
    /** @type {Answer[]} */
    this.answers = [];
  }

  /** @param {Answer} answer */
  remember(answer) {
    this.answers = [answer, ...this.answers].slice(0, REMEMBERED);
  }

  /**
   * What is left of an answer that the typing agreed with since, or null.
   * @param {Around} where
   * @returns {Suggestion | null}
   */
  find({ prefix, suffix }) {
    for (const answer of this.answers) {
      if (answer.suffix !== suffix || !prefix.startsWith(answer.prefix)) continue;
      const typed = prefix.slice(answer.prefix.length);
      const rest = answer.text.slice(typed.length);
      if (answer.text.startsWith(typed) && textOf({ choices: [{ text: rest }] })) {
        return { text: rest, id: answer.id };
      }
    }
    return null;
  }
}

/**
 * How many characters of the cursor's line an inserted text replaces. The text stands before the
 * rest of the line; where it says that rest again (a closing bracket that the editor put there),
 * the rest is replaced, so that it does not stand there twice.
 * @param {string} text
 * @param {string} lineRest the line from the cursor on, without its newline
 */
function replaced(text, lineRest) {
  const firstLine = text.split("\n", 1)[0];
  const onlyCloses = /^[)\]}"'`;,:\s]*$/.test(lineRest);
  return lineRest.trim() && onlyCloses && firstLine === text && text.endsWith(lineRest.trimEnd())
    ? lineRest.trimEnd().length
    : 0;
}

/**
 * Whether a language is one of those asked for.
 * @param {string} language
 * @param {readonly string[]} languages
 */
function takes(language, languages) {
  return languages.includes("*") || languages.includes(language);
}

module.exports = { AFTER, BEFORE, Memory, around, replaced, requestBody, takes, textOf };
