// Modifier keys that a button holds down in the guest.
//
//            toggle (the keys menu)                     cycle (the strip over a touch keyboard)
//   up ◄────────────────────────────► held      up ──────► once ──────► held ──────► up
//                                                            └─ a key was pressed ──► up

/** @typedef {import("./keyboard.js").Press} Press */
/** @typedef {import("./keys.js").Key} Key */
/** @typedef {"up" | "once" | "held"} Hold */

export class Held {
    /** @type {Map<Key, Hold>} */
    #down = new Map();
    #press;
    #changed;

    /**
     * @param {Press} press
     * @param {() => void} changed
     */
    constructor(press, changed) {
        this.#press = press;
        this.#changed = changed;
    }

    /** @param {Key} key @returns {Hold} */
    state(key) {
        return this.#down.get(key) ?? "up";
    }

    /** @param {Key} key */
    toggle(key) {
        this.#set(key, this.state(key) === "up" ? "held" : "up");
    }

    /** @param {Key} key */
    cycle(key) {
        this.#set(key, /** @type {const} */ ({ up: "once", once: "held", held: "up" })[this.state(key)]);
    }

    /** A key was pressed: what was meant for one only is over. */
    spend() {
        for (const [key, hold] of this.#down) if (hold === "once") this.#set(key, "up");
    }

    /** Lets go of all. */
    release() {
        for (const key of this.#down.keys()) this.#set(key, "up");
    }

    /** The guest's connection is gone, and with it what was held. */
    forget() {
        this.#down.clear();
        this.#changed();
    }

    /** @param {Key} key @param {Hold} hold */
    #set(key, hold) {
        const before = this.state(key);
        if (hold === "up") this.#down.delete(key);
        else this.#down.set(key, hold);
        if ((before === "up") !== (hold === "up")) this.#press(key, hold !== "up");
        this.#changed();
    }
}
