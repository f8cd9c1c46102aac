//! The pages: files below `web_root`, and nothing else of the file system.
//!
//! There are no redirects and no listings: a path ending in `/` is its `index.html`, a name without a dot is that page
//! (`/console` is `console.html`), any other path is that file or nothing. Hidden files are not served, and a symbolic
//! link only where it stays below the root. A packed copy beside a file is sent to those who take it.

use std::io;
use std::path::{Path, PathBuf};

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue,
    LAST_MODIFIED, VARY,
};
use http::{Method, Response, StatusCode, request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::answer::{self, Body};
use super::public::FrameAncestors;

mod freshness;
mod kind;
mod lookup;
mod packed;
mod path;

use lookup::Found;

/// How much of a file is read at once. For each client that reads one slowly, two or three of these are in memory, and
/// anybody may be such a client.
const CHUNK: usize = 16 * 1024;

/// The methods that files take.
pub const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The root is no folder.
#[derive(Debug, thiserror::Error)]
#[error("[public] web_root {} is not a folder that can be read", root.display())]
pub struct NoRoot {
    root: PathBuf,
    #[source]
    source: io::Error,
}

/// The files below one root.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    policy: HeaderValue,
}

impl Files {
    /// Takes the root as it is named: a deployment may swap the link that it is.
    pub fn open(root: &Path, ancestors: &FrameAncestors) -> Result<Self, NoRoot> {
        std::fs::read_dir(root).map_err(|source| NoRoot { root: root.to_owned(), source })?;
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
             media-src 'self' data: blob:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; \
             base-uri 'none'; form-action 'none'; {}",
            ancestors.directive()
        );
        Ok(Self { root: root.to_owned(), policy: answer::policy_value(&policy) })
    }

    /// The answer to a `GET` or `HEAD`; `None` where there is no such file.
    pub async fn answer(&self, head: &request::Parts) -> Option<Response<Body>> {
        let relative = path::resolve(head.uri.path())?;
        let content_type = kind::content_type(&relative);
        let cache_control = freshness::cache_control(&relative);
        let root = self.root.clone();
        let packed = packed::is_taken_by(&head.headers);
        // A few short calls on a file system that may be slow: off the threads that relay.
        let found = tokio::task::spawn_blocking(move || lookup::find(&root, &relative, packed)).await.ok()?;
        let Found { file, length, stamp, packed } = match found {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(%error, "a file below web_root cannot be read");
                return None;
            }
        };
        let unchanged = stamp.is_known_to(&head.headers);
        let body = if unchanged || head.method == Method::HEAD { answer::empty() } else { stream(file, length) };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        if !unchanged {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            if packed {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(packed::ENCODING));
            }
        }
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        answer::harden(headers);
        for (name, value) in [(ETAG, stamp.etag()), (LAST_MODIFIED, stamp.last_modified())] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        Some(response)
    }
}

/// Reads the file while it is sent. A file that shrinks meanwhile ends the connection, for its length was promised.
fn stream(file: std::fs::File, length: u64) -> Body {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    let chunks = ReaderStream::with_capacity(file.take(length), CHUNK);
    StreamBody::new(futures_util::StreamExt::map(chunks, |chunk| chunk.map(Frame::data))).boxed_unsync()
}

#[cfg(test)]
mod tests;
