use porthole_shared::names::ConsoleKind;
use porthole_shared::reason::Reason;

use super::*;

/// The value of a sample.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn what_was_counted_is_shown() {
    let mut registry = Registry::with_prefix("porthole_agent");
    let (tokens, tunnel) = (instruments::Tokens::default(), instruments::Tunnel::default());
    let (store, sessions) = (instruments::Store::default(), instruments::Sessions::default());
    tokens.register(&mut registry);
    tunnel.register(&mut registry);
    store.register(&mut registry);
    sessions.register(&mut registry);
    let metrics = Metrics(registry);
    let is = |sample: &str, expected| assert_eq!(value(&metrics.text(), sample), expected, "{}", metrics.text());
    is("porthole_agent_mints_total{kind=\"vnc\"}", Some(0.0));

    tokens.minted(ConsoleKind::Vnc);
    tokens.refused("disk_full");
    tokens.redeemed(ConsoleKind::Tcp);
    tunnel.refused("console", Reason::NotRunning);
    tunnel.opened(ConsoleKind::Vnc, std::time::Duration::from_millis(3));
    store.written(std::time::Duration::from_micros(200));
    store.failed();
    sessions.ended(ConsoleKind::Vnc, Reason::Killed);
    is("porthole_agent_mints_total{kind=\"vnc\"}", Some(1.0));
    is("porthole_agent_mints_refused_total{reason=\"disk_full\"}", Some(1.0));
    is("porthole_agent_redeems_total{kind=\"tcp\"}", Some(1.0));
    is("porthole_agent_refusals_total{request=\"console\",reason=\"not_running\"}", Some(1.0));
    is("porthole_agent_console_open_seconds_count{kind=\"vnc\"}", Some(1.0));
    is("porthole_agent_console_open_seconds_bucket{le=\"0.0025\",kind=\"vnc\"}", Some(0.0));
    is("porthole_agent_console_open_seconds_bucket{le=\"0.005\",kind=\"vnc\"}", Some(1.0));
    is("porthole_agent_database_write_seconds_count", Some(1.0));
    is("porthole_agent_database_write_failures_total", Some(1.0));
    is("porthole_agent_connections_ended_total{kind=\"vnc\",reason=\"killed\"}", Some(1.0));
    assert!(metrics.text().ends_with("# EOF\n"));
}
