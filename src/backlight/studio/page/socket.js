// Talking with the server: requests with answers, pushes, and coming back after a lost connection.
// In a report the answers stand in the page, and nothing is sent anywhere.

const MESSAGE_OFFLINE = "This is not part of the report; open it with `backlight studio`.";

/** The connection over the WebSocket. */
export class Socket {
  constructor(handlers) {
    this.handlers = handlers;
    this.number = 0;
    this.pending = new Map();
    this.delay = 250;
    this.offline = false;
    this.connect();
  }

  connect() {
    const token = new URLSearchParams(location.search).get("token") ?? "";
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/socket?token=${encodeURIComponent(token)}`);
    this.socket.onopen = () => {
      this.delay = 250;
      this.handlers.connection("open");
    };
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => this.closed(code, reason);
  }

  receive(message) {
    if (message.push) return this.handlers.push(message.push, message.ok);
    const waiting = this.pending.get(message.id);
    if (!waiting) {
      if (message.error) this.handlers.push("notice", { level: "error", message: message.error.message });
      return undefined;
    }
    this.pending.delete(message.id);
    if (message.error) return waiting.fail(new Error(message.error.message));
    return waiting.done(message.ok);
  }

  closed(code, reason) {
    for (const { fail } of this.pending.values()) fail(new Error("The connection to the studio was lost."));
    this.pending.clear();
    if (code === 4403) {
      this.handlers.connection(
        "refused",
        reason || "The address has no valid token: use the one that `backlight studio` printed.",
      );
      return;
    }
    this.handlers.connection("lost");
    setTimeout(() => this.connect(), this.delay);
    this.delay = Math.min(this.delay * 2, 8000);
  }

  /** Send a request; the promise gives its answer or fails with the server's sentence. */
  request(name, fields = {}) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Error("There is no connection to the studio at the moment."));
    }
    const id = ++this.number;
    return new Promise((done, fail) => {
      this.pending.set(id, { done, fail });
      this.socket.send(JSON.stringify({ id, do: name, ...fields }));
    });
  }
}

/** The connection of a report: it answers from the data in the page. */
export class Report {
  constructor(report, handlers) {
    this.report = report;
    this.offline = true;
    setTimeout(() => {
      handlers.connection("report");
      handlers.push("hello", report.hello);
    }, 0);
  }

  request(name, fields = {}) {
    const found = this.report.answers.find((each) => serves(each, name, fields));
    if (found)
      return found.error ? Promise.reject(new Error(found.error.message)) : Promise.resolve(found.ok);
    return this.report.relay ? this.relay(name, fields) : Promise.reject(new Error(MESSAGE_OFFLINE));
  }

  /** In a notebook: ask the kernel, by way of the page around this one. */
  relay(name, fields) {
    const id = (this.number = (this.number ?? 0) + 1);
    return new Promise((done, fail) => {
      const answered = ({ source, data }) => {
        if (source !== window.parent || data?.backlight?.id !== id) return;
        window.removeEventListener("message", answered);
        const { ok, error } = data.backlight;
        if (error) fail(new Error(error.message));
        else done(ok);
      };
      window.addEventListener("message", answered);
      window.parent.postMessage({ backlight: { id, do: name, ...fields } }, "*");
    });
  }

  /** The targets whose derivations are in the report. */
  targets() {
    return this.report.answers.filter((each) => each.do === "explain").map((each) => each.target);
  }
}

function serves(answer, name, fields) {
  if (answer.do !== name) return false;
  if (plain(answer.target) !== plain(fields.target)) return false;
  if (fields.at?.edits?.length) return false;
  return ["step", "example"].every((field) => {
    const wanted = fields.at?.[field];
    const given = answer.at?.[field];
    return (
      wanted === undefined || wanted === null || given === undefined || given === null || wanted === given
    );
  });
}

function plain(target) {
  return typeof target === "string" ? target.replace(/\s/g, "") : (target ?? null);
}
