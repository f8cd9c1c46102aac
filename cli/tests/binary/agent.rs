//! The operator's commands against a stub of the agent's API.

use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::run::{Ran, command, run};
use crate::stub::{Reply, Seen, Stub};

const WEB: &str = "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e";
const BMC: &str = "11111111-2222-4333-8444-555555555555";

fn consoles() -> Value {
    json!({"consoles": [
        {"source": "libvirt", "uuid": WEB, "name": "web-01", "state": "running",
         "kinds": [{"kind": "vnc", "index": 0}, {"kind": "serial", "index": 1}], "later": true},
        {"source": "external", "uuid": BMC, "name": "bmc", "state": "unheard_of", "kinds": [],
         "closed": [{"device": "vnc 0", "why": "so"}, {"device": "serial 0", "why": "other"}, {"device": "vnc 1", "why": "so"}]},
    ]})
}

fn minted() -> Value {
    json!({"url": "https://c.example.org/vnc_auto.html?token=a.b.c", "token": "a.b.c", "id": BMC,
           "console": {"name": "web-01"}, "kind": "vnc", "policy": "bound",
           "redeem_by": "2026-11-20T10:10:00Z", "expires": "2026-11-20T22:00:00Z"})
}

fn asked(line: &str, body: Value) -> Seen {
    Seen { line: line.to_owned(), body }
}

#[test]
fn consoles_are_a_table_or_what_the_agent_said() {
    let agent = Stub::always(Reply::Json(200, consoles()));
    let expected = format!(
        "NAME    STATE       CONSOLES      SOURCE    UUID                                  CLOSED\n\
         web-01  running     vnc serial:1  libvirt   {WEB}  -\n\
         bmc     unheard_of                external  {BMC}  vnc 0, vnc 1: so; serial 0: other\n"
    );
    assert_eq!(agent.run(&["consoles"]).ok().stdout, expected);
    assert_eq!(agent.run(&["domains"]).ok().stdout, expected);
    assert_eq!(agent.run(&["consoles", "--json"]).ok().json(), consoles());
    assert_eq!(agent.seen()[0], asked("GET /v1/consoles", Value::Null));

    let empty = Stub::always(Reply::Json(200, json!({"consoles": []})));
    let ran = empty.run(&["consoles"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("no guests"));
    assert_eq!(empty.run(&["consoles", "--json"]).ok().json(), json!({"consoles": []}));
}

#[test]
fn a_url_stands_alone_on_standard_output() {
    let agent = Stub::always(Reply::Json(201, minted()));
    assert_eq!(agent.run(&["url", "web-01"]).ok().stdout, "https://c.example.org/vnc_auto.html?token=a.b.c\n");
    assert_eq!(agent.run(&["--json", "url", WEB]).ok().json(), minted());
    let options = ["--type", "novnc", "--index", "1", "--policy", "once", "--ttl", "2m 5s", "--requestor", "alice"];
    agent.run(&[&["url", "web-01"], &options[..]].concat()).ok();
    let whole =
        json!({"console": "web-01", "kind": "vnc", "index": 1, "policy": "once", "ttl": 125, "requestor": "alice"});
    assert_eq!(
        agent.seen(),
        [
            asked("POST /v1/tokens", json!({"console": "web-01"})),
            asked("POST /v1/tokens", json!({"console": WEB})),
            asked("POST /v1/tokens", whole),
        ]
    );
}

#[test]
fn rights_are_asked_for_in_seconds() {
    let agent = Stub::always(Reply::Json(201, minted()));
    let rights = ["--read-only", "--force", "--idle", "15m", "--longest", "1h", "--grace", "0s"];
    agent.run(&[&["url", "web-01"], &rights[..]].concat()).ok();
    let body = json!({"console": "web-01", "read_only": true, "force": true, "idle": 900, "longest": 3600, "grace": 0});
    assert_eq!(agent.seen(), [asked("POST /v1/tokens", body)]);
}

#[test]
fn links_and_sessions_are_listed_and_ended_together() {
    let token = json!({"id": WEB, "console": {"name": "web-01"}, "kind": "vnc", "requestor": "alice", "policy": "once",
        "read_only": true, "uses": 0, "redeem_by": "2026-11-20T10:10:00Z", "expires": "2026-11-20T22:00:00Z",
        "usable": false, "void_reason": "shut_off"});
    let list = json!({"tokens": [token], "next": WEB});
    let said = list.clone();
    let agent = Stub::start(move |request| match request.line.split('?').next().unwrap() {
        "GET /v1/tokens" => Reply::Json(200, said.clone()),
        "GET /v1/sessions" => Reply::Json(200, json!({"sessions": []})),
        _ => Reply::Json(200, json!({"tokens": 2, "connections": 1})),
    });
    let ran = agent.run(&["tokens", "list", "--requestor", "alice", "--all"]);
    assert_eq!(ran.code, 0);
    for words in [WEB, "web-01", "alice", "read-only", "shut_off", "2026-11-20T10:10:00Z"] {
        assert!(ran.stdout.contains(words), "{words} is missing in: {}", ran.stdout);
    }
    assert_eq!(ran.stderr, format!("There are more: --after {WEB}\n"));
    assert_eq!(agent.run(&["tokens", "list", "--json"]).ok().json(), list);
    let revoked = agent.run(&["tokens", "revoke", "--requestor", "a b", "--keep-sessions"]).ok();
    assert_eq!(revoked.stdout, "Tokens revoked: 2. Connections ended: 1.\n");
    let killed = agent.run(&["sessions", "kill", "--console", "web-01"]).ok();
    assert_eq!(killed.stdout, "Connections ended: 1. Tokens revoked: 2.\n");
    let none = agent.run(&["sessions", "--client", "::1", "--console", "web-01"]);
    assert_eq!((none.code, none.stderr.as_str()), (0, "Nobody is connected.\n"));
    let lines: Vec<String> = agent.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/tokens?requestor=alice&all=true&limit=100",
            "GET /v1/tokens?limit=100",
            "DELETE /v1/tokens?requestor=a%20b&keep_sessions=true",
            "DELETE /v1/sessions?console=web-01",
            "GET /v1/sessions?console=web-01&client=%3A%3A1",
        ]
    );
    agent.run(&["tokens", "revoke"]).failed(2);
    agent.run(&["sessions", "kill", WEB, "--console", "web-01"]).failed(2);
}

/// The console list, and one refusal for everything else.
fn refusing(status: u16, code: &'static str, detail: &'static str) -> Stub {
    Stub::start(move |request| {
        if request.line == "GET /v1/consoles" {
            Reply::Json(200, consoles())
        } else {
            Reply::Problem(status, code, detail)
        }
    })
}

#[test]
fn refusals_are_worded_with_what_to_do() {
    let not_running = refusing(409, "not_running", "");
    let ran = not_running.run(&["url", "web-01"]).failed(1);
    assert_eq!(ran.stderr, "porthole: The guest is not running.\n  Start it, then ask again.\n");
    assert_eq!(not_running.seen().len(), 1, "the list has nothing to do with it");

    refusing(400, "no_such_kind", "")
        .run(&["url", "web-01"])
        .failed(1)
        .saying(&["no console of this kind", "consoles"]);
    refusing(503, "hypervisor_down", "").run(&["consoles-x"]).failed(2);
    refusing(403, "not_allowed", "uid 1000 is not in group porthole")
        .run(&["status"])
        .failed(1)
        .saying(&["uid 1000 is not in group porthole", "[api] group"]);
}

#[test]
fn an_unknown_name_brings_those_that_are_like_it() {
    let agent = refusing(404, "no_such_console", "");
    agent.run(&["url", "web-1"]).failed(1).saying(&["not on this host", "Did you mean web-01?"]);
    let ran = agent.run(&["url", "mail"]).failed(1).saying(&["porthole consoles"]);
    assert!(!ran.stderr.contains("mean"), "{}", ran.stderr);

    // Where the list cannot be had, the refusal stands.
    let down = Stub::start(|request| match request.line.as_str() {
        "GET /v1/consoles" => Reply::Problem(503, "hypervisor_down", ""),
        _ => Reply::Problem(404, "no_such_console", ""),
    });
    down.run(&["url", "web-1"]).failed(1).saying(&["not on this host"]);
}

#[test]
fn an_ambiguous_name_brings_the_uuids() {
    let agent = Stub::start(|request| match request.line.as_str() {
        "GET /v1/consoles" => {
            let mut consoles = consoles();
            consoles["consoles"][1]["name"] = json!("web-01");
            Reply::Json(200, consoles)
        }
        _ => Reply::Problem(409, "ambiguous", "two consoles are called web-01"),
    });
    let ran = agent.run(&["url", "web-01"]).failed(1);
    ran.saying(&["two consoles", "Ask by UUID", &format!("porthole url {WEB}"), &format!("porthole url {BMC}")]);
}

#[test]
fn with_json_a_failure_is_one_line_too() {
    let ran = refusing(404, "no_such_console", "").run(&["url", "web-1", "--json"]).failed(1);
    assert_eq!(ran.stderr.matches('\n').count(), 1);
    let error = &serde_json::from_str::<Value>(&ran.stderr).unwrap()["error"];
    assert_eq!((&error["exit"], &error["code"]), (&json!(1), &json!("no_such_console")));
    assert!(error["message"].as_str().unwrap().contains("not on this host"));
    assert!(error["next"].as_array().unwrap().iter().any(|line| line == "Did you mean web-01?"));
}

#[test]
fn sessions_are_listed_and_ended() {
    let id = "0b9ff6b5-6d4f-4d4c-8f5e-7e1f3a2b1c0d";
    let list = json!({"sessions": [
        {"id": id, "token_id": BMC, "console": WEB, "name": "web-01", "kind": "vnc", "requestor": null,
         "client_address": "[2001:db8::7]:40000", "edge": "edge-1", "started": "2026-11-20T10:00:00Z",
         "bytes_in": 100, "bytes_out": 3_500_000, "connections": 1},
    ]});
    let said = list.clone();
    let agent = Stub::start(move |request| match request.line.as_str() {
        "GET /v1/sessions" => Reply::Json(200, said.clone()),
        line if line == format!("DELETE /v1/sessions/{id}") => Reply::Json(204, Value::Null),
        _ => Reply::Problem(404, "no_such_session", "it may have ended"),
    });
    let text = agent.run(&["sessions"]).ok().stdout;
    assert_eq!(text.lines().count(), 2);
    for words in [id, "web-01", "[2001:db8::7]:40000", "edge-1", "100 B", "3.3 MiB", " - "] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    assert_eq!(agent.run(&["sessions", "list", "--json"]).ok().json(), list);
    assert_eq!(agent.run(&["sessions", "kill", id]).ok().stdout, format!("Session {id} was ended.\n"));
    for killing in [["--json", "sessions", "kill", id], ["sessions", "--json", "kill", id]] {
        assert_eq!(agent.run(&killing).ok().json(), json!({ "killed": id }));
    }
    agent.run(&["sessions", "kill", BMC]).failed(1).saying(&["it may have ended"]);
}

#[test]
fn tokens_keys_and_status() {
    let status = json!({"node": "n1", "id": "cafe", "version": "0.1.0", "libvirt": "connecting", "sessions": 2,
                        "libvirt_error": "no socket", "certificate_expires": "2027-11-20T10:00:00Z"});
    let said = status.clone();
    let agent = Stub::start(move |request| match request.line.as_str() {
        "GET /v1/status" => Reply::Json(200, said.clone()),
        "POST /v1/signing-keys/rotate" => Reply::Json(200, json!({"kid": "k2"})),
        _ => Reply::Json(204, Value::Null),
    });
    assert_eq!(agent.run(&["tokens", "revoke", WEB]).ok().stdout, format!("Token {WEB} was revoked.\n"));
    assert_eq!(agent.run(&["tokens", "revoke", WEB, "--json"]).ok().json(), json!({ "revoked": WEB }));
    assert_eq!(agent.run(&["keys", "rotate"]).ok().stdout, "Links are signed with key k2 from now on.\n");
    assert_eq!(agent.run(&["keys", "rotate", "--json"]).ok().json(), json!({"kid": "k2"}));
    let text = agent.run(&["status"]).ok().stdout;
    for words in ["Node               n1\n", "connecting: no socket\n", "2027-11-20T10:00:00Z"] {
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    }
    assert_eq!(agent.run(&["status", "--json"]).ok().json(), status);
    assert_eq!(agent.seen()[0], asked(&format!("DELETE /v1/tokens/{WEB}"), Value::Null));
}

#[test]
fn without_an_agent_the_socket_is_named_and_what_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let socket = path.to_str().unwrap();
    run(&["--socket", socket, "status"]).failed(3).saying(&[socket, "systemctl status", "--socket", "PORTHOLE_SOCKET"]);
    drop(UnixListener::bind(&path).unwrap());
    run(&["--socket", socket, "status"]).failed(3).saying(&[socket, "nobody listens"]);
}

#[test]
fn the_socket_comes_from_the_environment_unless_it_is_named() {
    let agent = Stub::always(Reply::Json(201, minted()));
    let with = |arguments: &[&str]| -> Ran {
        command(arguments).env("PORTHOLE_SOCKET", agent.socket()).output().unwrap().into()
    };
    with(&["url", "web-01"]).ok();
    with(&["url", "web-01", "--socket", "/nonexistent/agent.sock"]).failed(3).saying(&["/nonexistent/agent.sock"]);
}

#[test]
fn an_agent_that_does_not_answer_is_not_waited_for() {
    let agent = Stub::always(Reply::Silence);
    agent.run(&["status", "--timeout", "100ms"]).failed(3).saying(&["did not answer within 100ms", "--timeout"]);
    let half = Stub::always(Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{".to_vec()));
    half.run(&["status"]).failed(3).saying(&["journalctl"]);
    Stub::always(Reply::Raw(Vec::new())).run(&["status"]).failed(3).saying(&["closed the connection"]);
    Stub::always(Reply::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()))
        .run(&["status"])
        .failed(3)
        .saying(&["not where its API is"]);
}

#[test]
fn answers_that_make_no_sense_are_not_believed() {
    for (reply, words) in [
        (Reply::Json(200, json!({"node": 7})), "invalid type"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}".to_vec()), "GET /v1/status"),
        (Reply::Raw(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec()), "500"),
        (Reply::Raw([&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b' '; 17 << 20]].concat()), "longer than"),
    ] {
        Stub::always(reply).run(&["status"]).failed(4).saying(&[words, "same release"]);
    }
}

#[test]
fn a_name_from_the_agent_cannot_command_the_terminal() {
    let mut list = consoles();
    list["consoles"][0]["name"] = json!("\u{1b}[2Jgone\nx");
    let agent = Stub::always(Reply::Json(200, list));
    let text = agent.run(&["consoles"]).ok().stdout;
    assert!(!text.contains('\u{1b}') && text.lines().count() == 3, "{text:?}");
}
