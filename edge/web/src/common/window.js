// The window's height where a touch keyboard covers part of it: Safari neither resizes the page nor says `dvh`.

/** Fits the page to what can be seen. */
export function fitToSight() {
    const sight = window.visualViewport;
    if (!sight) return;
    const fit = () => {
        // Pinched: the person looks at a part on purpose.
        if (sight.scale !== 1) return;
        const covered = window.innerHeight - sight.height > 1;
        document.documentElement.style.setProperty("--sight", covered ? `${Math.round(sight.height)}px` : "100dvh");
        if (covered) window.scrollTo(0, 0);
    };
    sight.addEventListener("resize", fit);
}
