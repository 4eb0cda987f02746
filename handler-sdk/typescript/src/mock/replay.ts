/** The calls of one step, recorded as by the real host: a retry is answered from them. */

interface Entry {
  readonly name: string;
  readonly isEffect: boolean;
  readonly answer: unknown;
  readonly clock: Date;
}

/** Whether a call is recorded: an effect is, a read together with the next effect, a change that failed is not. */
export type Kept = "effect" | "read" | "nothing";

/** The record of one step, and how much of it the current attempt has used. */
export class Replay {
  /** The calls up to the last effect. */
  readonly #record: Entry[] = [];
  /** Which entries the current attempt has asked for. */
  #asked: boolean[] = [];
  /** Reads since the last effect. */
  #held: Entry[] = [];

  /** Begins another attempt with the same record. */
  begin(): void {
    this.#asked = this.#record.map(() => false);
    this.#held = [];
  }

  /** Returns the time: the recorded one as long as effects are left to replay, and never one before the record's end. */
  clock(now: Date): Date {
    const left = this.#record.find((entry, index) => entry.isEffect && this.#asked[index] !== true);
    if (left !== undefined) return left.clock;
    const latest = this.#record.at(-1)?.clock;
    return latest !== undefined && latest > now ? latest : now;
  }

  /** Returns the recorded answer in an array; `undefined` if the call has to be made. */
  answer(name: string): [unknown] | undefined {
    const isReplaying = this.#record.some((entry, index) => entry.isEffect && this.#asked[index] !== true);
    const place = isReplaying
      ? this.#record.findIndex((entry, index) => this.#asked[index] !== true && entry.name === name)
      : -1;
    if (place < 0) return undefined;
    this.#asked[place] = true;
    return [this.#record[place]?.answer];
  }

  /** Records the answer to a call that was made. */
  keep(name: string, kept: Kept, answer: unknown, clock: Date): void {
    if (kept === "nothing") return;
    this.#held.push({ name, isEffect: kept === "effect", answer, clock });
    if (kept === "read") return;
    this.#record.push(...this.#held);
    this.#asked.push(...this.#held.map(() => true));
    this.#held = [];
  }
}
