//! Against clients and servers of another make (tokio-rustls), over memory that gives and takes so many bytes at a time as it has room for.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::*;
use crate::tls::provider;

mod mishaps;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A pair of configurations that trust each other.
struct Pair {
    server: ServerConfig,
    client: ClientConfig,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["far".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        Self {
            server: server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap(),
            client: client.with_root_certificates(roots).with_no_client_auth(),
        }
    }

    fn server(&self) -> Arc<ServerConfig> {
        Arc::new(self.server.clone())
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.client.clone())
    }

    /// A leg that has accepted a client of another make, through memory for so many bytes.
    async fn accepted(&self, room: usize) -> (Leg<DuplexStream>, client::TlsStream<DuplexStream>) {
        let (near, other) = duplex(room);
        let connecting = TlsConnector::from(self.client()).connect(far_name(), other);
        let (leg, stream) = tokio::join!(Leg::accept(near, self.server()), connecting);
        (leg.unwrap(), stream.unwrap())
    }
}

fn far_name() -> ServerName<'static> {
    ServerName::try_from("far").unwrap()
}

fn numbered(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(17)).to_le_bytes()[0]).collect()
}

/// Sends what it has, says that this is all, and reads until the other one has said so.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = async {
        write.write_all(bytes).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let ((), count) = tokio::join!(writing, read.read_to_end(&mut got));
    count.unwrap();
    got
}

#[tokio::test]
async fn a_leg_speaks_with_others_in_pieces_of_any_size() {
    let bytes = numbered(300_000);
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        // Messages of the handshake in several records each.
        pair.server.max_fragment_size = Some(100);
        pair.client.max_fragment_size = Some(100);
        for piece in [1, 7, 100, 5_000, 64 * 1024] {
            // A byte at a time is slow, and no less of a test with fewer of them.
            let bytes = &bytes[..if piece == 1 { 20_000 } else { bytes.len() }];
            let (near, other) = duplex(piece);
            let ours = async {
                let leg = Leg::accept(near, pair.server()).await.unwrap();
                assert_eq!(leg.tls().unwrap().protocol_version(), Some(version.version));
                talk(leg, bytes).await
            };
            let connecting = TlsConnector::from(pair.client()).connect(far_name(), other);
            let theirs = async { talk(connecting.await.unwrap(), bytes).await };
            let (ours, theirs) = tokio::join!(ours, theirs);
            assert!(ours == bytes && theirs == bytes, "{version:?}, pieces of {piece}, accepting");

            let (near, other) = duplex(piece);
            let ours = async {
                let leg = Leg::connect(near, pair.client(), far_name()).await.unwrap();
                assert_eq!(leg.tls().unwrap().peer_certificates().map(<[_]>::len), Some(1));
                talk(leg, bytes).await
            };
            let accepting = TlsAcceptor::from(pair.server()).accept(other);
            let theirs = async { talk(accepting.await.unwrap(), bytes).await };
            let (ours, theirs) = tokio::join!(ours, theirs);
            assert!(ours == bytes && theirs == bytes, "{version:?}, pieces of {piece}, connecting");
        }
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    for version in VERSIONS {
        let mut pair = Pair::new(version);
        pair.server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let (server, client) = (pair.server(), pair.client());
        for (time, kind) in [("first", HandshakeKind::Full), ("second", HandshakeKind::Resumed)] {
            let (near, other) = duplex(64 * 1024);
            let (ours, theirs) = tokio::join!(
                Leg::connect(near, Arc::clone(&client), far_name()),
                Leg::accept(other, Arc::clone(&server))
            );
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            assert_eq!(ours.tls().unwrap().handshake_kind(), Some(kind), "{version:?}: the {time}");
            assert_eq!(theirs.tls().unwrap().handshake_kind(), Some(kind), "{version:?}: the {time}");
            // Tickets come behind the handshake.
            tokio::join!(talk(ours, &[1]), talk(theirs, &[2]));
        }
    }
}

#[tokio::test]
async fn what_comes_with_the_handshake_is_not_lost() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (near, other) = duplex(64 * 1024);
    let sending = async {
        let mut stream = TlsConnector::from(pair.client()).connect(far_name(), other).await.unwrap();
        stream.write_all(b"early").await.unwrap();
        stream.shutdown().await.unwrap();
        stream
    };
    // The other end is through before this one begins to read its last flight.
    let (mut leg, mut stream) = {
        let accepting = Leg::accept(near, pair.server());
        let (leg, stream) = tokio::join!(accepting, sending);
        (leg.unwrap(), stream)
    };
    let mut got = Vec::new();
    leg.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"early");
    // The way back is still open.
    leg.write_all(b"late").await.unwrap();
    leg.shutdown().await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"late");
}

#[tokio::test]
async fn keys_are_changed_when_the_peer_wants_it() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (mut leg, mut stream) = pair.accepted(1024 * 1024).await;
    for round in 0..10_u8 {
        stream.get_mut().1.refresh_traffic_keys().unwrap();
        stream.write_all(&[round; 1000]).await.unwrap();
        stream.flush().await.unwrap();
        let mut got = [0; 1000];
        leg.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [round; 1000]);
        leg.write_all(&[!round; 1000]).await.unwrap();
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [!round; 1000]);
    }
}

#[tokio::test]
async fn both_ends_are_told_of_a_certificate_that_is_not_trusted() {
    for version in VERSIONS {
        let (ours, strangers) = (Pair::new(version), Pair::new(version));
        let (near, other) = duplex(64 * 1024);
        let (connected, accepted) = tokio::join!(
            Leg::connect(near, ours.client(), far_name()),
            TlsAcceptor::from(strangers.server()).accept(other)
        );
        let (ours, theirs) = (connected.unwrap_err(), accepted.unwrap_err());
        assert_eq!(ours.kind(), io::ErrorKind::InvalidData);
        assert!(ours.to_string().contains("invalid peer certificate"), "{ours}");
        assert!(theirs.to_string().contains("alert"), "{theirs}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_refused_and_silence_is_the_end() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (near, mut other) = duplex(1024);
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = Leg::accept(near, pair.server()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let mut alert = Vec::new();
    other.read_to_end(&mut alert).await.unwrap();
    // RFC 8446 section 5.1 and 6: content type, version, length, level "fatal", description.
    assert!(matches!(alert[..], [21, 3, 3, 0, 2, 2, _]), "{alert:?}");

    let (near, other) = duplex(1024);
    drop(other);
    let error = Leg::accept(near, pair.server()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

/// A record of plain handshake data (RFC 8446 section 5.1).
fn handshake_record(part: &[u8]) -> Vec<u8> {
    let length = u16::try_from(part.len()).unwrap().to_be_bytes();
    [&[22, 3, 1, length[0], length[1]], part].concat()
}

#[tokio::test]
async fn a_handshake_message_without_end_is_not_kept() {
    let pair = Pair::new(&rustls::version::TLS13);
    for (length, in_pieces_of) in [(0xff_ffff_u32, 16_000), (60_000, 1)] {
        let (near, mut other) = duplex(4096);
        let hello = [&[1], &length.to_be_bytes()[1..], &vec![0; 59_000]].concat();
        let flood = async {
            for part in hello.chunks(in_pieces_of) {
                if other.write_all(&handshake_record(part)).await.is_err() {
                    return;
                }
            }
            panic!("all of it was taken");
        };
        let (accepted, ()) = tokio::join!(Leg::accept(near, pair.server()), flood);
        assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[tokio::test]
async fn a_record_that_was_tampered_with_ends_it_behind_what_came_before() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (mut leg, mut stream) = pair.accepted(64 * 1024).await;
    stream.write_all(b"good").await.unwrap();
    let (mut socket, mut connection) = stream.into_inner();
    socket.write_all(&[23, 3, 3, 0, 32]).await.unwrap();
    socket.write_all(&[0xa5; 32]).await.unwrap();

    let mut scratch = Scratch::default();
    let mut got = Vec::new();
    while !leg.has_ended() {
        poll_fn(|cx| leg.poll_receive(cx, &mut scratch)).await;
        got.extend_from_slice(scratch.plaintext());
    }
    assert_eq!(got, b"good");
    assert!(leg.is_lost() && !leg.is_open());
    poll_fn(|cx| leg.poll_flush(cx)).await;
    assert!(leg.is_shut());
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    connection.read_tls(&mut &*answer).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

#[tokio::test]
async fn a_leg_at_rest_holds_nothing() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (mut leg, mut stream) = pair.accepted(16 * 1024).await;
    let bytes = numbered(200_000);
    let reading = async {
        let mut got = vec![0; bytes.len()];
        stream.read_exact(&mut got).await.unwrap();
        got
    };
    let (sent, got) = tokio::join!(leg.write_all(&bytes), reading);
    sent.unwrap();
    assert!(got == bytes);
    stream.write_all(&bytes[..10]).await.unwrap();
    // Less than came is asked for, and then the rest.
    let mut got = [0; 10];
    leg.read_exact(&mut got[..3]).await.unwrap();
    assert_eq!(leg.early.len(), 7);
    leg.read_exact(&mut got[3..]).await.unwrap();
    assert_eq!(got, bytes[..10]);
    let mut scratch = Scratch::default();
    assert!(poll_fn(|cx| Poll::Ready(leg.poll_receive(cx, &mut scratch).is_pending())).await);
    leg.rest();
    assert_eq!([leg.unread.capacity(), leg.early.capacity(), leg.unsent.capacity()], [0; 3]);
}

#[tokio::test]
async fn little_is_read_ahead_for_who_asks_for_little() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (mut leg, mut stream) = pair.accepted(1024 * 1024).await;
    let bytes = numbered(500_000);
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = [0; 10];
    for _ in 0..2000 {
        let more = leg.read_exact(&mut got).await.unwrap();
        let held = leg.early.len() + leg.unread.len();
        assert!(more == 10 && held <= 16 * 1024 + READ_AHEAD + 256, "{held}");
    }
    let mut rest = Vec::new();
    leg.read_to_end(&mut rest).await.unwrap();
    assert!(rest == bytes[20_000..]);
}

#[tokio::test]
async fn a_slow_reader_is_waited_for_with_one_write_in_hand() {
    let pair = Pair::new(&rustls::version::TLS13);
    let (mut leg, mut stream) = pair.accepted(4096).await;
    assert_eq!(leg.tls().unwrap().protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let bytes = numbered(1_000_000);
    let first = leg.write(&bytes).await.unwrap();
    assert_eq!(first, WIRE_BYTES);
    assert!((WIRE_BYTES - 4096..WIRE_BYTES + 1024).contains(&leg.unsent_bytes()), "{}", leg.unsent_bytes());
    let more = poll_fn(|cx| Poll::Ready(Pin::new(&mut leg).poll_write(cx, &bytes[first..]).is_pending())).await;
    assert!(more, "more was taken while the socket takes nothing");
    let writing = async {
        leg.write_all(&bytes[first..]).await.unwrap();
        leg.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let ((), read) = tokio::join!(writing, stream.read_to_end(&mut got));
    read.unwrap();
    assert!(got == bytes);
}
