//! `porthole console`, `porthole log`, `porthole url --port any`, and what is behind them in the API.

use std::process::Stdio;

use http::Method;
use porthole_tests::agent::Agent;
use porthole_tests::guest::Serial;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::places;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually, within};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::support::{Viewer, closed, serial};

fn porthole(agent: &Agent, arguments: &[&str]) -> Command {
    let mut command = Command::new(places::binary("porthole").expect("porthole is built"));
    command.arg("--socket").arg(agent.socket()).args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn says(agent: &Agent, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = porthole(agent, arguments).stdin(Stdio::null()).output();
    let output = within(PATIENCE, format!("porthole {arguments:?}"), output).await.expect("porthole runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn reads(child: &mut Child, text: &str) -> String {
    let out = child.stdout.as_mut().expect("a pipe");
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert!(out.read_buf(&mut read).await.expect("output") > 0, "{}", String::from_utf8_lossy(&read));
        }
    };
    within(PATIENCE, format!("{text:?} in the terminal"), reading).await;
    String::from_utf8_lossy(&read).into_owned()
}

async fn types(child: &mut Child, keys: &[u8]) {
    child.stdin.as_mut().expect("a pipe").write_all(keys).await.expect("typing");
}

#[tokio::test]
async fn a_terminal_and_a_browser_share_a_port() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("terminal").managed().start().await;
    let mut watcher = Viewer::plain(&stack, serial(&guest).field("read_only", true)).await;
    let mut terminal = porthole(&stack.agent, &["console", guest.name()]).spawn().unwrap();
    reads(&mut terminal, "TINYGUEST READY COM1").await;
    types(&mut terminal, b"hello\r").await;
    reads(&mut terminal, "you said: hello").await;
    watcher.reads("you said: hello\r\n").await;

    let (code, _, err) = says(&stack.agent, &["console", guest.name()]).await;
    assert!(code == Some(1) && err.contains("uid:0 writes to this port"), "{code:?} {err}");
    let mut browser = Viewer::plain(&stack, serial(&guest).field("force", true)).await;
    let ended = within(PATIENCE, "the first to be told", terminal.wait_with_output()).await.unwrap();
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && err.contains("Somebody else took this console over"), "{err}");

    let mut again = porthole(&stack.agent, &["console", guest.name(), "--force"]).spawn().unwrap();
    assert_eq!(browser.closed().await, closed(4418, "taken_over"));
    types(&mut again, b"mine\r").await;
    reads(&mut again, "you said: mine").await;
    types(&mut again, b"\x1d").await;
    let left = within(PATIENCE, "Ctrl-]", again.wait()).await.unwrap();
    assert_eq!(left.code(), Some(0));
    let path = format!("/v1/serial/{}/0", guest.name());
    eventually(PATIENCE, "the port to be free", async || {
        stack.agent.api(Method::GET, &path, None).await.is_ok_and(|(_, port)| port["writer"].is_null())
    })
    .await;
}

#[tokio::test]
async fn the_log_is_shown_followed_and_kept_after_the_end() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("log").managed().start().await;
    let name = guest.name();
    let mut viewer = Viewer::plain(&stack, serial(&guest)).await;
    viewer.types("count 300\r").await;
    viewer.reads("counted 300").await;
    viewer.reads("> ").await;

    let (code, out, err) = says(&stack.agent, &["log", name, "--lines", "3"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "300\r\ncounted 300\r\n> "), "{err}");
    let (_, out, _) = says(&stack.agent, &["log", name, "--bytes", "5"]).await;
    assert_eq!(out, "0\r\n> ");
    let (_, whole, _) = says(&stack.agent, &["log", name, "--since-offset", "0"]).await;
    assert!(whole.starts_with("TINYGUEST READY COM1\r\n> ") && whole.ends_with("counted 300\r\n> "), "{whole}");
    let (_, rest, _) = says(&stack.agent, &["log", name, "--since-offset", "10"]).await;
    assert_eq!(rest, whole[10..]);
    let (code, _, err) = says(&stack.agent, &["log", name, "--since-offset", "1000000"]).await;
    assert!(code == Some(1) && err.contains("there is none of offset 1000000"), "{err}");
    let (_, out, _) = says(&stack.agent, &["log", name, "--json", "--lines", "1"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), json!({ "output": "> " }));

    let mut following = porthole(&stack.agent, &["log", name, "-f"]).spawn().unwrap();
    reads(&mut following, "counted 300").await;
    viewer.types("more\r").await;
    reads(&mut following, "you said: more").await;
    viewer.types("poweroff\r").await;
    let ended = within(PATIENCE, "the end", following.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    guest.wait_for_state("shut off").await;
    let (code, out, err) = says(&stack.agent, &["log", name, "--lines", "2"]).await;
    assert!(code == Some(0) && out.contains("poweroff"), "{out} {err}");
}

#[tokio::test]
async fn what_nobody_holds_is_read_from_its_log() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("unheld").serials([Serial::Unix, Serial::UnixUnlogged]).start().await;
    eventually(PATIENCE, "the greeting in the log", async || guest.serial_log(0).contains("> ")).await;
    let (code, out, err) = says(&stack.agent, &["log", guest.name()]).await;
    assert_eq!((code, out.as_str()), (Some(0), "TINYGUEST READY COM1\r\n> "), "{err}");
    let (code, _, err) = says(&stack.agent, &["log", guest.name(), "--port", "1"]).await;
    assert!(code == Some(1) && err.contains("nothing of it is kept"), "{err}");
    let (code, _, err) = says(&stack.agent, &["log", guest.name(), "--port", "2"]).await;
    assert!(code == Some(1) && err.contains("no serial port 2"), "{err}");
}

#[tokio::test]
async fn any_is_the_first_that_nobody_writes_to() {
    let libvirt = PrivateLibvirt::shared().await;
    let stack = Stack::on(&libvirt).await;
    let guest = libvirt.guest("any").serials([Serial::Unix, Serial::Unix]).start().await;
    let any = || serial(&guest).field("index", "any");
    let first = stack.mint(any()).await;
    assert_eq!(first.json["console"]["index"], 0);
    let mut first = Viewer::new(stack.upgrade(&first).open().await);
    first.types("one\r").await;
    first.reads("you said: one").await;
    let (code, url, err) = says(&stack.agent, &["url", guest.name(), "--type", "serial", "--port", "any"]).await;
    assert_eq!(code, Some(0), "{err}");
    let mut second = Viewer::new(stack.edge.upgrade(url.trim()).open().await);
    second.types("two\r").await;
    second.reads("you said: two").await;
    let refused = stack.agent.try_mint(any()).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (409, "in_use"));
    assert_eq!(stack.mint(any().field("force", true)).await.json["console"]["index"], 0);
    let refused = stack.agent.try_mint(any().field("kind", "vnc")).await.unwrap_err();
    assert_eq!(refused.code, "bad_request");
}

#[tokio::test]
async fn a_terminal_is_a_session_listed_audited_and_ended_like_any_other() {
    let libvirt = PrivateLibvirt::shared().await;
    // Without a page for serial consoles: it needs none.
    let mut stack = Stack::on(&libvirt).await;
    stack.agent.stop().await;
    stack.agent.daemon().settings().remove("urls.serial");
    stack.agent.start_again().await;
    let guest = libvirt.guest("listed").managed().start().await;
    let mut terminal = porthole(&stack.agent, &["console", guest.name()]).spawn().unwrap();
    reads(&mut terminal, "TINYGUEST READY COM1").await;
    types(&mut terminal, b"hello\r").await;
    reads(&mut terminal, "you said: hello").await;
    let sessions = stack.agent.sessions().await;
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!(
        (&session["requestor"], &session["minted_by"], &session["kind"], &session["name"]),
        (&json!("uid:0"), &json!("uid:0"), &json!("serial"), &json!(guest.name()))
    );
    assert_eq!((&session["edge"], &session["read_only"]), (&json!("localhost"), &json!(false)));
    assert!(session["client_address"].as_str().unwrap().starts_with("127.0.0.1:"), "{session}");
    let id = session["id"].as_str().unwrap();
    let (status, _) = stack.agent.api(Method::DELETE, &format!("/v1/sessions/{id}"), None).await.unwrap();
    assert_eq!(status.as_u16(), 204);
    let ended = within(PATIENCE, "the terminal to be told", terminal.wait_with_output()).await.unwrap();
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && err.contains("The operator ended this session"), "{err}");
    let mut told = Vec::new();
    eventually(PATIENCE, "the audit's word", async || {
        let (_, audit) = stack.agent.api(Method::GET, "/v1/audit", None).await.unwrap();
        let of_it = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["name"] == guest.name());
        told = of_it.map(|entry| entry["event"].as_str().unwrap().to_owned()).collect();
        let end = audit["entries"].as_array().unwrap().iter().find(|entry| entry["event"] == "ended");
        end.is_some_and(|end| end["reason"] == "killed" && end["requestor"] == "uid:0" && end["session"] == id)
    })
    .await;
    told.sort();
    assert_eq!(told, ["ended", "killed", "minted", "redeemed", "started"]);
    assert!(stack.agent.sessions().await.is_empty());
}
