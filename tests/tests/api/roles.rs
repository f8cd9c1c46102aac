//! Which role may do what: one table, for certificates and for tokens.

use http::Method;
use serde_json::{Value, json};

use crate::support::{NAME, ROLES, Served};

/// A thing that does not exist.
const NOTHING: &str = "00000000-0000-4000-8000-000000000009";

/// A domain.
const XML: &str = "<domain><name>x</name></domain>";

/// What is asked, and what admin, operator and minter are answered. 403 is for those who may not; 404, 400 and 426 are for
/// those who may, where there is nothing of that id or nothing was said.
fn table() -> Vec<(Method, String, Option<Value>, [u16; 3])> {
    let mint = json!({"console": NAME});
    vec![
        (Method::GET, "/v1/status".into(), None, [200, 200, 200]),
        (Method::GET, "/v1/openapi.json".into(), None, [200, 200, 200]),
        (Method::GET, "/v1/consoles".into(), None, [200, 200, 403]),
        (Method::GET, "/v1/external-consoles".into(), None, [200, 200, 403]),
        (Method::GET, format!("/v1/consoles/{NOTHING}/definition"), None, [404, 404, 403]),
        (Method::PUT, format!("/v1/consoles/{NOTHING}/definition"), Some(json!({"vnc": {}})), [404, 404, 403]),
        (Method::DELETE, format!("/v1/consoles/{NOTHING}/definition"), None, [404, 404, 403]),
        (Method::POST, "/v1/consoles/render".into(), Some(json!({"domain": NOTHING, "spec": {}})), [200, 200, 403]),
        (Method::POST, "/v1/consoles/merge".into(), Some(json!({"xml": XML, "spec": {}})), [200, 200, 403]),
        (Method::GET, format!("/v1/serial/{NOTHING}/0"), None, [404, 404, 403]),
        (Method::GET, format!("/v1/serial/{NOTHING}/0/output"), None, [404, 404, 403]),
        (Method::GET, format!("/v1/serial/{NOTHING}/0/attach"), None, [426, 426, 403]),
        (Method::GET, "/v1/ports".into(), None, [200, 200, 403]),
        (Method::POST, "/v1/ports".into(), Some(json!({"domain": NOTHING, "devices": ["vnc-0"]})), [200, 200, 403]),
        (Method::DELETE, format!("/v1/ports/{NOTHING}"), None, [200, 200, 403]),
        (Method::POST, "/v1/tokens".into(), Some(mint), [201, 201, 201]),
        (Method::GET, "/v1/tokens".into(), None, [200, 200, 200]),
        (Method::DELETE, "/v1/tokens".into(), None, [400, 400, 400]),
        (Method::DELETE, "/v1/tokens?requestor=nobody".into(), None, [200, 200, 200]),
        (Method::DELETE, format!("/v1/tokens/{NOTHING}"), None, [404, 404, 404]),
        (Method::GET, "/v1/sessions".into(), None, [200, 200, 200]),
        (Method::DELETE, "/v1/sessions?requestor=nobody".into(), None, [200, 200, 200]),
        (Method::DELETE, format!("/v1/sessions/{NOTHING}"), None, [404, 404, 404]),
        (Method::GET, "/v1/audit".into(), None, [200, 200, 403]),
        (Method::POST, "/v1/signing-keys/rotate".into(), None, [200, 403, 403]),
        (Method::GET, "/v1/api-tokens".into(), None, [200, 403, 403]),
        (Method::POST, "/v1/api-tokens".into(), Some(json!({"name": "x", "role": "minter"})), [201, 403, 403]),
        (Method::DELETE, format!("/v1/api-tokens/{NOTHING}"), None, [404, 403, 403]),
        (Method::GET, "/v1/nothing".into(), None, [404, 404, 404]),
        (Method::PUT, "/v1/tokens".into(), None, [405, 405, 405]),
    ]
}

#[tokio::test]
async fn each_role_may_do_what_is_its_own() {
    let served = Served::start().await;
    for (place, role) in ROLES.into_iter().enumerate() {
        let (holder, _) = served.token(role, role).await;
        for caller in [served.known(role), holder] {
            for (method, path, body, answers) in table() {
                let reply = served.ask(&caller, method.clone(), &path, body.as_ref()).await;
                assert_eq!(reply.status, answers[place], "{role}: {method} {path}: {}", reply.json);
                if reply.status == 403 {
                    assert_eq!(reply.json["code"], "not_allowed");
                    let needed = ROLES.iter().rposition(|role| reply.json["needed_role"] == *role).unwrap();
                    assert!(needed < place && answers[needed] != 403, "{path}: {}", reply.json);
                }
            }
        }
    }
}

#[tokio::test]
async fn whatever_is_described_is_in_the_table() {
    let served = Served::start().await;
    let description = served.ask_locally(Method::GET, "/v1/openapi.json", None).await.json;
    let mut operations = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        // A stream without end has tests of its own.
        for method in item.as_object().unwrap().keys().filter(|_| path != "/v1/events") {
            let asked = path.replace("{id}", NOTHING).replace("{console}", NOTHING).replace("{domain}", NOTHING);
            let asked = asked.replace("{index}", "0");
            let in_table = table().iter().any(|(known, at, ..)| {
                known.as_str().eq_ignore_ascii_case(method) && at.split('?').next() == Some(asked.as_str())
            });
            assert!(in_table, "{method} {path}");
            operations += 1;
        }
    }
    assert!(operations > 10, "{operations}");
}

#[tokio::test]
async fn at_the_socket_root_may_do_everything() {
    let served = Served::start().await;
    for (method, path, body, [admin, ..]) in table() {
        let reply = served.ask_locally(method.clone(), &path, body.as_ref()).await;
        assert_eq!(reply.status, admin, "{method} {path}: {}", reply.json);
    }
}
