use super::*;
use crate::ports::Device;

const NOW: UnixTime = UnixTime(1_000);

fn domain(number: u8) -> ConsoleUuid {
    format!("00000000-0000-4000-8000-0000000000{number:02}").parse().unwrap()
}

fn owner(number: u8, device: &str) -> Owner {
    Owner { domain: domain(number), device: device.parse().unwrap() }
}

fn row(port: u16, state: PortState, owner: Owner) -> PortRow {
    let expires = (state != PortState::Leased).then_some(NOW.plus(1));
    PortRow { port, state, owner: Some(owner), adopted: false, since: UnixTime(0), expires }
}

fn adopted(row: PortRow) -> PortRow {
    PortRow { adopted: true, ..row }
}

fn over(row: PortRow) -> PortRow {
    PortRow { expires: Some(NOW), ..row }
}

fn used(pairs: &[(&str, u16)]) -> Vec<Use> {
    pairs.iter().map(|(device, port)| Use { device: device.parse::<Device>().unwrap(), port: *port }).collect()
}

fn all(seen: impl IntoIterator<Item = (u8, Option<Vec<Use>>)>) -> Picture {
    let seen = seen.into_iter().map(|(number, uses)| (domain(number), uses)).collect();
    Picture { began: NOW, seen, absent: Absent::AllOthers }
}

fn changes(rows: &[PortRow], picture: &Picture) -> Vec<Change> {
    let comparison = compare(rows, picture, |port| port < 100);
    assert_eq!(comparison.contradictions, BTreeSet::new());
    comparison.changes
}

#[test]
fn what_was_asked_for_follows_its_domain() {
    let (pending, leased, releasing) = (PortState::Pending, PortState::Leased, PortState::Releasing);
    let whose = owner(1, "vnc-0");
    let there = all([(1, Some(used(&[])))]);
    let unreadable = all([(1, None)]);
    let gone = all([]);
    for (row, picture, expected) in [
        (row(5, pending, whose), &there, Some(Change::Confirm(5, whose))),
        (over(row(5, pending, whose)), &there, Some(Change::Confirm(5, whose))),
        (row(5, releasing, whose), &unreadable, Some(Change::Confirm(5, whose))),
        (row(5, leased, whose), &there, None),
        (row(5, leased, whose), &unreadable, None),
        (row(5, pending, whose), &gone, None),
        (over(row(5, pending, whose)), &gone, Some(Change::Free(5, whose))),
        (row(5, leased, whose), &gone, Some(Change::Doom(5, whose))),
        (row(5, releasing, whose), &gone, None),
        (over(row(5, releasing, whose)), &gone, Some(Change::Free(5, whose))),
    ] {
        assert_eq!(changes(&[row], picture), Vec::from_iter(expected), "{row:?} {picture:?}");
    }
}

#[test]
fn nothing_goes_that_was_not_asked_about() {
    let mine = [row(5, PortState::Leased, owner(1, "vnc-0")), over(row(6, PortState::Releasing, owner(1, "serial-0")))];
    let these = |numbers: &[u8]| Picture {
        began: NOW,
        seen: HashMap::new(),
        absent: Absent::These(numbers.iter().map(|number| domain(*number)).collect()),
    };
    assert_eq!(changes(&mine, &these(&[])), []);
    assert_eq!(changes(&mine, &these(&[2])), []);
    let gone = [Change::Doom(5, owner(1, "vnc-0")), Change::Free(6, owner(1, "serial-0"))];
    assert_eq!(changes(&mine, &these(&[1])), gone);
}

#[test]
fn what_domains_use_is_adopted_and_followed() {
    let whose = owner(1, "vnc-0");
    let picture = all([(1, Some(used(&[("vnc-0", 5), ("serial-0", 500)])))]);
    assert_eq!(changes(&[], &picture), [Change::Adopt(5, whose)], "only ports of the ranges");
    let foreign = PortRow { owner: None, ..row(5, PortState::Foreign, whose) };
    assert_eq!(changes(&[foreign], &picture), [Change::Adopt(5, whose)]);
    let leased = adopted(row(5, PortState::Leased, whose));
    assert_eq!(changes(&[leased], &picture), []);
    assert_eq!(changes(&[leased], &all([(1, None)])), [], "who knows");
    assert_eq!(changes(&[leased], &all([(1, Some(used(&[])))])), [Change::Doom(5, whose)]);
    let releasing = adopted(row(5, PortState::Releasing, whose));
    assert_eq!(changes(&[releasing], &picture), [Change::Confirm(5, whose)]);
    assert_eq!(changes(&[over(releasing)], &all([(1, Some(used(&[])))])), [Change::Free(5, whose)]);
    let moved = all([(1, Some(used(&[("vnc-0", 6)])))]);
    assert_eq!(changes(&[leased], &moved), [Change::Free(5, whose), Change::Adopt(6, whose)]);
    let another = all([(1, Some(used(&[("vnc-1", 5)])))]);
    assert_eq!(changes(&[leased], &another), [Change::Free(5, whose), Change::Adopt(5, owner(1, "vnc-1"))]);
}

#[test]
fn a_port_that_a_domain_asked_for_is_kept_beside_the_one_that_it_still_uses() {
    let rows = [row(5, PortState::Leased, owner(1, "vnc-0"))];
    let until_restart = all([(1, Some(used(&[("vnc-0", 6)])))]);
    assert_eq!(changes(&rows, &until_restart), [Change::Adopt(6, owner(1, "vnc-0"))]);
    let both = [rows[0], adopted(row(6, PortState::Leased, owner(1, "vnc-0")))];
    assert_eq!(changes(&both, &until_restart), []);
    assert_eq!(changes(&both, &all([(1, Some(used(&[("vnc-0", 5)])))])), [Change::Free(6, owner(1, "vnc-0"))]);
}

#[test]
fn two_that_claim_a_port_contradict_each_other_and_nothing_changes_hands() {
    let (first, second) = (owner(1, "vnc-0"), owner(2, "serial-0"));
    let both = all([(2, Some(used(&[("serial-0", 5)]))), (1, Some(used(&[("vnc-0", 5)])))]);
    let expected = BTreeSet::from([Contradiction { port: 5, owner: first, user: second }]);
    let new = compare(&[], &both, |_| true);
    assert_eq!((new.changes, &new.contradictions), (vec![Change::Adopt(5, first)], &expected));
    let known = compare(&[row(5, PortState::Leased, first)], &both, |_| true);
    assert_eq!((known.changes, known.contradictions), (Vec::new(), expected));
    let freed = over(row(5, PortState::Releasing, first));
    let takes_over = [Change::Free(5, first), Change::Adopt(5, second)];
    assert_eq!(changes(&[freed], &all([(2, Some(used(&[("serial-0", 5)])))])), takes_over);
}
