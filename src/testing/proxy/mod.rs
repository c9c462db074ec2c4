//! A network that fails when it is told to: a TCP proxy in front of PostgreSQL.
//!
//! [`Proxy`] is what tests hold; a thread of its own listens and runs the connections, so that neither
//! a blocked runtime nor a paused clock stops it. It knows as much of PostgreSQL's protocol as it
//! takes to lose the answer to a statement that has run.

mod connection;
mod controls;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Error;
use connection::{Connection, reset};
use controls::{Losses, Orders, Tally, count};

/// A TCP proxy in front of a PostgreSQL server, which cuts, freezes, delays and loses on demand.
///
/// It listens on a free port of the loopback interface until it is dropped; that closes its
/// connections. Every control takes effect before the call returns, for the connections there are and
/// for those to come. Encrypted connections are reset.
///
/// # Examples
///
/// ```no_run
/// use callboard::{Board, Database, testing::Proxy};
///
/// # async fn example(url: &str) -> Result<(), callboard::Error> {
/// let proxy = Proxy::start(url)?;
/// let board = Board::builder(Database::from_url(proxy.url())?).start().await?;
/// proxy.freeze();
/// // The board's connections are half open now, and its health says so before long.
/// proxy.thaw();
/// proxy.cut();
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    cuts: Option<UnboundedSender<Cut>>,
    thread: Option<JoinHandle<()>>,
}

/// What the proxy's handle, its thread and its connections share.
struct Shared {
    /// `host:port`.
    server: String,
    orders: watch::Sender<Orders>,
    losses: Losses,
    tally: Tally,
}

/// Cuts every connection, and answers when they are gone.
struct Cut(mpsc::SyncSender<()>);

impl Proxy {
    /// Starts a proxy in front of the server of this URL, `postgres://user:password@host:port/name`.
    ///
    /// # Errors
    ///
    /// [`Error::is_config`] when the URL does not have that form, and [`Error::is_start`] when there
    /// is no port or thread to be had. Whether the server is there is not looked at.
    pub fn start(url: &str) -> Result<Self, Error> {
        let (before, server, after) = split(url).ok_or_else(|| {
            // The URL may hold a password, so it is not repeated.
            Error::config(
                "the proxy cannot read the URL; expected postgres://user:password@host:port/name",
            )
        })?;
        let failed = |cause| Error::start("cannot start a proxy").because(cause);
        let (listener, address) = listen().map_err(failed)?;
        let shared = Arc::new(Shared {
            server,
            orders: watch::Sender::default(),
            losses: Losses::default(),
            tally: Tally::default(),
        });
        let (cuts, told) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("callboard-proxy".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run(listener, shared, told)
            })
            .map_err(failed)?;
        Ok(Self {
            url: format!("{before}{address}{after}"),
            shared,
            cuts: Some(cuts),
            thread: Some(thread),
        })
    }

    /// The URL of the database by way of this proxy.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Resets every connection, towards clients and server. New ones are welcome.
    pub fn cut(&self) {
        let (done, is_done) = mpsc::sync_channel(1);
        let thread = self
            .cuts
            .as_ref()
            .expect("the proxy runs until it is dropped");
        if thread.send(Cut(done)).is_ok() {
            // An error means that the thread is gone, and the connections with it.
            let _cut = is_done.recv();
        }
    }

    /// Refuses new connections until [`accept`](Self::accept): they are made and reset at once, since
    /// a port that nobody listens on could be taken by somebody else meanwhile. Present ones go on.
    pub fn refuse(&self) {
        self.order(|orders| orders.is_refusing = true);
    }

    /// Accepts new connections again.
    pub fn accept(&self) {
        self.order(|orders| orders.is_refusing = false);
    }

    /// Lets every byte vanish, in both directions and without a word, as when a cable is pulled or a
    /// firewall forgets: connections are half open, and neither end learns what the other does, not
    /// even that it closed. New ones are made and get no answer.
    pub fn freeze(&self) {
        self.order(|orders| {
            orders.is_frozen = true;
            orders.freezes += 1;
        });
    }

    /// Carries new connections again. Those that were open meanwhile stay silent until they are
    /// [cut](Self::cut), because what vanished is gone.
    pub fn thaw(&self) {
        self.order(|orders| orders.is_frozen = false);
    }

    /// Delays every statement by so much, one after the other where a connection sends several at
    /// once. Zero, the default, ends it.
    pub fn delay(&self, delay: Duration) {
        self.order(|orders| orders.delay = delay);
    }

    /// Lets the server run the next `count` statements, whichever connections they come by, and resets
    /// each of these connections instead of handing over the answer. Answers under way on the same
    /// connection are lost with it.
    pub fn lose_answers(&self, count: u32) {
        self.lose(count, None);
    }

    /// As [`lose_answers`](Self::lose_answers), for the next `count` statements whose SQL contains
    /// `text`, in whatever case: `"commit"`, say, or the name of a table.
    pub fn lose_answers_to(&self, text: &str, count: u32) {
        self.lose(count, Some(text));
    }

    /// Loses no more answers.
    pub fn keep_answers(&self) {
        self.shared.losses.clear();
    }

    /// How many statements were sent so far whose SQL contains `text`, in whatever case; with an empty
    /// text, how many at all.
    #[must_use]
    pub fn statements(&self, text: &str) -> u32 {
        self.shared.tally.sent.count(text)
    }

    /// How many connections are open, silent ones included.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.shared.tally.open.load(Ordering::SeqCst)
    }

    /// How many connections were reset so far: cut, lost with an answer, or because the server could
    /// not be reached.
    #[must_use]
    pub fn cut_connections(&self) -> u32 {
        self.shared.tally.cut.load(Ordering::SeqCst)
    }

    /// How many connections were refused so far.
    #[must_use]
    pub fn refused_connections(&self) -> u32 {
        self.shared.tally.refused.load(Ordering::SeqCst)
    }

    /// How many answers were lost so far.
    #[must_use]
    pub fn lost_answers(&self) -> u32 {
        self.shared.tally.lost_answers.load(Ordering::SeqCst)
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.shared.orders.send_modify(change);
    }

    fn lose(&self, count: u32, text: Option<&str>) {
        if count > 0 {
            self.shared.losses.add(count, text);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cuts = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ended = thread.join();
        }
    }
}

impl fmt::Debug for Proxy {
    // Never the URL: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("server", &self.shared.server)
            .field("orders", &*self.shared.orders.borrow())
            .field("tally", &self.shared.tally)
            .finish_non_exhaustive()
    }
}

/// What stands before `host:port`, that, and what follows it.
fn split(url: &str) -> Option<(String, String, String)> {
    let start = url.find("://")? + 3;
    let end = url[start..]
        .find(['/', '?'])
        .map_or(url.len(), |at| start + at);
    let host = url[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    let server = &url[host..end];
    // Neither several servers nor a folder of sockets.
    if server.is_empty() || server.contains([',', '%']) {
        return None;
    }
    let has_port = server
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let server = if has_port {
        server.to_owned()
    } else {
        format!("{server}:5432")
    };
    Some((url[..host].to_owned(), server, url[end..].to_owned()))
}

fn listen() -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn run(listener: std::net::TcpListener, shared: Arc<Shared>, cuts: UnboundedReceiver<Cut>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime of one thread starts");
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("the listener is as tokio wants it");
        serve(listener, shared, cuts).await;
    });
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut cuts: UnboundedReceiver<Cut>) {
    let mut connections = JoinSet::new();
    loop {
        // Who came before a cut is cut, so they are let in first.
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => admit(&shared, &mut connections, client),
                // Out of descriptors, say. The client tries again, and so does this loop.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            cut = cuts.recv() => match cut {
                Some(Cut(done)) => {
                    shared.orders.send_modify(|orders| orders.cuts += 1);
                    while connections.join_next().await.is_some() {}
                    // Whoever asked may have gone.
                    let _told = done.try_send(());
                }
                None => return,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

fn admit(shared: &Arc<Shared>, connections: &mut JoinSet<()>, client: TcpStream) {
    if shared.orders.borrow().is_refusing {
        count(&shared.tally.refused);
        return reset(client);
    }
    connections.spawn(Connection::new(Arc::clone(shared)).serve(client));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found_in_a_url() {
        let parts = |url| split(url).map(|(before, server, after)| [before, server, after]);
        assert_eq!(
            parts("postgres://u:p@ss@db:5433/name?a=b").unwrap(),
            ["postgres://u:p@ss@", "db:5433", "/name?a=b"]
        );
        assert_eq!(
            parts("postgres://db").unwrap(),
            ["postgres://", "db:5432", ""]
        );
        assert_eq!(
            parts("postgres://[::1]/name").unwrap(),
            ["postgres://", "[::1]:5432", "/name"]
        );
        assert_eq!(parts("postgres://a:1,b:2/name"), None);
        assert_eq!(parts("host=db"), None);
    }
}
