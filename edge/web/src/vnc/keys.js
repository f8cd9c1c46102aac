// Keys as RFB names them: an X11 keysym, and, for servers that take scan codes (QEMU), the name of the physical key on a
// US keyboard. Pure tables.

/**
 * A key.
 * @typedef {object} Key
 * @property {number} keysym
 * @property {string} code   as `KeyboardEvent.code`; empty where no US key is meant
 */

/** @param {number} keysym @param {string} code @returns {Key} */
const key = (keysym, code) => ({ keysym, code });

export const CONTROL = key(0xffe3, "ControlLeft");
export const ALT = key(0xffe9, "AltLeft");
export const SHIFT = key(0xffe1, "ShiftLeft");
export const SUPER = key(0xffeb, "MetaLeft");
export const DELETE = key(0xffff, "Delete");
export const BACKSPACE = key(0xff08, "Backspace");
export const RETURN = key(0xff0d, "Enter");
export const TAB = key(0xff09, "Tab");
export const ESCAPE = key(0xff1b, "Escape");
export const PRINT = key(0xff61, "PrintScreen");

/** @param {number} number  1 to 12 */
export const functionKey = (number) => key(0xffbd + number, `F${number}`);

/** @param {string} letter  a lower-case one */
export const letterKey = (letter) => key(letter.charCodeAt(0), `Key${letter.toUpperCase()}`);

/**
 * A button of the keys menu: its keys are pressed in this order and released in the other.
 * @typedef {object} Combination
 * @property {string} id
 * @property {string} label
 * @property {string} [name]   in full, where the group's title says the rest
 * @property {Key[]} keys
 */

/**
 * Linux's magic keys, with Alt and Print held: what a person presses, letter by letter, to bring a stuck guest down.
 * @type {[string, string][]}
 */
const SYSRQ = [
    ["r", "keyboard back"],
    ["e", "terminate all"],
    ["i", "kill all"],
    ["s", "sync disks"],
    ["u", "remount read-only"],
    ["b", "boot at once"],
];

/** @type {{ title: string, narrow: boolean, combinations: Combination[] }[]} */
export const COMBINATIONS = [
    {
        title: "Combinations",
        narrow: false,
        combinations: [
            { id: "ctrl-alt-del", label: "Ctrl+Alt+Del", keys: [CONTROL, ALT, DELETE] },
            { id: "ctrl-alt-backspace", label: "Ctrl+Alt+Bksp", keys: [CONTROL, ALT, BACKSPACE] },
            { id: "alt-tab", label: "Alt+Tab", keys: [ALT, TAB] },
            { id: "alt-f4", label: "Alt+F4", keys: [ALT, functionKey(4)] },
            { id: "super", label: "Super", keys: [SUPER] },
            { id: "super-r", label: "Super+R", keys: [SUPER, letterKey("r")] },
            { id: "super-l", label: "Super+L", keys: [SUPER, letterKey("l")] },
            { id: "ctrl-esc", label: "Ctrl+Esc", keys: [CONTROL, ESCAPE] },
            { id: "ctrl-shift-esc", label: "Ctrl+Shift+Esc", keys: [CONTROL, SHIFT, ESCAPE] },
            { id: "ctrl-c", label: "Ctrl+C", keys: [CONTROL, letterKey("c")] },
            { id: "ctrl-d", label: "Ctrl+D", keys: [CONTROL, letterKey("d")] },
            { id: "ctrl-w", label: "Ctrl+W", keys: [CONTROL, letterKey("w")] },
        ],
    },
    {
        title: "Linux terminals: Ctrl+Alt and",
        narrow: true,
        combinations: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({
            id: `ctrl-alt-f${number}`,
            label: `F${number}`,
            name: `Ctrl+Alt+F${number}`,
            keys: [CONTROL, ALT, functionKey(number)],
        })),
    },
    {
        title: "Linux emergency keys: Alt+SysRq and",
        narrow: true,
        combinations: SYSRQ.map(([letter, does]) => ({
            id: `sysrq-${letter}`,
            label: letter.toUpperCase(),
            name: `Alt+SysRq+${letter.toUpperCase()}: ${does}`,
            keys: [ALT, PRINT, letterKey(letter)],
        })),
    },
];

/** A button of one key. @typedef {{ id: string, label: string, name?: string, key: Key }} Single */

/** @type {Single[]} */
export const HELD = [
    { id: "control", label: "Ctrl", key: CONTROL },
    { id: "alt", label: "Alt", key: ALT },
    { id: "shift", label: "Shift", key: SHIFT },
    { id: "super", label: "Super", key: SUPER },
];

/** @type {Single[]} */
export const SINGLE = [
    { id: "escape", label: "Esc", key: ESCAPE },
    { id: "tab", label: "Tab", key: TAB },
    { id: "return", label: "Enter", key: RETURN },
    { id: "backspace", label: "Bksp", key: BACKSPACE },
    { id: "delete", label: "Del", key: DELETE },
    { id: "insert", label: "Ins", key: key(0xff63, "Insert") },
    { id: "left", label: "←", name: "Left", key: key(0xff51, "ArrowLeft") },
    { id: "up", label: "↑", name: "Up", key: key(0xff52, "ArrowUp") },
    { id: "down", label: "↓", name: "Down", key: key(0xff54, "ArrowDown") },
    { id: "right", label: "→", name: "Right", key: key(0xff53, "ArrowRight") },
    { id: "home", label: "Home", key: key(0xff50, "Home") },
    { id: "end", label: "End", key: key(0xff57, "End") },
    { id: "page-up", label: "PgUp", key: key(0xff55, "PageUp") },
    { id: "page-down", label: "PgDn", key: key(0xff56, "PageDown") },
    { id: "print", label: "Print", key: PRINT },
    { id: "pause", label: "Pause", key: key(0xff13, "Pause") },
    { id: "caps-lock", label: "Caps", key: key(0xffe5, "CapsLock") },
    { id: "num-lock", label: "Num", key: key(0xff7f, "NumLock") },
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((number) => ({
        id: `f${number}`,
        label: `F${number}`,
        key: functionKey(number),
    })),
];

/** What the strip over a touch keyboard has, because that keyboard has not. */
export const STRIP = ["escape", "tab", "control", "alt", "left", "up", "down", "right", "shift", "super", "page-up", "page-down",
    "home", "end", "delete"].map((wanted) => /** @type {Single} */ ([...SINGLE, ...HELD].find(({ id }) => id === wanted)));

/** Keys that write nothing, by the names that browsers have for them. */
const NAMED = new Map(
    // A lock changes what the browser itself writes, too.
    SINGLE.filter(({ id }) => !id.endsWith("-lock")).map(({ key }) => [key.code, key]),
);

/**
 * The key that a browser calls so, if it is one that writes nothing.
 * @param {string} name   `KeyboardEvent.key`
 */
export function named(name) {
    return NAMED.get(name) ?? null;
}

/** Keys of a US keyboard: code, what it gives, what it gives with shift. */
const PRINTABLE = [
    ["Backquote", "`~"],
    ["Minus", "-_"],
    ["Equal", "=+"],
    ["BracketLeft", "[{"],
    ["BracketRight", "]}"],
    ["Backslash", "\\|"],
    ["Semicolon", ";:"],
    ["Quote", "'\""],
    ["Comma", ",<"],
    ["Period", ".>"],
    ["Slash", "/?"],
    ["Space", " "],
    ...[...")!@#$%^&*("].map((shifted, digit) => [`Digit${digit}`, `${digit}${shifted}`]),
    ...[..."abcdefghijklmnopqrstuvwxyz"].map((letter) => [`Key${letter.toUpperCase()}`, letter + letter.toUpperCase()]),
];

/** @type {Map<string, { code: string, shift: boolean }>} */
const PLACES = new Map(
    PRINTABLE.flatMap(([code, both]) => [...both].map((character, shift) => [character, { code, shift: shift === 1 }])),
);

/**
 * How a character is typed: on a US keyboard, where it is on one, else by its keysym alone.
 * @param {string} character  one code point
 * @returns {{ key: Key, shift: boolean } | null}  null for what has no key, such as most control characters
 */
export function typed(character) {
    if (character === "\n" || character === "\r") return { key: RETURN, shift: false };
    if (character === "\t") return { key: TAB, shift: false };
    if (character === "\u001b") return { key: ESCAPE, shift: false };
    if (character === "\b" || character === "\u007f") return { key: BACKSPACE, shift: false };
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x20) return null;
    const place = PLACES.get(character);
    if (place) return { key: key(point, place.code), shift: place.shift };
    // Latin-1 has its own keysyms; all others are Unicode's, as X11 has them.
    return { key: key(point < 0x100 ? point : 0x0100_0000 + point, ""), shift: false };
}
