//! `POST /api/console`: what a link is for, or why it is refused, for scripts that cannot see a refused upgrade.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use porthole_shared::reason::Reason;
use porthole_tests::agent::Mint;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::support::{Forge, GREETING, NAME, echo_stack, parts, refusal, refused, secret};

fn json_of(answer: &Response<Bytes>) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    serde_json::from_slice(answer.body()).unwrap()
}

/// Asks, and checks that a refusal has status, header, code and words of the one table.
async fn refused_with(stack: &Stack, body: impl Into<Bytes>) -> (u16, String) {
    let request = Request::post("/api/console").body(Full::new(body.into())).unwrap();
    let answer = stack.edge.request(request).await.unwrap();
    let json = json_of(&answer);
    let reason: Reason = json["reason"].as_str().unwrap().parse().unwrap();
    assert_eq!(answer.headers()["x-porthole-reason"], reason.code());
    assert_eq!(answer.status(), reason.status());
    assert_eq!(
        json,
        json!({"reason": reason.code(), "words": reason.words(), "next_step": reason.next_step(), "retry": reason.retry()})
    );
    (answer.status().as_u16(), reason.code().to_owned())
}

#[tokio::test]
async fn a_link_is_explained_without_being_used() {
    let (stack, console) = echo_stack().await;
    for policy in ["once", "bound", "reusable"] {
        let link = stack.mint(Mint::of(NAME).policy(policy)).await;
        for binding in [Value::Null, secret().into(), secret().into()] {
            let question = json!({"token": link.token, "binding": binding, "something": "new"});
            let answer = stack.edge.inspect(&question).await.unwrap();
            assert_eq!(answer.status(), 200);
            let (redeem_by, expires) = (&link.json["redeem_by"], &link.json["expires"]);
            let expected = json!({"kind": "tcp", "name": NAME, "redeem_by": redeem_by, "expires": expires,
                                  "read_only": false, "force": false});
            assert_eq!(json_of(&answer), expected, "{policy}");
        }
        assert_eq!(stack.upgrade(&link).open().await.binary().await, GREETING, "{policy}");
    }
    assert_eq!(console.connections(), 3, "asking opens nothing");

    // Whose it is, it is told as whoever opens it would be.
    let (link, mine) = (stack.mint(NAME).await, secret());
    let _session = stack.edge.upgrade(&link.url).bound(&mine).open().await;
    let asked = async |binding: Option<&str>| {
        let answer = stack.edge.inspect(&json!({"token": link.token, "binding": binding})).await.unwrap();
        (answer.status().as_u16(), json_of(&answer)["reason"].as_str().map(str::to_owned))
    };
    assert_eq!(asked(Some(&mine)).await, (200, None));
    for binding in [None, Some(secret())] {
        assert_eq!(asked(binding.as_deref()).await, (403, Some("not_yours".to_owned())));
    }
    // The binding that an inspection was asked with is not the link's.
    assert_eq!(refusal(&stack.edge.upgrade(&link.url).bound(&secret())).await, refused(403, "not_yours"));
}

#[tokio::test]
async fn a_guest_that_does_not_run_is_told_of_before_anything_connects() {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("inspected").start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(guest.name()).await;
    let question = json!({"token": link.token});
    assert_eq!(stack.edge.inspect(&question).await.unwrap().status(), 200);
    guest.destroy().await;
    eventually(PATIENCE, "the page to be told what became of the guest", async || {
        let answer = stack.edge.inspect(&question).await.unwrap();
        answer.status() == 409 && json_of(&answer)["reason"] == "destroyed"
    })
    .await;
}

#[tokio::test]
async fn every_refusal_is_worded() {
    let (mut stack, console) = echo_stack().await;
    let forge = Forge::of(&stack.agent);
    let link = stack.mint(NAME).await;
    let [header, payload, signature] = parts(&link.token);
    let (revoked, used) = (stack.mint(NAME).await, stack.mint(Mint::of(NAME).policy("once")).await);
    stack.agent.revoke(&revoked.id).await.unwrap();
    stack.upgrade(&used).open().await.close().await;
    let of = |token: &str| json!({ "token": token }).to_string();

    let bad_request = refused(400, "bad_request");
    for (what, body, expected) in [
        ("nothing", String::new(), bad_request.clone()),
        ("no JSON", format!("token={}", link.token), bad_request.clone()),
        ("no object", json!([link.token]).to_string(), bad_request.clone()),
        ("a number", json!({"token": 1}).to_string(), bad_request.clone()),
        ("a malformed binding", json!({"token": link.token, "binding": "short"}).to_string(), bad_request.clone()),
        ("too much", json!({"token": link.token, "more": "x".repeat(5000)}).to_string(), bad_request),
        ("no token", json!({}).to_string(), refused(401, "missing_token")),
        ("an empty token", of(""), refused(401, "missing_token")),
        ("rubbish", of("rubbish"), refused(401, "bad_signature")),
        (
            "another signature",
            of(&format!("{header}.{payload}.{}", parts(&used.token)[2])),
            refused(401, "bad_signature"),
        ),
        (
            "another payload",
            of(&format!("{header}.{}.{signature}", parts(&used.token)[1])),
            refused(401, "bad_signature"),
        ),
        ("never made", of(&forge.sign(&forge.claims())), refused(404, "unknown_token")),
        ("withdrawn", of(&revoked.token), refused(403, "revoked")),
        ("used", of(&used.token), refused(403, "used")),
    ] {
        assert_eq!(refused_with(&stack, body).await, expected, "{what}");
    }
    // A token belongs into the body, where no log of a proxy has it.
    let request = Request::post(format!("/api/console?token={}", link.token)).body(Full::from("{}")).unwrap();
    assert_eq!(stack.edge.request(request).await.unwrap().headers()["x-porthole-reason"], "missing_token");
    let answer = stack.edge.fetch("/api/console").await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST".parse().unwrap()));

    assert_eq!(console.connections(), 1);
    stack.agent.crash();
    assert_eq!(refused_with(&stack, of(&link.token)).await, refused(502, "agent_unreachable"));
    stack.agent.start_again().await;
    assert_eq!(stack.upgrade(&link).open().await.binary().await, GREETING);
}
