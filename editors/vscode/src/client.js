// Asking the server.

"use strict";

/** An answer that is none, said in a sentence. */
class ServerError extends Error {}

/**
 * Post to `/v1/completions` of a server; throws a ServerError, or the AbortError of `signal`.
 * @param {{endpoint: string, apiKey: string}} server
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
async function complete(server, body, signal) {
  const { endpoint } = server;
  try {
    const response = await post(server, "/v1/completions", body, signal);
    if (!response.ok) throw new ServerError(await refusal(response));
    return await response.json();
  } catch (error) {
    if (error instanceof ServerError || signal.aborted) throw error;
    throw new ServerError(`No answer from ${endpoint}; is codegen25 serve running?`);
  }
}

/**
 * Tell that a completion was accepted: its id and no text. Who does not listen is not asked again.
 * @param {{endpoint: string, apiKey: string}} server
 * @param {string} id
 */
async function accepted(server, id) {
  const body = { type: "select", completion_id: id, choice_index: 0 };
  await post(server, "/v1/events", body, AbortSignal.timeout(5000)).catch(() => null);
}

/**
 * @param {{endpoint: string, apiKey: string}} server
 * @param {string} path
 * @param {object} body
 * @param {AbortSignal} signal
 */
function post({ endpoint, apiKey }, path, body, signal) {
  const url = endpoint.trim().replace(/\/+$/, "").replace(/\/v1$/, "") + path;
  /** @type {Record<string, string>} */
  const headers = { "Content-Type": "application/json" };
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
  return fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal, redirect: "error" });
}

/** @param {Response} response */
async function refusal(response) {
  if (response.status === 401) return "The server wants an API key (setting codegen25.apiKey).";
  if (response.status === 503 || response.status === 429) return "The server is busy.";
  /** @type {any} */
  const reply = await response.json().catch(() => null);
  return `The server refused (${response.status}): ${reply?.error?.message ?? response.statusText}`;
}

module.exports = { ServerError, accepted, complete };
