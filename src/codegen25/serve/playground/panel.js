// The parts of the page around the editor: what was sent, what came back, what went wrong.

const LAYOUTS = {
  plain: "Prefix, suffix, then the answer, as CodeGen2.5 was published.",
  anchored: "Prefix up to the line, suffix, then the line so far: typing only adds to it.",
  suffix_first: "Suffix, then everything before the cursor: typing only adds to it.",
  causal: "Only what stands before the cursor; the suffix is not sent to the model.",
  psm: "Fill in the middle: prefix, suffix, then the answer.",
  spm: "Fill in the middle: suffix, prefix, then the answer.",
};
const REASONS = {
  end: "by itself", stop: "by a rule", length: "at the most tokens", time: "by the clock",
};
const SHOWN = 1200;

export const $ = (id) => document.getElementById(id);

function element(tag, { text, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

export function layoutSays(name) {
  return LAYOUTS[name] ?? "";
}

/** White space as something to see. */
function visible(token) {
  return token.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "␣");
}

export function percent(p) {
  if (p > 0 && p < 0.001) return "< 0.1 %";
  return `${(100 * p).toFixed(p < 0.1 ? 1 : 0)} %`;
}

function doubt(p) {
  return p < 0.2 ? "doubtful" : p < 0.5 ? "unsure" : "";
}

/** Text before and after the cursor, the nearest of it; a suffix that is not sent is dimmed. */
export function showSent(prefix, suffix, layout) {
  const before = prefix.length > SHOWN ? `…${prefix.slice(-SHOWN)}` : prefix;
  const after = suffix.length > SHOWN ? `${suffix.slice(0, SHOWN)}…` : suffix;
  const caret = element("span", { className: "caret" });
  $("sent").replaceChildren(
    element("span", { className: "before", text: before }),
    caret,
    element("span", { className: layout === "causal" ? "after unsent" : "after", text: after }),
  );
  const pre = $("sent");
  pre.scrollTop = caret.offsetTop - pre.offsetTop - pre.clientHeight / 2;
}

/** The request as it went out, texts shortened. */
export function showRequest(body) {
  const short = (text) => (text.length > 160 ? `${text.slice(0, 80)} … ${text.slice(-80)}` : text);
  const shown = { ...body, prompt: short(body.prompt), suffix: short(body.suffix) };
  $("request").textContent = `POST v1/completions\n${JSON.stringify(shown, null, 2)}`;
}

/** Times, counts and the reason of the end. `roundTrip` is milliseconds. */
export function showStatus({ reply, choice, roundTrip }) {
  const { timings, usage } = reply;
  const server = timings && timings.prompt_ms + timings.predicted_ms;
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const reason = REASONS[choice?.reason] ?? choice?.reason;
  const facts = [
    ["server", server === undefined ? "" : `${server.toFixed(server < 10 ? 1 : 0)} ms`],
    ["round trip", `${Math.round(roundTrip)} ms`],
    ["tokens", usage ? String(usage.completion_tokens) : ""],
    ["prompt", usage ? `${usage.prompt_tokens} tokens, ${cached} cached` : ""],
    ["stopped", [reason, choice?.rule && `(${choice.rule.replaceAll("_", " ")})`].filter(Boolean).join(" ")],
    ["model", reply.model ?? ""],
  ];
  $("status").replaceChildren(
    ...facts.filter(([, value]) => value)
      .map(([name, value]) =>
        element("div", {}, element("dt", { text: name }), element("dd", { text: value }))),
  );
}

/** Rows of a token and its alternatives, the likeliest first. */
function odds(token) {
  const rows = token.top.some((each) => each.token === token.token)
    ? token.top
    : [{ token: token.token, p: token.p }, ...token.top];
  const cells = rows.flatMap(({ token: text, p }) => [
    element("code", { text: visible(text), className: text === token.token ? "own" : "" }),
    element("meter", { value: p, ariaLabel: "probability" }),
    element("span", { text: percent(p), className: "share" }),
  ]);
  return element("div", { className: "odds" }, ...cells);
}

/** The tokens of a completion as buttons; arrow keys go from one to the next. */
export function showTokens(tokens) {
  const buttons = tokens.map((token, index) => {
    const button = element("button", {
      type: "button", className: doubt(token.p), tabIndex: index ? -1 : 0,
      text: visible(token.token).replaceAll("␣", " ").replace(/⏎/g, "⏎\n"),
      ariaLabel: `${visible(token.token)}, ${percent(token.p)}`,
    });
    const tell = () => $("token-detail").replaceChildren(odds(token));
    button.addEventListener("focus", tell);
    button.addEventListener("mouseenter", tell);
    return button;
  });
  $("tokens").replaceChildren(...buttons);
  $("token-detail").replaceChildren();
}

function moveAmongTokens(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const buttons = [...$("tokens").children];
  const to = buttons[buttons.indexOf(event.target) + step];
  if (!step || !to) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

/** The odds of a token beside its place on the screen; nothing for null. */
export function showTooltip(token, place) {
  const tooltip = $("tooltip");
  tooltip.hidden = !token;
  if (!token) return;
  tooltip.replaceChildren(odds(token));
  const below = place.bottom + 6;
  const fits = below + tooltip.offsetHeight < innerHeight;
  tooltip.style.top = `${fits ? below : place.top - tooltip.offsetHeight - 6}px`;
  tooltip.style.left = `${Math.max(8, Math.min(place.left, innerWidth - tooltip.offsetWidth - 8))}px`;
}

/** A sentence about what went wrong; none when it is right again. */
export function showProblem(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text;
}

/** The field for the API key; it takes the focus when it appears. */
export function showKeyForm(wanted) {
  const appears = wanted && $("key-form").hidden;
  $("key-form").hidden = !wanted;
  if (appears) $("key").focus();
}

let announcing;

/** Say it to a screen reader once typing has paused. */
export function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => ($("announcement").textContent = text), 400);
}

/** The page's own colours, light or dark; "" is the system's. */
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  if (name) localStorage.setItem("codegen25-theme", name);
  else localStorage.removeItem("codegen25-theme");
}

export function startPanel() {
  $("tokens").addEventListener("keydown", moveAmongTokens);
  $("theme").value = localStorage.getItem("codegen25-theme") ?? "";
  setTheme($("theme").value);
  $("theme").addEventListener("change", (event) => setTheme(event.target.value));
}
