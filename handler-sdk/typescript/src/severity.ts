/** The severity of an alert: one table of the names that rules use for it. */

/** The severity of an alert, according to its labels. */
export type Severity = "critical" | "warning" | "info" | "unknown";

/**
 * The names in lower case, from Prometheus' mixins, PagerDuty, Opsgenie, Zabbix, Nagios, Jira, syslog (RFC 5424), Kubernetes'
 * events and the numbered scales that teams use. The Rust SDK and the server's table of priorities have the same names.
 */
// prettier-ignore
export const SEVERITY_WORDS: Readonly<Record<Exclude<Severity, "unknown">, readonly string[]>> = {
  critical: [
    "critical", "crit", "page", "pager", "paging", "emergency", "emerg", "fatal", "panic", "disaster", "high", "highest",
    "major", "severe", "error", "err", "alert", "urgent", "blocker", "down", "p0", "p1", "sev0", "sev1", "sev-0", "sev-1",
    "s0", "s1",
  ],
  warning: [
    "warning", "warn", "average", "medium", "moderate", "minor", "ticket", "p2", "p3", "sev2", "sev3", "sev-2", "sev-3",
    "s2", "s3",
  ],
  info: [
    "info", "information", "informational", "notice", "normal", "low", "lowest", "trivial", "debug", "verbose", "none",
    "ok", "not classified", "p4", "p5", "sev4", "sev5", "sev-4", "sev-5", "s4", "s5",
  ],
};

/**
 * Returns the severity that a name stands for, ignoring case; `"unknown"` if it is not in the table.
 *
 * ```ts
 * severityOf("PAGE") // "critical"
 * ```
 */
export function severityOf(word: string): Severity {
  const known = word.trim().toLowerCase();
  for (const severity of ["critical", "warning", "info"] as const) {
    if (SEVERITY_WORDS[severity].includes(known)) return severity;
  }
  return "unknown";
}
