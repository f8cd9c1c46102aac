// What is used of xterm.js. It becomes a file of its own, with its licence beside it.

export { FitAddon } from "@xterm/addon-fit";
export { SearchAddon } from "@xterm/addon-search";
export { Terminal } from "@xterm/xterm";
