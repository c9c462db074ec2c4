//! Circuit breakers: what the nodes agreed on. `declare`, `trip`, `probe`, `prove`, and `force` by hand.
//!
//! Each changes one row, in one statement, and only in the epoch in which its reason was found.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};

use super::Store;
use super::nodes::millis;
use super::session::Session;
use super::statement::{Bind, Statement, typed};
use crate::Error;
use crate::job::{BreakerState, NodeId, Repertoire, shown_instant};

/// How a breaker stands, on all nodes.
///
/// Its [`Display`](fmt::Display) tells it to people: what it does, since when and why, and when it tries again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerInfo {
    /// Its name.
    pub name: String,
    /// The kinds that share it, as the nodes that started last declared them; none, if no build that has
    /// started since knows it.
    pub kinds: Vec<String>,
    /// How it stands.
    pub state: BreakerState,
    /// Since when, by the database's clock.
    pub since: DateTime<Utc>,
    /// Why, unless it has been closed since it was first declared.
    pub reason: Option<String>,
    /// Who changed it last: a node's host and process id, or `by hand`.
    pub changed_by: String,
    /// When probes may begin, or might have begun: at the first job that waits from then on. `None`: it is closed,
    /// or held.
    pub next_probe_at: Option<DateTime<Utc>>,
    /// The node whose probes run, while it is half open.
    pub prober: Option<NodeId>,
    /// How many probes have succeeded since it was opened.
    pub succeeded_probes: u32,
    /// How often it was opened without having been closed for a while in between; each time for longer.
    pub openings: u32,
}

impl fmt::Display for BreakerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half open",
            BreakerState::HeldOpen => "held open",
            BreakerState::HeldClosed => "held closed",
        };
        write!(
            f,
            "breaker {} is {state} since {}",
            self.name,
            shown_instant(&self.since)
        )?;
        if let (BreakerState::Open, Some(at)) = (self.state, &self.next_probe_at) {
            write!(f, ", next probe at {}", shown_instant(at))?;
        }
        self.reason
            .as_ref()
            .map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// How a breaker stands, with what a node needs to take part.
#[derive(Debug, Clone)]
pub(crate) struct BreakerRow {
    pub(crate) info: BreakerInfo,
    /// Which change of it this is.
    pub(crate) epoch: u64,
    /// How long ago it was changed.
    pub(crate) changed_ago: Duration,
    /// How soon probes may begin; zero, if they may already.
    pub(crate) probe_in: Option<Duration>,
    /// For how long the probes are still the prober's; zero, if they are not any more.
    pub(crate) probing_for: Duration,
}

/// What a node declares: its breakers, and which kinds share them.
#[derive(Debug)]
pub(crate) struct BreakerCard<'a> {
    pub(crate) names: Vec<&'a str>,
    /// Kinds, and the breaker of each.
    pub(crate) kinds: Vec<&'a str>,
    pub(crate) breakers: Vec<&'a str>,
    /// Every kind that the node knows.
    pub(crate) known: &'a [String],
    pub(crate) node: &'a str,
}

/// A finding of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) breaker: &'a str,
    /// When.
    pub(crate) epoch: u64,
    /// Where.
    pub(crate) node: &'a str,
}

type RowSql = (
    (Text, Array<Text>, Text, BigInt, Timestamptz, Text),
    (
        Nullable<Text>,
        Nullable<Timestamptz>,
        Nullable<BigInt>,
        Integer,
        Integer,
    ),
    (BigInt, Nullable<BigInt>, Nullable<BigInt>),
);
type Row = (
    (String, Vec<String>, String, i64, DateTime<Utc>, String),
    (Option<String>, Option<DateTime<Utc>>, Option<i64>, i32, i32),
    (i64, Option<i64>, Option<i64>),
);

impl Store {
    /// Puts the breakers of a node on the list, and says which kinds share them.
    pub(crate) async fn declare_breakers(&self, card: &BreakerCard<'_>) -> Result<(), Error> {
        let mut session = self.upkeep().await?;
        session
            .change(
                "declare the breakers",
                &self.sql().declare,
                &[
                    &typed::<Array<Text>, _>(&card.names),
                    &typed::<Array<Text>, _>(&card.kinds),
                    &typed::<Array<Text>, _>(&card.breakers),
                    &typed::<Array<Text>, _>(card.known),
                    &typed::<Text, _>(card.node),
                ],
            )
            .await
            .map(drop)
    }

    /// How all breakers stand, for a node.
    pub(crate) async fn breakers(&self) -> Result<Vec<BreakerRow>, Error> {
        let session = self.upkeep().await?;
        self.read_breakers(session, None).await
    }

    /// How all breakers stand, or that of one kind, for a client.
    pub(crate) async fn breakers_of(&self, kind: Option<&str>) -> Result<Vec<BreakerInfo>, Error> {
        let session = self.clients().await?;
        let rows = self.read_breakers(session, kind).await?;
        Ok(rows.into_iter().map(|row| row.info).collect())
    }

    pub(super) async fn read_breakers(
        &self,
        mut session: Session,
        kind: Option<&str>,
    ) -> Result<Vec<BreakerRow>, Error> {
        let rows = session
            .fetch::<RowSql, Row>(
                "read the breakers",
                &self.sql().breakers,
                &[&typed::<Nullable<Text>, _>(&kind)],
            )
            .await?;
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// Opens a breaker. `None`: somebody has changed it since.
    pub(crate) async fn trip_breaker(
        &self,
        found: Found<'_>,
        open_for: Duration,
        longest_open: Duration,
        reason: &str,
    ) -> Result<Option<BreakerRow>, Error> {
        self.change_breaker(
            "trip the breaker",
            &self.sql().trip,
            &[
                &typed::<Text, _>(found.breaker),
                &typed::<BigInt, _>(&found.epoch.cast_signed()),
                &typed::<BigInt, _>(&millis(open_for)),
                &typed::<BigInt, _>(&millis(longest_open)),
                &typed::<Text, _>(found.node),
                &typed::<Text, _>(reason),
            ],
        )
        .await
    }

    /// Makes the probes of a breaker this node's, for a while. `None`: it is not time, there is nothing to
    /// try, or they are another node's.
    pub(crate) async fn probe_breaker(
        &self,
        breaker: &str,
        node: NodeId,
        lasts: Duration,
        queues: &[String],
        kinds: &Repertoire,
    ) -> Result<Option<BreakerRow>, Error> {
        self.change_breaker(
            "probe the breaker",
            &self.sql().probe,
            &[
                &typed::<Text, _>(breaker),
                &typed::<BigInt, _>(&node.as_i64()),
                &typed::<BigInt, _>(&millis(lasts)),
                &typed::<Array<Text>, _>(queues),
                &typed::<Array<Text>, _>(kinds.kinds()),
                &typed::<Array<Integer>, _>(kinds.versions()),
            ],
        )
        .await
    }

    /// Writes how many probes have succeeded; when that is enough, the breaker closes. `None`: somebody has
    /// changed it since.
    pub(crate) async fn prove_breaker(
        &self,
        found: Found<'_>,
        succeeded: u32,
        needed: u32,
    ) -> Result<Option<BreakerRow>, Error> {
        self.change_breaker(
            "prove the breaker",
            &self.sql().prove,
            &[
                &typed::<Text, _>(found.breaker),
                &typed::<BigInt, _>(&found.epoch.cast_signed()),
                &typed::<Integer, _>(&succeeded.cast_signed()),
                &typed::<Integer, _>(&needed.cast_signed()),
                &typed::<Text, _>(found.node),
            ],
        )
        .await
    }

    async fn change_breaker(
        &self,
        verb: &str,
        statement: &Statement,
        binds: &[&dyn Bind],
    ) -> Result<Option<BreakerRow>, Error> {
        let mut session = self.upkeep().await?;
        let rows = session.fetch::<RowSql, Row>(verb, statement, binds).await?;
        Ok(rows.into_iter().find_map(row))
    }

    /// Puts a breaker into a state by hand. `None`: there is none of this name.
    pub(crate) async fn force_breaker(
        &self,
        breaker: &str,
        state: BreakerState,
        open_for: Option<Duration>,
        reason: &str,
    ) -> Result<Option<BreakerInfo>, Error> {
        let mut session = self.clients().await?;
        let rows = session
            .fetch::<RowSql, Row>(
                "force the breaker",
                &self.sql().force,
                &[
                    &typed::<Text, _>(breaker),
                    &typed::<Text, _>(state.as_str()),
                    &typed::<Nullable<BigInt>, _>(&open_for.map(millis)),
                    &typed::<Text, _>("by hand"),
                    &typed::<Text, _>(reason),
                ],
            )
            .await?;
        Ok(rows.into_iter().find_map(row).map(|row| row.info))
    }
}

/// `None` for a state that only a newer build knows, whose schema this build would not accept.
fn row((identity, story, times): Row) -> Option<BreakerRow> {
    let (name, kinds, state, epoch, since, changed_by) = identity;
    let (reason, next_probe_at, prober, succeeded, openings) = story;
    let (changed_ago, probe_in, probing_for) = times;
    // What is past is zero.
    let duration = |ms: i64| Duration::from_millis(ms.max(0).unsigned_abs());
    Some(BreakerRow {
        info: BreakerInfo {
            name,
            kinds,
            state: BreakerState::from_word(&state)?,
            since,
            reason,
            changed_by,
            next_probe_at,
            prober: prober.map(NodeId::from_i64),
            succeeded_probes: succeeded.unsigned_abs(),
            openings: openings.unsigned_abs(),
        },
        epoch: epoch.cast_unsigned(),
        changed_ago: duration(changed_ago),
        probe_in: probe_in.map(duration),
        probing_for: probing_for.map_or(Duration::ZERO, duration),
    })
}
