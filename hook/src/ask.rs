//! The question to the agent, over its unix socket and under a deadline.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::wire::{Answer, MOST, Nonsense, Question};

/// How long the agent has, from the first attempt to reach it to its answer's end.
pub const DEADLINE: Duration = Duration::from_millis(1_300);

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// The agent has not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It was not reached.
    #[error("Porthole's agent is not reached at {socket}: {source}")]
    Unreached {
        /// Its socket.
        socket: String,
        /// Why.
        source: io::Error,
    },
    /// It broke off.
    #[error("Porthole's agent has broken off: {0}")]
    Broken(io::Error),
    /// It takes too long.
    #[error("Porthole's agent does not answer within {DEADLINE:?}")]
    Late,
    /// What it says makes no sense.
    #[error("Porthole's agent says nonsense: {0}")]
    Nonsense(#[from] Nonsense),
}

/// Asks it.
pub fn ask(socket: &Path, question: &Question) -> Result<Answer, Unanswered> {
    ask_within(socket, question, DEADLINE)
}

fn ask_within(socket: &Path, question: &Question, patience: Duration) -> Result<Answer, Unanswered> {
    let until = Instant::now() + patience;
    let mut stream = connect(socket, patience)
        .map_err(|source| Unanswered::Unreached { socket: socket.display().to_string(), source })?;
    send(&mut stream, &question.encode()?, until)?;
    let text = receive(&mut stream, until)?;
    Ok(Answer::decode(&text)?)
}

/// Where as many wait for the agent as the kernel lets wait, that is an error at once.
fn connect(path: &Path, patience: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(path)?, patience)?;
    Ok(socket)
}

fn send(stream: &mut Socket, text: &[u8], until: Instant) -> Result<(), Unanswered> {
    let mut left = text;
    while !left.is_empty() {
        stream.set_write_timeout(Some(remaining(until)?)).map_err(Unanswered::Broken)?;
        let sent = stream.write(left).map_err(failed)?;
        left = left.get(sent..).unwrap_or_default();
    }
    stream.shutdown(Shutdown::Write).map_err(Unanswered::Broken)
}

fn receive(stream: &mut Socket, until: Instant) -> Result<Vec<u8>, Unanswered> {
    let (mut text, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    loop {
        stream.set_read_timeout(Some(remaining(until)?)).map_err(Unanswered::Broken)?;
        match stream.read(&mut chunk).map_err(failed)? {
            0 => return Ok(text),
            more => text.extend_from_slice(chunk.get(..more).unwrap_or_default()),
        }
        if text.len() > MOST {
            return Err(Nonsense::Xml.into());
        }
    }
}

fn remaining(until: Instant) -> Result<Duration, Unanswered> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Unanswered::Late) } else { Ok(left) }
}

fn failed(error: io::Error) -> Unanswered {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        Unanswered::Late
    } else {
        Unanswered::Broken(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Operation, Step};
    use crate::wire::{Message, Verdict};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::thread;

    fn question() -> Question {
        let head = Step {
            name: "a".to_owned(),
            operation: Operation::Migrate,
            sub_operation: "begin".to_owned(),
            extra: "-".to_owned(),
        };
        Message { head, xml: vec![b'x'; 300_000] }
    }

    /// An agent that does this with the first who comes.
    fn agent(does: impl FnOnce(UnixStream) + Send + 'static) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook.sock");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || does(listener.accept().unwrap().0));
        (dir, path)
    }

    fn heard(stream: &mut UnixStream) -> Question {
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        Question::decode(&text).unwrap()
    }

    #[test]
    fn the_answer_is_had() {
        let answer = Message { head: Verdict::Rewritten, xml: vec![b'y'; 300_000] };
        let text = answer.encode().unwrap();
        let (_dir, path) = agent(move |mut stream| {
            assert_eq!(heard(&mut stream), question());
            stream.write_all(&text).unwrap();
        });
        assert_eq!(ask(&path, &question()).unwrap(), answer);
    }

    #[test]
    fn whatever_the_agent_does_it_ends() {
        let soon = Duration::from_millis(50);
        let nobody = ask(Path::new("/nonexistent/hook.sock"), &question()).unwrap_err();
        assert!(nobody.to_string().contains("not reached at /nonexistent/hook.sock"), "{nobody}");
        // It takes nothing in, it says nothing, it goes on for ever.
        let (_dir, path) = agent(|stream| drop(thread::Builder::new().spawn(move || (thread::park(), stream).1)));
        assert!(matches!(ask_within(&path, &question(), soon), Err(Unanswered::Late)));
        let (_dir, path) = agent(|mut stream| {
            heard(&mut stream);
            thread::park();
        });
        assert!(matches!(ask_within(&path, &question(), soon), Err(Unanswered::Late)));
        let (_dir, path) = agent(|mut stream| {
            heard(&mut stream);
            while stream.write_all(&[b' '; 4096]).is_ok() {}
        });
        assert!(matches!(ask(&path, &question()), Err(Unanswered::Nonsense(_))));
        let (_dir, path) = agent(|mut stream| drop(heard(&mut stream)));
        assert!(matches!(ask(&path, &question()), Err(Unanswered::Nonsense(Nonsense::Head))));
    }

    #[test]
    fn a_crowd_before_the_agent_costs_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook.sock");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        assert!(matches!(ask(&path, &question()), Err(Unanswered::Unreached { .. })));
    }
}
