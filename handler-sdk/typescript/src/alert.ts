/** The alert: access to its labels and annotations by name, and to the URLs that people open from it. */

import { byBytes } from "./check.ts";
import { severityOf, type Severity } from "./severity.ts";
import { fromWire, toWire, parseTime } from "./time.ts";
import { encodeUtf8 } from "./utf8.ts";
import type { WireAlert, WireLabels, WireTimestamp } from "./wire.ts";

/** Names with values. A name that is missing has the value `undefined`. */
export type Labels = Readonly<Record<string, string>>;

/** Where an alert came from. */
export interface Origin {
  /** `alertmanager`, `grafana`, `prometheus` or `json`. */
  readonly sender: string;
  /** Alertmanager's receiver. */
  readonly receiver: string | undefined;
  /** Alertmanager's group. */
  readonly groupKey: string | undefined;
  /** The labels that its group shares by name. */
  readonly groupLabels: Labels;
  /** The URL of the sender's own pages, for example Alertmanager's. */
  readonly externalUrl: string | undefined;
  /** The sender's other fields by their JSON names, for example Grafana's `valueString`. */
  readonly extra: Labels;
}

/** What an alert of a test consists of: the JSON of a sender, with `Date`s where it has times. */
export interface AlertInit {
  /** The labels, `alertname` among them. */
  labels: Record<string, string>;
  /** The annotations; none by default. */
  annotations?: Record<string, string>;
  /** `firing` by default. */
  status?: "firing" | "resolved";
  /** When it began to fire; 1970-01-01 by default. */
  startsAt?: Date | string;
  /** When it ended. */
  endsAt?: Date | string;
  /** When the server received it; 30 s after it began, or ended, by default. */
  receivedAt?: Date | string;
  /** The URL of the expression in Prometheus. */
  generatorURL?: string;
  /** Where it came from; by default an Alertmanager. */
  origin?: Partial<Origin>;
}

/** The field in which the host passes the number of the occurrence, from the second on. */
const OCCURRENCE = "alert_manager.occurrence";

/** One alert. Its values are converted when they are asked for: most handlers ask for a few. */
export class Alert {
  readonly #wire: WireAlert;
  #labels: Labels | undefined;
  #annotations: Labels | undefined;
  #origin: Origin | undefined;

  private constructor(wire: WireAlert) {
    this.#wire = wire;
  }

  /** Alertmanager's fingerprint of the labels: 16 hexadecimal digits. */
  get fingerprint(): string {
    return this.#wire.fingerprint;
  }

  /** The label `alertname`. */
  get name(): string {
    return this.#wire.name;
  }

  /** Whether it fires or has resolved. */
  get status(): "firing" | "resolved" {
    return this.#wire.status;
  }

  /** Its labels, `alertname` among them; {@link Alert.label} treats an empty one as missing. */
  get labels(): Labels {
    return (this.#labels ??= recordOf(this.#wire.labels));
  }

  /** Its annotations; {@link Alert.annotation} treats a blank one as missing. */
  get annotations(): Labels {
    return (this.#annotations ??= recordOf(this.#wire.annotations));
  }

  /** When it began to fire, in whole milliseconds. */
  get startsAt(): Date {
    return fromWire(this.#wire.startsAt);
  }

  /** When it ended; `undefined` while it fires with no known end. */
  get endsAt(): Date | undefined {
    return this.#wire.endsAt ? fromWire(this.#wire.endsAt) : undefined;
  }

  /** When the server received it. */
  get receivedAt(): Date {
    return fromWire(this.#wire.receivedAt);
  }

  /** Where it came from. */
  get origin(): Origin {
    const { origin } = this.#wire;
    return (this.#origin ??= {
      sender: origin.sender,
      receiver: origin.receiver ?? undefined,
      groupKey: origin.groupKey ?? undefined,
      groupLabels: recordOf(origin.groupLabels),
      externalUrl: origin.externalUrl ?? undefined,
      extra: recordOf(origin.extra),
    });
  }

  /**
   * Returns an alert for a test.
   *
   * ```ts
   * const alert = Alert.of({ labels: { alertname: "DiskFull", mountpoint: "/var", severity: "CRITICAL" } });
   * alert.level // "critical"
   * ```
   */
  static of(init: AlertInit): Alert {
    const labels = pairsOf(init.labels);
    const startsAt = momentOf(init.startsAt) ?? new Date(0);
    const endsAt = momentOf(init.endsAt) ?? (init.status === "resolved" ? startsAt : undefined);
    const after = (moment: Date): Date => new Date(moment.getTime() + 30_000);
    const receivedAt = momentOf(init.receivedAt) ?? after(endsAt ?? startsAt);
    const origin = init.origin ?? {};
    return new Alert({
      fingerprint: fingerprintOf(labels),
      name: init.labels["alertname"] ?? "",
      status: init.status ?? "firing",
      labels,
      annotations: pairsOf(init.annotations ?? {}),
      startsAt: exactly(init.startsAt) ?? toWire(startsAt),
      endsAt: endsAt === undefined ? undefined : toWire(endsAt),
      generatorUrl: init.generatorURL,
      receivedAt: toWire(receivedAt),
      origin: {
        sender: origin.sender ?? "alertmanager",
        receiver: origin.receiver,
        groupKey: origin.groupKey,
        groupLabels: pairsOf(origin.groupLabels ?? {}),
        externalUrl: origin.externalUrl,
        extra: pairsOf(origin.extra ?? {}),
      },
    });
  }

  /** Returns the alert that the host passed. */
  static fromWire(wire: WireAlert): Alert {
    return new Alert(wire);
  }

  /** Returns the alert in the contract's form. */
  toWire(): WireAlert {
    return this.#wire;
  }

  /** Returns the label of this name; `undefined` if it is missing or empty, which Prometheus treats as the same. */
  label(name: string): string | undefined {
    return lookUp(this.#wire.labels, name) || undefined;
  }

  /** Returns the annotation of this name without surrounding blanks; `undefined` if it is missing or blank. */
  annotation(name: string): string | undefined {
    return lookUp(this.#wire.annotations, name)?.trim() || undefined;
  }

  /** Returns one of the sender's other fields by its JSON name, for example Grafana's `valueString`. */
  extra(name: string): string | undefined {
    return lookUp(this.#wire.origin.extra, name)?.trim() || undefined;
  }

  /** Whether the alert fires. */
  get isFiring(): boolean {
    return this.status === "firing";
  }

  /** Whether the alert has resolved. */
  get isResolved(): boolean {
    return this.status === "resolved";
  }

  /** The label `severity` in lower case, since some rules write `CRITICAL`. */
  get severity(): string | undefined {
    return this.label("severity")?.toLowerCase();
  }

  /** The severity: that of the label `severity`, or that of `priority` if the former is not known. */
  get level(): Severity {
    for (const name of ["severity", "priority"]) {
      const severity = severityOf(this.label(name) ?? "");
      if (severity !== "unknown") return severity;
    }
    return "unknown";
  }

  /** The label `priority` as written, for example `P0`. */
  get priority(): string | undefined {
    return this.label("priority");
  }

  /** A summary of one line: the annotation `summary`, or else `message`, or else `title`. */
  get summary(): string | undefined {
    return this.annotation("summary") ?? this.annotation("message") ?? this.annotation("title");
  }

  /** The longer description: the annotation `description`, or else `message` if that is not the summary. */
  get description(): string | undefined {
    const message = this.annotation("message");
    return this.annotation("description") ?? (message === this.summary ? undefined : message);
  }

  /** Returns the milliseconds that the alert has fired at `now`, or, if it has ended, that it fired in all. */
  duration(now: Date): number {
    return Math.max(0, (this.endsAt ?? now).getTime() - this.startsAt.getTime());
  }

  /** The milliseconds from the alert's start, or its end, to its receipt: the sender's grouping and retries. */
  get delay(): number {
    const began = this.isResolved && this.endsAt !== undefined ? this.endsAt : this.startsAt;
    return Math.max(0, this.receivedAt.getTime() - began.getTime());
  }

  /**
   * A key that the firing alert and its resolved alert have in common and no other alert has, for use with kv: the
   * fingerprint, the start with nanoseconds and, from the second occurrence on, the {@link Alert.occurrence}.
   */
  get incidentKey(): string {
    const { seconds, nanoseconds } = this.#wire.startsAt;
    const key = `${this.fingerprint}@${seconds}.${String(nanoseconds).padStart(9, "0")}`;
    return this.occurrence > 1 ? `${key}#${this.occurrence}` : key;
  }

  /**
   * How often the alert has begun to fire with this start, from 1. It is more than 1 if the alert fires again after its
   * resolved alert was sent, for example because Prometheus could not reach Alertmanager for a while.
   */
  get occurrence(): number {
    const given = this.extra(OCCURRENCE) ?? "";
    return /^\d+$/.test(given) ? Number(given) : 1;
  }

  /** The URL of the runbook: the annotation `runbook_url`, or else `runbook`. */
  get runbookUrl(): string | undefined {
    return webUrl(this.annotation("runbook_url") ?? this.annotation("runbook"));
  }

  /** The URL of the dashboard: Grafana's `dashboardURL`, or the annotation `dashboard_url` or `dashboard`. */
  get dashboardUrl(): string | undefined {
    return webUrl(this.extra("dashboardURL") ?? this.annotation("dashboard_url") ?? this.annotation("dashboard"));
  }

  /** The URL of the panel: Grafana's `panelURL`. */
  get panelUrl(): string | undefined {
    return webUrl(this.extra("panelURL"));
  }

  /** The URL of the alert's expression in Prometheus. */
  get queryUrl(): string | undefined {
    return webUrl(this.#wire.generatorUrl ?? undefined);
  }
}

/** Returns whether a URL is `http` or `https`: links of other schemes (`javascript:`, `file:`) are not shown. */
export function isWebUrl(url: string): boolean {
  return /^https?:\/\//i.test(url) && !/[\s\u0000-\u001f\u007f-\u009f]/.test(url);
}

/** Returns an object of names and values. It has no prototype, so that no name finds something that is no label. */
export function recordOf(pairs: WireLabels): Record<string, string> {
  const record = Object.create(null) as Record<string, string>;
  for (const [name, value] of pairs) record[name] = value;
  return record;
}

function lookUp(pairs: WireLabels, name: string): string | undefined {
  return pairs.find(([known]) => known === name)?.[1];
}

function pairsOf(record: Readonly<Record<string, string>>): WireLabels {
  return Object.keys(record)
    .sort(byBytes)
    .map((name) => [name, record[name] ?? ""]);
}

function webUrl(url: string | undefined): string | undefined {
  return url !== undefined && isWebUrl(url) ? url : undefined;
}

function momentOf(given: Date | string | undefined): Date | undefined {
  if (typeof given !== "string") return given;
  const moment = parseTime(given);
  if (moment === undefined) throw new TypeError(`\`${given}\` is not a time like 2026-03-02T07:31:57Z`);
  // In Alertmanager's JSON the `endsAt` of a firing alert is in year 1.
  return moment.getTime() > 0 ? moment : undefined;
}

/** Returns a time with its nanoseconds, which a `Date` does not have. */
function exactly(given: Date | string | undefined): WireTimestamp | undefined {
  const moment = momentOf(given);
  const fraction = typeof given === "string" ? /\.(\d{1,9})/.exec(given)?.[1] : undefined;
  if (moment === undefined || fraction === undefined) return undefined;
  return { seconds: Math.floor(moment.getTime() / 1_000), nanoseconds: Number(fraction.padEnd(9, "0")) };
}

/** Returns Alertmanager's fingerprint: FNV-1a over the sorted label pairs (`prometheus/common`, `model/signature.go`). */
function fingerprintOf(labels: WireLabels): string {
  return digest(labels.flat().flatMap((part) => [encodeUtf8(part), [0xff]]));
}

/** Returns the FNV-1a digest of bytes, in hexadecimal. */
export function digest(parts: Iterable<Iterable<number>>): string {
  let hash = 0xcbf29ce484222325n;
  for (const part of parts) {
    for (const byte of part) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash.toString(16).padStart(16, "0");
}
