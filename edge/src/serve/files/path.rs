//! From a request's path to a relative one that cannot lead out of the root by its spelling.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The longest path that is looked up, in bytes as sent.
const LONGEST: usize = 1024;

/// The file that a folder stands for.
const INDEX: &str = "index.html";

/// What the name of a page ends in, and its address need not: `/console` is `console.html`.
const PAGE: &str = "html";

/// The relative path of a file, or `None` for a path that can name none: with an empty, hidden or upward segment, with
/// a separator or control character that was percent-encoded, or without a leading `/`. A name without a dot is a page's.
pub(super) fn resolve(path: &str) -> Option<PathBuf> {
    let inner = path.strip_prefix('/').filter(|_| path.len() <= LONGEST)?;
    let mut resolved = PathBuf::new();
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        let segment = percent_decode_str(segment).decode_utf8().ok()?;
        let last = segments.peek().is_none();
        if segment.is_empty() && last {
            resolved.push(INDEX);
            break;
        }
        let plain = !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.chars().any(|c| c == '/' || c == '\\' || c.is_control());
        if !plain {
            return None;
        }
        resolved.push(&*segment);
        if last && !segment.contains('.') {
            resolved.set_extension(PAGE);
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_resolve() {
        for (path, file) in [
            ("/", "index.html"),
            ("/vnc_auto.html", "vnc_auto.html"),
            ("/core/rfb.js", "core/rfb.js"),
            ("/core/", "core/index.html"),
            ("/a%20b.txt", "a b.txt"),
            ("/%C3%A9.js", "é.js"),
            ("/console", "console.html"),
            ("/console.", "console."),
            ("/a/b", "a/b.html"),
            ("/a..b", "a..b"),
        ] {
            assert_eq!(resolve(path), Some(PathBuf::from(file)), "{path}");
        }
    }

    #[test]
    fn tricks_do_not() {
        for path in [
            "",
            "a",
            "//",
            "//evil.example/",
            "/a//b",
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/%2E./x",
            "/.",
            "/./x",
            "/.git/config",
            "/a/.hidden",
            "/%2egit",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/..\\x",
            "/a%00b",
            "/a%0ab",
            "/%ff",
            "/%c0%ae%c0%ae/x",
            "*",
            "/a/%2e%2e%2fb",
        ] {
            assert_eq!(resolve(path), None, "{path}");
        }
        assert_eq!(resolve(&format!("/{}", "a".repeat(2000))), None);
    }

    proptest! {
        #[test]
        fn what_resolves_stays_below_the_root(path in "/([a-z./\\\\%]|%2[eEfF]|%5[cC]|%00){0,40}") {
            if let Some(file) = resolve(&path) {
                prop_assert!(file.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", file);
                prop_assert!(!file.as_os_str().is_empty());
            }
        }
    }
}
