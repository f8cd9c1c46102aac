//! `/v1/events`: what happens, as server-sent events.
//!
//! A comment now and then shows both sides that the other is there; at that moment the listener's credential is looked
//! at again, so that a token that was withdrawn does not go on hearing. Whoever reads so slowly that the ring has
//! moved on is told so, and cut.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::Event;
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::api::Api;
use crate::api::admission::Rights;
use crate::api::problem::Problem;
use crate::feed::{Feed, Heard, Listener, Place};

/// Between two comments.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Follow what happens
///
/// Server-sent events, each with an `id`, its sort as `event`, and one JSON object as `data`: `session_started` when a
/// session gets a connection and had none, `session_ended` when its last one ends (a page that reconnects starts the same
/// session again), and `refused` (`others` more were not told, where there were too many). A minter hears of what it
/// minted. Given `Last-Event-ID`, it goes on after that event, as far as the agent still knows what came then (some
/// thousand events, of this run of the agent); otherwise `gap` comes first, and the lists should be read anew. `cut` is
/// the last event of a listener that was too slow, or whose credential is no good any more. The stream ends when the
/// agent stops.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "follow_events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was heard.")),
    responses((status = 200, description = "The events, without end.", body = String, content_type = "text/event-stream"))
)]
pub(in crate::api) async fn follow(
    State(api): State<Api>,
    rights: Rights,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = headers.get("last-event-id").map(|id| {
        // One that is of no feed of ours names a place that is not known any more.
        id.to_str().ok().and_then(Place::parse).unwrap_or_else(Place::nowhere)
    });
    let listener = api
        .feed
        .listen(&rights.caller.name, place.as_ref())
        .map_err(|error| Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_listeners", error.to_string()))?;
    let mut ticks = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following { api, rights, listener, ticks, last: false };
    Ok(Sse::new(unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    })))
}

struct Following {
    api: Api,
    rights: Rights,
    listener: Listener,
    ticks: Interval,
    /// The last event was said.
    last: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        while !self.last {
            tokio::select! {
                biased;
                _now = self.ticks.tick() => {
                    if self.api.0.gate.still_good(self.rights.credential).await {
                        return Some(Event::default().comment("alive"));
                    }
                    return Some(self.cut("what showed who you are is no good any more"));
                }
                heard = self.listener.next() => match heard {
                    Heard::Event(event) if self.rights.cover(event.minted_by.as_ref()) => {
                        return Some(said(&self.api.feed, &event));
                    }
                    Heard::Event(_others) => {}
                    Heard::Gap => {
                        let words = "what came after that event is not known any more: read the lists anew";
                        return Some(Event::default().event("gap").data(json!({ "detail": words }).to_string()));
                    }
                    Heard::TooSlow => {
                        return Some(self.cut("you read too slowly, and events were lost: come again, and read the lists anew"));
                    }
                    Heard::Closed => return None,
                }
            }
        }
        None
    }

    fn cut(&mut self, words: &str) -> Event {
        self.last = true;
        Event::default().event("cut").data(json!({ "detail": words }).to_string())
    }
}

fn said(feed: &Feed, event: &crate::feed::Event) -> Event {
    Event::default().id(feed.name(event)).event(event.kind.as_str()).data(event.data.to_string())
}
