//! A screen's password in a body: checked as it is read, and not repeated in what is said about it.

use porthole_domain::{ConsoleSpec, VncPassword};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A password that somebody gives.
#[derive(Debug)]
pub(in crate::api) struct Password(VncPassword);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Any value, because serde's own words about one of another type would repeat it.
        let Value::String(text) = Value::deserialize(deserializer)? else {
            return Err(D::Error::custom("vnc_password must be a text"));
        };
        VncPassword::given(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A specification and the password for its screen: with one, the rule is that it is given.
pub(super) fn with(spec: ConsoleSpec, password: Option<Password>) -> (ConsoleSpec, Option<VncPassword>) {
    match password {
        Some(Password(password)) => (spec.with_given_password(), Some(password)),
        None => (spec, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_of_a_password_repeats_it() {
        assert_eq!(serde_json::from_str::<Password>(r#""hunter2""#).unwrap().0.expose(), "hunter2");
        for bad in [r#""hunter2-and-more""#, "87654321", r#"["hunter2"]"#, r#"{"hunter2": 1}"#, r#""hünter2""#] {
            let error = serde_json::from_str::<Password>(bad).unwrap_err().to_string();
            assert!(!error.contains("nter2") && !error.contains("8765"), "{error}");
        }
    }
}
