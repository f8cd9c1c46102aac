//! The window: how large, whether it is a phone's, light or dark, and pictures of it.

use std::fs;
use std::sync::PoisonError;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Browser;
use super::complaints::REPORT_VIOLATIONS;

/// A window's inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Fingers instead of a mouse, and a phone's way to lay out a page.
    pub touch: bool,
}

impl Window {
    /// A desktop's.
    pub const WIDE: Self = Self { width: 1280, height: 800, touch: false };
    /// A phone's.
    pub const PHONE: Self = Self { width: 390, height: 844, touch: true };
}

impl Browser {
    /// Changes the window's size and kind.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn resize(&self, window: Window) {
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = window;
        self.apply(window).await.unwrap_or_else(|error| panic!("{window:?}: {error:#}"));
    }

    /// As a person whose system is `light` or `dark`.
    ///
    /// # Panics
    /// When the browser refuses.
    pub async fn prefer(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await.unwrap_or_else(|error| panic!("{scheme}: {error:#}"));
    }

    /// What the window shows, as PNG.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let shot = self.devtools("Page.captureScreenshot", json!({ "format": "png" })).await?;
        STANDARD.decode(shot["data"].as_str().context("no picture")?).context("a picture that is not base64")
    }

    /// Leaves pictures of the page, wide and as on a phone, where the person who runs the tests wants them.
    ///
    /// # Panics
    /// When they cannot be written.
    pub async fn show(&self, name: &str) {
        let Some(directory) = &self.screenshots else { return };
        fs::create_dir_all(directory).expect("the directory of PORTHOLE_SCREENSHOTS");
        let window = *self.window.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, like) in [("wide", Window::WIDE), ("phone", Window::PHONE)] {
            self.apply(like).await.unwrap_or_else(|error| panic!("{like:?}: {error:#}"));
            let shot = self.screenshot().await.unwrap_or_else(|error| panic!("a picture of {name}: {error:#}"));
            fs::write(directory.join(format!("{name}.{kind}.png")), shot).expect("writing a screenshot");
        }
        self.apply(window).await.unwrap_or_else(|error| panic!("{window:?}: {error:#}"));
    }

    /// What each tab needs once: the window's kind and what runs before a page's own scripts.
    pub(super) async fn prepare_tab(&self) -> Result<()> {
        let scripts = self.scripts.iter().map(String::as_str);
        for script in [REPORT_VIOLATIONS].into_iter().chain(scripts) {
            self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await?;
        }
        let window = *self.window.lock().unwrap_or_else(PoisonError::into_inner);
        self.apply(window).await
    }

    async fn apply(&self, Window { width, height, touch }: Window) -> Result<()> {
        let scale = if touch { 2 } else { 1 };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": touch });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await?;
        let touch = json!({ "enabled": touch, "maxTouchPoints": if touch { 5 } else { 1 } });
        self.devtools("Emulation.setTouchEmulationEnabled", touch).await?;
        Ok(())
    }
}
