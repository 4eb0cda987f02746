/** An HTTP client for the origins that the operator granted. */

import * as check from "./check.ts";
import { CallError, PermanentError, RetryableError, UnavailableError, payloadOf, type Failure } from "./failure.ts";
import { mask } from "./mask.ts";
import { firstChars } from "./markup.ts";
import { parseHttpDate } from "./time.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";
import type { Imports, WireRequest, WireResponse } from "./wire.ts";

/** A request's method. All but `GET` and `HEAD` count as an effect if they are answered 2xx or 3xx. */
export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What can be said about a request besides its method and URL. */
export interface RequestOptions {
  /** Headers by name. */
  headers?: Readonly<Record<string, string>>;
  /** Parameters that are added to the URL's query, percent-encoded. */
  query?: Readonly<Record<string, string>>;
  /** The body; text is sent as UTF-8. */
  body?: string | Uint8Array;
  /** The body as a value that is sent as JSON, with the header `content-type`. */
  json?: unknown;
  /** The name of a credential of the operator's configuration that the host adds. */
  credential?: string;
  /** The milliseconds from connecting to the end of the body; the step's own deadline if that is sooner. */
  timeoutMs?: number;
  /**
   * A name for the effect, unique within this step. Needed only if the request can differ between attempts: a retry then
   * finds the recorded response by this name.
   */
  key?: string;
}

/** Why there is no response, or no usable one. */
export type HttpErrorKind =
  | "denied"
  | "invalid-request"
  | "unreachable"
  | "timeout"
  | "too-large"
  | "budget-exhausted"
  | "unavailable"
  | "status"
  | "unreadable";

/**
 * The error of a request. A handler that does not catch it fails: *unavailable* for 408, 425, 429, 5xx, timeouts and unreachable
 * hosts, with the server's `Retry-After`; *retryable* for a body that cannot be read; *permanent* for the rest.
 */
export class HttpError extends CallError {
  override readonly name = "HttpError";
  /** The kind of error. */
  readonly kind: HttpErrorKind;
  /** The status code, if the kind is `status`. */
  readonly status: number | undefined;
  /** The server's `Retry-After`, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: HttpErrorKind, message: string, answer: { status?: number; retryAfterMs?: number | undefined } = {}) {
    super(message);
    this.kind = kind;
    this.status = answer.status;
    this.retryAfterMs = answer.retryAfterMs;
  }

  override toFailure(): Failure {
    const status = this.status ?? 0;
    const options = { cause: this, ...(this.retryAfterMs === undefined ? {} : { afterMs: this.retryAfterMs }) };
    if (["unreachable", "timeout", "unavailable"].includes(this.kind))
      return new UnavailableError(this.message, { cause: this });
    if (status === 408 || status === 425 || status === 429 || status >= 500)
      return new UnavailableError(this.message, options);
    if (this.kind === "unreadable") return new RetryableError(this.message, { cause: this });
    return new PermanentError(this.message, { cause: this });
  }
}

/** Requests to the origins that the operator granted. Redirects are not followed and bodies are not decompressed. */
export class Http {
  readonly #send: NonNullable<Imports["http"]>["send"];
  readonly #now: () => Date;

  /** Authors get it as `cx.http`. */
  constructor(http: NonNullable<Imports["http"]>, now: () => Date) {
    this.#send = (request) => http.send(request);
    this.#now = now;
  }

  /**
   * Sends a GET request. Every status is a response; see {@link Response.errorForStatus}.
   *
   * ```ts
   * const pod = cx.http.get(url, { credential: "kubernetes" }).errorForStatus().json<Pod>();
   * ```
   *
   * @throws {HttpError} if there is no response: denied, unreachable, timed out, too large.
   */
  get(url: string, options: Omit<RequestOptions, "body" | "json"> = {}): Response {
    return this.request("GET", url, options);
  }

  /** Sends a HEAD request; see {@link Http.get}. */
  head(url: string, options: Omit<RequestOptions, "body" | "json"> = {}): Response {
    return this.request("HEAD", url, options);
  }

  /** Sends a POST request; see {@link Http.get}. */
  post(url: string, options: RequestOptions = {}): Response {
    return this.request("POST", url, options);
  }

  /** Sends a PUT request; see {@link Http.get}. */
  put(url: string, options: RequestOptions = {}): Response {
    return this.request("PUT", url, options);
  }

  /** Sends a PATCH request; see {@link Http.get}. */
  patch(url: string, options: RequestOptions = {}): Response {
    return this.request("PATCH", url, options);
  }

  /** Sends a DELETE request; see {@link Http.get}. */
  delete(url: string, options: RequestOptions = {}): Response {
    return this.request("DELETE", url, options);
  }

  /** Sends a request; `url` is absolute. See {@link Http.get}. */
  request(method: Method, url: string, options: RequestOptions = {}): Response {
    const request = toWire(method, url, options);
    const name = nameOf(method, request.url);
    let response: WireResponse;
    try {
      response = this.#send(request);
    } catch (error) {
      throw errorOf(name, error);
    }
    return new Response(name, response, this.#now);
  }
}

/** The response of a server. */
export class Response {
  /** The status code. */
  readonly status: number;
  /** The headers in the order received, names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The body as received. */
  readonly bytes: Uint8Array;
  readonly #name: string;
  readonly #now: () => Date;

  /** Authors get it from {@link Http}. */
  constructor(name: string, response: WireResponse, now: () => Date) {
    this.status = response.status;
    this.headers = response.headers;
    this.bytes = response.body;
    this.#name = name;
    this.#now = now;
    if (!this.ok) lastFailed = `${name} answered ${this.status}`;
  }

  /** Whether the status is 200 to 299. */
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  /** Returns the first header of this name, ignoring case. */
  header(name: string): string | undefined {
    return this.headers.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1];
  }

  /** The header `Retry-After`, given in seconds or as a date, as milliseconds from now. */
  get retryAfterMs(): number | undefined {
    const given = this.header("retry-after");
    if (given === undefined) return undefined;
    if (/^\d+$/.test(given)) return Number(given) * 1_000;
    const until = parseHttpDate(given);
    // The wait is the date less the server's own clock, so that a difference of the clocks does not matter.
    const now = parseHttpDate(this.header("date") ?? "") ?? this.#now();
    return until === undefined ? undefined : Math.max(0, until.getTime() - now.getTime());
  }

  /** Returns the body as text; bytes that are not UTF-8 are replaced by U+FFFD. */
  text(): string {
    return decodeUtf8(this.bytes);
  }

  /**
   * Returns the body, parsed as JSON. The type is what the caller says it is; nothing checks it.
   *
   * @throws {HttpError} if it is not JSON: the position, and how the body begins.
   */
  json<T = unknown>(): T {
    try {
      return JSON.parse(this.text()) as T;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const status = this.ok ? "" : `it was answered ${this.status}, so call errorForStatus() before json(); `;
      throw new HttpError(
        "unreadable",
        `${this.#name}: the answer can't be read: ${status}${why}; it begins \`${this.#excerpt(80)}\``,
      );
    }
  }

  /**
   * Returns the response if the status is 200 to 299.
   *
   * @throws {HttpError} of kind `status` for every other status, including redirects, which are not followed.
   */
  errorForStatus(): this {
    if (this.ok) return this;
    const to = this.header("location");
    const isRedirect = this.status >= 300 && this.status < 400 && to !== undefined;
    const said = isRedirect ? `redirects to ${to}; redirects are not followed` : this.#excerpt(200);
    const message = `${this.#name}: answered ${this.status}${said === "" ? "" : `: ${said}`}`;
    throw new HttpError("status", message, { status: this.status, retryAfterMs: this.retryAfterMs });
  }

  /** Returns the beginning of the body on one line, with secrets masked, for use in messages. */
  #excerpt(charsMax: number): string {
    const line = decodeUtf8(this.bytes.subarray(0, charsMax * 8))
      .split(/\s+/)
      .join(" ")
      .trim();
    return firstChars(mask(line), charsMax);
  }
}

/** What the last response that was no success said, to explain why its body is no JSON. */
let lastFailed: string | undefined;

/** Returns the last response of this step that was no success. */
export function lastFailedResponse(): string | undefined {
  return lastFailed;
}

/** Forgets the responses of an earlier step. */
export function forgetResponses(): void {
  lastFailed = undefined;
}

/**
 * Percent-encodes text for use as one segment of a path, or one name or value of a query.
 *
 * ```ts
 * encode("a/b c=é") // "a%2Fb%20c%3D%C3%A9"
 * ```
 */
export function encode(text: string): string {
  return encodeURIComponent(check.text("encode", text)).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function toWire(method: Method, url: string, options: RequestOptions): WireRequest {
  const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
  if (!methods.includes(method)) throw check.wrong("http method", `one of ${methods.join(", ")}`, method);
  const call = `http ${method.toLowerCase()}`;
  if (!check.isPlainObject(options)) throw check.wrong(`${call} options`, "an object", options);
  let target = check.text(`${call} url`, url);
  for (const [name, value] of check.pairs(`${call} query`, options.query ?? {})) {
    target += `${target.includes("?") ? "&" : "?"}${encode(name)}=${encode(value)}`;
  }
  const headers = Object.entries(options.headers ?? {}).map(([name, value]): [string, string] => [
    name,
    check.text(`${call} headers.${name}`, value),
  ]);
  let body = options.body === undefined ? undefined : check.bytes(`${call} body`, options.body, encodeUtf8);
  if ("json" in options) {
    const json = JSON.stringify(options.json) as string | undefined;
    if (json === undefined) throw check.wrong(`${call} json`, "a value that JSON has", options.json);
    body = encodeUtf8(json);
    headers.push(["content-type", "application/json"]);
  }
  return {
    method: method.toLowerCase() as WireRequest["method"],
    url: target,
    headers,
    body,
    credential: check.optionalText(`${call} credential`, options.credential),
    key: check.optionalText(`${call} key`, options.key),
    timeoutMs: check.optionalLength(`${call} timeoutMs`, options.timeoutMs),
  };
}

/** Returns the method and the URL, without userinfo and query, which may hold secrets. Messages name a request by it. */
function nameOf(method: Method, url: string): string {
  const bare = url.split(/[?#]/)[0] ?? "";
  return `${method} ${bare.replace(/^([^:/]+:\/\/)[^/]*@/, "$1")}`;
}

function errorOf(name: string, error: unknown): unknown {
  const payload = payloadOf(error);
  if (payload === undefined) return error;
  const why = String(payload.val);
  switch (payload.tag) {
    case "denied":
      return new HttpError("denied", `${name}: not granted: ${why}`);
    case "invalid-request":
      return new HttpError("invalid-request", `${name}: the request can't be sent: ${why}`);
    case "unreachable":
      return new HttpError("unreachable", `${name}: unreachable: ${why}`);
    case "timeout":
      return new HttpError("timeout", `${name}: timed out`);
    case "too-large":
      return new HttpError("too-large", `${name}: the response is larger than ${why} bytes`);
    case "budget-exhausted":
      return new HttpError("budget-exhausted", `${name}: the step's limit is used up: ${why}`);
    default:
      return new HttpError("unavailable", `${name}: unavailable: ${why}`);
  }
}
