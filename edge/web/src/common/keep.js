// Keeps the link that this window shows: its token, and the secret that proves that it is this window's.
//
// `sessionStorage` belongs to one tab: reloading finds it, another tab does not. Where the browser forbids it (in a frame
// of another site, with third-party storage blocked) the link lives as long as the page does.

/**
 * @typedef {object} Link
 * @property {string} token
 * @property {string} binding   43 characters of base64url: 32 random bytes
 */

const NAME = "porthole.link";

/** @returns {Storage | null} */
function storage() {
    try {
        return window.sessionStorage;
    } catch {
        return null;
    }
}

/**
 * The link of a token that has just come with a URL. The same token again (the person went back in history, or opened
 * the same address in the same tab) keeps its secret, for the token is bound to it.
 * @param {string} token
 * @returns {Link}
 */
export function keep(token) {
    const known = recall();
    const link = known?.token === token ? known : { token, binding: secret() };
    try {
        storage()?.setItem(NAME, JSON.stringify(link));
    } catch {
        // Forbidden, or full: then a reload cannot find it, and says so.
    }
    return link;
}

/** @returns {Link | null} */
export function recall() {
    try {
        const link = JSON.parse(storage()?.getItem(NAME) ?? "null");
        return typeof link?.token === "string" && typeof link.binding === "string" ? link : null;
    } catch {
        return null;
    }
}

/** 32 random bytes in base64url. */
export function secret() {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    const text = btoa(String.fromCharCode(...bytes));
    return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
