//! Where a request may carry its token, and which one counts.

use porthole_tests::agent::Mint;

use crate::support::{GREETING, NAME, echo_stack, refusal, refused};

#[tokio::test]
async fn the_token_is_taken_from_query_path_and_cookie() {
    let (stack, console) = echo_stack().await;
    let link = stack.mint(Mint::of(NAME).policy("reusable")).await;
    let token = link.token.as_str();
    let stale = stack.mint(NAME).await;
    stack.agent.revoke(&stale.id).await.unwrap();
    let (stale, conflict) = (stale.token.as_str(), refused(400, "token_conflict"));

    let request = |path: &str| stack.upgrade(&link).path(path);
    let cookie =
        |request: porthole_tests::ws::Upgrade, token: &str| request.header("Cookie", &format!("token={token}"));
    let opening = [
        ("the query", request(&format!("/?token={token}"))),
        ("the query of any path", request(&format!("/vnc_lite.html?a=b&token={token}&c"))),
        ("noVNC's path, encoded", request(&format!("/websockify?path=%3Ftoken%3D{token}"))),
        ("noVNC's path with a path", request(&format!("/?path=websockify%3Fa%3Db%26token%3D{token}&autoconnect=1"))),
        ("noVNC's path, plain", request(&format!("/?path=?token={token}"))),
        ("a cookie", cookie(request("/websockify"), token)),
        ("one of many cookies", request("/websockify").header("Cookie", &format!("a=b; token={token}; c=d"))),
        ("the same twice", request(&format!("/?token={token}&path=%3Ftoken%3D{token}"))),
        ("the query, not the cookie", cookie(request(&format!("/?token={token}")), stale)),
        ("noVNC's path, not the cookie", cookie(request(&format!("/?path=%3Ftoken%3D{token}")), stale)),
    ];
    let opened = opening.len();
    for (what, request) in opening {
        let mut session = request.send().await.unwrap().opened();
        assert_eq!(session.binary().await, GREETING, "{what}");
    }
    for (what, request, expected) in [
        ("two in the query", request(&format!("/?token={token}&token={stale}")), conflict.clone()),
        ("query and path", request(&format!("/?token={token}&path=%3Ftoken%3D{stale}")), conflict.clone()),
        ("two cookies", cookie(cookie(request("/"), token), stale), conflict.clone()),
        ("two in a cookie", cookie(request("/"), &format!("{token}; token={stale}")), conflict),
        (
            "a stale one before a good cookie",
            cookie(request(&format!("/?token={stale}")), token),
            refused(403, "revoked"),
        ),
        ("an empty one before a good cookie", cookie(request("/?token="), token), refused(401, "bad_signature")),
        ("a path", request(&format!("/token={token}")), refused(401, "missing_token")),
        ("another name", request(&format!("/?Token={token}")), refused(401, "missing_token")),
        (
            "Authorization",
            request("/").header("Authorization", &format!("Bearer {token}")),
            refused(401, "missing_token"),
        ),
    ] {
        assert_eq!(refusal(&request).await, expected, "{what}");
    }
    assert_eq!(console.connections(), opened);
}
