//! What the tests of the pages share: a person before a console.

use porthole_shared::reason::Reason;
use porthole_tests::browser::{Browser, Builder};
use porthole_tests::guest::Guest;
use porthole_tests::libvirt::PrivateLibvirt;
use porthole_tests::stack::{self, Stack};
use porthole_tests::wait::{PATIENCE, eventually, try_eventually};

/// A guest, a Porthole with pages, and a person's browser.
pub(crate) struct Seat {
    pub(crate) browser: Browser,
    pub(crate) stack: Stack,
    pub(crate) guest: Guest,
}

impl Seat {
    /// All of it, with the browser at no page yet.
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, |stack| stack, |browser| browser).await
    }

    /// With settings.
    pub(crate) async fn with(
        name: &str,
        stack: impl FnOnce(stack::Builder) -> stack::Builder,
        browser: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let libvirt = PrivateLibvirt::shared().await;
        let guest = libvirt.guest(name).start().await;
        let stack = stack(Stack::builder().libvirt(&libvirt).pages()).start().await;
        let browser = browser(Browser::builder(&stack.edge)).start().await;
        Self { browser, stack, guest }
    }

    /// As [`Self::new`], with the guest's console open.
    pub(crate) async fn connected(name: &str) -> Self {
        let seat = Self::new(name).await;
        seat.connect().await;
        seat
    }

    /// Opens the guest's console with a new link.
    pub(crate) async fn connect(&self) {
        self.browser.open(&self.stack.mint(&self.guest).await.url).await;
        self.browser.until("connected").await;
        self.sees_the_guest().await;
    }

    /// Waits until the page shows what the guest shows.
    pub(crate) async fn sees_the_guest(&self) {
        let same = try_eventually(PATIENCE, async || {
            let (seen, shown) = (self.browser.picture().await.ok()?, self.guest.screenshot().await.ok()?);
            (seen == shown).then_some(())
        });
        if same.await.is_none() {
            let (seen, shown) = (self.browser.picture().await, self.guest.screenshot().await);
            panic!("the page shows {seen:?}, the guest {shown:?}; {}", self.browser.describe().await);
        }
    }

    /// All keys that the guest ever heard: their characters, and `␡` for Ctrl-Alt-Del.
    pub(crate) fn heard(&self) -> String {
        let said = self.guest.serial_log(0).replace("K<Ctrl-Alt-Del>", "K␡").replace("\r\n", "\n");
        let heard = said.match_indices('K').filter_map(|(at, _)| said.get(at + 1..)?.chars().next());
        heard.collect()
    }

    /// Waits until all that the guest ever heard is this.
    pub(crate) async fn hears(&self, keys: &str) {
        let heard = try_eventually(PATIENCE, async || (self.heard() == keys).then_some(()));
        assert!(heard.await.is_some(), "the guest heard {:?} instead of {keys:?}", self.heard());
    }

    /// Checks that the console works: the screen is the guest's, and a key arrives.
    pub(crate) async fn works(&self, key: char) {
        self.sees_the_guest().await;
        let before = self.heard();
        self.browser.write(&key.to_string()).await;
        self.hears(&format!("{before}{key}")).await;
    }
}

/// Waits for the status line to say something.
pub(crate) async fn until_status(browser: &Browser, says: &str) {
    eventually(PATIENCE, format!("the status {says:?}"), async || browser.status().await == says).await;
}

/// Checks that the notice words a reason, of this guest's console; the status line says it too.
pub(crate) async fn says(browser: &Browser, reason: Reason, guest: &str) {
    let notice = browser.notice().await.expect("a notice");
    assert_eq!((notice.title.as_str(), notice.next.as_str()), (reason.words(), reason.next_step()));
    assert!(notice.text.contains(guest), "{notice:?}");
    assert_eq!(browser.status().await, reason.words());
}
