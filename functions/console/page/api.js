// The API, as its caller: every failure is a Problem whose message says what to do next.

const KEY = "spellcast.key";
// Tabs of the console hand the key to one that is opened beside them: it is kept nowhere else.
const tabs = new BroadcastChannel("spellcast");
const ROOT = new URL("../../", import.meta.url);

class Problem extends Error {
  constructor(message, { status = 0, code = "", faults = [] } = {}) {
    super(message);
    Object.assign(this, { status, code, faults });
  }
}

export const session = {
  get key() { return sessionStorage.getItem(KEY); },
  set key(key) { key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY); },
  // Set by the page: what is done when the key is refused, and when another tab gave its key, or signed out of this one.
  refused: () => {},
  given: () => {},
  ended: () => {},
  /** Asks the other tabs for their key. */
  ask() { tabs.postMessage({ asked: true }); },
  /** Signs out, here and in the tabs that have the same key. What is not saved stays in its tab, for the same key. */
  end() { tabs.postMessage({ ended: this.key }); this.key = null; },
  /** Tells the holder of a key from others, without telling the key. */
  get holder() {
    let number = 0x811c9dc5;
    for (const letter of this.key ?? "") number = Math.imul(number ^ letter.codePointAt(0), 0x01000193) >>> 0;
    return number.toString(36);
  },
};

tabs.onmessage = ({ data: { asked, key, ended } }) => {
  if (asked && session.key) tabs.postMessage({ key: session.key });
  if (key && !session.key) { session.key = key; session.given(); }
  if (ended && ended === session.key) { session.key = null; session.ended(); }
};

const unreachable = () => new Problem(
  "The server does not answer. If it runs on this machine, start it with “make up”; otherwise check your connection."
);

const SENTENCES = {
  401: "This key is not accepted: it is mistyped, was revoked, or has expired. Sign in with another one.",
  413: "This is more than the server takes in one request (1 MB). Give large inputs by their address instead.",
  429: "The server is asked too often just now. Wait a few seconds and try again.",
};
const NEXT = {
  CAST_NOT_FOUND: "There is no such cast for your key: it was deleted, or it belongs to another account. Go back to the list of casts.",
  SPELL_NOT_FOUND: "There is no such spell for your key: it was deleted, or it belongs to another account. Go back to the list of spells.",
};

function refused() {
  session.refused(SENTENCES[401]);
  return new Problem(SENTENCES[401], { status: 401 });
}

export async function call(method, path, { body, query = {}, headers = {}, signal, text = false, key = session.key ?? "" } = {}) {
  const url = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  let answer, content;
  // What a header cannot hold is no key.
  if (/[^\x21-\x7e]/.test(key)) throw refused();
  try {
    answer = await fetch(url, {
      method, signal, cache: "no-store",
      headers: { "X-API-Key": key, ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
      body: body && JSON.stringify(body),
    });
    content = await answer.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  if (answer.ok && text) return content;
  let document = null;
  try { document = content ? JSON.parse(content) : {}; } catch { /* what stands before the API answers in its own way */ }
  if (answer.ok && document) return document;
  const { code = "", message = "", details = [] } = document?.error ?? {};
  const said = SENTENCES[answer.status] ?? NEXT[code] ?? (answer.status >= 500
    ? `The server failed (${code || answer.status}). Try again in a moment; its log says why.`
    : message || `The server refused this (${answer.status}).`);
  if (answer.status === 401) throw refused();
  throw new Problem(said, { status: answer.status, code, faults: details });
}

export const get = (path, query, more) => call("GET", path, { query, ...more });
export const post = (path, body = {}, more) => call("POST", path, { body, ...more });

// One for each thing that the person wants done: a repeat after a lost answer does it once.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");
