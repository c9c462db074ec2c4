//! Looks at the server from outside, all the time: whether it answers, who stays in a transaction,
//! whether anything deadlocked.

use std::time::{Duration, Instant};

use callboard::BoxError;
use tokio_postgres::Client;

use crate::deeds::connect;
use crate::history::{Said, write};
use crate::server::Server;

/// Longer, and a node could not renew its lease in time either.
const SLOW: Duration = Duration::from_millis(300);
/// How many beats there are between two looks at the sessions.
const LOOK_EVERY: u32 = 10;

pub(crate) async fn watch(url: String) {
    let mut deadlocks = 0;
    loop {
        // Trouble with the server is mostly a fault, and there is the next connection.
        if let Ok(session) = connect(&url).await {
            let _ended = watch_by(&session, &mut deadlocks).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn watch_by(session: &Client, deadlocks: &mut i64) -> Result<(), tokio_postgres::Error> {
    for beat in 1.. {
        let began = Instant::now();
        session
            .batch_execute("update chaos.pulse set beats = beats + 1")
            .await?;
        let took = began.elapsed();
        if took > SLOW {
            let ms = i64::try_from(took.as_millis()).expect("a beat is short");
            write(Said::Hiccup { ms });
        }
        if beat % LOOK_EVERY == 0 {
            look(session, deadlocks).await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn look(session: &Client, deadlocks: &mut i64) -> Result<(), tokio_postgres::Error> {
    write(Said::Looked);
    let counted = "select deadlocks from pg_stat_database where datname = current_database()";
    let counted: i64 = session.query_one(counted, &[]).await?.get(0);
    // A crash of the server resets the count.
    let count = if counted < *deadlocks {
        counted
    } else {
        counted - *deadlocks
    };
    *deadlocks = counted;
    if count > 0 {
        write(Said::Deadlock { count });
    }
    // Four times the board's limit for a statement, and more than several faults in a row.
    let open = "select application_name, state from pg_stat_activity \
                where state like 'idle in transaction%' and state_change < now() - interval '20 s'";
    note_open(session, open).await
}

async fn note_open(session: &Client, query: &str) -> Result<(), tokio_postgres::Error> {
    for row in session.query(query, &[]).await? {
        write(Said::LeftOpen {
            session: row.get(0),
            state: row.get(1),
        });
    }
    Ok(())
}

/// When all nodes have ended, so have their sessions.
pub(crate) async fn look_in_the_end(server: &Server) -> Result<(), BoxError> {
    let session = server.session().await?;
    let theirs = "select count(*) from pg_stat_activity where application_name ~ '^chaos-[1-9]'";
    for _ in 0..100 {
        let left: i64 = session.query_one(theirs, &[]).await?.get(0);
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    write(Said::Looked);
    let left = "select application_name, coalesce(state, '') from pg_stat_activity \
                where application_name ~ '^chaos-[1-9]'";
    Ok(note_open(&session, left).await?)
}
