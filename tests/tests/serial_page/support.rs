//! What the tests of the serial page share: a browser before a guest's serial console, and what its terminal shows.

use porthole_tests::agent::Mint;
use porthole_tests::browser::Browser;
use porthole_tests::guest::Guest;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::Stack;
use porthole_tests::wait::{PATIENCE, try_eventually};
use serde_json::json;

/// Keeps what the page copies and saves where a test finds it.
const KEEP: &str = "
    window.saved = [];
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => {
        blob.text().then((text) => window.saved.push(text));
        return make.call(URL, blob);
    };
    navigator.clipboard.writeText = async (text) => { window.copied = text; };";

/// A serial link to a guest, for somebody.
pub(crate) fn serial(guest: &Guest, who: &str) -> Mint {
    Mint::of(guest.name()).kind("serial").field("requestor", who)
}

/// A Porthole with pages.
pub(crate) async fn stack(libvirt: &PrivateLibvirt) -> Stack {
    Stack::builder().libvirt(libvirt).pages().start().await
}

/// A person before a terminal.
pub(crate) struct Person(pub(crate) Browser);

impl Person {
    /// With a browser at no page yet.
    pub(crate) async fn new(stack: &Stack) -> Self {
        Self(Browser::builder(&stack.edge).on_every_page(KEEP).start().await)
    }

    /// With a console open.
    pub(crate) async fn at(stack: &Stack, what: Mint) -> Self {
        let person = Self::new(stack).await;
        person.opens(stack, what).await;
        person.0.until("connected").await;
        person
    }

    /// Follows a new link.
    pub(crate) async fn opens(&self, stack: &Stack, what: Mint) {
        self.0.open(&stack.mint(what).await.url).await;
    }

    /// The terminal's whole text, with what went out at its top, as the page copies it.
    pub(crate) async fn text(&self) -> String {
        let script = "window.copied = null;
            document.querySelector('button[data-action=copy]').click();
            return window.copied;";
        self.0.get::<Option<String>>(script, &[]).await.unwrap_or_default()
    }

    /// Waits until the terminal has shown a text.
    pub(crate) async fn reads(&self, text: &str) -> String {
        let seen = try_eventually(3 * PATIENCE, async || {
            let seen = self.text().await;
            seen.contains(text).then_some(seen)
        });
        match seen.await {
            Some(seen) => seen,
            None => panic!("no {text:?} in {:?}; {}", self.text().await, self.0.describe().await),
        }
    }

    /// Waits until the status line says something.
    pub(crate) async fn is_told(&self, words: &str) {
        let told = try_eventually(PATIENCE, async || (self.0.status().await == words).then_some(()));
        assert!(told.await.is_some(), "not told {words:?}: {}", self.0.describe().await);
    }

    /// Types a line into the terminal.
    pub(crate) async fn types(&self, line: &str) {
        self.0.write(&format!("{line}\u{e007}")).await;
    }

    /// Pastes into whatever has the focus, as the browser does it.
    pub(crate) async fn pastes(&self, text: &str) {
        let script = "const data = new DataTransfer();
            data.setData('text/plain', arguments[0]);
            document.activeElement.dispatchEvent(
                new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
            return null";
        self.0.run(script, &[json!(text)]).await.expect("pasting");
    }
}

/// Checks that a text holds the tiny guest's `count` from one number to another, each once and in order.
pub(crate) fn counted(text: &str, to: u32) {
    let begun = text.rfind(&format!("you said: count {to}")).expect("the beginning");
    let lines = text.get(begun..).unwrap_or_default().lines().skip(1);
    let numbers: Vec<u32> = lines.map_while(|line| line.trim().parse().ok()).collect();
    let expected: Vec<u32> = (1..=to).collect();
    let wrong = numbers.iter().zip(&expected).find(|(number, expected)| number != expected);
    assert!(numbers == expected, "{} numbers; the first that is wrong: {wrong:?}", numbers.len());
}
