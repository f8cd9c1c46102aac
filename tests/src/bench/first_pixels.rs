//! From opening a console's URL to its first pixels, in Chromium: what a person waits for.
//!
//! Measured inside the page, from the start of the navigation to the first animation frame at which the guest's screen
//! shows something. *Cold*: a browser that has never been here. *Warm*: one that has, with another link.

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::{Figure, Noise};
use crate::browser::Browser;
use crate::libvirt::PrivateLibvirt;
use crate::places;
use crate::stack::Stack;
use crate::wait::{PATIENCE, try_eventually};

/// Looks at the screen once a frame, before the page's own scripts run. A few lines tell a screen from an empty canvas.
const PROBE: &str = "
    window.portholeFirstPixels = null;
    (function look() {
        const canvas = document.querySelector('#screen canvas');
        if (canvas?.width) {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, Math.min(canvas.height, 96));
            if (data.some((value, index) => index % 4 < 3 && value > 0)) {
                window.portholeFirstPixels = performance.now();
                return;
            }
        }
        requestAnimationFrame(look);
    })();";

/// Measures so many rounds of both, and looks between them whether the machine is quiet.
pub async fn measure(rounds: usize, noise: &mut Noise) -> Result<Vec<Figure>> {
    let libvirt = PrivateLibvirt::shared().await;
    let guest = libvirt.guest("pixels");
    let guest = if places::linux_guest().is_ok() { guest.linux() } else { guest };
    let guest = guest.try_start().await?;
    let stack = Stack::builder().libvirt(&libvirt).pages().edge(|edge| edge.set("log.level", "info"));
    let stack = stack.agent(|agent| agent.set("log.level", "info")).try_start().await?;

    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let browser = Browser::builder(&stack.edge).on_every_page(PROBE).try_start().await?;
        for results in [&mut cold, &mut warm] {
            let link = stack.agent.try_mint(&guest).await.map_err(|error| anyhow!("{error:?}"))?;
            results.push(open(&browser, &link.url).await.with_context(|| format!("round {round}"))?);
        }
        drop(browser);
        noise.look().await?;
    }
    Ok(vec![
        Figure::of("URL to first pixels, never been here", "ms", cold),
        Figure::of("URL to first pixels, been here before", "ms", warm),
    ])
}

async fn open(browser: &Browser, url: &str) -> Result<f64> {
    browser.open(url).await;
    let seen = try_eventually(PATIENCE, async || {
        browser.run("return window.portholeFirstPixels", &[]).await.ok().as_ref().and_then(Value::as_f64)
    });
    let seen = seen.await.context("no pixels")?;
    ensure!(seen > 0.0, "a page that was there before it was asked for");
    Ok(seen)
}
