// Elements of the page that must be there.

/**
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
export function byId(id) {
    const element = document.getElementById(id);
    if (!element) throw new Error(`the page has no #${id}`);
    return /** @type {E} */ (element);
}

/**
 * Every button of an action.
 * @param {string} action
 * @returns {NodeListOf<HTMLButtonElement>}
 */
export function buttons(action) {
    return document.querySelectorAll(`button[data-action="${action}"]`);
}

/**
 * A button.
 * @param {string} label
 * @param {Record<string, string>} data
 */
export function button(label, data) {
    const element = document.createElement("button");
    element.type = "button";
    element.textContent = label;
    Object.assign(element.dataset, data);
    return element;
}
