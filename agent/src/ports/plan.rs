//! Which ports a domain's devices get. Pure: what is taken goes in, a choice comes out.
//!
//! A device that has a port keeps it. A new one gets the next free port behind the one that was given last, so that a
//! port that became free is not at once another guest's, for whoever still knows it as the old one's. All or none.

use std::collections::HashMap;

use super::{Config, Device, PortRange, Purpose, Taken};

/// A port for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Whose.
    pub(crate) device: Device,
    /// Which.
    pub(crate) port: u16,
    /// The device did not have it before.
    pub(crate) is_new: bool,
}

/// Behind which port to look for a free one, for each purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    serial: Option<u16>,
    graphics: Option<u16>,
}

impl Cursor {
    const fn of(&mut self, purpose: Purpose) -> &mut Option<u16> {
        match purpose {
            Purpose::Serial => &mut self.serial,
            Purpose::Graphics => &mut self.graphics,
        }
    }
}

/// There are not so many free ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "of the {} ports of [ports] {purpose} ({range}), {} are in use and {free} are free, but {wanted} more are wanted: \
     `porthole ports` shows whose they are; undefine domains that are not needed any more, or make the range larger",
    range.count(), range.count() - free
)]
pub struct Exhausted {
    /// For what.
    pub purpose: Purpose,
    /// Its range.
    pub range: PortRange,
    /// How many are free.
    pub free: usize,
    /// How many are wanted.
    pub wanted: usize,
}

/// Chooses a port for each device, in their order, and moves the cursor behind them.
pub(super) fn plan(
    config: &Config,
    devices: &[Device],
    own: &HashMap<Device, u16>,
    taken: &Taken,
    cursor: &mut Cursor,
) -> Result<Vec<Choice>, Exhausted> {
    let mut moved = *cursor;
    let mut found: HashMap<Device, u16> = HashMap::new();
    for purpose in Purpose::ALL {
        let new: Vec<Device> = devices
            .iter()
            .copied()
            .filter(|device| device.kind.purpose() == purpose && !own.contains_key(device))
            .collect();
        if new.is_empty() {
            continue;
        }
        let (range, last) = (config.range(purpose), moved.of(purpose));
        let ports = range.ports();
        let next =
            last.filter(|last| ports.contains(last) && last != ports.end()).map_or(*ports.start(), |last| last + 1);
        let in_turn = (next..=*ports.end()).chain(*ports.start()..next);
        let free: Vec<u16> = in_turn.filter(|port| !taken.has(*port)).take(new.len()).collect();
        if free.len() < new.len() {
            return Err(Exhausted { purpose, range, free: free.len(), wanted: new.len() });
        }
        *last = free.last().copied();
        found.extend(new.into_iter().zip(free));
    }
    *cursor = moved;
    let choice = |device: &Device| match (own.get(device), found.get(device)) {
        (Some(&port), _) => Some(Choice { device: *device, port, is_new: false }),
        (None, Some(&port)) => Some(Choice { device: *device, port, is_new: true }),
        (None, None) => None,
    };
    Ok(devices.iter().filter_map(choice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::DeviceKind;
    use proptest::prelude::*;

    fn config(serial: &str, graphics: &str) -> Config {
        Config { serial: serial.parse().unwrap(), graphics: graphics.parse().unwrap(), ..Config::default() }
    }

    fn devices(texts: &[&str]) -> Vec<Device> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ports(choices: &[Choice]) -> Vec<u16> {
        choices.iter().map(|choice| choice.port).collect()
    }

    #[test]
    fn each_purpose_has_its_range_and_ports_go_round() {
        let (config, mut cursor) = (config("10000:10004", "20000:20002"), Cursor::default());
        let own = HashMap::new();
        let mut next = |texts: &[&str], taken: &[u16]| {
            plan(&config, &devices(texts), &own, &taken.iter().copied().collect(), &mut cursor)
        };
        assert_eq!(ports(&next(&["serial-0", "vnc-0", "serial-1"], &[]).unwrap()), [10_000, 20_000, 10_001]);
        assert_eq!(ports(&next(&["serial-0"], &[]).unwrap()), [10_002], "what was given last is not given at once");
        assert_eq!(ports(&next(&["serial-0", "serial-1"], &[10_000]).unwrap()), [10_003, 10_001]);
        let none = next(&["vnc-0", "serial-0"], &[20_000, 20_001]).unwrap_err();
        assert_eq!((none.purpose, none.free, none.wanted), (Purpose::Graphics, 0, 1));
        let words = none.to_string();
        assert!(
            words.contains("of the 2 ports of [ports] graphics (20000:20002), 2 are in use and 0 are free, but 1 more"),
            "{words}"
        );
        assert_eq!(ports(&next(&["serial-0"], &[]).unwrap()), [10_002], "in vain nothing moved");
    }

    #[test]
    fn what_a_device_has_it_keeps_wherever_that_is() {
        let (config, mut cursor) = (config("10000:10001", "20000:20001"), Cursor::default());
        let own = HashMap::from([("serial-0".parse().unwrap(), 4711)]);
        let choices =
            plan(&config, &devices(&["serial-0", "vnc-0"]), &own, &Taken::from_iter([4711]), &mut cursor).unwrap();
        assert_eq!(ports(&choices), [4711, 20_000]);
        assert_eq!(choices.iter().map(|choice| choice.is_new).collect::<Vec<_>>(), [false, true]);
    }

    proptest! {
        /// Against a model that knows no order: how many are free decides, and nothing else.
        #[test]
        fn all_or_none_each_free_and_none_twice(
            width in (1_u16..40, 1_u16..40),
            wanted in (0_u8..12, 0_u8..12),
            taken in prop::collection::hash_set(10_000_u16..10_100, 0..80),
            rounds in 1_usize..6,
        ) {
            let config = config(&format!("10000:{}", 10_000 + width.0), &format!("10050:{}", 10_050 + width.1));
            let of = |kind, count| (0..count).map(move |index| Device { kind, index });
            let devices: Vec<_> = of(DeviceKind::Serial, wanted.0).chain(of(DeviceKind::Vnc, wanted.1)).collect();
            let (mut cursor, mut taken) = (Cursor::default(), taken);
            for _ in 0..rounds {
                let free = |purpose: Purpose| config.range(purpose).ports().filter(|port| !taken.contains(port)).count();
                let fits = free(Purpose::Serial) >= usize::from(wanted.0) && free(Purpose::Graphics) >= usize::from(wanted.1);
                match plan(&config, &devices, &HashMap::new(), &taken.iter().copied().collect(), &mut cursor) {
                    Err(exhausted) => {
                        prop_assert!(!fits);
                        prop_assert_eq!(exhausted.free, free(exhausted.purpose));
                        prop_assert!(exhausted.free < exhausted.wanted);
                    }
                    Ok(choices) => {
                        prop_assert!(fits);
                        prop_assert_eq!(choices.len(), devices.len());
                        for (choice, device) in choices.iter().zip(&devices) {
                            prop_assert_eq!(choice.device, *device);
                            prop_assert!(config.range(device.kind.purpose()).ports().contains(&choice.port));
                            prop_assert!(taken.insert(choice.port), "{} was taken", choice.port);
                        }
                    }
                }
            }
        }
    }
}
