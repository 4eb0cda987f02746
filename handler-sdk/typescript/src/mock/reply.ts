/** The mock host's response to a request. */

import type { HttpErrorKind } from "../http.ts";
import { encodeUtf8 } from "../utf8.ts";
import type { WireResponse } from "../wire.ts";

/** The mock host's response to a request, or the error instead of one. */
export class Reply {
  /** The response; `undefined` if there is an error. */
  readonly response: WireResponse | undefined;
  /** The error's kind and what it says. */
  readonly error: { readonly kind: HttpErrorKind; readonly detail: string | number } | undefined;

  private constructor(response: WireResponse | undefined, error?: Reply["error"]) {
    this.response = response;
    this.error = error;
  }

  /** Returns a response. */
  static status(status: number, body: string | Uint8Array = ""): Reply {
    return new Reply({ status, headers: [], body: typeof body === "string" ? encodeUtf8(body) : body });
  }

  /** Returns a response with a JSON body. */
  static json(status: number, body: unknown): Reply {
    return Reply.status(status, JSON.stringify(body)).header("content-type", "application/json");
  }

  /** Returns the error that the origin is not granted. */
  static denied(): Reply {
    return Reply.error("denied", "not granted by the test");
  }

  /** Returns the error that nothing listens there. */
  static unreachable(): Reply {
    return Reply.error("unreachable", "connection refused");
  }

  /** Returns the error that the time ran out. */
  static timeout(): Reply {
    return Reply.error("timeout");
  }

  /** Returns an error; kinds that need a response become `unavailable`. */
  static error(kind: HttpErrorKind, detail: string | number = ""): Reply {
    const isOfResponse = kind === "status" || kind === "unreadable";
    return new Reply(undefined, { kind: isOfResponse ? "unavailable" : kind, detail });
  }

  /** Returns the response with another header. */
  header(name: string, value: string): Reply {
    if (this.response === undefined) return this;
    const headers: [string, string][] = [...this.response.headers, [name.toLowerCase(), value]];
    return new Reply({ ...this.response, headers });
  }
}
