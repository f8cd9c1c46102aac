// What comes before anybody reads it: a console may speak as soon as it is connected, and the viewer's code may still be
// on its way.

/**
 * Keeps a socket's messages; whoever reads them from now on calls what this gives.
 * @param {WebSocket} socket
 * @returns {() => void}
 */
export function inbox(socket) {
    socket.binaryType = "arraybuffer";
    /** @type {unknown[]} */
    const early = [];
    const keep = (/** @type {MessageEvent} */ { data }) => void early.push(data);
    socket.addEventListener("message", keep);
    return () => {
        socket.removeEventListener("message", keep);
        for (const data of early) socket.dispatchEvent(new MessageEvent("message", { data }));
    };
}
