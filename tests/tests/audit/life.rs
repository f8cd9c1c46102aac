//! From a link to the end of its session, and after the agent's.

use porthole_tests::agent::Mint;
use porthole_tests::command::porthole;
use porthole_tests::wait::{PATIENCE, eventually, eventually_some};
use porthole_tests::ws::Closed;
use serde_json::{Value, json};

use crate::support::{RAW, ask, audit, events, files, only, secret, stack};

#[tokio::test]
async fn who_asked_who_watched_who_was_refused_and_how_it_ended() {
    let mut stack = stack(|agent| agent.set("log.format", "json")).await;
    let link = stack.mint(Mint::of("raw").field("requestor", "alice")).await;
    let (mine, theirs) = (secret(), secret());
    let mut client = stack.edge.upgrade(&link.url).bound(&mine).open().await;
    client.send_binary(b"hello").await.unwrap();
    assert_eq!(client.binary().await, b"hello");
    for _ in 0..20 {
        let refused = stack.edge.upgrade(&link.url).bound(&theirs).send().await.unwrap().refusal();
        assert_eq!(refused, (403, "not_yours".to_owned()));
    }
    let session = stack.agent.sessions().await[0]["id"].as_str().unwrap().to_owned();
    porthole(&stack.agent, &["sessions", "kill", &session]).await.ok();
    assert_eq!(client.closed().await, Closed { code: Some(4413), reason: "killed".to_owned() });
    let _other = stack.mint(Mint::of("other").field("requestor", "bob")).await;
    eventually(PATIENCE, "the session's end", async || audit(&stack.agent, &["--event", "ended"]).await.len() == 1)
        .await;
    // Refusals are counted for a minute, or until the agent stops.
    assert!(audit(&stack.agent, &["--event", "refused"]).await.is_empty());
    assert!(stack.agent.stop().await.success());
    stack.agent.start_again().await;

    let entries = audit(&stack.agent, &["--console", "raw"]).await;
    let mut seen = events(&entries);
    seen.sort_unstable();
    assert_eq!(seen, ["ended", "killed", "minted", "redeemed", "refused", "started"]);
    for entry in &entries {
        assert_eq!((&entry["requestor"], &entry["name"]), (&json!("alice"), &json!("raw")), "{entry}");
        assert_eq!(entry["console"], json!({"source": "external", "uuid": RAW, "kind": "tcp", "index": 0}), "{entry}");
        assert_eq!(entry["token_id"], json!(link.id), "{entry}");
        assert!(entry["at"].as_str().unwrap().ends_with('Z'), "{entry}");
    }
    for event in ["redeemed", "started", "ended"] {
        let entry = only(&entries, event);
        assert_eq!((&entry["edge"], &entry["session"]), (&json!("edge-1"), &json!(session)));
        assert!(entry["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{entry}");
    }
    let end = only(&entries, "ended");
    assert_eq!((&end["reason"], &end["bytes_in"], &end["bytes_out"]), (&json!("killed"), &json!(5), &json!(5)));
    assert_eq!((&only(&entries, "started")["connections"], &end["connections"]), (&json!(1), &json!(0)));
    let refused = only(&entries, "refused");
    assert_eq!((&refused["count"], &refused["reason"]), (&json!(20), &json!("not_yours")));
    assert_eq!((&refused["client"], &refused["edge"]), (&json!("127.0.0.1"), &json!("edge-1")));
    assert!(refused["first"].as_str().unwrap() <= refused["at"].as_str().unwrap());
    let killed = only(&entries, "killed");
    assert_eq!((&killed["session"], &killed["connections"]), (&json!(session), &json!(1)));

    // Chosen in other ways.
    for (arguments, expected) in [
        (&["--console", RAW][..], 6),
        (&["--requestor", "bob"], 1),
        (&["--requestor", "bob", "--console", "raw"], 0),
        (&["--since", "1h"], 7),
        (&["--since", "1h", "--limit", "2"], 2),
        (&["--until", "2026-01-01T00:00:00Z"], 0),
        (&["--event", "minted"], 2),
    ] {
        assert_eq!(audit(&stack.agent, arguments).await.len(), expected, "{arguments:?}");
    }
    let table = porthole(&stack.agent, &["audit", "--console", "raw"]).await.ok();
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(["alice", "not_yours", "20", "5 B", &session].iter().all(|word| table.contains(word)), "{table}");

    // The same in the log, an object each.
    let log = stack.agent.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["target"] == "audit").collect();
    let mut logged = events(&lines);
    logged.sort_unstable();
    assert_eq!(logged, ["ended", "killed", "minted", "minted", "redeemed", "refused", "started"]);
    let told = only(&lines, "ended");
    assert_eq!((&told["bytes_in"], &told["reason"], &told["name"]), (&json!(5), &json!("killed"), &json!("raw")));

    // And nothing of what opens a console.
    let [header, payload, signature] = link.token.split('.').collect::<Vec<_>>()[..] else { panic!("{}", link.token) };
    for secret in [header, payload, signature, &mine, &theirs, "token="] {
        assert!(!log.contains(secret), "{secret} is in the log");
        for file in files(&stack.agent) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(bytes.windows(secret.len()).all(|window| window != secret.as_bytes()), "{secret} in {file:?}");
        }
    }
    let there = files(&stack.agent).iter().any(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(session.len()).any(|window| window == session.as_bytes())
    });
    assert!(there, "the positive control");
}

#[tokio::test]
async fn what_was_told_is_there_after_a_sigkill_and_the_open_session_is_ended() {
    let mut stack = stack(|agent| agent).await;
    let link = stack.mint(Mint::of("raw").field("requestor", "alice")).await;
    let _client = stack.upgrade(&link).open().await;
    let before = eventually_some(PATIENCE, "the start in the audit", async || {
        let entries = audit(&stack.agent, &["--since", "1h"]).await;
        (events(&entries) == ["minted", "redeemed", "started"]).then_some(entries)
    })
    .await;
    stack.agent.crash();
    stack.agent.start_again().await;
    let after = eventually_some(PATIENCE, "the end in the audit", async || {
        let entries = audit(&stack.agent, &["--since", "1h"]).await;
        (entries.len() > 3).then_some(entries)
    })
    .await;
    assert_eq!(after[..3], before);
    assert_eq!(events(&after), ["minted", "redeemed", "started", "ended"]);
    let (start, end) = (&after[2], &after[3]);
    assert_eq!((&end["reason"], &end["session"]), (&json!("agent_restarted"), &start["session"]));
    assert_eq!((&end["requestor"], &end["bytes_in"]), (&json!("alice"), &Value::Null));
    assert_eq!(ask(&stack.agent, "?limit=1").await["entries"][0], *end, "the latest is the last");
}
