//! What is read at each scrape, because it is known elsewhere anyway.

use std::fmt;
use std::sync::Arc;

use porthole_shared::clock::Clock;
use porthole_shared::reload;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::hypervisor::{Hypervisor, LinkState};
use crate::sessions::{Sessions, Totals};
use crate::tunnel::Trust;

/// Where to look.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) sessions: Sessions,
    pub(super) hypervisor: Hypervisor,
    pub(super) trust: Trust,
    pub(super) reloads: reload::Report,
    pub(super) clock: Arc<dyn Clock>,
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.sessions(&mut encoder)?;
        self.libvirt(&mut encoder)?;
        self.certificate(&mut encoder)?;
        self.configuration(&mut encoder)
    }
}

impl Live {
    fn sessions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.sessions.totals();
        let mut gauge = |name: &str, help: &str, value: fn(&Totals) -> usize| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            totals.iter().try_for_each(|(kind, of)| one(&mut metric, &[("kind", kind.as_str())], value(of)))
        };
        gauge("sessions", "Live sessions.", |of| of.sessions)?;
        gauge("connections", "Connections of live sessions.", |of| of.connections)?;
        let help = "Bytes between clients and consoles; in: from the client.";
        let mut metric = encoder.encode_descriptor("bytes", help, None, MetricType::Counter)?;
        for (kind, of) in &totals {
            for (direction, bytes) in [("in", of.bytes_in), ("out", of.bytes_out)] {
                let labels = [("kind", kind.as_str()), ("direction", direction)];
                ConstCounter::new(bytes).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn libvirt(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let connected = match &*self.hypervisor.status().borrow() {
            // Nothing is there to be seen, then.
            LinkState::Disabled => return Ok(()),
            LinkState::Connecting { .. } => 0,
            LinkState::Connected { .. } => 1,
        };
        let metric =
            encoder.encode_descriptor("libvirt_connected", "Whether libvirt is connected.", None, MetricType::Gauge)?;
        ConstGauge::new(connected).encode(metric)?;
        let lanes = self.hypervisor.queues();
        let mut gauge = |name: &str, help: &str, value: fn((usize, usize)) -> usize| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            lanes.iter().try_for_each(|(lane, counts)| one(&mut metric, &[("lane", lane)], value(*counts)))
        };
        gauge("libvirt_calls_waiting", "Calls to libvirt that wait for their turn.", |(waiting, _)| waiting)?;
        gauge("libvirt_calls_running", "Calls to libvirt without an answer yet.", |(_, running)| running)
    }

    fn certificate(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let left = self.trust.validity().not_after.0.saturating_sub(self.clock.now().0);
        let help = "Seconds until a certificate ends; below zero: since it has ended.";
        let mut metric = encoder.encode_descriptor("certificate_expires_in_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(left).encode(metric.encode_family(&[("certificate", "tunnel")])?)
    }

    fn configuration(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in [
            (
                "config_last_reload_successful",
                "Whether the configuration file could be used when it was read last.",
                i64::from(self.reloads.failure().is_none()),
            ),
            (
                "config_last_reload_success_timestamp_seconds",
                "When the configuration file was last used.",
                self.reloads.latest_success().0,
            ),
            (
                "config_settings_need_restart",
                "Settings that have changed in the file and hold after a restart only.",
                i64::try_from(self.reloads.needs_restart().len()).unwrap_or(i64::MAX),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

fn one(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str); 1], value: usize) -> fmt::Result {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric.encode_family(labels)?)
}
