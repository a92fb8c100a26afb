// The list of casts: by status and spell, page by page, the first page live.

import { get } from "./api.js";
import { live } from "./live.js";
import { Head, Loading, Pages, Status, Time, Trouble, html, place, useEffect, useLoaded, useNow, useRef } from "./parts.js";
import { duration, usd } from "./words.js";

const PAGE = 25, LONGEST = 2 * PAGE, HEARD = 4 * PAGE, REST_MS = 500, NOW_MS = 30_000;
const STATUSES = ["", "running", "completed", "failed", "cancelled"];

export function Casts({ status = "", spell = "", cursor = "" }) {
  // What messages said last of a cast: an answer may be older.
  const heard = useRef(new Map());
  const { data, problem, loading, reload, change } = useLoaded(
    signal => get("v1/casts", { status, spell, cursor, limit: PAGE }, { signal }), [status, spell, cursor],
    page => ({ ...page, casts: page.casts.flatMap(cast => {
      const known = heard.current.get(cast.castId);
      return !known || known.revision <= cast.revision ? cast : fits(known, { status, spell }) ? known : [];
    }) }));
  const named = useLoaded(signal => spell ? get(`v1/spells/${spell}`, {}, { signal }) : Promise.resolve(null), [spell]);
  const now = useNow(NOW_MS);
  useEffect(() => {
    let rest = null;
    const readSoon = () => { rest ??= setTimeout(() => { rest = null; reload(); }, REST_MS); };
    const end = live.listen({
      caughtUp: reload,
      message: ({ type, payload }) => {
        if (type !== "castUpdate" || !hear(heard.current, payload)) return;
        change(page => {
          if (!page) return page;
          const casts = merged(page.casts, payload, { status, spell, isFirst: !cursor, isLast: !page.cursor });
          // What grew long is cut, and what lost casts is filled up, once for several.
          if (casts.length > LONGEST || (casts.length < page.casts.length && page.cursor)) readSoon();
          return casts === page.casts ? page : { ...page, casts };
        });
      },
    });
    return () => { end(); clearTimeout(rest); };
  }, [status, spell, cursor]);
  const nothing = `${status ? `No cast${spell ? " of this spell" : ""} is ${status}` : spell ? "This spell was not cast yet" : "Nothing was cast yet"}.`;
  return html`
    <${Head} title="Casts"><a class="button primary" href=${spell ? `#/spells/${spell}` : "#/spells"}>Cast ${spell ? "this" : "a"} spell</a><//>
    ${spell && html`<p class="line">Only those of “${named.data?.name ?? data?.casts[0]?.spellName ?? spell}” <a href=${place("#/casts", { status })}>All spells</a></p>`}
    <nav class="tabs" aria-label="Status">${STATUSES.map(each => html`
      <a href=${place("#/casts", { status: each, spell })} aria-current=${each === status ? "page" : undefined}>${each || "all"}</a>`)}
    </nav>
    <${Trouble} problem=${problem} retry=${reload} back=${cursor && ["#/casts", "The newest casts"]} />
    ${!data && loading && html`<${Loading} />`}
    ${data && data.casts.length === 0 && html`
      <div class="empty"><p>${nothing}</p>
        ${!status && !spell && html`<p><a class="button" href="#/spells">Choose a spell</a></p>`}</div>`}
    ${data?.casts.length > 0 && html`
      <div class="scroll"><table class="list">
        <thead><tr><th scope="col">Spell</th><th scope="col">Status</th><th scope="col">Started</th>
          <th scope="col" class="number">Took</th><th scope="col" class="number">Cost</th></tr></thead>
        <tbody>${data.casts.map(cast => html`<${Row} key=${cast.castId} cast=${cast} now=${now} />`)}</tbody>
      </table></div>`}
    ${data && html`<${Pages} cursor=${cursor} next=${data.cursor} to=${cursor => place("#/casts", { status, spell, cursor })} />`}`;
}

function Row({ cast, now }) {
  const ended = cast.completedAt ?? cast.failedAt ?? cast.cancelledAt;
  return html`
    <tr>
      <td><a href=${`#/casts/${cast.castId}`}>${cast.spellName}</a> <span class="quiet">v${cast.version}</span>
        ${cast.failureReason && cast.status !== "running" && html`<p class="why">${cast.failureReason}</p>`}</td>
      <td><${Status} of=${cast.cancelRequestedAt && cast.status === "running" ? "cancelling" : cast.status} /></td>
      <td><${Time} at=${cast.startedAt} now=${now} /></td>
      <td class="number">${ended ? duration(Date.parse(ended) - Date.parse(cast.resumedAt ?? cast.startedAt)) : "–"}</td>
      <td class="number">${usd(cast.costUsd)}</td>
    </tr>`;
}

/** Keeps the newest revision of each of the casts that were heard of last; false where a newer one is known. */
function hear(heard, told) {
  if (heard.get(told.castId)?.revision >= told.revision) return false;
  heard.delete(told.castId);
  heard.set(told.castId, told);
  if (heard.size > HEARD) heard.delete(heard.keys().next().value);
  return true;
}

const fits = (cast, { status, spell }) => (!status || cast.status === status) && (!spell || cast.spellId === spell);

/** The list with a cast's new revision, in its place by when it began, if that is on this page. */
function merged(casts, told, { status, spell, isFirst, isLast }) {
  const known = casts.findIndex(cast => cast.castId === told.castId);
  const isWanted = fits(told, { status, spell });
  if (known >= 0) {
    if (casts[known].revision >= told.revision) return casts;
    return isWanted ? casts.with(known, told) : casts.toSpliced(known, 1);
  }
  const older = casts.findIndex(cast => cast.startedAt <= told.startedAt);
  const isHere = (older > 0 || isFirst) && (older >= 0 || isLast);
  return isWanted && isHere ? casts.toSpliced(older < 0 ? casts.length : older, 0, told) : casts;
}
