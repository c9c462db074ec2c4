//! The faults dealt: which, on whom, when. All from the seed.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use callboard::job::Backoff;
use callboard::{BoxError, Client, call};
use fastrand::Rng;
use rustix::process::Signal;
use tokio::sync::{MutexGuard, RwLock};
use tokio::time::sleep;
use tokio_postgres::error::SqlState;

use crate::custody::AFTERMATH;
use crate::deeds::{hog, watchful};
use crate::fault::Fault;
use crate::fleet::{Fleet, Node};
use crate::history::{Said, counts, read, write};
use crate::lane::LANE;
use crate::node::{LEASE, hog_queue};
use crate::server::Server;

/// Faults that are dealt one after the other, beside those of other hands.
struct Hand {
    cards: &'static [Fault],
    /// Between two of them, in milliseconds.
    pause: std::ops::Range<u64>,
}

/// What takes longer than a lease.
const LONG: Hand = Hand {
    cards: &[
        Fault::Stop,
        Fault::Freeze,
        Fault::Hog,
        Fault::Stop,
        Fault::Freeze,
        Fault::Refuse,
        Fault::Stop,
    ],
    pause: 200..600,
};
const SHORT: Hand = Hand {
    cards: &[
        Fault::Kill,
        Fault::Walk,
        Fault::LoseAnswers,
        Fault::KillActors,
        Fault::Terminate,
        Fault::LoseAnswers,
        Fault::Cut,
        Fault::Kill,
        Fault::Walk,
    ],
    pause: 300..900,
};
/// What befalls all nodes. Now and then only: after trouble with the database a node judges nobody for a
/// lease, and the dead must be found by somebody.
const SERVER: Hand = Hand {
    cards: &[Fault::TerminateSessions, Fault::Restart, Fault::Crash],
    pause: 4_000..7_000,
};

/// How soon a node that is out of sight should be found dead. It depends on how busy the machine is.
const MISSED_WITHIN: Duration = Duration::from_secs(10);
/// How often more a node is stopped if nothing was taken back, or no stale answer refused, until then.
const ENCORES: u32 = 8;

/// So long after the last fault before and until the next one after it, none can be blamed for the other's traces.
const QUIET: Duration = Duration::from_millis(AFTERMATH.unsigned_abs() / 1_000 + 1_500);
/// How many jobs each node gets to run in the express lane when it is killed, and how long one takes: less than the
/// bound of the lane.
const STRUCK_JOBS: usize = 16;
const STRUCK_MS: u64 = 80;
/// By then some run, and not all have ended.
const STRUCK_AFTER: Duration = Duration::from_millis(150);

/// The SQL of a claim, of a completion, of other answers, of an enqueue, of a commit.
const LOST: [&str; 5] = [
    "attempt = attempt + 1",
    "answer (id, attempt, lies_at)",
    "after_ms, failure",
    "jobs\n(queue, kind",
    "commit",
];

/// A token for a call of the coordinator's own.
pub(crate) fn fresh_token() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) struct Storm<'a> {
    server: &'a Server,
    fleet: &'a Fleet,
    client: &'a Client,
    seed: u64,
    /// Held for writing by a fault that must not be excused by another.
    alone: RwLock<()>,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(server: &'a Server, fleet: &'a Fleet, client: &'a Client, seed: u64) -> Self {
        Self {
            server,
            fleet,
            client,
            seed,
            alone: RwLock::new(()),
        }
    }

    /// Injects faults for so long, from three hands.
    pub(crate) async fn rage(&self, length: Duration) -> Result<(), BoxError> {
        let until = Instant::now() + length;
        let [long, short, server] = [(LONG, 0), (SHORT, 1), (SERVER, 2)]
            .map(|(hand, number)| self.deal(hand, self.seed.wrapping_add(number), until));
        futures_util::future::try_join3(long, short, server).await?;
        self.check_what_can_be_lost().await
    }

    /// Nothing is lost of a statement whose SQL has changed since.
    async fn check_what_can_be_lost(&self) -> Result<(), BoxError> {
        let mut sent = [0; LOST.len()];
        for node in &self.fleet.nodes {
            let node = node.lock().await;
            for (sent, text) in sent.iter_mut().zip(LOST) {
                *sent += node.proxy.statements(text);
            }
        }
        match LOST.iter().zip(sent).find(|(_, sent)| *sent == 0) {
            Some((text, _)) => Err(format!("no node has sent a statement with {text:?}").into()),
            None => Ok(()),
        }
    }

    /// Goes on until the faults have had an effect on custody.
    pub(crate) async fn encore(&self, folder: &Path) -> Result<(), BoxError> {
        let mut random = Rng::with_seed(self.seed.wrapping_add(3));
        for _ in 0..ENCORES {
            // A line may be half written just now; then there is one more.
            let (refused, rescued) = read(folder).map(|all| counts(&all)).unwrap_or_default();
            if refused > 0 && rescued > 0 {
                break;
            }
            self.inflict(Fault::Stop, &mut random).await?;
            sleep(LEASE).await;
        }
        Ok(())
    }

    /// Kills each node while it runs jobs of the express lane. Nothing else happens near that may have cut their
    /// transaction off, and no node has run a suspect before, so those jobs must be charged.
    pub(crate) async fn strike_the_lane(&self) -> Result<(), BoxError> {
        let mut random = Rng::with_seed(self.seed.wrapping_add(4));
        sleep(QUIET).await;
        for node in &self.fleet.nodes {
            let mut node = node.lock().await;
            revive(&mut node).await?;
            self.on_node(Fault::Terminate, &mut node, &mut random)
                .await?;
            // It is up by then.
            sleep(Duration::from_secs(3)).await;
            let calls = (0..STRUCK_JOBS * self.fleet.nodes.len())
                .map(|_| call!(watchful(fresh_token(), STRUCK_MS)).queue(LANE));
            self.client.enqueue_many(calls).await?;
            sleep(STRUCK_AFTER).await;
            self.on_node(Fault::Kill, &mut node, &mut random).await?;
        }
        sleep(QUIET).await;
        Ok(())
    }

    /// Deals from a shuffled deck, again and again.
    async fn deal(&self, hand: Hand, seed: u64, until: Instant) -> Result<(), BoxError> {
        let mut random = Rng::with_seed(seed);
        let mut deck = Vec::new();
        loop {
            sleep(Duration::from_millis(random.u64(hand.pause.clone()))).await;
            if Instant::now() > until {
                return Ok(());
            }
            if deck.is_empty() {
                deck = hand.cards.to_vec();
                random.shuffle(&mut deck);
            }
            let fault = deck.pop().expect("the deck was filled");
            self.inflict(fault, &mut random).await?;
        }
    }

    async fn inflict(&self, fault: Fault, random: &mut Rng) -> Result<(), BoxError> {
        if fault == Fault::Hog {
            let _alone = self.alone.write().await;
            // What looked dead for another fault is judged by then.
            sleep(Duration::from_millis(1_500)).await;
            let mut node = self.any_node(random).await?;
            return self.on_node(fault, &mut node, random).await;
        }
        let _together = self.alone.read().await;
        match fault {
            Fault::TerminateSessions | Fault::Restart | Fault::Crash | Fault::Walk => {
                write(Said::Fault { fault, slot: None });
                self.on_server(fault, random).await?;
                write(Said::Over { fault, slot: None });
                Ok(())
            }
            _ => {
                let mut node = self.any_node(random).await?;
                self.on_node(fault, &mut node, random).await
            }
        }
    }

    async fn on_server(&self, fault: Fault, random: &mut Rng) -> Result<(), BoxError> {
        match fault {
            Fault::TerminateSessions => self.server.terminate_sessions().await,
            Fault::Restart => self.server.restart().await,
            Fault::Crash => self.server.crash().await,
            _ => self.walk(random).await,
        }
    }

    /// A node that nothing is inflicted on just now.
    async fn any_node(&self, random: &mut Rng) -> Result<MutexGuard<'a, Node>, BoxError> {
        loop {
            let node = &self.fleet.nodes[random.usize(0..self.fleet.nodes.len())];
            if let Ok(mut node) = node.try_lock() {
                revive(&mut node).await?;
                return Ok(node);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn on_node(
        &self,
        fault: Fault,
        node: &mut Node,
        random: &mut Rng,
    ) -> Result<(), BoxError> {
        let slot = Some(node.slot());
        write(Said::Fault { fault, slot });
        match fault {
            Fault::Kill => {
                node.signal(Signal::KILL)?;
                node.ended().await?;
                sleep(Duration::from_millis(random.u64(0..800))).await;
                node.spawn()?;
            }
            Fault::Stop => {
                node.signal(Signal::STOP)?;
                self.until_missed(node, random).await?;
                node.signal(Signal::CONT)?;
            }
            Fault::Terminate => {
                node.signal(Signal::TERM)?;
                node.ended().await?;
                node.spawn()?;
            }
            Fault::Cut => node.proxy.cut(),
            Fault::Freeze => {
                node.proxy.freeze();
                self.until_missed(node, random).await?;
                node.proxy.thaw();
                node.proxy.cut();
            }
            Fault::Refuse => {
                node.proxy.refuse();
                node.proxy.cut();
                sleep(Duration::from_millis(random.u64(500..2_500))).await;
                node.proxy.accept();
            }
            Fault::LoseAnswers => {
                for text in LOST {
                    node.proxy.lose_answers_to(text, random.u32(0..3));
                }
                sleep(Duration::from_millis(700)).await;
                node.proxy.keep_answers();
            }
            Fault::KillActors => kill_actors(node, random).await,
            _ => self.hog(node).await?,
        }
        write(Said::Over { fault, slot });
        Ok(())
    }

    /// Waits for about a lease, or until the others have found this node dead, and a little longer: then
    /// its answers and theirs meet.
    async fn until_missed(&self, node: &Node, random: &mut Rng) -> Result<(), BoxError> {
        if random.u32(0..3) == 0 {
            sleep(LEASE.mul_f64(0.8 + 0.5 * random.f64())).await;
            return Ok(());
        }
        let until = Instant::now() + MISSED_WITHIN;
        let alive = "select from callboard.nodes where condemned_at is null and name like $1";
        let name = format!("%:{}", node.pid().unwrap_or_default());
        let mut session = self.server.session().await?;
        while Instant::now() < until {
            match session.query_opt(alive, &[&name]).await {
                Ok(Some(_)) => sleep(Duration::from_millis(20)).await,
                Ok(None) => break,
                // The server may go away meanwhile.
                Err(_) => session = self.server.session().await?,
            }
        }
        sleep(Duration::from_millis(random.u64(0..1_000))).await;
        Ok(())
    }

    async fn hog(&self, node: &Node) -> Result<(), BoxError> {
        let length = LEASE.mul_f64(1.8);
        let call = call!(hog(fresh_token(), u64::try_from(length.as_millis())?))
            .queue(hog_queue(node.slot()))
            .backoff(Backoff::constant(length));
        self.client.enqueue(call).await?;
        sleep(length + Duration::from_millis(300)).await;
        Ok(())
    }

    async fn walk(&self, random: &mut Rng) -> Result<(), BoxError> {
        for _ in 0..random.u32(5..9) {
            let session = self.server.session().await?;
            // The server may go away meanwhile.
            let failed = session.batch_execute("call chaos.walk()").await.err();
            let code = failed.and_then(|error| error.code().cloned());
            if code == Some(SqlState::T_R_DEADLOCK_DETECTED) {
                write(Said::Deadlock { count: 1 });
            }
            sleep(Duration::from_millis(random.u64(5..40))).await;
        }
        Ok(())
    }

    /// The last faults, of which nothing that comes later could wipe the traces: no node dies any more.
    pub(crate) async fn last_words(&self) -> Result<(), BoxError> {
        for node in &self.fleet.nodes {
            let mut node = node.lock().await;
            revive(&mut node).await?;
        }
        // They are up by then, or come up while this goes on.
        sleep(Duration::from_millis(800)).await;
        for node in &self.fleet.nodes {
            let mut node = node.lock().await;
            let slot = Some(node.slot());
            write(Said::Fault {
                fault: Fault::LoseAnswers,
                slot,
            });
            node.proxy.lose_answers_to(LOST[0], 3);
            node.proxy.lose_answers_to(LOST[1], 1);
            kill_ledger(&mut node).await;
            node.proxy.keep_answers();
            write(Said::Over {
                fault: Fault::LoseAnswers,
                slot,
            });
        }
        Ok(())
    }
}

async fn revive(node: &mut Node) -> Result<(), BoxError> {
    if node.has_ended() {
        node.ended().await?;
        node.spawn()?;
    }
    Ok(())
}

/// Kills the ledger again and again, while its statements take long enough to be cut off.
async fn kill_ledger(node: &mut Node) {
    node.proxy.delay(Duration::from_millis(15));
    for _ in 0..5 {
        sleep(Duration::from_millis(170)).await;
        node.order("kill ledger");
    }
    node.proxy.delay(Duration::ZERO);
}

async fn kill_actors(node: &mut Node, random: &mut Rng) {
    let worker = |number| format!("kill queues default workers worker-{number}");
    node.order(&worker(random.u32(1..=4)));
    node.order(&worker(random.u32(1..=4)));
    node.order("kill queues slow workers worker-1");
    node.order("kill queues default fetcher");
    let role = ["notifier", "scheduler", "rescuer"][random.usize(0..3)];
    node.order(&format!("kill {role}"));
    sleep(Duration::from_millis(300)).await;
}
