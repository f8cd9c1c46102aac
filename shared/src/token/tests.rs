use super::*;
use proptest::prelude::*;

fn claims() -> Claims {
    Claims {
        node: "n1".parse().unwrap(),
        kind: ConsoleKind::Vnc,
        jti: TokenId::random(),
        iat: UnixTime(1_000),
        redeem_by: UnixTime(1_600),
        exp: UnixTime(9_000),
    }
}

fn key_set(keys: &[&SigningKey]) -> KeySet {
    KeySet::parse(&KeySet::publish(keys.iter().copied()).unwrap()).unwrap()
}

#[test]
fn a_token_verifies_with_the_published_key_and_no_other() {
    let (key, der) = SigningKey::generate().unwrap();
    let (other, _) = SigningKey::generate().unwrap();
    let token = key.sign(&claims()).unwrap();
    assert!(token.expose().len() < 512, "{} bytes", token.expose().len());
    assert_eq!(token.unverified_origin().unwrap().kid, *key.kid());

    let again = SigningKey::from_pkcs8(der.expose()).unwrap();
    assert_eq!(again.kid(), key.kid());
    assert_eq!(verify(&token, &key_set(&[&other, &again])).unwrap().claims().node, claims().node);
    assert_eq!(verify(&token, &key_set(&[&other])), Err(VerifyError::UnknownKey));
}

#[test]
fn another_keys_signature_under_a_known_id_is_refused() {
    let (key, _) = SigningKey::generate().unwrap();
    let (mut forger, _) = SigningKey::generate().unwrap();
    forger.kid = key.kid().clone();
    let token = forger.sign(&claims()).unwrap();
    assert_eq!(verify(&token, &key_set(&[&key])), Err(VerifyError::BadSignature));
}

#[test]
fn other_algorithms_are_refused() {
    let (key, _) = SigningKey::generate().unwrap();
    // The classic attack: HMAC with the public key as the secret; and no signature at all.
    let AlgorithmParameters::OctetKeyPair(pair) = &key.public().algorithm else { panic!("not an OKP key") };
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key.kid().to_string());
    let text = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(pair.x.as_bytes())).unwrap();
    assert_eq!(verify(&Token::parse(&text).unwrap(), &key_set(&[&key])), Err(VerifyError::BadSignature));
    assert!(Token::parse("eyJhbGciOiJub25lIn0.e30.").is_err());
}

#[test]
fn times_are_held_to_redeem_by_without_a_binding_and_to_exp_with_one() {
    let (key, _) = SigningKey::generate().unwrap();
    let verified = verify(&key.sign(&claims()).unwrap(), &key_set(&[&key])).unwrap();
    for (now, without, with) in [
        (939, false, false),
        (940, true, true),
        (1_659, true, true),
        (1_660, false, true),
        (9_059, false, true),
        (9_060, false, false),
    ] {
        assert_eq!(verified.in_time(UnixTime(now), false), without, "{now}");
        assert_eq!(verified.in_time(UnixTime(now), true), with, "{now}");
    }
}

#[test]
fn a_key_set_is_bounded_and_passes_over_foreign_keys() {
    let (key, _) = SigningKey::generate().unwrap();
    let many: Vec<&SigningKey> = std::iter::repeat_n(&key, MAX_KEYS + 1).collect();
    assert!(matches!(
        KeySet::parse(&KeySet::publish(many).unwrap()),
        Err(KeySetError::TooMany(n)) if n == MAX_KEYS + 1
    ));
    let foreign = br#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"x"},{"kty":"new-sort"}]}"#;
    assert!(KeySet::parse(foreign).unwrap().0.is_empty());
    assert!(KeySet::parse(b"[]").is_err());
}

#[test]
fn a_token_is_not_in_its_debug_text() {
    let (key, _) = SigningKey::generate().unwrap();
    let token = key.sign(&claims()).unwrap();
    assert_eq!(format!("{token:?}"), "Token([redacted])");
    assert!(!format!("{key:?}").contains("private"));
}

proptest! {
    #[test]
    fn any_changed_character_breaks_it(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
        let (key, _) = SigningKey::generate().unwrap();
        let token = key.sign(&claims()).unwrap();
        let mut text: Vec<char> = token.expose().chars().collect();
        let index = at.index(text.len());
        // The last character of an unpadded base64url part has bits that mean nothing; the library must refuse those
        // too, since the agent's row is found by the hash of the text.
        prop_assume!(text[index] != '.' && text[index].to_string() != to);
        text[index] = to.chars().next().unwrap();
        let changed: String = text.into_iter().collect();
        let refused = Token::parse(&changed).map_or(true, |token| verify(&token, &key_set(&[&key])).is_err());
        prop_assert!(refused);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,1200}") {
        if let Ok(token) = Token::parse(&text) {
            let _any = token.unverified_origin();
        }
    }
}
