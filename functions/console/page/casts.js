// The list of casts: by status, page by page, the first page live.

import { get } from "./api.js";
import { live } from "./live.js";
import { Head, Loading, Status, Time, Trouble, html, useEffect, useLoaded, useState } from "./parts.js";
import { duration, usd } from "./words.js";

const PAGE = 25, REST_MS = 500;
const STATUSES = ["", "running", "completed", "failed", "cancelled"];

export function Casts({ status = "" }) {
  // The cursors of the pages before this one, and its own.
  const [cursors, turn] = useState([undefined]);
  useEffect(() => turn([undefined]), [status]);
  const cursor = cursors.at(-1);
  const { data, problem, loading, reload, change } = useLoaded(
    signal => get("v1/casts", { status, cursor, limit: PAGE }, { signal }), [status, cursor]);
  useEffect(() => {
    let rest = null;
    // Cursors know nothing of casts that came after them: the page is read again, once for several.
    const readSoon = () => { rest ??= setTimeout(() => { rest = null; reload(); }, REST_MS); };
    const end = live.listen({
      caughtUp: reload,
      message: ({ type, payload }) => type === "castUpdate" && change(page => {
        if (!page) return page;
        const casts = merged(page.casts, payload, status, cursors.length === 1);
        if (casts.length !== page.casts.length || casts[0]?.castId !== page.casts[0]?.castId) readSoon();
        return { ...page, casts };
      }),
    });
    return () => { end(); clearTimeout(rest); };
  }, [status, cursors.length]);
  return html`
    <${Head} title="Casts"><a class="button primary" href="#/spells">Cast a spell</a><//>
    <nav class="tabs" aria-label="Status">${STATUSES.map(each => html`
      <a href=${each ? `#/casts?status=${each}` : "#/casts"} aria-current=${each === status ? "page" : undefined}>${each || "all"}</a>`)}
    </nav>
    <${Trouble} problem=${problem} retry=${reload} />
    ${!data && loading && html`<${Loading} />`}
    ${data && data.casts.length === 0 && html`
      <div class="empty"><p>${status ? `No cast is ${status}${cursors.length > 1 ? " here" : ""}.` : "Nothing was cast yet."}</p>
        ${!status && html`<p><a class="button" href="#/spells">Choose a spell</a></p>`}</div>`}
    ${data?.casts.length > 0 && html`
      <div class="scroll"><table class="list">
        <thead><tr><th scope="col">Spell</th><th scope="col">Status</th><th scope="col">Started</th>
          <th scope="col" class="number">Took</th><th scope="col" class="number">Cost</th></tr></thead>
        <tbody>${data.casts.map(cast => html`<${Row} key=${cast.castId} cast=${cast} />`)}</tbody>
      </table></div>`}
    ${data && (cursors.length > 1 || data.cursor) && html`
      <nav class="pages" aria-label="Pages">
        <button type="button" disabled=${cursors.length === 1} onClick=${() => turn(cursors.slice(0, -1))}>Newer</button>
        <span class="quiet">Page ${cursors.length}</span>
        <button type="button" disabled=${!data.cursor} onClick=${() => turn([...cursors, data.cursor])}>Older</button>
      </nav>`}`;
}

function Row({ cast }) {
  const ended = cast.completedAt ?? cast.failedAt ?? cast.cancelledAt;
  return html`
    <tr>
      <td><a href=${`#/casts/${cast.castId}`}>${cast.spellName}</a> <span class="quiet">v${cast.version}</span>
        ${cast.failureReason && cast.status !== "running" && html`<p class="why">${cast.failureReason}</p>`}</td>
      <td><${Status} of=${cast.cancelRequestedAt && cast.status === "running" ? "cancelling" : cast.status} /></td>
      <td><${Time} at=${cast.startedAt} /></td>
      <td class="number">${ended ? duration(Date.parse(ended) - Date.parse(cast.resumedAt ?? cast.startedAt)) : "–"}</td>
      <td class="number">${usd(cast.costUsd)}</td>
    </tr>`;
}

/** The list with a cast's new revision; one that is new stands first, on the first page. */
export function merged(casts, told, status, isFirst) {
  const place = casts.findIndex(cast => cast.castId === told.castId);
  const fits = !status || told.status === status;
  if (place >= 0) {
    if (casts[place].revision >= told.revision) return casts;
    return fits ? casts.with(place, told) : casts.filter(cast => cast.castId !== told.castId);
  }
  const isNewest = !casts.length || told.startedAt >= casts[0].startedAt;
  return fits && isFirst && isNewest ? [told, ...casts].slice(0, PAGE) : casts;
}
