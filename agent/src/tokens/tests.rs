use porthole_shared::binding::BindingSecret;
use porthole_shared::names::{ConsoleKind, ConsoleUuid};
use porthole_shared::token::{KeySet, SigningKey, Token};

use tokio::sync::{broadcast, mpsc, watch};

use super::*;
use crate::fixture::{Fixture, START, client, edge, presented, wanted};
use crate::hypervisor::{Command, DomainDescription, DomainState, DomainSummary, Hypervisor, LinkState};

fn secret() -> BindingSecret {
    BindingSecret::random().unwrap()
}

async fn refusal(fixture: &Fixture, token: &Token, secret: Option<&BindingSecret>) -> Reason {
    fixture.redeem(token, secret).await.unwrap_err()
}

#[tokio::test]
async fn a_token_says_what_was_asked_for_and_no_more() {
    let fixture = Fixture::new().await;
    let minted = fixture.mint(Policy::Bound).await;
    assert_eq!((minted.redeem_by, minted.expires), (START.plus(600), START.plus(600 + 3600 + 60)));
    assert_eq!(minted.url.expose(), &format!("https://c.example.org/vnc.html?token={}", minted.token.expose()));

    let keys = KeySet::parse(&fixture.tokens.keys().jwks()).unwrap();
    let verified = token::verify(&minted.token, &keys).unwrap();
    let claims = verified.claims();
    assert_eq!((claims.jti, claims.iat, claims.exp), (minted.id, START, minted.expires));
    assert_eq!((claims.kind, claims.redeem_by), (minted.console.kind, minted.redeem_by));

    let examined = fixture.tokens.examine(&presented(&minted.token, None)).await.unwrap();
    assert_eq!(examined.inspection().name.as_str(), "bmc");
    assert_eq!(examined.inspection().redeem_by, minted.redeem_by);
}

#[tokio::test]
async fn what_cannot_be_minted_says_why() {
    let fixture = Fixture::new().await;
    let seconds = porthole_shared::config::Duration::from_secs;
    let vnc = ConsoleKind::Vnc;
    for (request, expected) in [
        (wanted("nobody"), "no console \"nobody\""),
        (wanted("a/b"), "no console \"a/b\""),
        (wanted("00000000-0000-4000-8000-00000000000f"), "no console"),
        (wanted("raw"), "no base URL for tcp"),
        (MintRequest { kind: Some(vnc), ..wanted("raw") }, "raw has no vnc console 0; it has tcp 0"),
        (MintRequest { index: 1, ..wanted("bmc") }, "no vnc console 1"),
        (MintRequest { ttl: Some(seconds(0)), ..wanted("bmc") }, "1s to 1h"),
        (MintRequest { ttl: Some(seconds(3601)), ..wanted("bmc") }, "1s to 1h"),
    ] {
        let error = fixture.tokens.mint(request.clone()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{request:?}: {error}");
    }
    let by_uuid = wanted("00000000-0000-4000-8000-000000000001");
    assert_eq!(fixture.tokens.mint(by_uuid).await.unwrap().name.as_str(), "bmc");
    let longest = MintRequest { ttl: Some(seconds(3600)), ..wanted("bmc") };
    assert_eq!(fixture.tokens.mint(longest).await.unwrap().redeem_by, START.plus(3600));
}

/// A libvirt whose one domain has both sorts of graphics.
fn libvirt() -> Hypervisor {
    const XML: &str = "<domain><devices><graphics type='spice'/><graphics type='vnc'/></devices></domain>";
    let (commands, mut received) = mpsc::channel(4);
    let (_, link) = watch::channel(LinkState::Disabled);
    tokio::spawn(async move {
        let (uuid, name) = (ConsoleUuid::random(), || "web".parse().unwrap());
        while let Some(command) = received.recv().await {
            match command {
                Command::Find { reply, .. } => {
                    drop(reply.send(Ok(DomainSummary { uuid, name: name(), state: DomainState::Running })));
                }
                Command::Describe { reply, .. } => {
                    let (state, live_xml) = (DomainState::Running, XML.to_owned());
                    drop(reply.send(Ok(DomainDescription { uuid, name: name(), state, live_xml, life: None })));
                }
                Command::IsMigrating { reply, .. } => drop(reply.send(Ok(false))),
                other @ (Command::Domains { .. }
                | Command::Definition { .. }
                | Command::Redefine { .. }
                | Command::OpenConsole { .. }
                | Command::OpenGraphics { .. }) => {
                    panic!("nobody asked for {other:?}")
                }
            }
        }
    });
    Hypervisor::from_channel(commands, broadcast::channel(1).0, link, Duration::from_secs(5))
}

#[tokio::test]
async fn spice_is_not_to_be_had_once() {
    let fixture = Fixture::with(libvirt(), &crate::sessions::Config::default()).await;
    for kind in [ConsoleKind::Spice, ConsoleKind::Vnc] {
        for policy in Policy::ALL {
            let request = MintRequest { kind: Some(kind), policy: Some(policy), ..wanted("web") };
            match fixture.tokens.mint(request).await {
                Ok(minted) => assert_eq!((minted.console.kind, minted.policy), (kind, policy)),
                Err(error) => {
                    assert_eq!((kind, policy), (ConsoleKind::Spice, Policy::Once));
                    assert!(error.to_string().contains("several connections"), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_bound_token_is_its_first_browsers() {
    let fixture = Fixture::new().await;
    let (mine, theirs) = (secret(), secret());
    let token = fixture.mint(Policy::Bound).await.token;
    let first = fixture.redeem(&token, Some(&mine)).await.unwrap();
    let again = fixture.redeem(&token, Some(&mine)).await.unwrap();
    assert_eq!(first.session(), again.session());
    assert_eq!(refusal(&fixture, &token, Some(&theirs)).await, Reason::NotYours);
    assert_eq!(refusal(&fixture, &token, None).await, Reason::NotYours);
    fixture.clock.advance(3599);
    let last = fixture.redeem(&token, Some(&mine)).await.unwrap();
    assert_eq!(last.longest, Duration::from_secs(1));
    fixture.clock.advance(1);
    assert_eq!(refusal(&fixture, &token, Some(&mine)).await, Reason::Expired);
}

#[tokio::test]
async fn a_used_token_stays_used() {
    let fixture = Fixture::new().await;
    for (policy, first, second) in [
        (Policy::Bound, None, None),
        (Policy::Bound, None, Some(secret())),
        (Policy::Once, None, None),
        (Policy::Once, Some(secret()), None),
    ] {
        let token = fixture.mint(policy).await.token;
        fixture.redeem(&token, first.as_ref()).await.unwrap();
        assert_eq!(refusal(&fixture, &token, second.as_ref()).await, Reason::Used, "{policy}");
        assert_eq!(refusal(&fixture, &token, first.as_ref()).await, Reason::Used, "{policy}");
    }
}

#[tokio::test]
async fn a_reusable_token_is_everybodys_until_redeem_by() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Reusable).await.token;
    let secrets = [None, Some(secret()), Some(secret()), None];
    let mut sessions = Vec::new();
    for secret in &secrets {
        sessions.push(fixture.redeem(&token, secret.as_ref()).await.unwrap().session());
    }
    sessions.dedup();
    assert_eq!(sessions.len(), 4);
    fixture.clock.advance(600);
    assert_eq!(refusal(&fixture, &token, None).await, Reason::Expired);
}

#[tokio::test]
async fn a_late_first_use_is_expired_for_every_policy() {
    let fixture = Fixture::new().await;
    for policy in Policy::ALL {
        let token = fixture.mint(policy).await.token;
        fixture.clock.advance(600);
        assert_eq!(refusal(&fixture, &token, Some(&secret())).await, Reason::Expired, "{policy}");
    }
}

#[tokio::test]
async fn forged_foreign_unknown_and_withdrawn_tokens_are_told_apart() {
    let fixture = Fixture::new().await;
    let minted = fixture.mint(Policy::Reusable).await;
    let (head, signature) = minted.token.expose().rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let tampered = Token::parse(&format!("{head}.{flipped}{}", &signature[1..])).unwrap();
    assert_eq!(refusal(&fixture, &tampered, None).await, Reason::BadSignature);
    assert_eq!(refusal(&fixture, &Token::parse("aa.bb.cc").unwrap(), None).await, Reason::BadSignature);

    let keys = KeySet::parse(&fixture.tokens.keys().jwks()).unwrap();
    let claims = token::verify(&minted.token, &keys).unwrap().claims().clone();
    let (stranger, _) = SigningKey::generate().unwrap();
    assert_eq!(refusal(&fixture, &stranger.sign(&claims).unwrap(), None).await, Reason::BadSignature);
    let elsewhere = token::Claims { node: "n-2".parse().unwrap(), ..claims.clone() };
    assert_eq!(refusal(&fixture, &stranger.sign(&elsewhere).unwrap(), None).await, Reason::WrongNode);
    let unknown = fixture.tokens.keys().sign(&token::Claims { jti: TokenId::random(), ..claims }).unwrap();
    assert_eq!(refusal(&fixture, &unknown, None).await, Reason::UnknownToken);

    assert!(matches!(fixture.tokens.revoke(TokenId::random()).await, Err(RevokeError::UnknownToken)));
    fixture.tokens.revoke(minted.id).await.unwrap();
    assert_eq!(refusal(&fixture, &minted.token, None).await, Reason::Revoked);
}

#[tokio::test]
async fn looking_changes_nothing_and_a_lost_race_is_refused_by_redeeming() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Once).await.token;
    let shown = presented(&token, None);
    let (one, two) = (fixture.tokens.examine(&shown).await.unwrap(), fixture.tokens.examine(&shown).await.unwrap());
    fixture.tokens.redeem(&one, &client(), &edge()).await.unwrap();
    assert_eq!(fixture.tokens.redeem(&two, &client(), &edge()).await.unwrap_err(), Reason::Used);
}

#[tokio::test]
async fn fifty_clients_race_for_one_link() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Once).await.token;
    let races = (0..50).map(|_| fixture.redeem(&token, None));
    let outcomes = futures_util::future::join_all(races).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(
        outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|_| true)
            || outcome.as_ref().is_err_and(|reason| *reason == Reason::Used))
    );
}

#[tokio::test]
async fn a_redeemer_that_leaves_leaves_no_open_row() {
    let fixture = Fixture::new().await;
    let token = fixture.mint(Policy::Once).await.token;
    let examined = fixture.tokens.examine(&presented(&token, None)).await.unwrap();
    {
        let facts = client();
        let edge = edge();
        let redeeming = fixture.tokens.redeem(&examined, &facts, &edge);
        tokio::pin!(redeeming);
        // Polled once, so that it is under way, and dropped.
        assert!(futures_util::poll!(redeeming.as_mut()).is_pending());
    }
    fixture.settle().await;
    assert_eq!(refusal(&fixture, &token, None).await, Reason::Used);
    assert_eq!(fixture.store.open_sessions().await, 0);
}
