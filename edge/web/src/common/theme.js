// Light or dark: the system's, until the person chooses; the choice is kept in this browser.

const NAME = "porthole.theme";

/** Applies what was chosen. */
export function applyTheme() {
    try {
        const chosen = localStorage.getItem(NAME);
        if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
    } catch {
        // Storage is forbidden: the system's it is.
    }
}

/** To the other one. */
export function switchTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
        localStorage.setItem(NAME, root.dataset.theme);
    } catch {
        // Then for this page only.
    }
}
