use std::net::TcpListener;

use porthole_shared::clock::ManualClock;
use porthole_shared::config::Duration;
use proptest::prelude::*;

use super::*;
use crate::fixture::START;

/// Ports that nobody uses, it is hoped: between the well-known ones and those that other tests take.
fn config(serial: &str, graphics: &str) -> Config {
    Config { serial: serial.parse().unwrap(), graphics: graphics.parse().unwrap(), ..Config::default() }
}

struct Table {
    ports: Ports,
    store: Store,
    clock: ManualClock,
    dir: tempfile::TempDir,
}

impl Table {
    async fn new(serial: &str, graphics: &str) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(START));
        let store = Store::open(dir.path(), START).await.unwrap();
        let ports = Ports::new(config(serial, graphics), store.clone(), Arc::new(clock.clone()));
        Self { ports, store, clock, dir }
    }

    async fn give(&self, domain: ConsoleUuid, names: &[&str]) -> Vec<u16> {
        self.ports.allocate(domain, &devices(names)).await.unwrap()
    }

    /// What is not free: port, state, device.
    async fn rows(&self) -> Vec<(u16, &'static str, String)> {
        let row = |listed: ListedPort| {
            let device = listed.row.owner.map(|owner| owner.device.to_string());
            (listed.row.port, listed.row.state.as_str(), device.unwrap_or_default())
        };
        self.ports.list().await.unwrap().into_iter().map(row).collect()
    }

    /// libvirt has these domains, which use these ports.
    async fn learn(&self, domains: &[(ConsoleUuid, &[(&str, u16)])]) {
        let used = |pairs: &[(&str, u16)]| {
            pairs.iter().map(|(device, port)| Use { device: device.parse().unwrap(), port: *port }).collect()
        };
        let seen = domains.iter().map(|(domain, uses)| (*domain, Some(used(uses)))).collect();
        let names = domains.iter().map(|(domain, _)| (*domain, "web 1".parse().unwrap())).collect();
        let picture = Picture { began: self.ports.now(), seen, absent: Absent::AllOthers };
        self.ports.learn(&picture, names).await.unwrap();
    }
}

fn devices(names: &[&str]) -> Vec<Device> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn row(port: u16, state: &'static str, device: &str) -> (u16, &'static str, String) {
    (port, state, device.to_owned())
}

#[tokio::test]
async fn a_device_gets_the_same_port_again_for_as_long_as_it_has_it() {
    let table = Table::new("2000:2010", "2010:2020").await;
    let (one, other) = (ConsoleUuid::random(), ConsoleUuid::random());
    assert_eq!(table.give(one, &["serial-0", "vnc-0", "serial-1"]).await, [2000, 2010, 2001]);
    assert_eq!(table.give(other, &["vnc-0"]).await, [2011]);
    assert_eq!(table.give(one, &["serial-1", "serial-0"]).await, [2001, 2000]);
    assert_eq!(table.give(one, &["serial-2", "vnc-0"]).await, [2002, 2010]);
    table.learn(&[(one, &[])]).await;
    assert_eq!(
        table.rows().await,
        [
            row(2000, "leased", "serial-0"),
            row(2001, "leased", "serial-1"),
            row(2002, "leased", "serial-2"),
            row(2010, "leased", "vnc-0"),
            row(2011, "pending", "vnc-0"),
        ]
    );
    assert_eq!(table.give(one, &["vnc-0", "vnc-1"]).await, [2010, 2012]);
    assert_eq!(table.rows().await[5], row(2012, "leased", "vnc-1"), "libvirt is known to have the domain");
    assert_eq!(table.ports.release(one).await.unwrap(), 5);
    assert_eq!(table.rows().await[0], row(2000, "releasing", "serial-0"));
    assert_eq!(table.give(one, &["serial-0"]).await, [2000]);
    assert_eq!(table.rows().await[0], row(2000, "pending", "serial-0"));
    assert_eq!(table.ports.take_touched(), HashSet::from([one, other]), "libvirt is to be asked about them");
}

#[tokio::test]
async fn all_or_none_and_words_for_none() {
    let table = Table::new("2020:2023", "2023:2025").await;
    let (one, other) = (ConsoleUuid::random(), ConsoleUuid::random());
    table.give(one, &["serial-0", "vnc-0"]).await;
    let none = table.ports.allocate(other, &devices(&["vnc-0", "serial-0", "serial-1", "serial-2"])).await.unwrap_err();
    assert!(matches!(none, AllocateError::Exhausted(Exhausted { purpose: Purpose::Serial, free: 2, wanted: 3, .. })));
    assert!(none.to_string().contains("serial (2020:2023), 1 are in use and 2 are free, but 3 more"), "{none}");
    assert_eq!(table.rows().await.len(), 2);
    for (names, words) in
        [(&[][..], "1 to 64"), (&["vnc-0"; 65][..], "1 to 64"), (&["vnc-0", "vnc-0"][..], "vnc-0 is named twice")]
    {
        let refused = table.ports.allocate(one, &devices(names)).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[tokio::test]
async fn what_something_else_holds_is_passed_over_for_a_while() {
    let table = Table::new("2030:2034", "2034:2035").await;
    let holder = TcpListener::bind("127.0.0.1:2030").unwrap();
    let other_holder = TcpListener::bind("[::1]:2032").unwrap();
    let domain = ConsoleUuid::random();
    // The first try is 2030 and 2031, the second 2033 and 2031 or such: whichever, these two are the free ones.
    let mut given = table.give(domain, &["serial-0", "serial-1"]).await;
    given.sort_unstable();
    assert_eq!(given, [2031, 2033]);
    drop((holder, other_holder));
    let none = table.ports.allocate(domain, &devices(&["serial-2"])).await.unwrap_err();
    assert!(matches!(none, AllocateError::Exhausted(_)), "not offered again: {none}");
    let foreign: Vec<_> = table.rows().await.into_iter().filter(|row| row.1 == "foreign").map(|row| row.0).collect();
    assert_eq!(foreign, [2030, 2032]);
    table.clock.advance(10 * 60);
    let mut given = table.give(domain, &["serial-2", "serial-3"]).await;
    given.sort_unstable();
    assert_eq!(given, [2030, 2032]);
}

#[tokio::test]
async fn a_domain_that_is_to_come_keeps_what_it_may_be_listening_on() {
    let table = Table::new("2700:2710", "2710:2720").await;
    let domain = ConsoleUuid::random();
    let all = ["vnc-0", "serial-0", "serial-1"];
    assert_eq!(table.give(domain, &all).await, [2710, 2700, 2701]);
    table.learn(&[(domain, &[])]).await;
    let arrive = async || table.ports.allocate_arriving(domain, &devices(&all)).await;
    // What is not where this host's consoles listen is not in their way.
    let elsewhere = TcpListener::bind("127.0.0.2:2701").unwrap();
    let listening = [TcpListener::bind("127.0.0.1:2710").unwrap(), TcpListener::bind("0.0.0.0:2700").unwrap()];
    for _ in 0..2 {
        assert_eq!(arrive().await.unwrap(), [2711, 2702, 2701]);
        let leased = [2700, 2701, 2702, 2710, 2711];
        let rows: Vec<_> = table.rows().await.into_iter().map(|row| (row.0, row.1)).collect();
        assert_eq!(rows, leased.map(|port| (port, "leased")));
    }

    // It was itself that listened there.
    let uses = [("vnc-0", 2710), ("serial-0", 2700), ("serial-1", 2701)];
    let used: Vec<_> = uses.iter().map(|(name, port)| Use { device: name.parse().unwrap(), port: *port }).collect();
    table.ports.runs_on(domain, &used).await.unwrap();
    let kept = [row(2700, "leased", "serial-0"), row(2701, "leased", "serial-1"), row(2710, "leased", "vnc-0")];
    assert_eq!(table.rows().await, kept);
    assert_eq!(table.give(domain, &all).await, [2710, 2700, 2701]);
    table.clock.advance(7200);
    table.learn(&[(domain, &[])]).await;
    assert_eq!(table.rows().await, kept, "they are what it asked for");

    // It was somebody else: it runs on the new ones, and the old ones are not its own.
    assert_eq!(arrive().await.unwrap(), [2712, 2703, 2701]);
    let uses = [("vnc-0", 2712), ("serial-0", 2703), ("serial-1", 2701)];
    let used: Vec<_> = uses.iter().map(|(name, port)| Use { device: name.parse().unwrap(), port: *port }).collect();
    table.ports.runs_on(domain, &used).await.unwrap();
    table.clock.advance(1);
    table.learn(&[(domain, &uses)]).await;
    assert_eq!(table.rows().await.into_iter().map(|row| row.0).collect::<Vec<_>>(), [2701, 2703, 2712]);
    drop((elsewhere, listening));
}

#[tokio::test]
async fn a_whole_range_that_something_else_holds_is_told_so() {
    let table = Table::new("2040:2044", "2044:2045").await;
    let _holders: Vec<_> = (2040..2044).map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap()).collect();
    let none = table.ports.allocate(ConsoleUuid::random(), &devices(&["serial-0"])).await.unwrap_err();
    assert!(matches!(none, AllocateError::Exhausted(_)), "{none}");
    assert!(table.rows().await.iter().all(|row| row.1 == "foreign"));
}

#[tokio::test]
async fn many_at_once_never_meet() {
    let table = Table::new("2050:2250", "2250:2350").await;
    let racers = (0..50).map(|_| {
        let ports = table.ports.clone();
        let domain = ConsoleUuid::random();
        let twice = [ports.clone(), ports].map(|ports| {
            tokio::spawn(
                async move { ports.allocate(domain, &devices(&["serial-0", "serial-1", "vnc-0"])).await.unwrap() },
            )
        });
        async move {
            let [one, other] = twice;
            let (one, other) = (one.await.unwrap(), other.await.unwrap());
            assert_eq!(one, other, "one domain, one answer");
            one
        }
    });
    let given: Vec<u16> = futures_util::future::join_all(racers).await.concat();
    let different: HashSet<_> = given.iter().collect();
    assert_eq!((given.len(), different.len()), (150, 150));
    assert_eq!(table.rows().await.len(), 150);
}

#[tokio::test]
async fn leases_end_with_their_domain_and_pending_ones_with_their_time() {
    let table = Table::new("2400:2410", "2410:2420").await;
    let (early, late) = (ConsoleUuid::random(), ConsoleUuid::random());
    table.give(early, &["vnc-0"]).await;
    table.give(late, &["vnc-0"]).await;
    table.learn(&[(early, &[])]).await;
    assert_eq!(table.rows().await, [row(2410, "leased", "vnc-0"), row(2411, "pending", "vnc-0")]);
    table.clock.advance(3599);
    table.learn(&[]).await;
    assert_eq!(table.rows().await, [row(2410, "releasing", "vnc-0"), row(2411, "pending", "vnc-0")]);
    table.ports.take_touched();
    table.clock.advance(1);
    table.ports.touch_expired().await.unwrap();
    assert_eq!(table.ports.take_touched(), HashSet::from([late]));
    table.learn(&[]).await;
    assert_eq!(table.rows().await, [row(2410, "releasing", "vnc-0")]);
    table.learn(&[(early, &[])]).await;
    assert_eq!(table.rows().await, [row(2410, "leased", "vnc-0")], "it was there after all");
    table.learn(&[]).await;
    table.clock.advance(60);
    table.learn(&[]).await;
    assert_eq!(table.rows().await, []);
}

#[tokio::test]
async fn an_old_picture_takes_nothing_from_what_came_since() {
    let table = Table::new("2420:2430", "2430:2440").await;
    let (one, two) = (ConsoleUuid::random(), ConsoleUuid::random());
    table.give(one, &["vnc-0"]).await;
    table.learn(&[(one, &[])]).await;
    let old = Picture { began: START, seen: HashMap::from([(one, Some(Vec::new()))]), absent: Absent::AllOthers };
    table.clock.advance(10);
    table.ports.release(one).await.unwrap();
    table.give(two, &["vnc-0"]).await;
    table.ports.learn(&old, HashMap::new()).await.unwrap();
    assert_eq!(table.rows().await, [row(2430, "releasing", "vnc-0"), row(2431, "pending", "vnc-0")]);
}

#[tokio::test]
async fn what_domains_use_is_adopted_and_two_of_one_port_are_shown() {
    let table = Table::new("2440:2450", "2450:2460").await;
    let (one, two) = (ConsoleUuid::random(), ConsoleUuid::random());
    let (one, two) = (one.min(two), one.max(two));
    table.learn(&[(one, &[("vnc-0", 2450), ("serial-0", 2460)]), (two, &[("vnc-0", 2451), ("serial-0", 2450)])]).await;
    let listed = table.ports.list().await.unwrap();
    assert_eq!(table.rows().await, [row(2450, "leased", "vnc-0"), row(2451, "leased", "vnc-0")]);
    let claims: Vec<_> =
        listed[0].claimed_by.iter().map(|(owner, _)| (owner.domain, owner.device.to_string())).collect();
    assert_eq!((claims, &listed[1].claimed_by), (vec![(two, "serial-0".to_owned())], &Vec::new()));
    assert!(listed[0].row.adopted && listed[0].name == Some("web 1".parse().unwrap()));
    assert_eq!(table.give(two, &["vnc-0", "vnc-1"]).await, [2451, 2452], "what it uses is what it gets");
    assert!(!table.ports.list().await.unwrap()[1].row.adopted);
    table.learn(&[(one, &[("vnc-0", 2450)]), (two, &[])]).await;
    assert_eq!(table.ports.list().await.unwrap()[0].claimed_by, Vec::new());
    assert_eq!(
        table.rows().await,
        [row(2450, "leased", "vnc-0"), row(2451, "leased", "vnc-0"), row(2452, "leased", "vnc-1")]
    );
}

#[tokio::test]
async fn a_contradiction_is_logged_once_and_again_when_it_comes_back() {
    let table = Table::new("2380:2390", "2390:2400").await;
    let (one, two) = (ConsoleUuid::random(), ConsoleUuid::random());
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = Arc::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let times = || std::fs::read_to_string(log.path()).unwrap().matches("two domains have the same port").count();
    let (clash, peace) =
        ([(one, &[("vnc-0", 2390)][..]), (two, &[("vnc-0", 2390)])], [(one, &[("vnc-0", 2390)][..]), (two, &[])]);
    for (domains, expected) in [(&peace, 0), (&clash, 1), (&clash, 1), (&clash, 1), (&peace, 1), (&clash, 2)] {
        table.learn(domains).await;
        assert_eq!(times(), expected);
    }
}

#[tokio::test]
async fn the_table_survives_its_agent() {
    let table = Table::new("2460:2470", "2470:2480").await;
    let domain = ConsoleUuid::random();
    let given = table.give(domain, &["serial-0", "vnc-0"]).await;
    let Table { ports, store, clock, dir } = table;
    drop(ports);
    store.close().await;
    drop(store);
    let store = Store::open(dir.path(), START).await.unwrap();
    let ports = Ports::new(config("2460:2470", "2470:2480"), store.clone(), Arc::new(clock.clone()));
    assert_eq!(ports.allocate(domain, &devices(&["serial-0", "vnc-0"])).await.unwrap(), given);
    let moved = Ports::new(config("2480:2490", "2490:2495"), store, Arc::new(clock));
    assert_eq!(moved.allocate(domain, &devices(&["serial-0", "serial-1"])).await.unwrap(), [given[0], 2480]);
}

/// What may happen to the table, to one of four domains.
#[derive(Debug, Clone, Copy)]
enum Step {
    Allocate { domain: usize, serial: u8, vnc: u8 },
    Release { domain: usize },
    Define { domain: usize },
    Undefine { domain: usize },
    Start { domain: usize, port: u16 },
    Compare,
    Wait { seconds: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let domain = 0..4_usize;
    let step = prop_oneof![
        4 => (domain.clone(), 0..3_u8, 0..3_u8)
            .prop_map(|(domain, serial, vnc)| Step::Allocate { domain, serial, vnc }),
        1 => domain.clone().prop_map(|domain| Step::Release { domain }),
        2 => domain.clone().prop_map(|domain| Step::Define { domain }),
        2 => domain.clone().prop_map(|domain| Step::Undefine { domain }),
        2 => (domain, 2500..2514_u16).prop_map(|(domain, port)| Step::Start { domain, port }),
        4 => Just(Step::Compare),
        2 => prop::sample::select(vec![1_i64, 61, 3601]).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever happens: what a domain was given stays its own for as long as libvirt has it or its time is not over, and
    /// once nobody has anything and time has passed, every port is free.
    #[test]
    fn nobody_loses_a_port_and_none_is_lost(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps))?;
    }
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let table = Table::new("2500:2507", "2507:2512").await;
    let domains: [ConsoleUuid; 4] = std::array::from_fn(|_| ConsoleUuid::random());
    // Domains of libvirt, each with the port that it uses beside those that it was given.
    let mut defined: HashMap<usize, Option<u16>> = HashMap::new();
    // What each domain was given while libvirt had it, and it has had it ever since.
    let mut promised: HashMap<(usize, Device), u16> = HashMap::new();
    for step in steps {
        match step {
            Step::Allocate { domain, serial, vnc } => {
                let of = |kind, count| (0..count).map(move |index| Device { kind, index });
                let wanted: Vec<_> = of(DeviceKind::Serial, serial).chain(of(DeviceKind::Vnc, vnc)).collect();
                match table.ports.allocate(domains[domain], &wanted).await {
                    Ok(given) => {
                        prop_assert_eq!(given.len(), wanted.len());
                        for (device, port) in wanted.into_iter().zip(given) {
                            let before = promised.get(&(domain, device));
                            prop_assert!(before.is_none_or(|before| *before == port), "{} moved", device);
                            prop_assert!(
                                promised.iter().all(|((other, _), theirs)| *other == domain || *theirs != port)
                            );
                            if defined.contains_key(&domain) {
                                promised.insert((domain, device), port);
                            }
                        }
                    }
                    Err(AllocateError::Devices) => prop_assert!(wanted.is_empty()),
                    Err(AllocateError::Exhausted(_)) => {}
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
            Step::Release { domain } => drop(table.ports.release(domains[domain]).await.unwrap()),
            Step::Define { domain } => drop(defined.entry(domain).or_insert(None)),
            Step::Undefine { domain } => {
                defined.remove(&domain);
                promised.retain(|(owner, _), _| *owner != domain);
            }
            Step::Start { domain, port } => {
                if let Some(uses) = defined.get_mut(&domain) {
                    *uses = Some(port);
                }
            }
            Step::Compare => compare_with(&table, &domains, &defined).await,
            Step::Wait { seconds } => {
                // Comparisons come between a domain's coming and the end of its leases.
                compare_with(&table, &domains, &defined).await;
                table.clock.advance(seconds);
            }
        }
        let rows = table.store.ports(table.ports.now()).await.unwrap();
        for ((domain, device), port) in &promised {
            let owner = rows.iter().find(|row| row.port == *port).and_then(|row| row.owner);
            prop_assert_eq!(owner, Some(Owner { domain: domains[*domain], device: *device }));
        }
    }
    for _ in 0..3 {
        table.clock.advance(3601);
        table.learn(&[]).await;
    }
    prop_assert_eq!(table.rows().await, []);
    Ok(())
}

async fn compare_with(table: &Table, domains: &[ConsoleUuid; 4], defined: &HashMap<usize, Option<u16>>) {
    let uses: Vec<_> =
        defined.iter().map(|(domain, port)| (domains[*domain], port.map(|port| ("spice-0", port)))).collect();
    let seen: Vec<_> = uses.iter().map(|(domain, used)| (*domain, used.as_slice())).collect();
    table.learn(&seen).await;
}

#[test]
fn lengths_are_whole_seconds() {
    assert!(Config { grace: Duration::from_millis(999), ..Config::default() }.problem().is_some());
}
