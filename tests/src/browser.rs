//! A real Chromium, and what a console page shows in it.
//!
//! ```no_run
//! # async fn example() {
//! use porthole_tests::browser::{Browser, Key, Window};
//! use porthole_tests::libvirt::PrivateLibvirt;
//! use porthole_tests::stack::Stack;
//!
//! let libvirt = PrivateLibvirt::shared().await;
//! let guest = libvirt.guest("g1").start().await;
//! let stack = Stack::builder().libvirt(&libvirt).pages().start().await;
//!
//! let browser = Browser::start(&stack.edge).await; // or builder(): a phone, no storage, scripts of the test's
//! browser.open(&stack.mint(&guest).await.url).await;
//! browser.until("connected").await;
//! assert_eq!(browser.picture().await.unwrap(), guest.screenshot().await.unwrap());
//! browser.write("hello").await;
//! browser.press(&[Key::CONTROL, Key::ALT, Key::SHIFT, 'm']).await;
//! browser.click_action("disconnect").await;
//! assert_eq!(browser.until("ended").await, "left");
//! browser.assert_quiet(&[]).await; // no CSP violation, no error on the console, no request to elsewhere
//! # }
//! ```
//!
//! Driven by chromedriver (`driver.rs`). What a person does (clicks, keys, touches: `input.rs`) goes through the browser's
//! own input, so that what is covered, disabled or without focus does not work here either.
//!
//! With `PORTHOLE_SCREENSHOTS=DIRECTORY` in the environment, [`Browser::show`] leaves pictures of the page there.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Result;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::edge::Edge;

mod builder;
mod complaints;
mod driver;
mod input;
mod line;
mod page;
mod site;
mod window;

pub use builder::Builder;
pub use complaints::Complaint;
pub use input::Key;
pub use line::{Condition, Line};
pub use page::Notice;
pub use site::Site;
pub use window::Window;

use driver::Driver;

/// A browser with one window, whose tabs share what the browser keeps. Dropped, it ends.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
    session: String,
    window: Mutex<Window>,
    scripts: Vec<String>,
    /// What chromedriver has handed over of the console.
    complaints: Mutex<Vec<Complaint>>,
    /// Where [`Self::show`] leaves pictures.
    screenshots: Option<PathBuf>,
}

impl Browser {
    /// One that trusts this edge, with a new profile.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(edge: &Edge) -> Self {
        Self::builder(edge).start().await
    }

    /// With settings.
    pub fn builder(edge: &Edge) -> Builder {
        Builder::trusting(edge.ca())
    }

    fn new(driver: Driver, session: String, window: Window, scripts: Vec<String>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a switch for the person who runs the tests, read in this one place"
        )]
        let screenshots = std::env::var_os("PORTHOLE_SCREENSHOTS").map(PathBuf::from);
        Self { driver, session, window: Mutex::new(window), scripts, complaints: Mutex::default(), screenshots }
    }

    /// Goes to an address, and waits until the page is loaded.
    pub async fn open(&self, url: &str) {
        self.must(Method::POST, "url", Some(json!({ "url": url }))).await;
    }

    /// Loads the page anew, as F5 does.
    pub async fn reload(&self) {
        self.must(Method::POST, "refresh", Some(json!({}))).await;
    }

    /// Goes back in the tab's history.
    pub async fn back(&self) {
        self.must(Method::POST, "back", Some(json!({}))).await;
    }

    /// What the address bar shows.
    pub async fn address(&self) -> String {
        text(self.must(Method::GET, "url", None).await)
    }

    /// The page's title.
    pub async fn title(&self) -> String {
        text(self.must(Method::GET, "title", None).await)
    }

    /// Opens another tab and goes there; gives what [`Self::switch_to`] takes.
    pub async fn new_tab(&self) -> String {
        let tab = self.must(Method::POST, "window/new", Some(json!({ "type": "tab" }))).await;
        let handle = text(tab["handle"].clone());
        self.switch_to(&handle).await;
        self.prepare_tab().await.unwrap_or_else(|error| panic!("a new tab: {error:#}"));
        handle
    }

    /// The tab that everything here is about now.
    pub async fn tab(&self) -> String {
        text(self.must(Method::GET, "window", None).await)
    }

    /// All tabs.
    pub async fn tabs(&self) -> Vec<String> {
        parsed(self.must(Method::GET, "window/handles", None).await)
    }

    /// Everything here is about that tab from now on.
    pub async fn switch_to(&self, tab: &str) {
        self.must(Method::POST, "window", Some(json!({ "handle": tab }))).await;
    }

    /// Everything here is about the frame from now on.
    pub async fn enter_frame(&self, selector: &str) {
        let frame = self.element(selector).await;
        self.must(Method::POST, "frame", Some(json!({ "id": frame }))).await;
    }

    /// Back from frames to the page.
    pub async fn leave_frames(&self) {
        self.must(Method::POST, "frame", Some(json!({ "id": null }))).await;
    }

    /// Runs a script in the page: the body of a function, whose arguments are in `arguments`.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        let body = json!({ "script": script, "args": arguments });
        self.command(Method::POST, "execute/sync", Some(body)).await
    }

    /// As [`Self::run`], where it must work.
    ///
    /// # Panics
    /// When the script fails, or gives something else.
    pub async fn get<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        parsed(self.run(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error:#}")))
    }

    /// A command of the browser's own protocol (CDP), to the tab.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let body = json!({ "cmd": command, "params": parameters });
        self.command(Method::POST, "goog/cdp/execute", Some(body)).await
    }

    /// What an element's text is, as it is seen.
    pub async fn text_of(&self, selector: &str) -> String {
        self.get("return document.querySelector(arguments[0])?.innerText ?? ''", &[json!(selector)]).await
    }

    /// Whether an element is there and can be seen.
    pub async fn is_shown(&self, selector: &str) -> bool {
        let script = "const element = document.querySelector(arguments[0]);
            return !!element?.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0";
        self.get(script, &[json!(selector)]).await
    }

    /// A reference to an element, for further commands.
    async fn element(&self, selector: &str) -> Value {
        self.must(Method::POST, "element", Some(json!({ "using": "css selector", "value": selector }))).await
    }

    async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.command(method, path, body).await.unwrap_or_else(|error| panic!("the browser: {error:#}"))
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.driver.command(method, &format!("/session/{}/{path}", self.session), body.as_ref()).await
    }
}

fn text(value: Value) -> String {
    parsed(value)
}

fn parsed<T: DeserializeOwned>(value: Value) -> T {
    let shown = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("the page gave {shown}: {error}"))
}
