//! The audit by the API: in pages, with words for what is asked wrongly, and without an audit.

use http::Method;
use porthole_tests::agent::Mint;
use serde_json::{Value, json};

use crate::support::{ask, audit, stack};

fn ids(answer: &Value) -> Vec<i64> {
    answer["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn pages_make_up_the_whole_and_the_latest_come_first_to_hand() {
    let stack = stack(|agent| agent).await;
    for _ in 0..25 {
        stack.mint(Mint::of("raw").field("requestor", "alice")).await;
    }
    let mut seen = Vec::new();
    let mut after = Some(0);
    while let Some(id) = after {
        let answer = ask(&stack.agent, &format!("?after={id}&limit=10")).await;
        assert!(ids(&answer).len() <= 10);
        seen.extend(ids(&answer));
        after = answer["next"].as_i64();
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
    let latest = ask(&stack.agent, "?limit=3&event=minted&requestor=alice").await;
    assert_eq!((ids(&latest), &latest["next"]), (vec![23, 24, 25], &Value::Null));
    assert_eq!(audit(&stack.agent, &["--since", "1h"]).await.len(), 25);
    assert_eq!(audit(&stack.agent, &["--limit", "4"]).await.len(), 4);
    assert_eq!(stack.agent.status().await["audit_lost"], 0);

    for query in [
        "?limit=0",
        "?limit=1001",
        "?since=yesterday",
        "?until=1h",
        "?event=logins",
        "?console=a/b",
        "?after=x",
        "?sinse=2026-01-01T00:00:00Z",
    ] {
        let (status, problem) = stack.agent.api(Method::GET, &format!("/v1/audit{query}"), None).await.unwrap();
        assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("bad_request")), "{query}: {problem}");
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    }
}

#[tokio::test]
async fn an_agent_without_an_audit_says_so_and_works() {
    let stack = stack(|agent| agent.set("audit.enabled", false)).await;
    let _client = stack.open("raw").await;
    let (status, problem) = stack.agent.api(Method::GET, "/v1/audit", None).await.unwrap();
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("audit_off")), "{problem}");
    assert!(!stack.agent.database().with_file_name("audit.db").exists());
}
