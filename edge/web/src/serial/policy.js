// Lets xterm.js style its elements under a policy that allows no inline style.
//
// It writes text into `<style>` elements, and the attribute `style`; both are what `style-src 'self'` forbids. A script
// may do the same by the CSS object model, which the policy does not touch: rules go into a constructed style sheet, and
// the attribute's text into `element.style`.

/** Puts itself between this page's scripts and `document.createElement`. Call it before a terminal is made. */
export function styleByObjects() {
    const create = document.createElement.bind(document);
    /** @type {(name: string, options?: ElementCreationOptions) => HTMLElement} */
    const careful = (name, options) => {
        if (name === "style") return sheet(create);
        const element = create(name, options);
        if (name === "span") element.setAttribute = setAttribute;
        return element;
    };
    document.createElement = /** @type {typeof document.createElement} */ (careful);
}

/**
 * An element that shows nothing, and whose text is a style sheet of the page for as long as that lives.
 * @param {(name: string) => HTMLElement} create
 */
function sheet(create) {
    const rules = new CSSStyleSheet();
    document.adoptedStyleSheets.push(rules);
    const place = create("template");
    Object.defineProperty(place, "textContent", { set: (/** @type {string} */ text) => rules.replaceSync(text) });
    return place;
}

/**
 * @this {HTMLElement}
 * @param {string} name
 * @param {string} value
 */
function setAttribute(name, value) {
    if (name === "style") this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
}
