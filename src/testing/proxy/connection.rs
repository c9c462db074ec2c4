//! One connection through the proxy: a client, its server, and what is between them.
//!
//! Invariant: a connection that was open while the proxy was frozen never carries a byte again, and
//! neither end learns that the other has closed, until it is cut.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::Shared;
use super::controls::{Orders, count};
use super::wire::{ClientMessage, ClientStream, Meaning, ReadyCounter, Statements};

const CHUNK: usize = 16 * 1024;

pub(super) struct Connection {
    shared: Arc<Shared>,
    orders: watch::Receiver<Orders>,
    /// The orders it was born under.
    birth: Orders,
    /// How often the server was asked to say that it is ready. The start of the session counts.
    asked: AtomicU64,
    /// How often it has.
    ready: AtomicU64,
    /// The readiness that ends the answer to be lost.
    losing: AtomicU64,
}

/// How a connection ends if not by either side's wish.
enum End {
    Closed,
    Cut,
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tally.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let orders = shared.orders.subscribe();
        let birth = *orders.borrow();
        Self {
            shared,
            orders,
            birth,
            asked: AtomicU64::new(1),
            ready: AtomicU64::new(0),
            losing: AtomicU64::new(u64::MAX),
        }
    }

    /// Serves a client until it or its server closes, or the connection is cut.
    pub(super) async fn serve(self, mut client: TcpStream) {
        count(&self.shared.tally.open);
        let _open = Open(Arc::clone(&self.shared));
        let mut server = None;
        let end = tokio::select! {
            biased;
            end = self.cut() => end,
            end = self.carry(&mut client, &mut server) => end,
        };
        if matches!(end, End::Cut) {
            count(&self.shared.tally.cut);
            reset(client);
            if let Some(server) = server {
                reset(server);
            }
        }
    }

    async fn cut(&self) -> End {
        let mut orders = self.orders.clone();
        let cuts = self.birth.cuts;
        // The sender lives in what this connection shares.
        let _seen = orders.wait_for(|orders| orders.cuts > cuts).await;
        End::Cut
    }

    async fn carry(&self, client: &mut TcpStream, server: &mut Option<TcpStream>) -> End {
        // As if the very first packet had vanished.
        if self.is_silent() {
            return pending().await;
        }
        let server = match TcpStream::connect(&*self.shared.server).await {
            Ok(stream) => server.insert(stream),
            // The server refuses, and so does the proxy.
            Err(_) => return End::Cut,
        };
        for stream in [&*client, &*server] {
            // Without it a small message waits for the answer to the one before.
            if stream.set_nodelay(true).is_err() {
                return End::Cut;
            }
        }
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (asking, answering) = (
            self.ask(from_client, to_server),
            self.answer(from_server, to_client),
        );
        tokio::select! {
            end = asking => self.unless_silent(end).await,
            end = answering => self.unless_silent(end).await,
        }
    }

    /// A silent connection does not tell one end what became of the other.
    async fn unless_silent(&self, end: io::Result<End>) -> End {
        if self.is_silent() {
            return pending().await;
        }
        end.unwrap_or(End::Cut)
    }

    fn is_silent(&self) -> bool {
        let orders = self.orders.borrow();
        self.birth.is_frozen || orders.freezes > self.birth.freezes
    }

    /// What the client says, message by message.
    async fn ask(&self, mut client: ReadHalf<'_>, mut server: WriteHalf<'_>) -> io::Result<End> {
        let mut stream = ClientStream::default();
        let mut statements = Statements::default();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = client.read(&mut chunk).await?;
            if length == 0 {
                break;
            }
            stream.push(&chunk[..length]);
            while let Some(message) = stream.next() {
                let bytes = match message {
                    ClientMessage::EncryptionRequest => {
                        // Nothing is under way in the other direction yet.
                        return Err(io::ErrorKind::Unsupported.into());
                    }
                    ClientMessage::Startup(bytes) => bytes,
                    ClientMessage::Tagged(bytes) => {
                        self.follow(statements.read(&bytes)).await;
                        bytes
                    }
                };
                if !self.is_silent() {
                    server.write_all(&bytes).await?;
                }
            }
        }
        if self.is_silent() {
            return pending().await;
        }
        server.shutdown().await?;
        // The server still has its last word.
        pending().await
    }

    /// Delays what is delayed, and notes whose answer is to be lost, before the server sees it.
    async fn follow(&self, meaning: Meaning<'_>) {
        let asked = self.asked.load(Ordering::SeqCst);
        if let Meaning::Run(text) | Meaning::Query(text) = meaning {
            self.shared.tally.sent.note(text);
        }
        let (losing, is_asking) = match meaning {
            Meaning::Run(text) => (self.shared.losses.take(text), false),
            Meaning::Query(text) => (self.shared.losses.take(text), true),
            Meaning::Sync => (false, true),
            Meaning::Other => (false, false),
        };
        if losing {
            self.losing.fetch_min(asked + 1, Ordering::SeqCst);
        }
        if is_asking {
            self.asked.store(asked + 1, Ordering::SeqCst);
            let delay = self.orders.borrow().delay;
            tokio::time::sleep(delay).await;
        }
    }

    /// What the server answers, as it comes.
    async fn answer(&self, mut server: ReadHalf<'_>, mut client: WriteHalf<'_>) -> io::Result<End> {
        let mut counter = ReadyCounter::default();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = server.read(&mut chunk).await?;
            if length == 0 {
                return Ok(End::Closed);
            }
            let bytes = &chunk[..length];
            let newly = counter.count(bytes);
            let ready = self.ready.fetch_add(newly, Ordering::SeqCst) + newly;
            let losing = self.losing.load(Ordering::SeqCst);
            if ready >= losing {
                count(&self.shared.tally.lost_answers);
                return Ok(End::Cut);
            }
            if losing == u64::MAX && !self.is_silent() {
                client.write_all(bytes).await?;
            }
        }
    }
}

/// Closes a connection by a reset.
pub(super) fn reset(stream: TcpStream) {
    // Where that cannot be, it is closed all the same.
    let _set = stream.set_zero_linger();
}
