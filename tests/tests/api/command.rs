//! The command `porthole` with an agent on the network.

use std::process::{Output, Stdio};

use porthole_tests::places;
use porthole_tests::wait::{PATIENCE, within};
use serde_json::Value;

use crate::support::{NAME, Served};

async fn porthole(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(places::binary("porthole").expect("porthole is built"));
    command.arg("--json").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    within(PATIENCE, format!("porthole {arguments:?}"), command.output()).await.expect("porthole runs")
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn it_shows_a_token_or_a_certificate() {
    let served = Served::start().await;
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let (url, ca, socket) =
        (format!("https://{}", served.address), path(&served.ca()), path(served.stack.agent.socket()));
    let made = json(&porthole(&["--socket", &socket, "api-token", "create", "night", "--role", "operator"]).await);
    let file = served.stack.directory().join("night.token");
    std::fs::write(&file, format!("{}\n", made["token"].as_str().unwrap())).unwrap();
    let token = ["--url", &url, "--ca", &ca, "--token-file", &path(&file)].map(str::to_owned);
    let over =
        async |arguments: &[&str]| porthole(&[&token.each_ref().map(String::as_str)[..], arguments].concat()).await;
    assert_eq!(json(&over(&["status"]).await)["node"], "compute-1");
    let link = json(&over(&["url", NAME]).await);
    assert_eq!(json(&over(&["tokens", "list"]).await)["tokens"][0]["minted_by"], "token:night");
    assert_eq!(json(&over(&["consoles"]).await)["consoles"][0]["name"], NAME);
    json(&over(&["tokens", "revoke", link["id"].as_str().unwrap()]).await);
    let refused = over(&["api-token", "list"]).await;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("admin"), "{refused:?}");

    let identity = served.clients.identity("admin.example.org");
    let (certificate, key) = (path(&identity.certificate), path(&identity.key));
    let known = ["--url", &url, "--ca", &ca, "--cert", &certificate, "--key", &key];
    let tokens = json(&porthole(&[&known[..], &["api-token", "list"]].concat()).await);
    assert_eq!(
        (&tokens["api_tokens"][0]["name"], &tokens["api_tokens"][0]["role"]),
        (&"night".into(), &"operator".into())
    );
    json(&porthole(&[&known[..], &["api-token", "revoke", "night"]].concat()).await);
    let refused = over(&["status"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("API token"), "{refused:?}");

    // Not the agent that --ca vouches for.
    let other = path(&served.clients.identity("x.example.org").certificate);
    let wrong = porthole(&["--url", &url, "--ca", &other, "--token-file", &path(&file), "status"]).await;
    assert_eq!(wrong.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--ca"), "{wrong:?}");
}
