/** Storms: many alerts of one kind that one message represents. */

import type { Block, Enrichment } from "./enrichment.ts";
import { parseTime } from "./time.ts";

/** The title of the table in which the host lists the labels that differ. */
export const DIFFERS = "What differs";
/** What precedes the number of a label's values if there may be more. */
const AT_LEAST = "at least ";

/**
 * A storm: many alerts of one kind, of which the handler runs for one, the representative.
 *
 * Alerts that arrive later are given to the handler as another delivery of the same storm, with a larger `count`; so are
 * alerts that resolve, with a larger `resolved`.
 */
export interface Storm {
  /** Identifies the storm: all its deliveries have it in common. */
  readonly id: string;
  /** How many alerts the storm has had so far. */
  readonly count: number;
  /** How many of them have resolved so far. */
  readonly resolved: number;
  /** How many of them still fire. */
  readonly firing: number;
  /** Whether all its alerts have resolved. */
  readonly isOver: boolean;
  /** The id of the first delivery that represented the storm. */
  readonly first: string;
  /** When the first of its alerts began. */
  readonly since: Date | undefined;
  /** The labels that all alerts have in common. */
  readonly shared: Readonly<Record<string, string>>;
  /** The names of some of the alerts, the most urgent first: `namespace/pod`, or the labels that distinguish them. */
  readonly names: readonly string[];
  /** The table of the labels that differ: the name of each, the number of its values, and the most frequent ones. */
  readonly differs: (Block & { kind: "table" }) | undefined;
  /**
   * Returns how many values a label has among the alerts, if it differs; at least so many, if the storm had several
   * deliveries.
   */
  valuesOf(label: string): number | undefined;
}

/** Returns the storm that the host's facts describe. */
export function stormOf(found: Enrichment): Storm | undefined {
  const facts = found.facts ?? {};
  const id = facts["storm.id"];
  if (id === undefined) return undefined;
  const number = (name: string): number | undefined => {
    const given = facts[name] ?? "";
    return /^\d+$/.test(given) ? Number(given) : undefined;
  };
  const lines = (name: string): string[] => (facts[name] ?? "").split("\n").filter((line) => line.trim() !== "");
  const count = Math.max(number("storm.count") ?? 1, 1);
  const resolved = number("storm.resolved") ?? 0;
  const firing = Math.max(count - resolved, 0);
  const tables = (found.blocks ?? []).filter((block) => block.kind === "table");
  const differs = tables.find((table) => table.title === DIFFERS && table.header.length > 0);
  const shared = Object.create(null) as Record<string, string>;
  for (const line of lines("storm.shared")) {
    const at = line.indexOf("=");
    if (at >= 0) shared[line.slice(0, at)] = line.slice(at + 1);
  }
  return {
    id,
    count,
    resolved,
    firing,
    isOver: firing === 0,
    first: facts["storm.first"] ?? "",
    since: parseTime(facts["storm.since"] ?? ""),
    shared,
    names: lines("storm.names"),
    differs,
    valuesOf(label: string): number | undefined {
      const cell = differs?.rows.find((row) => row[0] === label)?.[1]?.trim();
      const values = Number(cell?.startsWith(AT_LEAST) ? cell.slice(AT_LEAST.length) : cell);
      return Number.isInteger(values) ? values : undefined;
    },
  };
}

/** Returns that all of so many alerts have resolved, in words. */
export function allResolved(count: number): string {
  return count === 1 ? "it has resolved" : `all ${count} have resolved`;
}
