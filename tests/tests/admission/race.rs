//! Many redeemers of one link at the same moment, by two edges.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use porthole_tests::agent::{Mint, Minted};
use porthole_tests::edge::Edge;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, eventually};
use porthole_tests::ws::{Answer, Event, Frame, Opcode, Upgrade, WsClient};

use crate::support::{Console, GREETING, NAME, refused, secret};

const RACERS: usize = 40;

/// What each racer sends right behind its request: what does not win must not reach the console.
const PIPELINED: &[u8] = b"I was first";

/// Sends all requests at once; who got in, and how often each refusal came.
async fn race(requests: Vec<Upgrade>) -> (Vec<WsClient>, BTreeMap<(u16, String), usize>) {
    let connecting = requests.iter().map(Upgrade::connect);
    let connected: Vec<_> = join_all(connecting).await.into_iter().map(Result::unwrap).collect();
    let racing = requests.into_iter().zip(connected).map(|(request, mut transport)| {
        tokio::spawn(async move {
            let mut bytes = request.head();
            bytes.extend(Frame::new(Opcode::Binary, PIPELINED).encode());
            tokio::io::AsyncWriteExt::write_all(&mut transport, &bytes).await.unwrap();
            tokio::io::AsyncWriteExt::flush(&mut transport).await.unwrap();
            Answer::read(transport).await.unwrap()
        })
    });
    let (mut winners, mut refusals) = (Vec::new(), BTreeMap::new());
    for answer in join_all(racing).await {
        match answer.unwrap() {
            Answer::Opened(winner) => winners.push(winner),
            refused @ Answer::Refused { .. } => *refusals.entry(refused.refusal()).or_default() += 1,
        }
    }
    (winners, refusals)
}

/// Half of the requests by each edge, each with its own change.
fn by_both(edges: [&Edge; 2], link: &Minted, change: impl Fn(Upgrade) -> Upgrade) -> Vec<Upgrade> {
    (0..RACERS).map(|number| change(edges[number % 2].upgrade(&link.url))).collect()
}

#[tokio::test]
async fn of_forty_redeemers_at_once_one_gets_in() {
    let console = Console::listen().await;
    let stack = Stack::builder().agent(console.configured()).agent(|agent| agent.set("sessions.max_per_console", 1000));
    let (stack, console) = (stack.start().await, console.echo());
    let other = stack.another_edge("edge-2").await.unwrap();
    let edges = [&stack.edge, &other];
    let mut before = 0;
    let mut only_the_winner = async |mut winners: Vec<WsClient>, what: &str| {
        assert_eq!(winners.len(), 1, "{what}");
        let winner = &mut winners[0];
        let mut said = Vec::new();
        while said.len() < GREETING.len() + PIPELINED.len() {
            said.extend(winner.binary().await);
        }
        assert_eq!(said, [GREETING, PIPELINED].concat());
        eventually(PATIENCE, "the losers' consoles to be closed", async || console.open() == 1).await;
        assert_eq!(console.bytes() - before, PIPELINED.len(), "{what}: of the losers nothing has reached the console");
        before = console.bytes();
        drop(winners);
        eventually(PATIENCE, "the winner's console to be closed", async || console.open() == 0).await;
    };

    for (what, policy, expected, change) in [
        ("once", "once", refused(403, "used"), (|request| request) as fn(Upgrade) -> Upgrade),
        ("once, with proofs", "once", refused(403, "used"), |request| request.bound(&secret())),
        ("bound, without proof", "bound", refused(403, "used"), |request| request),
        ("bound, with different proofs", "bound", refused(403, "not_yours"), |request| request.bound(&secret())),
    ] {
        let link = stack.mint(Mint::of(NAME).policy(policy)).await;
        let (winners, refusals) = race(by_both(edges, &link, change)).await;
        only_the_winner(winners, what).await;
        assert_eq!(refusals, BTreeMap::from([(expected, RACERS - 1)]), "{what}");
    }

    // With one and the same proof all get in, and all but one of them are superseded.
    let (link, mine) = (stack.mint(NAME).await, secret());
    let (winners, refusals) = race(by_both(edges, &link, |request| request.bound(&mine))).await;
    assert_eq!((winners.len(), refusals), (RACERS, BTreeMap::new()));
    eventually(PATIENCE, "one connection", async || {
        let sessions = stack.agent.sessions().await;
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions[0]["connections"] == 1
    })
    .await;
    let lasting = winners.into_iter().map(|mut winner| {
        tokio::spawn(async move {
            // Whatever was echoed until then is passed over.
            winner.send_binary(b"?").await.unwrap_or_default();
            loop {
                match winner.next().await.unwrap() {
                    Event::Binary(bytes) if bytes.ends_with(b"?") => return true,
                    Event::Close(closed) => {
                        assert_eq!((closed.code, closed.reason.as_str()), (Some(4414), "superseded"));
                        return false;
                    }
                    Event::Binary(_) | Event::Ping(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    let lasting = join_all(lasting).await.into_iter().filter(|lasts| *lasts.as_ref().unwrap()).count();
    assert_eq!(lasting, 1);
}

#[tokio::test]
async fn of_many_at_the_guests_screen_one_gets_in() {
    let libvirt = PrivateLibvirt::start().await;
    let guest = libvirt.guest("race").start().await;
    let stack = Stack::on(&libvirt).await;
    let link = stack.mint(Mint::of(guest.name()).policy("once")).await;
    // As many as a console may have at once: more would be told that it is full.
    let requests = vec![stack.upgrade(&link); 32];
    let answers = join_all(requests.iter().map(Upgrade::send)).await.into_iter().map(Result::unwrap);
    let (mut winners, mut refusals) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Answer::Opened(winner) => winners.push(winner),
            refused @ Answer::Refused { .. } => refusals.push(refused.refusal()),
        }
    }
    assert_eq!(refusals, vec![refused(403, "used"); 31]);
    let mut viewer = rfb::Client::handshake(winners.remove(0)).await.unwrap();
    let seen = viewer.full_frame().await.unwrap();
    assert_eq!(seen.difference(&guest.screenshot().await.unwrap()), 0, "{seen:?}");
}
