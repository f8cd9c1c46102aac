//! Whether a browser may use the copy of a file that it has (RFC 9110 section 13, RFC 9111).

use std::path::Path;

use http::HeaderMap;
use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The modification time.
    pub(super) seconds: i64,
    /// Its fraction.
    pub(super) nanoseconds: i64,
    /// The size.
    pub(super) length: u64,
}

impl Stamp {
    /// The entity tag.
    pub(super) fn etag(self) -> String {
        format!("\"{:x}.{:x}-{:x}\"", self.seconds, self.nanoseconds, self.length)
    }

    /// The time of the last change as HTTP writes it: RFC 2822 with `GMT` for the zone.
    pub(super) fn last_modified(self) -> String {
        let time = OffsetDateTime::from_unix_timestamp(self.seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        time.format(&Rfc2822).unwrap_or_default().replace("+0000", "GMT")
    }

    /// Does the request say that the client has this very version? The tag decides if there is one.
    pub(super) fn is_known_to(self, headers: &HeaderMap) -> bool {
        let own = self.etag();
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).peekable();
        if tags.peek().is_some() {
            return tags
                .flat_map(|list| list.split(','))
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own);
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        let since = since.and_then(|text| OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok());
        since.is_some_and(|since| self.seconds <= since.unix_timestamp())
    }
}

/// Files whose name carries a hash of their content (`app.0123456789abcdef.js`) never change; all others are asked for
/// again each time, which the entity tag makes cheap.
pub(super) fn cache_control(path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let hash_like = |part: &str| (16..=64).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if name.split('.').skip(1).any(hash_like) { "public, max-age=31536000, immutable" } else { "no-cache" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { seconds: 1_800_000_000, nanoseconds: 5, length: 10 };

    fn known(name: &str, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        STAMP.is_known_to(&headers)
    }

    #[test]
    fn tags_and_times_are_compared() {
        let tag = STAMP.etag();
        for value in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            assert!(known("if-none-match", &value), "{value}");
        }
        assert!(!known("if-none-match", "\"x\""));
        assert_eq!(STAMP.last_modified(), "Fri, 15 Jan 2027 08:00:00 GMT");
        assert!(known("if-modified-since", &STAMP.last_modified()));
        assert!(known("if-modified-since", "Fri, 15 Jan 2027 09:00:00 GMT"));
        assert!(!known("if-modified-since", "Fri, 15 Jan 2027 07:59:59 GMT"));
        assert!(!known("if-modified-since", "yesterday"));
    }

    #[test]
    fn a_tag_beats_a_time() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, "\"x\"".parse().unwrap());
        headers.insert(IF_MODIFIED_SINCE, STAMP.last_modified().parse().unwrap());
        assert!(!STAMP.is_known_to(&headers));
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_good() {
        for (name, kept) in [
            ("app.0123456789abcdef.js", true),
            ("index.html", false),
            ("rfb.deadbeef.js", false),
            ("0123456789abcdef.js", false),
            ("0123456789abcdef/rfb.js", false),
        ] {
            assert_eq!(cache_control(Path::new(name)).contains("immutable"), kept, "{name}");
        }
    }
}
