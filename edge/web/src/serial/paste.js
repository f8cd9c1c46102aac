// Text that is pasted: what is sent for it, whether to ask first, and how fast it goes.

/** The most that is pasted at once: more is a file, and a serial line is no way to send one. */
export const MOST_PASTED = 64 * 1024;

/** So many characters go at once… */
const CHUNK = 64;
/** …with so many milliseconds between: a guest's line takes and echoes that without losing any. */
const PACE = 16;

/**
 * What is sent for a text. With bracketed paste the program in the guest knows where it begins and ends, so that it runs
 * no line of it; an escape in the text could end that early, so there is none. Pure.
 * @param {string} text
 * @param {boolean} bracketed
 */
export function prepare(text, bracketed) {
    // Control characters but tab and end of line are keys, not text.
    const plain = text.replaceAll(/\r?\n/g, "\r").replaceAll(/[\x00-\x08\x0a-\x0c\x0e-\x1f\x7f\x80-\x9f]/g, "");
    const cut = [...plain].slice(0, MOST_PASTED).join("");
    const lines = cut.split("\r").length;
    return {
        text: bracketed ? `\x1b[200~${cut}\x1b[201~` : cut,
        lines: cut.endsWith("\r") ? lines - 1 : lines,
        /** Whether a guest would act on it before the person has read it. */
        runs: !bracketed && cut.includes("\r"),
        left: plain.length - cut.length,
    };
}

/**
 * Sends a text at a pace that guests can follow, until `signal` says to stop.
 * @param {string} text
 * @param {(part: string) => void} send
 * @param {AbortSignal} signal
 * @param {(milliseconds: number) => Promise<unknown>} [wait]
 */
export async function paced(text, send, signal, wait = (time) => new Promise((done) => setTimeout(done, time))) {
    const characters = [...text];
    for (let at = 0; at < characters.length && !signal.aborted; at += CHUNK) {
        if (at > 0) await wait(PACE);
        if (signal.aborted) return false;
        send(characters.slice(at, at + CHUNK).join(""));
    }
    return !signal.aborted;
}
