// Talking to the server that this page came from, and saying what went wrong in a sentence.

const KEY = "codegen25-api-key";

/** An answer that is none: `status` 0 when nothing answered at all. */
export class ApiError extends Error {
  constructor(status, message = "", retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

/** JSON of `path`, relative to the page; with a `body` it is posted. Throws ApiError, or the
 * AbortError of `signal`. */
export async function call(path, { body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (apiKey.get()) headers.Authorization = `Bearer ${apiKey.get()}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body ? JSON.stringify(body) : undefined,
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  if (!response.ok) throw await refusal(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
}

async function refusal(response) {
  let message = "";
  try {
    const { error, detail } = await response.json();
    message = error?.message ?? (typeof error === "string" ? error : (detail ?? ""));
  } catch {
    // No JSON: the status says it.
  }
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new ApiError(response.status, String(message), Number.isNaN(seconds) ? null : seconds);
}

/** What to tell somebody about an ApiError. */
export function sentence({ status, message, retryAfter }) {
  const said = message ? ` It says: ${message.replace(/\.$/, "")}.` : "";
  if (status === 0) {
    return "The server does not answer. Is codegen25 serve still running? Your text is safe here; "
      + "the page asks again when you type.";
  }
  if (status === 401) return "This server wants an API key.";
  if (status === 403) return `The server refuses this page's address.${said}`;
  if (status === 429 || status === 503) {
    const when = retryAfter ? ` in ${retryAfter} s` : " in a moment";
    return `The server is busy; the page asks again${when}.${said}`;
  }
  if (status === 413) return "The text is longer than this server takes; delete some of it.";
  if (status >= 500) return `Something broke in the server (${status}); its log says what.`;
  return `The server refused the request (${status}).${said}`;
}
