/** The context: what a handler can ask of its host. */

import * as check from "./check.ts";
import { History } from "./history.ts";
import { Http } from "./http.ts";
import { Kv } from "./kv.ts";
import { Log } from "./log.ts";
import { badSetting, type Setting } from "./settings.ts";
import { Slack } from "./slack.ts";
import { Timer } from "./timer.ts";
import type { Imports, WireCall } from "./wire.ts";

/** The interfaces that a project names in `needs`; config and log are always there. */
export type Need = "http" | "slack" | "kv" | "history" | "timer";

/** All values of {@link Need}. */
export const NEEDS: readonly Need[] = ["http", "slack", "kv", "history", "timer"];

declare global {
  /** What the project declares in `needs`. `alert-manager build` generates its members; without them all are allowed. */
  interface AlertManagerNeeds {}
}

/** The interfaces that the project declares. */
export type DeclaredNeeds = [keyof AlertManagerNeeds] extends [never] ? Need : keyof AlertManagerNeeds & Need;

/** The type of an interface that `needs` does not name. Its argument says what to do. */
export interface NotInNeeds<Remedy extends string> {
  /** Not a value: it keeps the remedy in the type. */
  readonly __remedy: Remedy;
}

type Part<Needs, Name extends Need, T> = Name extends Needs
  ? T
  : NotInNeeds<`add "${Name}" to package.json: "alertManager": { "needs": ["${Name}", …] }`>;

/** The invocation that a handler finds itself in. */
export interface Call {
  /** The delivery's id, the same on every attempt. */
  readonly deliveryId: string;
  /** 1 at first. */
  readonly attempt: number;
  /** The wall-clock time that this step had left when it began, in milliseconds. */
  readonly timeLeftMs: number;
  /** Whether effects are held back. */
  readonly dryRun: boolean;
}

/** The context of an invocation, for a handler with these needs; by default those that the project declares. */
export interface Context<Needs extends Need = DeclaredNeeds> {
  /** The delivery's id, the attempt and the time limit of this invocation. */
  readonly call: Call;
  /** Requests to the origins that the operator granted. */
  readonly http: Part<Needs, "http", Http>;
  /** Messages to the Slack channels that the operator granted. Denied during `enrich`. */
  readonly slack: Part<Needs, "slack", Slack>;
  /** This handler's key-value store, which is kept between alerts. */
  readonly kv: Part<Needs, "kv", Kv>;
  /** What this server has of earlier alerts. */
  readonly history: Part<Needs, "history", History>;
  /** Runs this handler's `act` again later. Denied during `enrich`. */
  readonly timer: Part<Needs, "timer", Timer>;
  /** The log. */
  readonly log: Log;
  /** Returns a setting of the operator: a scalar as written, a list or mapping as JSON. */
  config(key: string): string | undefined;
  /**
   * Returns the operator's list or mapping, read from JSON. The type is what the caller says it is; nothing checks it.
   *
   * @throws {PermanentError} that names the key, the value and what is wrong with it.
   */
  configJson<T = unknown>(key: string): T | undefined;
  /**
   * Returns the operator's value of a setting, or its default.
   *
   * @throws {PermanentError} that names the key, the value and what is wrong with it.
   */
  setting<T>(setting: Setting<T>): T;
  /** Returns the operator's value of a setting, or its default; `name` replaces the `*` in the setting's name. */
  settingFor<T>(setting: Setting<T>, name: string): T;
  /**
   * The URL of the page with this delivery's story, the recorded trace of a delivery. It is built from the setting
   * `story_base`, which the server sets if it has an `external_url`. Who may use the API may see it.
   */
  readonly storyUrl: string | undefined;
  /**
   * Returns when this attempt began. On a retry, as long as effects of an earlier attempt are replayed, it returns that
   * attempt's time, so that the handler makes the same requests again; after that, the current attempt's.
   */
  now(): Date;
}

/** An interface that `needs` does not name was used: a mistake of the project, which names the line to add. */
export class NotInNeedsError extends check.MisuseError {
  constructor(name: Need, declared: readonly string[]) {
    const needs = [...declared, name].map((each) => JSON.stringify(each)).join(", ");
    super(`cx.${name} is not in the project's needs; add it in package.json: "alertManager": { "needs": [${needs}] }`);
  }
}

/** Returns the context of an invocation. */
export function contextOf(imports: Imports, call: WireCall, now?: () => Date): Context<Need> {
  return new HostContext(imports, call, now);
}

/** A context that calls the host. Each part is made when it is asked for. */
class HostContext implements Context<Need> {
  readonly call: Call;
  readonly #imports: Imports;
  readonly #now: (() => Date) | undefined;

  constructor(imports: Imports, call: Call, now: (() => Date) | undefined) {
    this.call = call;
    this.#imports = imports;
    this.#now = now;
  }

  get http(): Http {
    return new Http(this.#functions("http"), () => this.now());
  }

  get slack(): Slack {
    return new Slack(this.#functions("slack"), this.log);
  }

  get kv(): Kv {
    return new Kv(this.#functions("kv"));
  }

  get history(): History {
    return new History(this.#functions("history"));
  }

  get timer(): Timer {
    return new Timer(this.#functions("timer"));
  }

  get log(): Log {
    return new Log(this.#imports.log);
  }

  get storyUrl(): string | undefined {
    const base = this.config("story_base");
    return base ? `${base.replace(/\/+$/, "")}/${this.call.deliveryId}` : undefined;
  }

  config(key: string): string | undefined {
    return this.#imports.config.get(check.text("config key", key)) ?? undefined;
  }

  configJson<T>(key: string): T | undefined {
    const value = this.config(key);
    if (value === undefined) return undefined;
    try {
      return JSON.parse(value) as T;
    } catch (error) {
      throw badSetting(key, value, error instanceof Error ? error.message : String(error));
    }
  }

  setting<T>(setting: Setting<T>): T {
    return setting.read(setting.name, this.config(setting.name));
  }

  settingFor<T>(setting: Setting<T>, name: string): T {
    const key = setting.name.replace("*", () => name);
    return setting.read(key, this.config(key));
  }

  now(): Date {
    return this.#now?.() ?? new Date();
  }

  #functions<K extends Need>(name: K): NonNullable<Imports[K]> {
    const functions = this.#imports[name];
    if (functions !== undefined) return functions;
    throw new NotInNeedsError(
      name,
      NEEDS.filter((each) => this.#imports[each] !== undefined),
    );
  }
}
