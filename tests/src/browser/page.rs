//! What a console page says of itself: its state, its words, its picture.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Browser;
use crate::picture::Picture;
use crate::wait::{PATIENCE, try_eventually};

/// The dialog over the screen that says why there is none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Notice {
    /// What happened.
    pub title: String,
    /// Whose console it is.
    pub text: String,
    /// What to do.
    pub next: String,
    /// The actions that it offers.
    pub actions: Vec<String>,
}

/// What JavaScript gives for a key of the element `<html>`'s data.
const DATA: &str = "return document.documentElement.dataset[arguments[0]] ?? null";

impl Browser {
    /// The state that the page gives of itself; empty where no console page is loaded.
    pub async fn state(&self) -> String {
        self.data("state").await
    }

    /// The reason that goes with it.
    pub async fn reason(&self) -> String {
        self.data("reason").await
    }

    /// Waits for a state, and gives the reason that came with it.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until(&self, state: &str) -> String {
        self.until_within(PATIENCE, state).await
    }

    /// As [`Self::until`], for what takes long.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until_within(&self, limit: Duration, state: &str) -> String {
        let both = "const { state, reason } = document.documentElement.dataset; return [state ?? '', reason ?? '']";
        let came = try_eventually(limit, async || {
            let (now, reason): (String, String) = self.get(both, &[]).await;
            (now == state).then_some(reason)
        });
        match came.await {
            Some(reason) => reason,
            None => panic!("waited {limit:?} for the page to be {state}; {}", self.describe().await),
        }
    }

    /// Waits for a state and checks the reason that came with it.
    ///
    /// # Panics
    /// When it does not come, or for another reason.
    pub async fn until_because(&self, state: &str, reason: &str) {
        let because = self.until(state).await;
        assert_eq!(because, reason, "{}", self.describe().await);
    }

    /// What the status line says.
    pub async fn status(&self) -> String {
        self.text_of("#status").await
    }

    /// What the notice says, if it is shown.
    pub async fn notice(&self) -> Option<Notice> {
        let script = "
            const notice = document.querySelector('#notice');
            if (!notice?.checkVisibility()) return null;
            const text = (id) => notice.querySelector(id).innerText;
            const actions = [...notice.querySelectorAll('button')].filter((button) => button.checkVisibility());
            return {
                title: text('#notice-title'), text: text('#notice-text'), next: text('#notice-next'),
                actions: actions.map((button) => button.dataset.action),
            };";
        self.get(script, &[]).await
    }

    /// The guest's picture, as the page has it.
    pub async fn picture(&self) -> Result<Picture> {
        let url = self.run("return document.querySelector('#screen canvas')?.toDataURL('image/png')", &[]).await?;
        let encoded = url.as_str().and_then(|url| url.strip_prefix("data:image/png;base64,"));
        Picture::from_png(&STANDARD.decode(encoded.context("there is no canvas")?)?)
    }

    /// All that a failed test wants to know of the page.
    pub async fn describe(&self) -> String {
        let seen = self.run("return document.documentElement.outerHTML.match(/<html[^>]*>/)?.[0]", &[]).await;
        let complaints = self.complaints().await;
        format!(
            "at {}: {seen:?}, status {:?}, notice {:?}, console {complaints:#?}",
            self.address().await,
            self.status().await,
            self.notice().await
        )
    }

    async fn data(&self, name: &str) -> String {
        self.get::<Option<String>>(DATA, &[json!(name)]).await.unwrap_or_default()
    }
}
