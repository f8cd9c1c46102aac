//! A minimal RFB client (RFC 6143): version 3.8, security None or VNC Authentication, raw pixels. Enough to see what a
//! viewer would see.

mod challenge;

use anyhow::{Context as _, Result, bail};

use crate::picture::Picture;
use crate::stream::ByteStream;
use crate::wait::PATIENCE;

const VERSION: &[u8; 12] = b"RFB 003.008\n";
const SECURITY_NONE: u8 = 1;
const SECURITY_VNC: u8 = 2;
const ENCODING_RAW: i32 = 0;
const ENCODING_DESKTOP_SIZE: i32 = -223;
/// 32 bits, depth 24, little endian, true colour, 8 bits each with blue lowest.
const PIXEL_FORMAT: [u8; 16] = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
/// No screen of a test is larger; what a server says beyond is refused before memory is taken for it.
const LARGEST_SIDE: u16 = 4096;

/// A connection behind its handshake.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    unread: Vec<u8>,
    picture: Picture,
    name: String,
    offered: Vec<u8>,
}

/// What a server says unasked or in answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Pixels; how many, and whether the size of the screen changed.
    Update {
        /// Pixels that were sent.
        pixels: usize,
        /// The screen has another size now: what was known of it is void.
        resized: bool,
    },
    /// The bell.
    Bell,
    /// The clipboard.
    CutText(Vec<u8>),
    /// Entries of a colour map, which a true-colour client ignores.
    Colours,
}

impl<S: ByteStream> Client<S> {
    /// Does the handshake up to `ServerInit`, and asks for raw pixels.
    pub async fn handshake(stream: S) -> Result<Self> {
        Self::secured(stream, None).await
    }

    /// The same at a server that wants that password.
    pub async fn with_password(stream: S, password: &str) -> Result<Self> {
        Self::secured(stream, Some(password)).await
    }

    async fn secured(stream: S, password: Option<&str>) -> Result<Self> {
        let mut client =
            Self { stream, unread: Vec::new(), picture: Picture::new(0, 0), name: String::new(), offered: Vec::new() };
        let version = client.take(12).await.context("reading the server's version")?;
        if version != VERSION {
            bail!("the server's version is {:?}", String::from_utf8_lossy(&version));
        }
        client.stream.send(VERSION).await?;
        let count = client.take(1).await.context("reading the security types")?[0];
        if count == 0 {
            bail!("the server refuses: {}", client.take_text().await?);
        }
        client.offered = client.take(count.into()).await?;
        let security = if password.is_some() { SECURITY_VNC } else { SECURITY_NONE };
        if !client.offered.contains(&security) {
            bail!("the server offers the security types {:?}, not {security}", client.offered);
        }
        client.stream.send(&[security]).await?;
        if let Some(password) = password {
            let challenge = client.take(challenge::LENGTH).await.context("reading the challenge")?;
            client.stream.send(&challenge::answer(&challenge, password)).await?;
        }
        if client.take_u32().await.context("reading the security result")? != 0 {
            bail!("the server refuses: {}", client.take_text().await?);
        }
        client.stream.send(&[1]).await?; // shared
        let (width, height) = (client.take_u16().await.context("reading ServerInit")?, client.take_u16().await?);
        client.take(16).await?;
        client.name = client.take_text().await?;
        client.resize(width, height)?;

        let mut format = vec![0, 0, 0, 0];
        format.extend(PIXEL_FORMAT);
        client.stream.send(&format).await?;
        let mut encodings = vec![2, 0, 0, 2];
        encodings.extend(ENCODING_RAW.to_be_bytes());
        encodings.extend(ENCODING_DESKTOP_SIZE.to_be_bytes());
        client.stream.send(&encodings).await?;
        Ok(client)
    }

    /// The desktop's name: QEMU says the guest's (`QEMU (NAME)`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The security types that the server offered.
    pub fn offered_security(&self) -> &[u8] {
        &self.offered
    }

    /// What is known of the screen.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// The stream below, for what this client does not do. Bytes that it has read already stay with it.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Asks for the whole screen; with `incremental` only for what changes from now on.
    pub async fn request(&mut self, incremental: bool) -> Result<()> {
        let mut request = vec![3, u8::from(incremental), 0, 0, 0, 0];
        for side in [self.picture.width, self.picture.height] {
            request.extend(u16::try_from(side).context("the screen's size")?.to_be_bytes());
        }
        self.stream.send(&request).await
    }

    /// Presses or releases a key, by its X keysym (a character of ASCII is its own).
    pub async fn key(&mut self, keysym: u32, down: bool) -> Result<()> {
        let mut message = vec![4, u8::from(down), 0, 0];
        message.extend(keysym.to_be_bytes());
        self.stream.send(&message).await
    }

    /// Types a character.
    pub async fn type_key(&mut self, key: char) -> Result<()> {
        self.key(key.into(), true).await?;
        self.key(key.into(), false).await
    }

    /// Asks for the whole screen and reads until all of it came.
    pub async fn full_frame(&mut self) -> Result<Picture> {
        let collecting = async {
            self.request(false).await?;
            let mut seen = 0;
            while seen < self.picture.width * self.picture.height {
                if let Message::Update { pixels, resized } = self.next_message().await? {
                    seen += pixels;
                    if resized {
                        seen = 0;
                        self.request(false).await?;
                    } else if pixels == 0 {
                        bail!("an update without pixels or a new size");
                    }
                }
            }
            Ok(self.picture.clone())
        };
        tokio::time::timeout(PATIENCE, collecting).await.context("waiting for the whole screen")?
    }

    /// Reads the server's next message, and puts pixels into the picture.
    pub async fn next_message(&mut self) -> Result<Message> {
        match self.take(1).await?[0] {
            0 => self.update().await,
            1 => {
                self.take(3).await?;
                let count = self.take_u16().await?;
                self.take(usize::from(count) * 6).await?;
                Ok(Message::Colours)
            }
            2 => Ok(Message::Bell),
            3 => {
                self.take(3).await?;
                let length = self.take_u32().await?;
                Ok(Message::CutText(self.take(bounded(length)?).await?))
            }
            other => bail!("a server message of type {other}"),
        }
    }

    async fn update(&mut self) -> Result<Message> {
        self.take(1).await?;
        let (mut pixels, mut resized) = (0, false);
        for _ in 0..self.take_u16().await? {
            let (x, y) = (self.take_u16().await?, self.take_u16().await?);
            let (width, height) = (self.take_u16().await?, self.take_u16().await?);
            match self.take_u32().await?.cast_signed() {
                ENCODING_RAW => {
                    self.raw(x.into(), y.into(), width.into(), height.into()).await?;
                    pixels += usize::from(width) * usize::from(height);
                }
                ENCODING_DESKTOP_SIZE => {
                    self.resize(width, height)?;
                    resized = true;
                }
                other => bail!("encoding {other}, which was not asked for"),
            }
        }
        Ok(Message::Update { pixels, resized })
    }

    async fn raw(&mut self, x: usize, y: usize, width: usize, height: usize) -> Result<()> {
        if x + width > self.picture.width || y + height > self.picture.height {
            bail!("a rectangle outside the screen");
        }
        for row in 0..height {
            let bytes = self.take(width * 4).await?;
            for (column, pixel) in bytes.as_chunks::<4>().0.iter().enumerate() {
                self.picture.set(x + column, y + row, [pixel[2], pixel[1], pixel[0]]);
            }
        }
        Ok(())
    }

    fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        if width > LARGEST_SIDE || height > LARGEST_SIDE {
            bail!("a screen of {width} by {height}");
        }
        self.picture = Picture::new(width.into(), height.into());
        Ok(())
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.unread.len() < count {
            let more = self.stream.receive().await?;
            if more.is_empty() {
                bail!("the stream ended with {} bytes where {count} were due", self.unread.len());
            }
            self.unread.extend(more);
        }
        let rest = self.unread.split_off(count);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    async fn take_u16(&mut self) -> Result<u16> {
        let bytes = self.take(2).await?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    async fn take_u32(&mut self) -> Result<u32> {
        let bytes = self.take(4).await?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    async fn take_text(&mut self) -> Result<String> {
        let length = self.take_u32().await?;
        Ok(String::from_utf8_lossy(&self.take(bounded(length)?).await?).into_owned())
    }
}

fn bounded(length: u32) -> Result<usize> {
    match usize::try_from(length) {
        Ok(length) if length <= 1 << 20 => Ok(length),
        _ => bail!("a text of {length} bytes"),
    }
}
