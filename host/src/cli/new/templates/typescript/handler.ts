/** Posts {{alert}} to Slack. */

import { Blocks, defineHandler, Setting } from "handler-sdk";

/** Where it posts. The operator sets it with `handlers.{{name}}.config.channel`. */
const CHANNEL = Setting.channel("channel", "the Slack channel", { default: "alerts" });

/** The labels that the message shows. */
const LABELS = [{{labels}}];

export default defineHandler({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Posts the alert to Slack.",
  alerts: ["{{serves}}"],
  settings: [CHANNEL],

  act(cx, alert, found) {
    const summary = alert.summary ?? "The alert has no summary.";
    const blocks = new Blocks()
      .header(alert.name)
      .section(summary)
      .fields(Object.fromEntries(LABELS.map((name) => [name, alert.label(name) ?? ""])))
      // What handlers before this one found.
      .enrichment(found);
    cx.slack.post({ channel: cx.setting(CHANNEL), text: `[FIRING] ${alert.name}: ${summary}`, blocks });
    return { posted: "yes" };
  },

  // `resolved(cx, alert, found)` is called when the alert has resolved; without it, nothing happens then.
});
