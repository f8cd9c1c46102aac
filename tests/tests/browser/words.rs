//! Every reason in the table is worded, wherever the page meets it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::support::Seat;

/// A row of `GET /api/reasons`.
#[derive(Debug, Deserialize)]
struct Row {
    words: String,
    next_step: String,
    close: u16,
    retry: String,
}

/// Speaks for the edge, as the hash of the address says: it refuses for a reason when asked what the link is for, as an
/// edge words that, or it admits, and then a close frame ends the session. Not before the page knows the table.
const PUPPET: &str = "{
    const [how, reason, close] = decodeURIComponent(location.hash.slice(1)).split(' ');
    const { fetch } = window;
    const heard = Promise.withResolvers();
    const answers = {
        async refuses() {
            return Response.json({ reason, ...(await heard.promise)[reason] }, { status: 403 });
        },
        async ends() {
            return Response.json({ kind: 'vnc', name: 'g' });
        },
    };
    window.fetch = async (path, request) => {
        if (how && String(path).endsWith('api/console')) return answers[how]();
        const answer = await fetch(path, request);
        if (String(path).endsWith('api/reasons')) answer.clone().json().then((table) => setTimeout(heard.resolve, 20, table));
        return answer;
    };
    if (how) window.WebSocket = class extends EventTarget {
        static CONNECTING = 0;
        static OPEN = 1;
        static CLOSING = 2;
        static CLOSED = 3;
        readyState = 0;
        protocol = 'binary';
        binaryType = 'arraybuffer';
        onopen = null;
        onmessage = null;
        onerror = null;
        onclose = null;
        constructor() {
            super();
            heard.promise.then(() => {
                this.tell(1, new Event('open'));
                this.tell(3, new CloseEvent('close', { code: Number(close), reason }));
            });
        }
        tell(state, event) {
            this.readyState = state;
            this.dispatchEvent(event);
            this[`on${event.type}`]?.(event);
        }
        send() {}
        close() {}
    };
}";

#[tokio::test]
async fn every_reason_is_worded() {
    let seat = Seat::with("words", |stack| stack, |browser| browser.on_every_page(PUPPET)).await;
    let Seat { browser, stack, .. } = &seat;
    let table = stack.edge.fetch("/api/reasons").await.unwrap();
    let table: BTreeMap<String, Row> = serde_json::from_slice(table.body()).unwrap();
    assert_eq!(table.len(), porthole_shared::reason::Reason::ALL.len());
    for (reason, row) in &table {
        for how in ["refuses", "ends"] {
            // A document of its own each: another hash alone would load nothing.
            let page = format!("{}/vnc.html?token=t&title={how}-{reason}", stack.edge.url());
            browser.open(&format!("{page}#{how}%20{reason}%20{}", row.close)).await;
            let end = if how == "refuses" { "refused" } else { "ended" };
            let by_itself = row.retry == "by_itself";
            let state = if by_itself { "reconnecting" } else { end };
            browser.until_because(state, reason).await;
            let status = browser.status().await;
            assert!(status.starts_with(&row.words), "{how} {reason}: {status}");
            match browser.notice().await {
                None => assert!(by_itself, "{how} {reason}: no notice"),
                Some(notice) => {
                    assert!(!by_itself, "{how} {reason}: {notice:?}");
                    let offered = notice.actions.iter().any(|action| action == "reconnect");
                    assert_eq!(offered, row.retry != "never", "{how} {reason}: {notice:?}");
                    assert_eq!((&notice.title, &notice.next), (&row.words, &row.next_step), "{how} {reason}");
                }
            }
        }
    }
    browser.open(&format!("{}/vnc.html?token=t#ends%20from_another_release%204999", stack.edge.url())).await;
    browser.until("ended").await;
    let notice = browser.notice().await.unwrap();
    assert!(notice.title.ends_with('.') && notice.next.ends_with('.'), "{notice:?}");
    assert!(stack.agent.sessions().await.is_empty());
}
