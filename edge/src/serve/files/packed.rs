//! Packed copies: beside `page.js` there may be `page.js.gz`, which those who take gzip get instead. The pages' build
//! makes them; packing at each request would let anybody make this edge work. Nothing here looks at what is in them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// What `Content-Encoding` calls it.
pub(super) const ENCODING: &str = "gzip";

/// Where the packed copy of a file is, if there is one.
pub(super) fn path_of(file: &Path) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(".gz");
    path.into()
}

/// Does the client take it (RFC 9110 section 12.5.3)? A weight of zero says no; of other weights nobody makes use.
pub(super) fn is_taken_by(headers: &HeaderMap) -> bool {
    let verdict = |name: &str| {
        let lists = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).find_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let same = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
            same.then(|| !parts.any(is_zero))
        })
    };
    verdict(ENCODING).or_else(|| verdict("*")).unwrap_or(false)
}

/// A parameter such as `q=0.0`.
fn is_zero(parameter: &str) -> bool {
    let weight = parameter.strip_prefix(['q', 'Q']).and_then(|rest| rest.trim_start().strip_prefix('='));
    weight.is_some_and(|weight| weight.trim().parse().is_ok_and(|weight: f32| weight <= 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_say_what_they_take() {
        for (value, taken) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("deflate,gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*", true),
            ("*;q=0", false),
            ("identity", false),
            ("gzipped", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(is_taken_by(&headers), taken, "{value}");
        }
        assert!(!is_taken_by(&HeaderMap::new()));
    }

    #[test]
    fn a_copy_has_the_whole_name_of_its_file() {
        assert_eq!(path_of(Path::new("core/rfb.js")), Path::new("core/rfb.js.gz"));
    }
}
