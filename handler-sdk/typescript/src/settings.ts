/**
 * A handler's settings. Each is declared once; the handler reads it by its declaration, and `alert-manager check` verifies the
 * operator's `config` against it.
 */

import { MisuseError } from "./check.ts";
import { PermanentError } from "./failure.ts";
import { isWebUrl } from "./alert.ts";
import { parseDuration } from "./time.ts";

/** What `Setting`'s constructors take besides the name and the text for the operator. */
export interface SettingOptions<T> {
  /** The value if the operator sets none. */
  default?: T;
  /** Whether `check` rejects a configuration that does not set it; `false` by default. */
  required?: boolean;
}

/** A setting as `check`, `inspect` and the documentation see it. The Rust SDK declares the same JSON. */
export interface SettingJson {
  name: string;
  type: string;
  default?: string;
  about: string;
  required: boolean;
  values?: readonly string[];
  refers_to?: string;
}

/**
 * One setting of a handler: `handlers.NAME.config.SETTING`, or a route's `config`. A `*` in the name stands for any text.
 *
 * ```ts
 * const CHANNEL = Setting.channel("channel", "the Slack channel", { default: "alerts" });
 * const LINES = Setting.integer("lines", "how many lines of the log are shown", { default: 12 });
 *
 * cx.setting(CHANNEL) // "alerts"
 * cx.setting(LINES)   // 12
 * ```
 *
 * `T` is the type of its value: `undefined` is part of it if there is no default and it is not required.
 */
export class Setting<T> {
  /** The name; `*` in it stands for any text. */
  readonly name: string;
  readonly #json: SettingJson;
  readonly #parse: (text: string) => unknown;

  private constructor(json: SettingJson, parse: (text: string) => unknown) {
    this.name = json.name;
    this.#json = json;
    this.#parse = parse;
  }

  static #make<V>(
    kind: string,
    name: string,
    about: string,
    options: SettingOptions<V>,
    parse: (text: string) => V,
    more: Partial<SettingJson> = {},
  ): Setting<never> {
    const given: unknown = options.default;
    const asWritten = typeof given === "object" ? JSON.stringify(given) : given === undefined ? undefined : String(given);
    if (asWritten !== undefined) judgeDefault(name, asWritten, parse);
    const json: SettingJson = {
      name,
      type: kind,
      ...(asWritten === undefined ? {} : { default: asWritten }),
      about,
      required: options.required ?? false,
      ...more,
    };
    return new Setting<never>(json, parse);
  }

  /** Returns a text setting. In each constructor, `about` is a phrase for the operator. */
  static string<O extends SettingOptions<string>>(name: string, about: string, options?: O): Setting<ValueOf<O, string>> {
    return Setting.#make("string", name, about, options ?? {}, (text) => text);
  }

  /** Returns a setting with one of `values`. */
  static oneOf<const V extends string, O extends SettingOptions<V>>(
    name: string,
    values: readonly V[],
    about: string,
    options?: O,
  ): Setting<ValueOf<O, V>> {
    const parse = (text: string): V => {
      const value = values.find((known) => known === text);
      if (value === undefined) throw new Error(`one of ${values.map((known) => `\`${known}\``).join(", ")} is expected`);
      return value;
    };
    return Setting.#make<V>("string", name, about, options ?? {}, parse, { values });
  }

  /** Returns a setting with a whole number. */
  static integer<O extends SettingOptions<number>>(name: string, about: string, options?: O): Setting<ValueOf<O, number>> {
    return Setting.#make("integer", name, about, options ?? {}, (text) => {
      if (!/^[+-]?\d+$/.test(text.trim())) throw new Error("a whole number is expected");
      if (!Number.isSafeInteger(Number(text))) throw new Error("a whole number from -(2^53 - 1) to 2^53 - 1 is expected");
      return Number(text);
    });
  }

  /** Returns a setting with a number. */
  static number<O extends SettingOptions<number>>(name: string, about: string, options?: O): Setting<ValueOf<O, number>> {
    return Setting.#make("number", name, about, options ?? {}, (text) => {
      const value = Number(text);
      if (text.trim() === "" || !Number.isFinite(value)) throw new Error("a number is expected");
      return value;
    });
  }

  /** Returns a setting with `true` or `false`. */
  static boolean<O extends SettingOptions<boolean>>(name: string, about: string, options?: O): Setting<ValueOf<O, boolean>> {
    return Setting.#make("boolean", name, about, options ?? {}, (text) => {
      if (text !== "true" && text !== "false") throw new Error("`true` or `false` is expected");
      return text === "true";
    });
  }

  /** Returns a setting with a duration in Prometheus' syntax, `30s` or `1h30m`; its value is in milliseconds. */
  static duration<O extends SettingOptions<string>>(name: string, about: string, options?: O): Setting<ValueOf<O, number>> {
    return Setting.#make<unknown>("duration", name, about, options ?? {}, (text) => {
      const length = parseDuration(text.trim());
      if (length === undefined) throw new Error("a duration like `30s` or `1h30m` is expected");
      return length;
    });
  }

  /** Returns a setting with an http or https URL that is shown, not requested. */
  static url<O extends SettingOptions<string>>(name: string, about: string, options?: O): Setting<ValueOf<O, string>> {
    return Setting.#make("url", name, about, options ?? {}, parseUrl);
  }

  /** Returns a setting with an http or https URL that the handler sends requests to: `check` verifies that it is granted. */
  static origin<O extends SettingOptions<string>>(name: string, about: string, options?: O): Setting<ValueOf<O, string>> {
    return Setting.#make("url", name, about, options ?? {}, parseUrl, { refers_to: "origin" });
  }

  /** Returns a setting with a list; its items are what the operator wrote. */
  static list<O extends SettingOptions<readonly unknown[]>>(
    name: string,
    about: string,
    options?: O,
  ): Setting<ValueOf<O, readonly unknown[]>> {
    return Setting.#make<readonly unknown[]>("list", name, about, options ?? {}, (text) => {
      const value: unknown = JSON.parse(text);
      if (!Array.isArray(value)) throw new Error("a list is expected");
      return value as unknown[];
    });
  }

  /** Returns a setting with a mapping; its values are what the operator wrote. */
  static map<O extends SettingOptions<Readonly<Record<string, unknown>>>>(
    name: string,
    about: string,
    options?: O,
  ): Setting<ValueOf<O, Readonly<Record<string, unknown>>>> {
    return Setting.#make<Readonly<Record<string, unknown>>>("map", name, about, options ?? {}, (text) => {
      const value: unknown = JSON.parse(text);
      if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("a mapping is expected");
      return value as Record<string, unknown>;
    });
  }

  /** Returns a setting with the configured name of a Slack channel to post to: `check` verifies that it is granted. */
  static channel<O extends SettingOptions<string>>(name: string, about: string, options?: O): Setting<ValueOf<O, string>> {
    return Setting.#make("string", name, about, options ?? {}, (text) => text, { refers_to: "channel" });
  }

  /** Returns a setting with the name of a credential, or empty for none: `check` verifies that it is granted. */
  static credential<O extends SettingOptions<string>>(
    name: string,
    about: string,
    options?: O,
  ): Setting<ValueOf<O, string>> {
    return Setting.#make("string", name, about, options ?? {}, (text) => text, { refers_to: "credential" });
  }

  /**
   * Returns the value of what the operator wrote under `key`, or the default.
   *
   * @throws {PermanentError} that names the key, the value and what is wrong with it.
   */
  read(key: string, written: string | undefined): T {
    const given = written ?? this.#json.default;
    if (given === undefined) {
      if (!this.#json.required) return undefined as T;
      throw new PermanentError(
        `the setting \`${key}\` is missing (${this.#json.about}); set it in the handler's \`config\``,
      );
    }
    try {
      return this.#parse(given) as T;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw badSetting(key, given, why);
    }
  }

  /** Returns the declaration, as `describe` gives it to the host. */
  toJSON(): SettingJson {
    return this.#json;
  }
}

/** The type of a setting's value: it may be `undefined` if there is neither a default nor `required: true`. */
export type ValueOf<O, V> = O extends { default: {} } | { required: true } ? V : V | undefined;

/** Returns the failure for a setting that cannot be read. */
export function badSetting(key: string, value: string, why: string): PermanentError {
  const shown = Array.from(value).slice(0, 80).join("");
  return new PermanentError(`the setting \`${key}\` is \`${shown}\`: ${why}; correct it in the handler's \`config\``);
}

/** Throws if a default is not of its setting's kind: the host would refuse the handler. */
function judgeDefault(name: string, asWritten: string, parse: (text: string) => unknown): void {
  try {
    parse(asWritten);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MisuseError(`the default of the setting \`${name}\` is \`${asWritten}\`: ${why}`);
  }
}

function parseUrl(text: string): string {
  // An empty value is one that is not set.
  if (text !== "" && !isWebUrl(text)) throw new Error("an http or https URL is expected");
  return text;
}
