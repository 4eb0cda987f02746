/** A storm, as the host describes it to the handler that runs for one of its alerts. */

import type { Alert } from "../alert.ts";
import { byBytes } from "../check.ts";
import { Block, Found } from "../enrichment.ts";
import { DIFFERS } from "../storm.ts";
import { rfc3339 } from "../time.ts";

const NAMES_MAX = 10;
const ROWS_MAX = 8;
const FREQUENT_MAX = 3;

/**
 * A storm for {@link Host.storm}.
 *
 * ```ts
 * const alerts = [1, 2, 3].map((n) => Alert.of({ labels: { alertname: "Down", pod: `web-${n}` } }));
 * new Host().storm(Storm.of(alerts, { resolved: 1 }));
 * ```
 */
export class Storm {
  /** The facts and the table that the host gives. */
  readonly found: Found;

  private constructor(found: Found) {
    this.found = found;
  }

  /** Returns a storm of these alerts. `count` and `resolved` are of the whole storm; by default of these alerts, none resolved. */
  static of(
    alerts: readonly Alert[],
    options: { id?: string; count?: number; resolved?: number; since?: Date } = {},
  ): Storm {
    const id = options.id ?? "d-1";
    const values = new Map<string, Map<string, number>>();
    for (const [name, value] of alerts.flatMap((alert) => Object.entries(alert.labels))) {
      const counts = values.get(name) ?? new Map<string, number>();
      values.set(name, counts.set(value, (counts.get(value) ?? 0) + 1));
    }
    const isShared = (name: string): boolean => {
      const counts = values.get(name);
      return counts?.size === 1 && [...counts.values()][0] === alerts.length;
    };
    const shared = Object.entries(alerts[0]?.labels ?? {}).filter(([name]) => isShared(name));
    const differing = [...values]
      .filter(([name]) => !isShared(name))
      .sort(([a, left], [b, right]) => left.size - right.size || byBytes(a, b));
    const rows = differing.slice(0, ROWS_MAX).map(([name, counts]) => [name, String(counts.size), frequent(counts)]);
    const began = Math.min(...alerts.map((alert) => alert.startsAt.getTime()));
    const facts = {
      "storm.id": id,
      "storm.first": id,
      "storm.count": String(options.count ?? alerts.length),
      "storm.resolved": String(options.resolved ?? 0),
      "storm.since": rfc3339(options.since ?? new Date(Number.isFinite(began) ? began : 0)),
      "storm.shared": shared.map(([name, value]) => `${name}=${value}`).join("\n"),
      "storm.names": alerts
        .slice(0, NAMES_MAX)
        .map((alert) => nameOf(alert, isShared))
        .join("\n"),
    };
    const blocks = rows.length === 0 ? [] : [Block.table(DIFFERS, ["label", "values", "most frequent"], rows)];
    return new Storm(new Found({ facts, blocks }));
  }
}

function frequent(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].sort(([a, left], [b, right]) => right - left || byBytes(a, b));
  return sorted
    .slice(0, FREQUENT_MAX)
    .map(([value, count]) => `${value} (${count})`)
    .join(", ");
}

/** Returns the name of an alert among others: its pod or node, or else the labels that differ; after its alertname, if that differs. */
function nameOf(alert: Alert, isShared: (name: string) => boolean): string {
  const { labels } = alert;
  const object = ["pod", "deployment", "node", "instance"].map((name) => labels[name]).find((value) => value !== undefined);
  const own = Object.entries(labels).filter(([name]) => name !== "alertname" && !isShared(name));
  const others = own
    .slice(0, FREQUENT_MAX)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
  const namespace = labels["namespace"];
  const shown = object === undefined ? others : namespace === undefined ? object : `${namespace}/${object}`;
  return isShared("alertname") ? shown : `${alert.name} ${shown}`.trim();
}
