// The account's messages over the WebSocket. After every (re)connection listeners are told to catch up, and what they
// ask for then is newer than anything that was missed: no gap.

import { call } from "./api.js";

const ACK_MS = 10_000, PING_MS = 25_000, PONG_MS = 10_000, LONGEST_WAIT_MS = 15_000;

class Live {
  state = "off"; // off, connecting, live, waiting
  #listeners = new Set();
  #socket = null;
  #timers = new Set();
  #failed = 0;
  #run = 0;
  #offset = 0;

  /** `{message?, caughtUp?, state?}`; answers the function that ends it. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Nothing arrives now, and something may have been missed. */
  get isLost() { return this.#failed > 0; }

  /** Why not even a ticket is to be had, where that is so. */
  problem = null;

  /** The server's time in milliseconds, as far as its messages tell. */
  now() { return Date.now() + this.#offset; }

  start() {
    if (this.state === "off") this.#connect();
  }

  stop() {
    this.#run += 1;
    this.#clear();
    this.#socket?.close();
    this.#socket = null;
    this.#failed = 0;
    this.problem = null;
    this.#become("off");
  }

  /** At once rather than after the wait. */
  retry() {
    if (this.state === "waiting") { this.#clear(); this.#connect(); }
  }

  /** Asks for the whole cast; false where nobody can be asked now. */
  subscribe(castId) { return this.#send({ action: "subscribe", castId }); }

  async #connect() {
    const run = ++this.#run;
    this.#become("connecting");
    let ticket;
    try {
      ticket = await call("POST", "v1/realtime/ticket");
    } catch (problem) {
      if (run !== this.#run || problem.status === 401) return;
      this.problem = problem;
      this.#wait();
      return;
    }
    if (run !== this.#run) return;
    this.problem = null;
    const socket = this.#socket = new WebSocket(ticket.url);
    const lost = () => {
      if (run !== this.#run || socket !== this.#socket) return;
      this.#socket = null;
      socket.close();
      this.#wait();
    };
    const silence = this.#after(ACK_MS, lost);
    socket.onclose = socket.onerror = lost;
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      const message = JSON.parse(data);
      if (message.at) this.#offset = Date.parse(message.at) - Date.now();
      if (message.type === "connection_ack") {
        clearTimeout(silence);
        this.#failed = 0;
        this.#become("live");
        this.#tell("caughtUp");
        this.#ping(lost);
      } else if (message.type === "pong") {
        this.#clear();
        this.#ping(lost);
      } else if (message.payload) { // API Gateway's own word of a function that failed has none
        this.#tell("message", message);
      }
    };
  }

  #ping(lost) {
    this.#after(PING_MS, () => { this.#send({ action: "ping" }); this.#after(PONG_MS, lost); });
  }

  #wait() {
    this.#clear();
    this.#failed += 1;
    this.#become("waiting");
    // Without the socket the page is kept up to date by asking.
    if (this.#failed > 1) this.#tell("caughtUp");
    this.#after(Math.min(LONGEST_WAIT_MS, 400 * 2 ** this.#failed), () => this.#connect());
  }

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #after(milliseconds, what) {
    const timer = setTimeout(() => { this.#timers.delete(timer); what(); }, milliseconds);
    this.#timers.add(timer);
    return timer;
  }

  #clear() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #become(state) {
    this.state = state;
    this.#tell("state", state);
  }

  #tell(kind, what) {
    for (const listener of [...this.#listeners]) listener[kind]?.(what);
  }
}

export const live = new Live();
addEventListener("online", () => live.retry());
addEventListener("visibilitychange", () => document.hidden || live.retry());
