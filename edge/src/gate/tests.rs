use http::Request;
use porthole_shared::clock::UnixTime;
use porthole_shared::names::{ConsoleKind, EdgeInstance, TokenId};
use porthole_shared::token::{Claims, KeySet, SigningKey, Token};
use porthole_shared::tunnel::ClientTls;
use proptest::prelude::*;

use super::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

struct Node {
    key: SigningKey,
    keys: KeySet,
}

impl Node {
    fn new() -> Self {
        let (key, _pkcs8) = SigningKey::generate().unwrap();
        let keys = [key.public()].into_iter().collect();
        Self { key, keys }
    }

    fn token(&self) -> Token {
        let claims = Claims {
            node: "aaaa1111".parse().unwrap(),
            kind: ConsoleKind::Vnc,
            jti: TokenId::random(),
            iat: NOW,
            redeem_by: NOW.plus(600),
            exp: NOW.plus(3600),
        };
        self.key.sign(&claims).unwrap()
    }
}

fn client() -> ClientFacts {
    ClientFacts {
        address: "[2001:db8::7]:4000".parse().unwrap(),
        tls: Some(ClientTls::V13),
        edge_instance: EdgeInstance::random(),
    }
}

fn origins() -> OriginPolicy {
    OriginPolicy { scheme: Scheme::Https, allowed: Vec::new() }
}

fn upgrade(target: &str, more: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::get(target)
        .header("host", "edge.example")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_good_request_is_admitted_with_what_the_agent_needs_and_no_more() {
    let node = Node::new();
    let token = node.token();
    let binding = format!("binary, porthole.bind.{}", "A".repeat(43));
    let head = upgrade(
        &format!("/websockify?token={}", token.expose()),
        &[("origin", "https://edge.example"), ("sec-websocket-protocol", &binding), ("cookie", "token=x")],
    );
    let candidate = console(&head, &origins(), client()).unwrap();
    assert_eq!(candidate.origin().node.as_str(), "aaaa1111");
    assert_eq!(&candidate.origin().kid, node.key.kid());

    let admission = candidate.admit(&node.keys, NOW).unwrap();
    assert_eq!(admission.node().as_str(), "aaaa1111");
    assert_eq!(admission.kind(), ConsoleKind::Vnc);
    let request = admission.request();
    assert!(request.binary && request.presented.binding.is_some());
    assert_eq!(request.presented.token, token);
    assert_eq!(request.presented.client.address, client().address);
}

#[test]
fn a_tampered_token_or_another_nodes_key_is_refused() {
    let node = Node::new();
    let text = node.token().expose().to_owned();
    let (head, signature) = text.rsplit_once('.').unwrap();
    let other = Node::new();
    let (_, other_signature) =
        other.token().expose().rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let swapped = format!("{head}.{other_signature}");
    let cut = format!("{head}.{}", &signature[1..]);
    for text in [swapped, cut] {
        let head = upgrade(&format!("/?token={text}"), &[]);
        let admitted = console(&head, &origins(), client()).and_then(|candidate| candidate.admit(&node.keys, NOW));
        assert_eq!(admitted.map(|_| ()), Err(Reason::BadSignature));
    }
    let head = upgrade(&format!("/?token={text}"), &[]);
    let admitted = console(&head, &origins(), client()).unwrap().admit(&other.keys, NOW);
    assert_eq!(admitted.map(|_| ()), Err(Reason::BadSignature));
}

#[test]
fn time_is_redeem_by_without_a_binding_and_exp_with_one() {
    let node = Node::new();
    let target = format!("/?token={}", node.token().expose());
    let binding = format!("porthole.bind.{}", "A".repeat(43));
    let admit = |more: &[(&str, &str)], now: UnixTime| {
        let candidate = console(&upgrade(&target, more), &origins(), client()).unwrap();
        candidate.admit(&node.keys, now).map(|_| ())
    };
    assert_eq!(admit(&[], NOW.plus(600)), Ok(()));
    assert_eq!(admit(&[], NOW.plus(700)), Err(Reason::Expired));
    assert_eq!(admit(&[("sec-websocket-protocol", &binding)], NOW.plus(700)), Ok(()));
    assert_eq!(admit(&[("sec-websocket-protocol", &binding)], NOW.plus(3700)), Err(Reason::Expired));
    assert_eq!(admit(&[], NOW.plus(-3600)), Err(Reason::Expired));
}

#[test]
fn each_refusal_has_its_reason() {
    let token = Node::new().token();
    let good = format!("/?token={}", token.expose());
    let long = format!("/?token={}", "a".repeat(2000));
    for (target, more, reason) in [
        ("/", &[][..], Reason::MissingToken),
        ("/?token=", &[], Reason::BadSignature),
        ("/?token=a.b.c", &[], Reason::BadSignature),
        (&long, &[], Reason::BadSignature),
        ("/?token=a.b.c&token=d.e.f", &[], Reason::TokenConflict),
        (&good, &[("origin", "https://evil.example")], Reason::OriginRefused),
        (&good, &[("sec-websocket-protocol", "porthole.bind.x")], Reason::BadRequest),
        (&good, &[("sec-websocket-version", "8")], Reason::BadRequest),
    ] {
        let refused = console(&upgrade(target, more), &origins(), client());
        assert_eq!(refused.map(|_| ()), Err(reason), "{target} {more:?}");
    }
}

#[test]
fn a_question_brings_its_token_in_the_body_only() {
    let node = Node::new();
    let token = node.token();
    let ask = |body: &str, origin: &str| {
        let head = Request::post("/api/console?token=other").header("host", "edge.example").header("origin", origin);
        let (head, ()) = head.body(()).unwrap().into_parts();
        inspection(&head, body.as_bytes(), &origins(), client())
    };
    let own = "https://edge.example";
    let body = serde_json::json!({"token": token.expose(), "binding": "A".repeat(43), "later": 1}).to_string();
    let admission = ask(&body, own).unwrap().admit(&node.keys, NOW).unwrap();
    assert!(admission.request().binding.is_some());
    assert_eq!(ask(&body, "null").map(|_| ()), Err(Reason::OriginRefused));
    for (body, reason) in [
        ("", Reason::BadRequest),
        ("[]", Reason::BadRequest),
        ("{\"token\": 1}", Reason::BadRequest),
        ("{\"token\": \"a.b.c\", \"binding\": \"short\"}", Reason::BadRequest),
        ("{}", Reason::MissingToken),
        ("{\"token\": \"\"}", Reason::MissingToken),
        ("{\"token\": \"a.b.c\"}", Reason::BadSignature),
    ] {
        assert_eq!(ask(body, own).map(|_| ()), Err(reason), "{body}");
    }
}

#[test]
fn nothing_that_the_gate_makes_prints_a_token() {
    let node = Node::new();
    let token = node.token();
    let candidate = console(&upgrade(&format!("/?token={}", token.expose()), &[]), &origins(), client()).unwrap();
    let printed = format!("{candidate:?} {:?}", candidate.clone().admit(&node.keys, NOW));
    assert!(!printed.contains(token.expose()), "{printed}");
}

proptest! {
    #[test]
    fn no_text_is_admitted_that_the_node_did_not_sign(at in 0_usize..400, byte in "[A-Za-z0-9_.-]") {
        let node = Node::new();
        let token = node.token();
        let mut text = token.expose().to_owned();
        let at = at % text.len();
        text.replace_range(at..=at, &byte);
        let admitted = console(&upgrade(&format!("/?token={text}"), &[]), &origins(), client())
            .and_then(|candidate| candidate.admit(&node.keys, NOW));
        // The last character of a base64url part has bits that say nothing, but a strict decoder wants them zero.
        prop_assert_eq!(admitted.is_ok(), text == token.expose());
    }
}
