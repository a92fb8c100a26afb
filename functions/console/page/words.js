// Values as people read them.

export const usd = amount => `$${amount ?? "0"}`;

/** The exact sum of decimal strings. */
export function sum(amounts) {
  const places = Math.max(0, ...amounts.map(amount => (amount.split(".")[1] ?? "").length));
  const whole = amounts.reduce((total, amount) => {
    const [units, rest = ""] = amount.split(".");
    return total + BigInt(units + rest.padEnd(places, "0"));
  }, 0n);
  const digits = whole.toString().padStart(places + 1, "0");
  const text = places ? `${digits.slice(0, -places)}.${digits.slice(-places)}` : digits;
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(2)} s`;
  const minutes = Math.floor(milliseconds / 60_000), seconds = Math.round((milliseconds % 60_000) / 1000);
  return minutes < 60 ? `${minutes} min ${seconds} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
export const when = text => WHEN.format(new Date(text));

/** How long ago, within a day; the clock of a server may be ahead. */
export function ago(text, now) {
  const minutes = Math.floor((now - Date.parse(text)) / 60_000);
  if (minutes < 1) return "just now";
  return minutes < 60 ? `${minutes} min ago` : minutes < 24 * 60 ? `${Math.floor(minutes / 60)} h ago` : when(text);
}

export const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

export const pretty = value => JSON.stringify(value, null, 2);

/** An address that may be loaded or followed: none that runs something. */
export function address(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "blob:"].includes(url.protocol) || /^data:(image|video|audio)\//.test(text) ? url.href : null;
  } catch {
    return null;
  }
}

/** What to do about a failure, by its code. */
const ADVICE = {
  BUDGET_EXCEEDED: "Resume it with a larger budget, or wait for the next day (UTC) where it is the day's.",
  MISSING_INPUTS: "Run the step again with the inputs that are missing, or wire them in the spell.",
  INVALID_STEP_INPUT: "Run the step again with other inputs.",
  PROVIDER_NOT_CONFIGURED: "Whoever runs this deployment has to give it the provider's key; resume the cast then.",
  PROVIDER_UNAVAILABLE: "Nothing was begun there. Resume the cast when the provider answers again.",
  PROVIDER_REFUSED: "Run the step again with inputs that the provider takes.",
  OUTCOME_UNKNOWN: "Nobody knows whether the provider began it. Resuming asks once more, and may cost once more.",
  TIMED_OUT: "Resume the cast to try the step again.",
  JOB_FAILED: "Resume the cast to try the step again, or run the step again with other inputs.",
  CAST_CANCELLED: "Resume the cast to go on where it was stopped.",
};
export const advice = code => ADVICE[code] ?? "Resume the cast to try the step again, or run the step again with other inputs.";
