// What a URL says: the token, and how the person wants to see the console. Pure.

/**
 * @typedef {object} Settings
 * @property {boolean} viewOnly        send nothing to the guest
 * @property {boolean} scale           fit the screen to the window, rather than 1:1
 * @property {boolean} resize          ask the guest to make its screen as large as the window
 * @property {number | null} quality   of pictures that lose detail, 0 to 9; null: the viewer's own choice
 * @property {number | null} compression  effort, 0 to 9
 */

/**
 * @typedef {object} Opened
 * @property {string | null} token   as it stands in the URL, if it does
 * @property {Settings} settings
 * @property {string} clean          the same URL, without any token
 */

/**
 * Reads a page's URL. The token is `token=…`, or, as noVNC has it, in the query of `path=websockify?token=…`. Settings
 * have noVNC's names.
 * @param {string} href
 * @returns {Opened}
 */
export function read(href) {
    const url = new URL(href);
    const query = url.searchParams;
    const token = query.get("token") ?? ofPath(query.get("path"));
    const resize = query.get("resize");
    const settings = {
        viewOnly: isOn(query.get("view_only")),
        // A guest that cannot change its screen is scaled.
        scale: resize !== "off",
        resize: resize === "remote",
        quality: level(query.get("quality")),
        compression: level(query.get("compression")),
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

/** @param {string | null} value */
function level(value) {
    return value !== null && /^[0-9]$/.test(value) ? Number(value) : null;
}
