//! The main configuration files, changed under running daemons.

use nix::sys::signal::Signal;
use porthole_tests::agent::Agent;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::{Answer, WsClient};
use uuid::Uuid;

use crate::support::{self, CONSOLE, agent_ready, echo, edge_ready, stack};

async fn tells_of_success(agent: &Agent, successful: bool) {
    let wanted = if successful { 1.0 } else { 0.0 };
    eventually(PATIENCE, "the file to be read", async || {
        let now = support::agent(agent).await;
        now.get("porthole_agent_config_last_reload_successful") == Some(wanted)
    })
    .await;
}

/// One more session, or why there is none.
async fn one_more(stack: &Stack) -> Result<WsClient, String> {
    let link = stack.mint(CONSOLE).await;
    match stack.upgrade(&link).send().await.unwrap() {
        Answer::Opened(session) => Ok(session),
        refused @ Answer::Refused { .. } => Err(refused.refusal().1),
    }
}

async fn echoes(session: &mut WsClient) {
    session.send_binary(b"still here").await.unwrap();
    assert_eq!(session.binary().await, b"still here");
}

#[tokio::test]
async fn an_agents_limits_change_for_new_sessions_and_a_bad_file_changes_nothing() {
    let console = echo().await;
    let builder = stack(console).agent(|agent| agent.set("sessions.max", 1).set("sessions.max_per_console", 1));
    let mut stack = builder.start().await;
    let mut first = one_more(&stack).await.unwrap();
    assert_eq!(one_more(&stack).await.unwrap_err(), "full");

    // More, on SIGHUP.
    let daemon = stack.agent.daemon();
    daemon.settings().set("sessions.max", 2);
    daemon.settings().set("sessions.max_per_console", 2);
    daemon.write_settings().unwrap();
    assert!(stack.agent.process().signal(Signal::SIGHUP));
    let line = stack.agent.process().wait_for_log_line("configuration read").await;
    assert!(line.contains("sessions.max, sessions.max_per_console"), "{line}");
    let mut second = one_more(&stack).await.unwrap();
    assert_eq!(agent_ready(&stack.agent).await, (200, "ready\n".to_owned()));

    // A file with a mistake: refused with its line, and nothing changes. By itself, too, without SIGHUP.
    let path = stack.agent.config_path();
    let good = std::fs::read_to_string(&path).unwrap();
    let number = 1 + good.lines().position(|line| line == "max = 2").unwrap();
    for (bad, words) in [("max = \"many\"", "invalid type"), ("max = 0", "[sessions] max is 0")] {
        std::fs::write(&path, good.replace("max = 2\n", &format!("{bad}\n"))).unwrap();
        tells_of_success(&stack.agent, false).await;
        let (status, said) = agent_ready(&stack.agent).await;
        assert!(status == 200 && said.starts_with("degraded\nthe configuration file cannot be used"), "{said}");
        assert!(said.contains(&format!("line {number}")) && said.contains(words), "{said}");
        let log = stack.agent.log();
        let refused = "the configuration file cannot be used: what was read before stays in force";
        assert!(log.lines().any(|line| line.contains(refused) && line.contains("agent.toml")), "{log}");
        assert_eq!(one_more(&stack).await.unwrap_err(), "full");
        std::fs::write(&path, &good).unwrap();
        tells_of_success(&stack.agent, true).await;
    }

    // What cannot change is named, and told of until it is taken back.
    std::fs::write(&path, good.replace("[sessions]\n", "[sessions]\nping_timeout = \"29s\"\n")).unwrap();
    let line = stack.agent.process().wait_for_log_line("needs a restart").await;
    assert!(line.contains("sessions.ping_timeout"), "{line}");
    let (status, words) = agent_ready(&stack.agent).await;
    assert!(status == 200 && words.contains("needs a restart: sessions.ping_timeout"), "{words}");
    let scrape = support::agent(&stack.agent).await;
    assert_eq!(scrape.get("porthole_agent_config_settings_need_restart"), Some(1.0));
    std::fs::write(&path, &good).unwrap();
    eventually(PATIENCE, "the file to be read", async || agent_ready(&stack.agent).await.1 == "ready\n").await;

    // No session has noticed.
    echoes(&mut first).await;
    echoes(&mut second).await;
}

#[tokio::test]
async fn an_agents_links_and_consoles_change_without_a_restart() {
    let (console, other) = (echo().await, echo().await);
    let mut stack = stack(console).start().await;
    let mut session = one_more(&stack).await.unwrap();
    assert_eq!(stack.agent.try_mint("new-machine").await.unwrap_err().code, "no_such_console");

    let config = std::fs::read_to_string(stack.agent.config_path()).unwrap();
    let entry = format!(
        "\n[[external.console]]\nuuid = \"{}\"\nname = \"new-machine\"\nprotocol = \"tcp\"\nhost = \"{}\"\nport = {}\n",
        Uuid::new_v4(),
        other.ip(),
        other.port()
    );
    std::fs::write(stack.agent.config_path(), config + &entry).unwrap();
    eventually(PATIENCE, "the new console", async || stack.agent.try_mint("new-machine").await.is_ok()).await;
    let mut second = stack.open("new-machine").await;
    echoes(&mut second).await;

    let daemon = stack.agent.daemon();
    daemon.settings().set("urls.tcp", "https://elsewhere.example/tcp.html");
    daemon.settings().set("tokens.policy", "once");
    daemon.write_settings().unwrap();
    assert!(stack.agent.process().signal(Signal::SIGHUP));
    eventually(PATIENCE, "links elsewhere", async || {
        stack.mint(CONSOLE).await.url.starts_with("https://elsewhere.example/tcp.html?token=")
    })
    .await;
    assert_eq!(stack.mint(CONSOLE).await.json["policy"], "once");
    assert_eq!(stack.agent.try_mint("new-machine").await.unwrap_err().code, "no_such_console");
    echoes(&mut session).await;
    echoes(&mut second).await;
}

#[tokio::test]
async fn an_edges_origins_and_limits_change_for_new_connections() {
    let mut stack = stack(echo().await).start().await;
    let mut session = one_more(&stack).await.unwrap();
    let outcome = async |stack: &Stack| {
        let link = stack.mint(CONSOLE).await;
        let answer = stack.upgrade(&link).header("origin", "https://dashboard.example").send().await.unwrap();
        match answer {
            Answer::Opened(session) => {
                session.close().await;
                "opened".to_owned()
            }
            refused @ Answer::Refused { .. } => refused.refusal().1,
        }
    };
    assert_eq!(outcome(&stack).await, "origin_refused");

    let daemon = stack.edge.daemon();
    daemon.settings().set("public.allowed_origins", vec!["dashboard.example"]);
    daemon.write_settings().unwrap();
    assert!(stack.edge.process().signal(Signal::SIGHUP));
    eventually(PATIENCE, "the new origin", async || outcome(&stack).await == "opened").await;

    // A bad file leaves it so, and is told of with its line.
    let path = stack.edge.config_path();
    let good = std::fs::read_to_string(&path).unwrap();
    let number = 1 + good.lines().position(|line| line.starts_with("allowed_origins")).unwrap();
    std::fs::write(&path, good.replace("[\"dashboard.example\"]", "[\"https://other.example\"]")).unwrap();
    eventually(PATIENCE, "the edge to notice", async || edge_ready(&stack.edge).await.1 != "ready\n").await;
    let (status, words) = edge_ready(&stack.edge).await;
    assert!(status == 200 && words.starts_with("degraded\n"), "{status} {words}");
    assert!(words.contains("edge.toml") && words.contains(&format!("line {number}")), "{words}");
    let scrape = support::edge(&stack.edge).await;
    assert_eq!(scrape.get("porthole_edge_config_last_reload_successful"), Some(0.0));
    assert_eq!(outcome(&stack).await, "opened");

    std::fs::write(&path, good.replace("[public]\n", "[public]\nmax_connections = 1\n")).unwrap();
    eventually(PATIENCE, "the edge to be good again", async || edge_ready(&stack.edge).await.1 == "ready\n").await;
    // The session has the only place.
    eventually(PATIENCE, "no room", async || stack.edge.fetch("/").await.is_err()).await;
    assert!(support::edge(&stack.edge).await.count("porthole_edge_connections_turned_away_total") > 0.5);
    std::fs::write(&path, good.replace("name = \"edge-1\"", "name = \"edge-9\"")).unwrap();
    let line = stack.edge.process().wait_for_log_line("needs a restart").await;
    assert!(line.contains("edge.name"), "{line}");
    echoes(&mut session).await;
}
