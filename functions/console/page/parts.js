// What all views are made of.

import { html, useCallback, useEffect, useErrorBoundary, useRef, useState } from "./vendor/htm-preact-3.1.1.js";
import { get, newKey } from "./api.js";
import { live } from "./live.js";
import { address, ago, pretty, when } from "./words.js";

export { html, useEffect, useErrorBoundary, useRef, useState };

/**
 * What `load(signal)` answers, again whenever `inputs` change: `{data, problem, loading, reload, change}`.
 * What changes while an answer is under way is done to the answer too, which may be older; `settle(answer, shown)` is
 * what is made of an answer and what is shown already.
 */
export function useLoaded(load, inputs, settle = answer => answer) {
  const [state, set] = useState({ inputs, loading: true });
  const [turn, again] = useState(0);
  const changes = useRef({ inputs, isAwaited: true, all: [] });
  const isOf = ({ inputs: known }) => known.every((value, place) => value === inputs[place]);
  useEffect(() => {
    const control = new AbortController();
    changes.current = { inputs, isAwaited: true, all: isOf(changes.current) ? changes.current.all : [] };
    set(old => ({ ...(isOf(old) ? old : { inputs }), loading: true }));
    load(control.signal).then(
      answer => {
        if (control.signal.aborted) return;
        const { all } = changes.current;
        changes.current = { inputs, isAwaited: false, all: [] };
        set(old => ({ inputs, data: all.reduce((data, how) => how(data), settle(answer, old.data)), loading: false }));
      },
      problem => {
        if (control.signal.aborted) return;
        changes.current = { inputs, isAwaited: false, all: [] };
        set(old => ({ inputs, data: problem.status === 404 ? undefined : old.data, problem, loading: false }));
      },
    );
    return () => control.abort();
  }, [...inputs, turn]);
  useBack(state.problem, () => again(number => number + 1));
  const reload = useCallback(() => again(number => number + 1), []);
  const change = useCallback(how => {
    if (changes.current.isAwaited) changes.current.all.push(how);
    set(old => {
      const data = how(old.data);
      return data === old.data ? old : { ...old, data };
    });
  }, []);
  // What was loaded for other inputs is not shown, not even until the effect is run.
  return { ...(isOf(state) ? state : { loading: true }), reload, change };
}

/** Does something about a server that did not answer, once it is back. */
function useBack(problem, what) {
  const isGone = problem?.status === 0 && !problem.code;
  useEffect(() => isGone ? live.listen({ state: state => { if (state === "live") what(); } }) : undefined, [isGone]);
}

/** Whether nothing is heard of the server now. */
export function useLost() {
  const [isLost, set] = useState(live.isLost);
  useEffect(() => live.listen({ state: () => set(live.isLost) }), []);
  return isLost;
}

/** A value that follows another once that has rested for so long. */
export function useRested(value, milliseconds) {
  const [rested, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), milliseconds);
    return () => clearTimeout(timer);
  }, [JSON.stringify(value), milliseconds]);
  return rested;
}

/** The server's time, anew every so many milliseconds; never where that is 0. */
export function useNow(every) {
  const [now, set] = useState(live.now());
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => set(live.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

let tools;
/** All tools, by their ids and their display names; asked for once. */
const loadTools = () => (tools ??= get("v1/tools").then(({ tools }) => tools, problem => { forgetTools(); throw problem; }));
export const forgetTools = () => { tools = undefined; };
export const useTools = () => useLoaded(loadTools, []);
/** The same, asked for anew: tools may have been made elsewhere. */
export const useNewestTools = () => useLoaded(() => { forgetTools(); return loadTools(); }, []);
export const toolNamed = (tools, name) => tools?.find(tool => tool.toolId === name) ?? tools?.find(tool => tool.displayName === name);

/** The heading, which has the focus after one went somewhere, and the name of the tab, where `state` is read from afar. */
export const Head = ({ title, state, children }) => {
  const head = useRef();
  useEffect(() => head.current.focus({ preventScroll: true }), [title]);
  useEffect(() => { document.title = `${state ? `${state}: ` : ""}${title} – Spellcast`; }, [title, state]);
  return html`<div class="head"><h1 tabindex="-1" ref=${head}>${title}</h1><div class="actions">${children}</div></div>`;
};

export const Trouble = ({ problem, retry, back }) => problem && html`
  <div class="trouble" role="alert">
    <p>${problem.message}</p>
    ${problem.faults?.length > 0 && html`<${Faults} faults=${problem.faults} />`}
    ${(retry || back) && html`<p class="actions">
      ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
      ${back && html`<a class="button" href=${back[0]}>${back[1]}</a>`}</p>`}
  </div>`;

export const Faults = ({ faults, kind = "fault" }) => html`
  <ul class="faults ${kind}">${faults.map(({ path, message }) => html`<li><code>${path}</code> ${message}</li>`)}</ul>`;

export const Loading = ({ what = "Loading…" }) => html`<p class="quiet" role="status">${what}</p>`;

// A step's statuses in the words of its timeline, which says “processing” of what comes after its tool.
const SAID = { pending: "waiting", processing: "running", open: "not begun" };
export const Status = ({ of }) => html`<span class="status ${of}">${SAID[of] ?? of}</span>`;

/** In the person's own zone; `now` makes it a time ago, with the whole of it as its title. */
export const Time = ({ at, now }) => html`<time datetime=${at} title=${now && when(at)}>${now ? ago(at, now) : when(at)}</time>`;

export const Json = ({ value }) => html`<pre class="json" tabindex="0">${pretty(value)}</pre>`;

/** What is made only once somebody looks. */
export function More({ summary, children }) {
  const [looks, look] = useState(false);
  return html`<details onToggle=${event => look(event.currentTarget.open)}><summary>${summary}</summary>${looks && children()}</details>`;
}

/** Copies a text, where the browser lets it: not on a page that came over plain HTTP from another machine. */
export function Copy({ text, label }) {
  const [said, say] = useState("");
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => say("Copied"), () => say("Not copied"));
  return html`<button type="button" class="tiny" aria-label=${label} onClick=${copy}>${said || "Copy"}</button><span class="unseen" role="status">${said}</span>`;
}

// Cursors lead forward only: which page each of them was come to from.
const before = new Map();

/** From page to page of a list; each is an address of its own, so that it can be reloaded and come back to. */
export function Pages({ cursor, next, to }) {
  if (!cursor && !next) return null;
  if (next) before.set(next, cursor);
  return html`
    <nav class="pages" aria-label="Pages">
      ${cursor && html`<a class="button" href=${to(before.get(cursor))}>${before.has(cursor) ? "Newer" : "Newest"}</a>`}
      ${next && html`<a class="button" href=${to(next)}>Older</a>`}
    </nav>`;
}

/** `#/casts?status=failed`, without what is empty. */
export const place = (path, query) => {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return given.size ? `${path}?${given}` : path;
};

/** A dialog that is open while it is rendered; Escape closes it. */
export function Dialog({ title, close, submit, label, busy, problem, children }) {
  const box = useRef();
  useEffect(() => { if (!box.current.open) box.current.showModal(); }, []);
  return html`
    <dialog ref=${box} aria-labelledby="dialog-title" onClose=${close}>
      <form onSubmit=${event => { event.preventDefault(); submit(); }}>
        <h2 id="dialog-title">${title}</h2>
        ${children}
        <${Trouble} problem=${problem} />
        <p class="actions end">
          <button type="button" onClick=${() => box.current.close()}>Close</button>
          ${label && html`<button class="primary" disabled=${busy}>${busy ? "One moment…" : label}</button>`}
        </p>
      </form>
    </dialog>`;
}

/** `keyOf(body)`: the Idempotency-Key of what is to be done, another one for whatever was changed in it. */
export function useKey() {
  const last = useRef({});
  return body => {
    const text = JSON.stringify(body);
    if (last.current.text !== text) last.current = { text, key: newKey() };
    return last.current.key;
  };
}

/** What a button does, with its failure. */
export function useAction(what) {
  const [state, set] = useState({});
  useBack(state.problem, () => set({}));
  const act = async (...given) => {
    set({ busy: true });
    try {
      await what(...given);
      set({});
    } catch (problem) {
      set({ problem });
    }
  };
  return [act, state.busy, state.problem, () => set({})];
}

/** A picture that the API draws; names in it come from users, so it is shown as an image, which runs nothing. */
export function Drawing({ path, query, label }) {
  const { data, problem, reload } = useLoaded(
    signal => get(path, query, { text: true, signal }), [path, JSON.stringify(query ?? {})]);
  const [source, set] = useState(null);
  useEffect(() => {
    if (!data) return;
    const url = URL.createObjectURL(new Blob([data], { type: "image/svg+xml" }));
    set(url);
    return () => URL.revokeObjectURL(url);
  }, [data]);
  return problem ? html`<${Trouble} problem=${problem} retry=${reload} />`
    : source ? html`<img class="drawing" src=${source} alt=${label} />` : html`<${Loading} />`;
}

/** What a step or a cast put out: pictures, videos, sounds, texts, and anything else as it is. */
export function Outputs({ of, name, reload }) {
  if (!of || (Array.isArray(of) ? of.length : Object.keys(of).length) === 0) return null;
  if (Array.isArray(of)) return of.map((element, place) => html`
    <${Outputs} key=${place} of=${element?.data && typeof element.data === "object" ? element.data : element} name=${name} reload=${reload} />`);
  if (typeof of !== "object") return html`<${Text} value=${of} />`;
  const { images, files, text, ...rest } = of;
  const items = [...list(images).map(item => [item, kindOf(item, "image")]), ...list(files).map(item => [item, kindOf(item)])];
  return html`
    ${items.length > 0 && html`<div class="media">${items.map(([item, kind], place) => html`
      <${Medium} key=${place} item=${item} kind=${kind} label=${`${name}, ${kind} ${place + 1}`} reload=${reload} />`)}</div>`}
    ${list(text).map(part => html`<${Text} value=${part} />`)}
    ${Object.keys(rest).length > 0 && html`<${Json} value=${rest} />`}`;
}

const list = value => value === undefined || value === null ? [] : Array.isArray(value) ? value : [value];

const Text = ({ value }) => html`<pre class="text" tabindex="0">${typeof value === "string" ? value : pretty(value)}</pre>`;

function kindOf(item, otherwise = "file") {
  const type = item?.mediaType ?? item?.type ?? item?.format ?? "";
  const known = /^(image|video|audio)/.exec(type)?.[1];
  if (known) return known;
  const ending = /\.(\w+)(?:[?#]|$)/.exec(item?.url ?? item?.filename ?? "")?.[1]?.toLowerCase();
  if (["mp4", "webm", "mov", "mkv"].includes(ending)) return "video";
  if (["mp3", "wav", "ogg", "flac", "m4a"].includes(ending)) return "audio";
  return ["png", "jpg", "jpeg", "webp", "gif", "avif"].includes(ending) ? "image" : otherwise;
}

function Medium({ item, kind, label, reload }) {
  const source = address(typeof item === "string" ? item : item?.url);
  const [gone, setGone] = useState(false);
  useEffect(() => setGone(false), [source]);
  if (!source) return html`<${Json} value=${item} />`;
  const failed = () => setGone(true);
  if (gone) return html`
    <div class="gone" role="note">
      <p>${item?.kept === false
        ? "This is no longer where its provider had it, and no copy could be kept. Run the step again to make it anew."
        : "This does not load: its link is good for some hours only, or it was deleted."}</p>
      ${item?.kept !== false && reload && html`<button type="button" onClick=${() => { setGone(false); reload(); }}>Get a fresh link</button>`}
    </div>`;
  return html`
    <figure>
      ${kind === "image" ? html`<a href=${source} target="_blank" rel="noreferrer"><img src=${source} alt=${label} onError=${failed} /></a>`
        : kind === "video" ? html`<video src=${source} controls preload="metadata" aria-label=${label} onError=${failed} />`
        : kind === "audio" ? html`<audio src=${source} controls preload="metadata" aria-label=${label} onError=${failed} />`
        : html`<a class="button" href=${source} target="_blank" rel="noreferrer">Open ${item?.filename ?? "the file"}</a>`}
    </figure>`;
}
