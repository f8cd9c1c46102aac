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
 * What the keys menu offers: pressed in this order, released in the other.
 * @type {{ id: string, label: string, keys: Key[] }[]}
 */
export const COMBINATIONS = [
    { id: "ctrl-alt-del", label: "Ctrl+Alt+Del", keys: [CONTROL, ALT, DELETE] },
    { id: "ctrl-alt-backspace", label: "Ctrl+Alt+Bksp", keys: [CONTROL, ALT, BACKSPACE] },
    { id: "ctrl-c", label: "Ctrl+C", keys: [CONTROL, letterKey("c")] },
    { id: "ctrl-d", label: "Ctrl+D", keys: [CONTROL, letterKey("d")] },
    { id: "ctrl-w", label: "Ctrl+W", keys: [CONTROL, letterKey("w")] },
    { id: "ctrl-esc", label: "Ctrl+Esc", keys: [CONTROL, ESCAPE] },
    { id: "alt-tab", label: "Alt+Tab", keys: [ALT, TAB] },
    { id: "alt-f4", label: "Alt+F4", keys: [ALT, functionKey(4)] },
    { id: "super", label: "Super", keys: [SUPER] },
    { id: "super-r", label: "Super+R", keys: [SUPER, letterKey("r")] },
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({
        id: `ctrl-alt-f${number}`,
        label: `Ctrl+Alt+F${number}`,
        keys: [CONTROL, ALT, functionKey(number)],
    })),
    // Linux's last resort: sync, remount read-only, boot. Each wants Alt and Print held.
    ...["s", "u", "b"].map((letter) => ({
        id: `sysrq-${letter}`,
        label: `SysRq ${letter.toUpperCase()}`,
        keys: [ALT, PRINT, letterKey(letter)],
    })),
];

/** @type {{ id: string, label: string, key: Key }[]} */
export const HELD = [
    { id: "control", label: "Ctrl", key: CONTROL },
    { id: "alt", label: "Alt", key: ALT },
    { id: "shift", label: "Shift", key: SHIFT },
    { id: "super", label: "Super", key: SUPER },
];

/** @type {{ id: string, label: string, key: Key }[]} */
export const SINGLE = [
    { id: "escape", label: "Esc", key: ESCAPE },
    { id: "tab", label: "Tab", key: TAB },
    { id: "return", label: "Enter", key: RETURN },
    { id: "delete", label: "Del", key: DELETE },
    { id: "left", label: "←", key: key(0xff51, "ArrowLeft") },
    { id: "up", label: "↑", key: key(0xff52, "ArrowUp") },
    { id: "down", label: "↓", key: key(0xff54, "ArrowDown") },
    { id: "right", label: "→", key: key(0xff53, "ArrowRight") },
    { id: "home", label: "Home", key: key(0xff50, "Home") },
    { id: "end", label: "End", key: key(0xff57, "End") },
    { id: "page-up", label: "PgUp", key: key(0xff55, "PageUp") },
    { id: "page-down", label: "PgDn", key: key(0xff56, "PageDown") },
    { id: "print", label: "Print", key: PRINT },
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((number) => ({
        id: `f${number}`,
        label: `F${number}`,
        key: functionKey(number),
    })),
];

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
