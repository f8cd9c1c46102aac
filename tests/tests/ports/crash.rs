//! An agent that is killed while it gives and frees ports, again and again.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Method;
use porthole_tests::agent::Agent;
use porthole_tests::http::unix_json;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::ports;

const DEVICES: [&str; 4] = ["serial-0", "vnc-0", "serial-1", "spice-0"];
const WORKERS: usize = 8;
const CRASHES: usize = 12;
/// Domains that libvirt has, with a port of each range.
const LIVE: u64 = 50;

/// What a worker knows of a domain that it asked ports for.
#[derive(Debug, Clone, Default)]
struct Asked {
    count: usize,
    /// What it was told that it has.
    given: Option<Vec<u64>>,
    /// It asked for their release.
    released: bool,
}

fn random(below: usize) -> usize {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    usize::try_from(random % below as u64).expect("a small number")
}

/// Asks for ports of new domains, and for the release of old ones, until the agent is gone.
async fn work(socket: Arc<Path>, answers: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> HashMap<Uuid, Asked> {
    let mut known: HashMap<Uuid, Asked> = HashMap::new();
    while !stop.load(Ordering::SeqCst) {
        let is_held = |asked: &Asked| asked.given.is_some() && !asked.released;
        let held: Vec<Uuid> = known.iter().filter(|(_, asked)| is_held(asked)).map(|(domain, _)| *domain).collect();
        if !held.is_empty() && random(2) == 0 {
            let domain = held[random(held.len())];
            known.get_mut(&domain).expect("it is known").released = true;
            if unix_json(&socket, Method::DELETE, &format!("/v1/ports/{domain}"), None).await.is_err() {
                break;
            }
            answers.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let (domain, count) = (Uuid::new_v4(), 1 + random(DEVICES.len()));
        let asked = known.entry(domain).or_default();
        asked.count = count;
        let wanted = json!({"domain": domain, "devices": DEVICES[..count]});
        let Ok((status, answer)) = unix_json(&socket, Method::POST, "/v1/ports", Some(&wanted)).await else { break };
        if status == 200 {
            let given = answer["ports"].as_array().expect("a list").iter();
            asked.given = Some(given.map(|given| given["port"].as_u64().expect("a number")).collect());
        } else {
            assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("ports_exhausted")), "{answer}");
        }
        answers.fetch_add(1, Ordering::SeqCst);
    }
    known
}

/// The domains of libvirt's test driver, in a file that it reads, and the ports of each.
fn live(file: &Path) -> HashMap<Uuid, Vec<u64>> {
    let (mut xml, mut live) = ("<node>".to_owned(), HashMap::new());
    for number in 0..LIVE {
        let (uuid, serial, vnc) = (Uuid::new_v4(), 10_000 + 7 * number, 12_000 + 11 * number);
        let _always = write!(
            xml,
            "<domain type='test'><name>live-{number}</name><uuid>{uuid}</uuid><memory>8192</memory><os><type>hvm</type></os>\
             <devices><serial type='tcp'><source mode='bind' host='127.0.0.1' service='{serial}'/></serial>\
             <graphics type='vnc' port='{vnc}' autoport='no'/></devices></domain>"
        );
        live.insert(uuid, vec![serial, vnc]);
    }
    std::fs::write(file, xml + "</node>").expect("the test driver's file");
    live
}

/// The ports of each domain, none of which is there twice.
async fn table(agent: &Agent) -> HashMap<Uuid, Vec<u64>> {
    let (mut numbers, mut owners, mut table) = (HashSet::new(), HashSet::new(), HashMap::<Uuid, Vec<u64>>::new());
    for row in ports(agent).await {
        let number = row["port"].as_u64().expect("a number");
        assert!(numbers.insert(number), "{number} is there twice");
        let Some(owner) = row.get("owner") else { continue };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (domain, device) = (text(&owner["domain"]), text(&owner["device"]));
        assert!(owners.insert((domain.clone(), device.clone())), "{device} of {domain} has two");
        table.entry(domain.parse().expect("a UUID")).or_default().push(number);
    }
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_gives_no_port_twice_loses_none_and_leaks_none() {
    // libvirt's own test driver has domains with ports, and never one of those that ports are asked for here.
    let directory = tempfile::tempdir().expect("a directory");
    let node = directory.path().join("node.xml");
    let live = live(&node);
    let uri = format!("test://{}", node.display());
    let settings = move |agent: porthole_tests::agent::AgentBuilder| {
        let agent = agent.set("libvirt.enabled", true).set("libvirt.uri", uri).set("log.level", "info");
        let agent = agent.set("ports.serial", "10000:12000").set("ports.graphics", "12000:14000");
        agent.set("ports.grace", "1s").set("ports.compare_every", "1s")
    };
    let mut stack = Stack::builder().agent(settings).start().await;
    let of_live = |table: &HashMap<Uuid, Vec<u64>>| -> HashMap<Uuid, Vec<u64>> {
        let theirs = table.iter().filter(|(domain, _)| live.contains_key(domain));
        theirs.map(|(domain, ports)| (*domain, ports.clone())).collect()
    };
    eventually(PATIENCE, "what domains use to be theirs", async || of_live(&table(&stack.agent).await) == live).await;
    let mut all: HashMap<Uuid, Asked> = HashMap::new();
    let mut total = 0;
    for crash in 0..CRASHES {
        let socket: Arc<Path> = stack.agent.socket().into();
        let (answers, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| tokio::spawn(work(Arc::clone(&socket), Arc::clone(&answers), Arc::clone(&stop))))
            .collect();
        let enough = 100 + random(600);
        eventually(PATIENCE, "some answers", async || answers.load(Ordering::SeqCst) >= enough).await;
        stack.agent.crash();
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            all.extend(worker.await.expect("a worker"));
        }
        total += answers.load(Ordering::SeqCst);
        stack.agent.start_again().await;

        let table = table(&stack.agent).await;
        for (domain, asked) in &all {
            let mut has = table.get(domain).cloned().unwrap_or_default();
            has.sort_unstable();
            assert!(has.is_empty() || has.len() == asked.count, "crash {crash}: {domain} has half: {has:?} {asked:?}");
            if let (Some(given), false) = (&asked.given, asked.released) {
                let mut given = given.clone();
                given.sort_unstable();
                assert_eq!(has, given, "crash {crash}: {domain} was told so");
            }
        }
        assert_eq!(of_live(&table), live, "crash {crash}: no live domain is without its ports");
        let strangers = table.keys().filter(|domain| !all.contains_key(domain) && !live.contains_key(domain)).count();
        assert_eq!(strangers, 0, "crash {crash}");
    }
    assert!(total >= CRASHES * 100, "{total}");

    // What was given and is not wanted any more is free once libvirt has been asked.
    for domain in table(&stack.agent).await.keys().filter(|domain| !live.contains_key(domain)) {
        let (status, answer) = stack.agent.api(Method::DELETE, &format!("/v1/ports/{domain}"), None).await.unwrap();
        assert!(status == 200 || status == 404, "{answer}");
    }
    eventually(PATIENCE, "all but what domains use to be free", async || table(&stack.agent).await == live).await;
}
