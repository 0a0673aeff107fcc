// The playground: an editor that asks the server it came from, as an editor plugin would.

import { ApiError, apiKey, call, sentence } from "./api.js";
import { createEditor, insertText, replaceText } from "./editing.js";
import { ghostOf, ghostText, setGhost } from "./ghost.js";
import {
  $, announce, layoutSays, showKeyForm, showProblem, showRequest, showSent, showStatus, showTokens,
  showTooltip, startPanel,
} from "./panel.js";
import { sample } from "./samples.js";
import { Memory, Pace, choicesOf, firstWord, split, worthShowing } from "./suggest.js";

const RETRY = 2000;
const memory = new Memory();
const pace = new Pace();

/** What is on the screen: {entry, index, used} of `memory`, or null. */
let shown = null;
let waiting = null;
let asking = null;
let model;
/** The same while somebody types, so that the server can go on; another when asked by hand. */
let seed = 0;

const { view, setLanguage } = createEditor($("editor"), {
  label: "Code",
  describedBy:
    "Suggestions appear while you type and are announced. Tab accepts, Escape dismisses; "
    + "after Escape, Tab leaves the editor.",
  extra: ghostText(
    {
      Tab: accept,
      "Mod-ArrowRight": acceptWord,
      Escape: dismiss,
      "Alt-\\": askNow,
      "Alt-]": () => cycle(1),
      "Alt-[": () => cycle(-1),
    },
    showTooltip,
  ),
  onUpdate,
});

function around() {
  return split(view.state.doc.toString(), view.state.selection.main.head);
}

// ------------------------------------------------------------------------------------ typing

function onUpdate(update) {
  if (!update.docChanged && !update.selectionSet) return;
  const { prefix, suffix } = around();
  showSent(prefix, suffix, $("layout").value);
  showTooltip(null);
  const found = memory.find(prefix, suffix, shown?.entry, shown?.index);
  if (!update.docChanged) {
    // The cursor went elsewhere by itself: nothing is asked until somebody types.
    cancel();
    return show(found && found.entry === shown?.entry ? found : null);
  }
  const typed = update.transactions.some((each) => each.isUserEvent("input") || each.isUserEvent("delete"));
  if (typed) pace.typed(performance.now());
  show(found);
  clearTimeout(waiting);
  if (found) return stopAsking();
  if ($("automatic").checked) waiting = setTimeout(ask, pace.delay);
}

function stopAsking() {
  asking?.abort();
  asking = null;
}

function cancel() {
  clearTimeout(waiting);
  stopAsking();
}

/** Show an entry of the memory, or nothing. */
function show(found) {
  shown = found && view.state.selection.main.empty ? found : null;
  const choice = shown && shown.entry.choices[shown.index];
  const text = choice ? choice.text.slice(shown.used) : "";
  const tokens = choice && $("probabilities").checked ? moved(choice.tokens, shown.used) : [];
  setGhost(view, text, tokens);
  for (const id of ["accept", "accept-word", "dismiss"]) $(id).disabled = !text;
  const count = shown?.entry.choices.length ?? 0;
  $("cycling").hidden = count < 2;
  $("position").textContent = count < 2 ? "" : `${shown.index + 1} of ${count}`;
  if (text) announce(`Suggestion: ${text.trim()}. Tab accepts.`);
  else announce("");
}

/** Tokens of a text of which the first `used` characters are typed. */
function moved(tokens, used) {
  return tokens
    .filter((token) => token.end > used)
    .map((token) => ({ ...token, start: Math.max(0, token.start - used), end: token.end - used }));
}

// ------------------------------------------------------------------------------------ asking

function number(id) {
  const field = $(id);
  const value = field.valueAsNumber;
  const usual = Number(field.defaultValue);
  return Number.isFinite(value) ? Math.min(Number(field.max), Math.max(Number(field.min), value)) : usual;
}

function requestBody(prefix, suffix) {
  const temperature = number("temperature");
  const n = temperature > 0 ? Math.round(number("n")) : 1;
  return {
    model,
    prompt: prefix,
    suffix,
    max_tokens: Math.round(number("max-tokens")),
    temperature,
    n,
    logprobs: $("probabilities").checked ? 5 : undefined,
    layout: $("layout").value || undefined,
    language: $("language").value,
    single_line: $("single-line").checked,
    seed,
    session: true,
  };
}

/** Ask at the cursor. A later question replaces this one. */
async function ask() {
  cancel();
  const { prefix, suffix } = around();
  const body = requestBody(prefix, suffix);
  const controller = (asking = new AbortController());
  showRequest(body);
  const began = performance.now();
  try {
    const reply = await call("v1/completions", { body, signal: controller.signal });
    const roundTrip = performance.now() - began;
    pace.answered(roundTrip);
    showProblem("");
    receive(prefix, suffix, reply, roundTrip);
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
  } finally {
    if (asking === controller) asking = null;
  }
}

function receive(prefix, suffix, reply, roundTrip) {
  const choices = choicesOf(reply);
  showStatus({ reply, choice: choices[0], roundTrip });
  showTokens(choices[0]?.tokens ?? []);
  if (!choices.some((choice) => worthShowing(choice.text))) return;
  const entry = memory.remember(prefix, suffix, choices);
  const now = around();
  const found = memory.find(now.prefix, now.suffix, entry);
  if (found?.entry === entry) {
    clearTimeout(waiting); // what was typed meanwhile agrees with it
    show(found);
  }
}

function complain(error) {
  if (!(error instanceof ApiError)) throw error;
  const noKey = error.status === 401;
  showKeyForm(noKey);
  showProblem(noKey ? (apiKey.get() ? "The server does not know this API key." : "") : sentence(error));
  const busy = error.status === 503 || error.status === 429;
  if (busy) waiting = setTimeout(ask, 1000 * (error.retryAfter ?? 0) || RETRY);
}

function askNow() {
  memory.forget(); // by hand means: say something new
  seed += 1;
  ask();
  return true;
}

// ------------------------------------------------------------------------------------ acting

function accept() {
  const ghost = ghostOf(view);
  if (!ghost) return false;
  insertText(view, ghost.text);
  return true;
}

function acceptWord() {
  const ghost = ghostOf(view);
  if (!ghost) return false;
  insertText(view, firstWord(ghost.text));
  return true;
}

function dismiss() {
  cancel();
  view.setTabFocusMode(2000); // a Tab that follows leaves the editor
  if (!ghostOf(view)) return false;
  memory.forget();
  show(null);
  return true;
}

function cycle(step) {
  if (!shown) return false;
  const { prefix, suffix } = around();
  const count = shown.entry.choices.length;
  for (let i = 1; i <= count; i++) {
    const index = (shown.index + step * i + count * i) % count;
    const found = memory.find(prefix, suffix, shown.entry, index);
    if (found?.entry === shown.entry && found.index === index) {
      show(found);
      showTokens(shown.entry.choices[index].tokens);
      break;
    }
  }
  return true;
}

// ------------------------------------------------------------------------------------ the page

function showLayouts({ layouts = [], default_layout: usual }) {
  const options = layouts.map((name) => new Option(name.replaceAll("_", " "), name));
  $("layout").replaceChildren($("layout").options[0], ...options);
  $("layout").dataset.usual = usual ?? "";
}

/** Learn about the server, then ask for the first time. */
async function connect() {
  try {
    const [props, models] = await Promise.all([call("props"), call("v1/models")]);
    model = models.data?.[0]?.id ?? props.model;
    $("model").textContent = model ?? "";
    const longest = props.context ?? models.data?.[0]?.max_model_len;
    if (longest) $("max-tokens").max = String(Math.floor(longest / 4));
    showLayouts(props);
    showKeyForm(false);
    showProblem("");
    ask();
  } catch (error) {
    complain(error);
    if (error.status !== 401) {
      clearTimeout(waiting);
      waiting = setTimeout(connect, 1000 * (error.retryAfter ?? 0) || RETRY);
    }
  }
}

function open(name) {
  const { text, cursor } = sample(name);
  cancel();
  memory.forget();
  replaceText(view, text, cursor);
  view.focus();
}

function settingChanged() {
  $("layout-says").textContent = layoutSays($("layout").value);
  $("n-says").hidden = number("n") === 1 || number("temperature") > 0;
  const { prefix, suffix } = around();
  showSent(prefix, suffix, $("layout").value);
  askNow();
}

function start() {
  startPanel();
  const clicks = {
    ask: askNow, accept, "accept-word": acceptWord, dismiss,
    previous: () => cycle(-1), next: () => cycle(1),
  };
  for (const [id, act] of Object.entries(clicks)) {
    $(id).addEventListener("click", () => {
      act();
      view.focus();
    });
  }
  for (const id of ["layout", "temperature", "max-tokens", "n", "single-line", "probabilities"]) {
    $(id).addEventListener("change", settingChanged);
  }
  $("language").addEventListener("change", (event) => setLanguage(event.target.value));
  $("sample").addEventListener("change", (event) => {
    $("language").value = "python";
    setLanguage("python");
    open(event.target.value);
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    apiKey.set($("key").value.trim());
    connect();
  });
  open($("sample").value);
  cancel(); // the first question waits until the server is known
  connect();
}

start();
