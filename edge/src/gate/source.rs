//! Where a request carries its token: the query, noVNC's `path` within the query, or a cookie.
//!
//! The query beats the cookie: a link just opened is newer than a cookie left by an earlier one. Two different tokens
//! of equal standing are a conflict, for guessing which one was meant could open the wrong console.

use http::header::COOKIE;
use http::{HeaderMap, Uri};
use porthole_shared::reason::Reason;
use url::form_urlencoded;

/// The name that the token has in a query and as a cookie.
const TOKEN: &str = "token";
/// noVNC's setting of what to connect to: `path=websockify?token=…`.
const PATH: &str = "path";

/// The token's text, not examined yet.
pub fn of_request(uri: &Uri, headers: &HeaderMap) -> Result<String, Reason> {
    match of_query(uri)? {
        Some(token) => Ok(token),
        None => of_cookies(headers)?.ok_or(Reason::MissingToken),
    }
}

/// The token's text in the query, if there is one. An empty `token=` is one: it is refused later, rather than giving
/// way to a stale cookie.
pub fn of_query(uri: &Uri) -> Result<Option<String>, Reason> {
    let mut found = Agreed::default();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if name == TOKEN {
            found.add(&value)?;
        } else if name == PATH {
            let inner = value.split_once('?').map_or(&*value, |(_path, query)| query);
            for (name, value) in form_urlencoded::parse(inner.as_bytes()) {
                if name == TOKEN {
                    found.add(&value)?;
                }
            }
        }
    }
    Ok(found.0)
}

fn of_cookies(headers: &HeaderMap) -> Result<Option<String>, Reason> {
    let mut found = Agreed::default();
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    for pair in fields.flat_map(|field| field.split(';')) {
        if let Some((name, value)) = pair.split_once('=')
            && name.trim() == TOKEN
        {
            found.add(value.trim().trim_matches('"'))?;
        }
    }
    Ok(found.0)
}

/// One value, however often it is said.
#[derive(Default)]
struct Agreed(Option<String>);

impl Agreed {
    fn add(&mut self, value: &str) -> Result<(), Reason> {
        if self.0.as_deref().is_some_and(|earlier| earlier != value) {
            return Err(Reason::TokenConflict);
        }
        self.0 = Some(value.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(target: &str, cookies: &[&str]) -> Result<String, Reason> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, cookie.parse().unwrap());
        }
        of_request(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn every_source_is_read() {
        for target in [
            "/?token=a.b.c",
            "/vnc_auto.html?x=1&token=a.b.c&y",
            "/vnc_auto.html?path=%3Ftoken%3Da.b.c",
            "/vnc_lite.html?path=websockify%3Ftoken%3Da.b.c",
            "/?path=?token=a.b.c",
            "/?path=token%3Da.b.c",
            "/?path=websockify%3Fx%3D1%26token%3Da.b.c&autoconnect=1",
            "/?token=a.b.c&token=a.b.c&path=%3Ftoken%3Da.b.c",
            "/?t%6Fken=a%2Eb.c",
        ] {
            assert_eq!(find(target, &[]).as_deref(), Ok("a.b.c"), "{target}");
        }
        for cookies in [&["token=a.b.c"][..], &["x=1; token=a.b.c; y=2"], &["x=1", "token=\"a.b.c\""]] {
            assert_eq!(find("/websockify", cookies).as_deref(), Ok("a.b.c"), "{cookies:?}");
        }
    }

    #[test]
    fn the_query_beats_the_cookie() {
        assert_eq!(find("/?token=new", &["token=old"]).as_deref(), Ok("new"));
        assert_eq!(find("/?path=%3Ftoken%3Dnew", &["token=old; token=older"]).as_deref(), Ok("new"));
        assert_eq!(find("/?token=", &["token=old"]).as_deref(), Ok(""));
    }

    #[test]
    fn two_different_tokens_are_a_conflict() {
        for target in ["/?token=a&token=b", "/?token=a&path=%3Ftoken%3Db", "/?path=?token=a&path=?token=b"] {
            assert_eq!(find(target, &["token=a"]), Err(Reason::TokenConflict), "{target}");
        }
        assert_eq!(find("/", &["token=a; token=b"]), Err(Reason::TokenConflict));
        assert_eq!(find("/", &["token=a", "token=b"]), Err(Reason::TokenConflict));
        assert_eq!(find("/", &["token=a", "token=a"]).as_deref(), Ok("a"));
    }

    #[test]
    fn a_token_elsewhere_is_none() {
        for (target, cookie) in [
            ("/", ""),
            ("/token=a", "xtoken=a"),
            ("/?Token=a", "Token=a"),
            ("/?path=websockify", "token"),
            ("/?xtoken=a", "a=token=b"),
        ] {
            assert_eq!(find(target, &[cookie]), Err(Reason::MissingToken), "{target} {cookie}");
        }
    }

    proptest! {
        #[test]
        fn any_query_and_cookie_are_read_or_refused(query in "[ -~&&[^#\"<>`{}]]{0,80}", cookie in "[ -~]{0,80}") {
            if let Ok(uri) = format!("/?{}", query.replace(' ', "+")).parse::<Uri>() {
                let mut headers = HeaderMap::new();
                headers.insert(COOKIE, cookie.parse().unwrap());
                let _any = of_request(&uri, &headers);
            }
        }

        #[test]
        fn a_token_comes_through_both_encodings(token in "[A-Za-z0-9_-]{1,40}\\.[A-Za-z0-9_-]{1,40}\\.[A-Za-z0-9_-]{1,40}") {
            let inner: String = form_urlencoded::Serializer::new(String::from("x?")).append_pair("token", &token).finish();
            let nested: String = form_urlencoded::Serializer::new(String::new()).append_pair("path", &inner).finish();
            let (plain, nested) = (find(&format!("/?token={token}"), &[]), find(&format!("/?{nested}"), &[]));
            prop_assert_eq!(plain.as_deref(), Ok(token.as_str()));
            prop_assert_eq!(nested.as_deref(), Ok(token.as_str()));
        }
    }
}
