//! Notifications: hints that there is something to do. Polling works without them.

use std::time::Duration;

use diesel::sql_types::{Array, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::StreamExt;

use super::pool::{Lane, connect, within};
use super::session::failed;
use super::statement::{Bind, Statement, typed};
use super::{Database, Store};
use crate::Error;
use crate::job::JobId;

/// A hint from one process to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Jobs were made available in this queue; the most urgent has this priority.
    Available {
        /// The queue.
        queue: String,
        /// The smallest priority number among them.
        priority: i16,
    },
    /// A job will be due; the scheduler may have to get up earlier.
    Scheduled,
    /// Somebody wants this executing job cancelled.
    Cancel(JobId),
    /// Somebody said how a queue is to be served.
    Steered,
    /// A breaker has changed.
    Breaker,
}

impl Notice {
    fn to_payload(&self, origin: Origin) -> String {
        let origin = origin.0;
        match self {
            Self::Available { queue, priority } => format!("{origin:x} a {priority} {queue}"),
            Self::Scheduled => format!("{origin:x} s"),
            Self::Cancel(id) => format!("{origin:x} c {id}"),
            Self::Steered => format!("{origin:x} q"),
            Self::Breaker => format!("{origin:x} b"),
        }
    }

    /// `None` for what a newer build says, and for what came from `own`: it was told already.
    fn from_payload(payload: &str, own: Origin) -> Option<Self> {
        let mut words = payload.splitn(4, ' ');
        if u64::from_str_radix(words.next()?, 16).ok()? == own.0 {
            return None;
        }
        match (words.next()?, words.next(), words.next()) {
            ("a", Some(priority), Some(queue)) => Some(Self::Available {
                queue: queue.to_owned(),
                priority: priority.parse().ok()?,
            }),
            ("s", None, None) => Some(Self::Scheduled),
            ("q", None, None) => Some(Self::Steered),
            ("b", None, None) => Some(Self::Breaker),
            ("c", Some(id), None) => Some(Self::Cancel(JobId::from_i64(id.parse().ok()?))),
            _ => None,
        }
    }
}

/// Who sends a notice, so that nobody is woken twice by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) u64);

/// The channel of a board: its schema's name, so that boards do not wake each other.
fn channel(database: &Database) -> String {
    format!("callboard_{}", database.schema_name())
}

impl Store {
    /// Tells every listening process.
    pub(crate) async fn notify(&self, origin: Origin, notices: &[Notice]) -> Result<(), Error> {
        let statement = Statement::new(
            "select pg_notify($1, notice) from unnest($2::text[]) as notice",
            "",
        );
        let payloads: Vec<String> = notices
            .iter()
            .map(|notice| notice.to_payload(origin))
            .collect();
        let channel = channel(self.database());
        let binds: [&dyn Bind; 2] = [
            &typed::<Text, _>(&channel),
            &typed::<Array<Text>, _>(&payloads),
        ];
        let mut session = self.clients().await?;
        session.change("notify", &statement, &binds).await.map(drop)
    }
}

/// A connection that listens. It can do nothing else meanwhile.
pub(crate) struct Listener {
    connection: AsyncPgConnection,
    own: Origin,
}

impl Listener {
    pub(crate) async fn connect(database: &Database, own: Origin) -> Result<Self, Error> {
        let mut connection = connect(database, Lane::General).await?;
        // The schema's name is a checked identifier.
        let listen = diesel::sql_query(format!("listen \"{}\"", channel(database)));
        let listening = async {
            let done = listen.execute(&mut connection).await;
            done.map_err(|cause| failed("listen", cause))
        };
        within(database.connect_limit(), "listen", listening).await?;
        Ok(Self { connection, own })
    }

    /// The next notice. An error means that this connection hears nothing any more.
    pub(crate) async fn next(&mut self) -> Result<Notice, Error> {
        let own = self.own;
        let mut notifications = std::pin::pin!(self.connection.notifications_stream());
        loop {
            match notifications.next().await {
                Some(Ok(notification)) => {
                    if let Some(notice) = Notice::from_payload(&notification.payload, own) {
                        return Ok(notice);
                    }
                }
                Some(Err(cause)) => return Err(failed("listen", cause)),
                None => return Err(Error::connect("cannot listen: the connection has ended")),
            }
        }
    }

    /// Asks the server for a sign of life, which may take `limit`: a half-open connection never says that
    /// it is dead.
    pub(crate) async fn probe(&mut self, limit: Duration) -> Result<(), Error> {
        let probe = diesel::sql_query("select 1");
        let probing = async {
            let done = probe.execute(&mut self.connection).await;
            done.map(drop).map_err(|cause| failed("listen", cause))
        };
        within(limit, "listen", probing).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_reach_others_and_not_their_origin() {
        let (own, other) = (Origin(u64::MAX), Origin(3));
        let available = Notice::Available {
            queue: "mail".into(),
            priority: -3,
        };
        for notice in [
            available,
            Notice::Scheduled,
            Notice::Breaker,
            Notice::Cancel(JobId::from_i64(7)),
            Notice::Steered,
        ] {
            let payload = notice.to_payload(own);
            assert_eq!(Notice::from_payload(&payload, own), None);
            assert_eq!(Notice::from_payload(&payload, other), Some(notice));
        }
        assert_eq!(Notice::from_payload("1 z 1", own), None);
        assert_eq!(Notice::from_payload("1 a x mail", own), None);
        assert_eq!(Notice::from_payload("", own), None);
    }
}
