// When to try again, and when to give up. Pure: times in milliseconds go in.

const LONGEST = 15_000;
/** How long a page tries by itself. */
export const GIVES_UP_AFTER = 5 * 60_000;

/** The waits between attempts: 1, 2, 4, 8, 15, 15, … seconds. */
export class Patience {
    #attempts = 0;
    /** @type {number | null} */
    #since = null;

    /** The console was reached. */
    rest() {
        this.#attempts = 0;
        this.#since = null;
    }

    /**
     * An attempt failed: how long to wait for the next, or null to give up.
     * @param {number} now
     * @returns {number | null}
     */
    next(now) {
        this.#since ??= now;
        if (now - this.#since >= GIVES_UP_AFTER) return null;
        const wait = Math.min(1000 * 2 ** this.#attempts, LONGEST);
        this.#attempts += 1;
        return wait;
    }
}
