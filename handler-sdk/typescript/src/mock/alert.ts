/** Alerts in the senders' JSON, for tests that use real alerts. */

import { Alert, type AlertInit } from "../alert.ts";

/**
 * Returns one alert in the senders' JSON: `{"labels": {…}, "annotations": {…}, "startsAt": …, "status": …}`, such as the
 * project's `alert.json`. It was received 30 s after it began, or after it ended.
 */
export function alertFromJson(json: string): Alert {
  const given = JSON.parse(json) as Partial<AlertInit> | Partial<AlertInit>[];
  const one = Array.isArray(given) ? given[0] : given;
  return Alert.of({ ...one, labels: one?.labels ?? {} });
}
