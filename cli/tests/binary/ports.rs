//! `porthole ports` against a stub of the agent's API.

use serde_json::{Value, json};

use crate::stub::{Reply, Stub};

const WEB: &str = "7c5d4b9e-2f0a-4c1e-9d63-1f5a2b3c4d5e";
const OTHER: &str = "7c5d4b9e-2f0a-4c1e-9d63-000000000002";

fn ports() -> Value {
    json!({"ports": [
        {"port": 10000, "range": "serial", "state": "pending", "owner": {"domain": OTHER, "device": "serial-0"},
         "adopted": false, "since": "2026-11-20T10:00:00Z", "expires": "2026-11-20T11:00:00Z"},
        {"port": 20000, "range": "graphics", "state": "leased", "adopted": true, "since": "2026-11-20T10:00:00Z",
         "owner": {"domain": WEB, "name": "web-01", "device": "vnc-0"},
         "claimed_by": [{"domain": OTHER, "device": "vnc-1"}]},
        {"port": 20001, "range": "graphics", "state": "foreign", "adopted": false, "since": "2026-11-20T10:00:00Z",
         "expires": "2026-11-20T10:10:00Z", "word_of_a_later_release": 1},
    ]})
}

#[test]
fn they_are_a_table_or_json() {
    let agent = Stub::always(Reply::Json(200, ports()));
    let text = agent.run(&["ports"]).ok().stdout;
    assert_eq!(text.lines().count(), 4, "{text}");
    let claimed = format!("claimed by vnc-1 of {OTHER}");
    for words in ["20000", "vnc-0", "web-01", "leased", "pending", "foreign", "2026-11-20T11:00:00Z", &claimed] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    assert_eq!(agent.run(&["ports", "--json"]).ok().stdout, format!("{}\n", ports()));
}

#[test]
fn those_of_a_domain_are_found_by_name_and_uuid_also_where_it_only_claims_one() {
    let agent = Stub::always(Reply::Json(200, ports()));
    for (domain, expected) in [("web-01", &[20000][..]), (WEB, &[20000]), (OTHER, &[10000, 20000]), ("nobody", &[])] {
        let json: Value =
            serde_json::from_str(&agent.run(&["ports", "--json", "--domain", domain]).ok().stdout).unwrap();
        let found: Vec<_> = json["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
        assert_eq!(found, expected, "{domain}");
    }
}

#[test]
fn none_is_said_as_such() {
    let ran = Stub::always(Reply::Json(200, json!({"ports": []}))).run(&["ports"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", "No port is taken.\n"));
}
