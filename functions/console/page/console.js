// The page: signing in, where one is, and whether it is live.

import { render } from "./vendor/htm-preact-3.1.1.js";
import { get, session } from "./api.js";
import { CastView } from "./cast.js";
import { Casts } from "./casts.js";
import { Compose } from "./compose.js";
import { live } from "./live.js";
import { Head, Trouble, forgetTools, html, useAction, useEffect, useErrorBoundary, useRef, useState } from "./parts.js";
import { SpellView, Spells } from "./spells.js";

const decoded = text => {
  try { return decodeURIComponent(text); } catch { return text; }
};

// `make up` prints an address that ends in the key. The part after # is sent to nobody, and does not stay in the address.
function takeKey() {
  const given = /^#key=(.+)$/.exec(location.hash)?.[1];
  if (!given) return false;
  session.key = decoded(given);
  history.replaceState(null, "", `${location.pathname}#/casts`);
  return true;
}

function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** What one looks at; where it breaks, that is said in its place. */
function View(place) {
  const [broken] = useErrorBoundary(error => console.error(error));
  return broken ? html`<${Head} title="This cannot be shown" />
    <${Trouble} back=${["#/casts", "All casts"]} retry=${() => location.reload()}
      problem=${{ message: `The console met what it does not expect (${broken.message}). Load the page again; “spellcast show” has the same in a terminal.` }} />`
    : html`<${Sight} ...${place} />`;
}

function Sight({ parts: [kind = "casts", id, more], query }) {
  if (kind === "casts" && !id) return html`<${Casts} ...${query} />`;
  if (kind === "casts") return html`<${CastView} key=${id} castId=${id} />`;
  if (kind === "spells" && !id) return html`<${Spells} ...${query} />`;
  if (kind === "spells" && id === "new") return html`<${Compose} key="new" />`;
  if (kind === "spells" && more === "edit") return html`<${Compose} key=${id} spellId=${id} />`;
  if (kind === "spells") {
    const versions = /^(\d+)-(\d+)$/.exec(query.versions ?? "");
    return html`<${SpellView} key=${id} spellId=${id} from=${query.from} version=${versions && versions.slice(1).map(Number)} />`;
  }
  return html`<${Head} title="Nothing is here" /><p>This address leads nowhere. <a href="#/casts">Go to the casts.</a></p>`;
}

function SignIn({ said, say, enter }) {
  const [key, set] = useState("");
  const [act, busy, problem, clear] = useAction(async () => {
    // A key is kept, and told to other tabs, once it was accepted.
    await get("v1/casts", { limit: 1 }, { key: key.trim() });
    session.key = key.trim();
    enter();
  });
  const isNew = () => { say(""); clear(); };
  return html`
    <main class="lone" id="main"><form class="card" onSubmit=${event => { event.preventDefault(); act(); }}>
      <${Head} title="Spellcast" />
      <p>Sign in with an API key. On this machine <code>make up</code> prints an address that has it;
        of a deployed stack <code>make api-key</code> issues one.</p>
      <div class="field"><label for="key">API key</label>
        <input id="key" type="password" autocomplete="off" spellcheck="false" required value=${key} onInput=${event => { set(event.currentTarget.value); isNew(); }} onInvalid=${isNew} aria-describedby="key-about" />
        <p class="about" id="key-about">It stays in the console's tabs, and is forgotten when the last of them is closed.</p></div>
      <${Trouble} problem=${problem ?? (said && { message: said })} />
      <p><button class="primary" disabled=${busy}>${busy ? "One moment…" : "Sign in"}</button></p>
    </form></main>`;
}

const SAID = { live: "Live", connecting: "Connecting…", waiting: "Not live", off: "" };

function Console() {
  const [isIn, enter] = useState(Boolean(session.key));
  const [said, say] = useState("");
  const [place, go] = useState(here());
  const last = useRef(place);
  const [state, become] = useState(live.state);
  const leave = message => { session.key = null; live.stop(); forgetTools(); say(message); enter(false); };
  useEffect(() => {
    session.refused = message => { if (isIn) leave(message); };
    session.given = () => enter(true);
    if (session.key) enter(true);
    session.ended = () => leave("");
    const moved = () => {
      if (takeKey()) {
        live.stop();
        forgetTools();
        say("");
        enter(true);
        if (isIn) live.start();
      }
      const { parts, query } = here();
      // Another view, or another page of it: one begins at its head. All else is a choice within what one looks at.
      const isElsewhere = parts.join("/") !== last.current.parts.join("/") || query.cursor !== last.current.query.cursor;
      go(last.current = { parts, query });
      if (!isElsewhere) return;
      scrollTo(0, 0);
      document.querySelector("h1")?.focus({ preventScroll: true });
    };
    addEventListener("hashchange", moved);
    const end = live.listen({ state: become });
    if (isIn) live.start();
    return () => { removeEventListener("hashchange", moved); end(); };
  }, [isIn]);
  if (!isIn) return html`<${SignIn} said=${said} say=${say} enter=${() => { say(""); enter(true); }} />`;
  const [kind = "casts"] = place.parts;
  return html`
    <a class="skip" href="#main" onClick=${event => { event.preventDefault(); document.querySelector("h1")?.focus(); }}>Skip to the content</a>
    <header>
      <a class="brand" href="#/casts"><svg aria-hidden="true" width="22" height="22" viewBox="0 0 32 32"><path d="M16 3l3.2 9.8L29 16l-9.8 3.2L16 29l-3.2-9.8L3 16l9.8-3.2z" /></svg><span>Spellcast</span></a>
      <nav aria-label="Main">${[["casts", "Casts"], ["spells", "Spells"]].map(([name, label]) => html`
        <a href=${`#/${name}`} aria-current=${kind === name ? "page" : undefined}>${label}</a>`)}</nav>
      <span class="live ${state}" role="status">${SAID[state]}</span>
      <button type="button" class="small" onClick=${() => { session.end(); leave(""); }}>Sign out</button>
    </header>
    ${live.isLost && html`<div class="banner" role="alert">${live.problem?.message ?? "The connection for live messages was lost."} It is tried again by itself, and nothing is missed.
      <button type="button" class="small" onClick=${() => live.retry()}>Try now</button></div>`}
    <main id="main"><${View} key=${place.parts.join("/")} ...${place} /></main>`;
}

takeKey();
if (!session.key) session.ask();
const root = document.getElementById("console");
root.replaceChildren();
render(html`<${Console} />`, root);
