//! What `/readyz` answers, of both daemons, so that one check reads both: a word for a program, and sentences for a
//! person. What is looked at is each daemon's own.
//!
//! ```text
//!  told to stop ──────────────► draining    503
//!  something makes it useless ► not_ready   503
//!  something is wrong ────────► degraded    200: it goes on with what it can do, or with what it had before
//!  otherwise ─────────────────► ready       200
//! ```

use http::StatusCode;
use serde::Serialize;

/// Whether a daemon should get work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Yes.
    Ready,
    /// Yes, but somebody should look at it.
    Degraded,
    /// No.
    NotReady,
    /// No, it is about to stop.
    Draining,
}

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    status: Status,
    /// What makes it useless, in a sentence each.
    problems: Vec<String>,
    /// What is wrong otherwise.
    warnings: Vec<String>,
    sessions: usize,
}

impl Readiness {
    /// Judges what was found.
    pub fn of(draining: bool, problems: Vec<String>, warnings: Vec<String>, sessions: usize) -> Self {
        let status = match (draining, problems.is_empty(), warnings.is_empty()) {
            (true, _, _) => Status::Draining,
            (false, false, _) => Status::NotReady,
            (false, true, false) => Status::Degraded,
            (false, true, true) => Status::Ready,
        };
        Self { status, problems, warnings, sessions }
    }

    /// The HTTP status.
    pub const fn code(&self) -> StatusCode {
        match self.status {
            Status::Ready | Status::Degraded => StatusCode::OK,
            Status::NotReady | Status::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// For a person: the status on the first line, then a line for each thing that is wrong.
    pub fn text(&self) -> String {
        let status = match self.status {
            Status::Ready => "ready",
            Status::Degraded => "degraded",
            Status::NotReady => "not ready",
            Status::Draining => "draining",
        };
        let lines = self.problems.iter().chain(&self.warnings).map(String::as_str);
        std::iter::once(status).chain(lines).fold(String::new(), |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_and_all_is_said() {
        let (bad, odd) = (vec!["no disk".to_owned()], vec!["a bad file".to_owned()]);
        for (draining, problems, warnings, status, code) in [
            (false, vec![], vec![], "ready", 200),
            (false, vec![], odd.clone(), "degraded", 200),
            (false, bad.clone(), odd.clone(), "not ready", 503),
            (true, bad.clone(), odd.clone(), "draining", 503),
            (true, vec![], vec![], "draining", 503),
        ] {
            let readiness = Readiness::of(draining, problems.clone(), warnings.clone(), 3);
            assert_eq!(readiness.code().as_u16(), code);
            let expected: Vec<_> =
                [status].into_iter().chain(problems.iter().chain(&warnings).map(String::as_str)).collect();
            assert_eq!(readiness.text().lines().collect::<Vec<_>>(), expected);
            let json = serde_json::to_value(&readiness).unwrap();
            assert_eq!(json["status"], status.replace(' ', "_"));
            assert_eq!(json["sessions"], 3);
        }
    }
}
