// What a URL says: the token, and how the person wants to see the console. Pure.

/**
 * @typedef {object} Settings
 * @property {boolean} viewOnly   send nothing to the guest
 * @property {boolean} scale      fit the screen to the window, rather than 1:1
 */

/**
 * @typedef {object} Opened
 * @property {string | null} token   as it stands in the URL, if it does
 * @property {Settings} settings
 * @property {string} clean          the same URL, without any token
 */

/**
 * Reads a page's URL. The token is `token=…`, or, as noVNC has it, in the query of `path=websockify?token=…`.
 * @param {string} href
 * @returns {Opened}
 */
export function read(href) {
    const url = new URL(href);
    const query = url.searchParams;
    const token = query.get("token") ?? ofPath(query.get("path"));
    const settings = {
        viewOnly: isOn(query.get("view_only")),
        // noVNC's names: `off` is 1:1; `remote` would change the guest's own resolution, which a scaled picture replaces.
        scale: query.get("resize") !== "off",
    };
    query.delete("token");
    query.delete("path");
    url.hash = "";
    return { token: token || null, settings, clean: url.pathname + url.search };
}

/** @param {string | null} path */
function ofPath(path) {
    const at = path?.indexOf("?") ?? -1;
    return path && at >= 0 ? new URLSearchParams(path.slice(at)).get("token") : null;
}

/** @param {string | null} value */
function isOn(value) {
    return value === "1" || value === "true";
}
