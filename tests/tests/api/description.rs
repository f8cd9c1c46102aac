//! The API's description, held against the running agent: schemathesis makes requests out of it, sound ones and others,
//! and looks whether what comes back is described.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::Method;
use porthole_tests::places;
use porthole_tests::wait::within;
use serde_json::json;

use crate::support::{Caller, NAME, Served};

/// How long it may take: some thousand requests.
const LIMIT: Duration = Duration::from_mins(4);

/// No failure of the agent's own, and no answer that is not described.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,\
                      use_after_free";

#[tokio::test]
async fn the_agent_answers_as_it_is_described() {
    // It opens a connection for each thing that it tries, and lets go of them late.
    let served = Served::with(|agent| agent.set("api.max_connections_per_address", 256)).await;
    let schemathesis = places::cache().unwrap().join("schemathesis/bin/schemathesis");
    assert!(schemathesis.is_file(), "there is no {}: `make schemathesis` gets it", schemathesis.display());
    // A certificate, because a token might withdraw itself.
    let admin = served.clients.identity("admin.example.org");
    let description = served.stack.directory().join("openapi.json");
    let caller = Caller::with(admin.clone());
    let mut described = served.ask(&caller, Method::GET, "/v1/openapi.json", None).await.json;
    // Of all texts that may be the name of a console, the one that is: so that some tokens are made.
    described["components"]["schemas"]["TokenWanted"]["properties"]["console"]["enum"] = json!([NAME]);
    std::fs::write(&description, described.to_string()).unwrap();

    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut command = tokio::process::Command::new(schemathesis);
    command.args(["run", &text(&description), "--url", &format!("https://{}", served.address)]);
    command.args(["--tls-verify", &text(&served.ca())]);
    command.args(["--request-cert", &text(&admin.certificate), "--request-cert-key", &text(&admin.key)]);
    // What it shows besides would be no good, and come to nothing.
    command.args(["--generation-with-security-parameters", "false"]);
    // Events have no end.
    command.args(["--exclude-path", "/v1/events", "--checks", CHECKS]);
    command.args(["--generation-deterministic", "--max-examples", "40"]);
    command.args(["--request-timeout", "30", "--no-color"]);
    command.current_dir(served.stack.directory()).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(LIMIT, "schemathesis", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(served.stack.agent.process().is_running());
    let minted = served.ask(&caller, Method::GET, "/v1/tokens?all=true", None).await;
    assert!(minted.json["tokens"].as_array().unwrap().len() > 3, "it has come to nothing: {said}");
    let log = served.stack.agent.log();
    assert!(!log.contains(" ERROR "), "{log}");
}
