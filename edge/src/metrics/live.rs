//! What is read at each scrape, because it is known elsewhere anyway.

use std::fmt;
use std::sync::Arc;

use porthole_shared::reload;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::serve::site::Site;

/// Where to look.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) site: Arc<Site>,
    pub(super) reloads: reload::Report,
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.sessions(&mut encoder)?;
        self.bytes(&mut encoder)?;
        self.certificates(&mut encoder)?;
        self.others(&mut encoder)
    }
}

impl Live {
    fn sessions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Live sessions, those included that are being opened.";
        let mut metric = encoder.encode_descriptor("sessions", help, None, MetricType::Gauge)?;
        self.site.live.kinds().into_iter().try_for_each(|(kind, count)| {
            ConstGauge::new(signed(count)).encode(metric.encode_family(&[("kind", kind.as_str())])?)
        })
    }

    fn bytes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Bytes relayed, of WebSocket; in: from the client.";
        let mut metric = encoder.encode_descriptor("bytes", help, None, MetricType::Counter)?;
        let counters = &self.site.counters;
        [("in", counters.to_agent()), ("out", counters.to_client())].into_iter().try_for_each(|(direction, bytes)| {
            ConstCounter::new(bytes).encode(metric.encode_family(&[("direction", direction)])?)
        })
    }

    fn certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Seconds until a certificate ends; below zero: since it has ended.";
        let mut metric = encoder.encode_descriptor("certificate_expires_in_seconds", help, None, MetricType::Gauge)?;
        let now = self.site.clock.now();
        let public = self.site.certificate.as_ref().map(|certificate| ("public", certificate.validity()));
        public.into_iter().chain([("agents", self.site.dialer.validity())]).try_for_each(|(which, validity)| {
            let left = validity.not_after.0.saturating_sub(now.0);
            ConstGauge::new(left).encode(metric.encode_family(&[("certificate", which)])?)
        })
    }

    fn others(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (room, reloads) = (&self.site.room, &self.reloads);
        let turned_away = ConstCounter::new(room.turned_away());
        let help = "Connections closed unserved, because as many as may be were served.";
        turned_away.encode(encoder.encode_descriptor("connections_turned_away", help, None, MetricType::Counter)?)?;
        for (name, help, value) in [
            ("connections", "Connections of clients, sessions included.", signed(room.taken())),
            (
                "nodes",
                "Nodes in the directory; none where a template stands for it.",
                signed(self.site.directory.nodes().len()),
            ),
            (
                "config_last_reload_successful",
                "Whether the configuration file could be used when it was read last.",
                i64::from(reloads.failure().is_none()),
            ),
            (
                "config_last_reload_success_timestamp_seconds",
                "When the configuration file was last used.",
                reloads.latest_success().0,
            ),
            (
                "config_settings_need_restart",
                "Settings that have changed in the file and hold after a restart only.",
                signed(reloads.needs_restart().len()),
            ),
        ] {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
