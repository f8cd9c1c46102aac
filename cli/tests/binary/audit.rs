//! `porthole audit` against a stub of the agent's API.

use serde_json::{Value, json};

use crate::stub::{Reply, Stub};

fn entry(id: i64) -> Value {
    json!({"id": id, "at": "2026-11-20T10:00:00Z", "event": "ended", "requestor": "alice", "name": "web-01",
           "console": {"source": "libvirt", "uuid": "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e", "kind": "vnc", "index": 0},
           "client": "192.0.2.7:40000", "edge": "edge-1", "reason": "killed", "bytes_in": 812, "bytes_out": 3_500_000,
           "word_of_a_later_release": 1})
}

#[test]
fn the_latest_are_a_table_or_lines_of_json() {
    let agent = Stub::always(Reply::Json(200, json!({"entries": [entry(1), entry(2)], "next": null})));
    let text = agent.run(&["audit"]).ok().stdout;
    assert_eq!(text.lines().count(), 3, "{text}");
    for words in ["2026-11-20T10:00:00Z", "ended", "web-01", "vnc", "alice", "192.0.2.7:40000", "killed", "3.3 MiB"] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    let lines = agent.run(&["audit", "--json", "--event", "ended", "--console", "web 1"]).ok().stdout;
    assert_eq!(lines, format!("{}\n{}\n", entry(1), entry(2)), "each as it was");
    let seen: Vec<String> = agent.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(seen, ["GET /v1/audit?limit=100", "GET /v1/audit?console=web%201&event=ended&limit=100"]);
}

#[test]
fn with_a_beginning_all_are_fetched_in_pieces() {
    let agent = Stub::start(|request| {
        let (entries, next) = if request.line.ends_with("&after=0") {
            (vec![entry(1), entry(2)], json!(2))
        } else {
            (vec![entry(3)], json!(null))
        };
        Reply::Json(200, json!({"entries": entries, "next": next}))
    });
    let since = "2026-11-20T11:00:00+02:00";
    let lines = agent.run(&["audit", "--since", since, "--json"]).ok().stdout;
    assert_eq!(lines.lines().count(), 3);
    let seen: Vec<String> = agent.seen().into_iter().map(|seen| seen.line).collect();
    let path = "GET /v1/audit?since=2026-11-20T09%3A00%3A00Z&limit=1000";
    assert_eq!(seen, [format!("{path}&after=0"), format!("{path}&after=2")]);
}

#[test]
fn an_agent_that_points_back_is_not_followed_for_ever() {
    let agent = Stub::always(Reply::Json(200, json!({"entries": [entry(1)], "next": 1})));
    assert_eq!(agent.run(&["audit", "--since", "1h", "--json"]).ok().stdout.lines().count(), 2);
}

#[test]
fn nothing_is_said_as_such_and_mistakes_are_worded() {
    let agent = Stub::always(Reply::Json(200, json!({"entries": [], "next": null})));
    let ran = agent.run(&["audit"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", "The audit has nothing of that.\n"));
    assert_eq!(agent.run(&["audit", "--json"]).ok().stdout, "");
    agent.run(&["audit", "--since", "yesterday"]).failed(2).saying(&["RFC 3339"]);
    agent.run(&["audit", "--limit", "1001"]).failed(2);
    Stub::always(Reply::Problem(409, "audit_off", "this agent keeps no audit"))
        .run(&["audit"])
        .failed(1)
        .saying(&["keeps no audit"]);
    Stub::always(Reply::Json(200, json!({"entries": [{"id": 1, "at": 5}]}))).run(&["audit"]).failed(4);
}
