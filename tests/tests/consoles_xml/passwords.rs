//! A screen's password that somebody gives: it opens the screen's port to a viewer that knows it, the agent needs none,
//! and it stands in libvirt's XML alone.

use http::Method;
use porthole_tests::agent::Mint;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::rfb;
use porthole_tests::stack::Stack;
use porthole_tests::stream::Plain;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::definitions::{defined, dump, porthole, stack};

const PASSWORD: &str = "<s3cret>";
const ANOTHER: &str = "0th3r>1";

/// Comes to the port as any VNC viewer would.
async fn view(port: u16, password: &str) -> anyhow::Result<rfb::Client<Plain<TcpStream>>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    rfb::Client::with_password(Plain(stream), password).await
}

async fn agents_view_works(stack: &Stack, uuid: Uuid) {
    assert!(stack.view(Mint::of(uuid)).await.full_frame().await.unwrap().width > 0);
}

/// Nobody is told: not in what the agent logs, answers or audits, nor in what libvirt tells those who may only read.
async fn stands_nowhere(stack: &mut Stack, libvirt: &PrivateLibvirt, uuid: Uuid, secret: &str) {
    let mut said = Vec::new();
    for path in ["definition", ""] {
        let path = format!("/v1/consoles/{uuid}/{path}").trim_end_matches('/').to_owned();
        said.push(stack.agent.api(Method::GET, &path, None).await.unwrap().1.to_string());
    }
    for path in ["/v1/consoles", "/v1/ports", "/v1/audit"] {
        said.push(stack.agent.api(Method::GET, path, None).await.unwrap().1.to_string());
    }
    let readable = libvirt.virsh(&["dumpxml", &uuid.to_string()]).await.unwrap();
    assert!(readable.contains("password=\"given\""), "the rule is noted: {readable}");
    said.extend([readable, libvirt.virsh(&["dumpxml", "--inactive", &uuid.to_string()]).await.unwrap()]);
    said.push(stack.agent.log());
    for text in said {
        assert!(!text.contains(secret) && !text.contains(&secret.replace('<', "&lt;").replace('>', "&gt;")), "{text}");
    }
}

#[tokio::test]
async fn on_a_port_it_lets_viewers_in_that_know_it_and_the_agent_needs_none() {
    let libvirt = PrivateLibvirt::start().await;
    let (mut stack, uuid) = (stack(&libvirt).await, defined(&libvirt).await);
    let name = uuid.to_string();
    let file = libvirt.directory().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let tcp = ["apply", &name, "--vnc", "--transport", "tcp"];
    let given = [&tcp[..], &["--vnc-password-file", file.to_str().unwrap()]].concat();
    let applied = porthole(&stack.agent, &given).await;
    assert_eq!(applied["definition"]["spec"]["vnc"], json!({"share": "ignore", "password": "given"}), "{applied}");
    let port = u16::try_from(applied["definition"]["ports"][0]["port"].as_u64().unwrap()).unwrap();
    libvirt.virsh(&["start", &name]).await.unwrap();

    let mut viewer = view(port, PASSWORD).await.unwrap();
    assert_eq!(viewer.offered_security(), [2]);
    assert!(viewer.full_frame().await.unwrap().width > 0);
    for wrong in ["<s3cres>", "", "password"] {
        let refused = view(port, wrong).await.unwrap_err().to_string();
        assert!(refused.contains("the server refuses"), "{wrong}: {refused}");
    }
    agents_view_works(&stack, uuid).await;

    // Somebody who asks for another keymap need not know it, and the definition keeps it.
    let german =
        porthole(&stack.agent, &[&tcp[..], &["--keymap", "de", "--vnc-password-rule", "given"]].concat()).await;
    assert_eq!(german["changed"], json!(true));
    let xml = dump(&libvirt, uuid).await;
    assert!(xml.contains("keymap='de'") && xml.contains("passwd='&lt;s3cret&gt;'"), "{xml}");
    stands_nowhere(&mut stack, &libvirt, uuid, PASSWORD).await;

    // Another one, from the guest's next start on.
    std::fs::write(&file, ANOTHER).unwrap();
    let changed = porthole(&stack.agent, &[&given[..], &["--keymap", "de"]].concat()).await;
    assert_eq!((&changed["changed"], &changed["definition"]["until_restart"]), (&json!(true), &json!(["vnc"])));
    view(port, PASSWORD).await.unwrap();
    libvirt.virsh(&["destroy", &name]).await.unwrap();
    libvirt.virsh(&["start", &name]).await.unwrap();
    assert!(view(port, PASSWORD).await.is_err());
    view(port, ANOTHER).await.unwrap();
    agents_view_works(&stack, uuid).await;
    stands_nowhere(&mut stack, &libvirt, uuid, ANOTHER).await;
}

#[tokio::test]
async fn sealed_the_agent_needs_none_and_without_one_nothing_is_changed() {
    let libvirt = PrivateLibvirt::start().await;
    let (mut stack, uuid) = (stack(&libvirt).await, defined(&libvirt).await);
    let path = format!("/v1/consoles/{uuid}/definition");
    let before = dump(&libvirt, uuid).await;
    for (body, words) in [
        (json!({"vnc": {"password": "given"}}), "none is given now"),
        (json!({"vnc": {"password": "none"}, "vnc_password": PASSWORD}), "a screen that is to have none"),
        (json!({"serial": {"ports": 1}, "vnc_password": PASSWORD}), "there is no screen for it"),
        (json!({"vnc": {}, "vnc_password": "<s3cret>!"}), "looks at the first 8 characters"),
        (json!({"vnc": {}, "vnc_password": ["<s3cret>"]}), "must be a text"),
        (json!({"vnc": {"password": PASSWORD}}), "use random, none or given"),
    ] {
        let (status, answer) = stack.agent.api(Method::PUT, &path, Some(&body)).await.unwrap();
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("bad_request")), "{answer}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(words) && !detail.contains("s3cret"), "{detail}");
    }
    assert_eq!(dump(&libvirt, uuid).await, before);

    let body = json!({"vnc": {}, "vnc_password": PASSWORD});
    let (status, applied) = stack.agent.api(Method::PUT, &path, Some(&body)).await.unwrap();
    assert_eq!((status.as_u16(), &applied["changed"]), (200, &Value::Bool(true)), "{applied}");
    libvirt.virsh(&["start", &uuid.to_string()]).await.unwrap();
    let xml = dump(&libvirt, uuid).await;
    assert!(xml.contains("passwd='&lt;s3cret&gt;'") && xml.contains("<listen type='none'/>"), "{xml}");
    agents_view_works(&stack, uuid).await;
    let (_, again) = stack.agent.api(Method::PUT, &path, Some(&body)).await.unwrap();
    assert_eq!(again["changed"], json!(false), "{again}");
    stands_nowhere(&mut stack, &libvirt, uuid, PASSWORD).await;
}
