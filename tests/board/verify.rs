//! A build that is to be deployed says what it could not read of the jobs that wait.

use std::collections::BTreeMap;

use callboard::job::{Call, Upcaster};
use callboard::{BoxError, Client, Context, Handler, Job, Outcome, call, functions};
use serde::{Deserialize, Deserializer, Serialize};

use crate::support::{database_at, server, sql, sql::number};

/// Declares a job type that a build has for the same kind.
macro_rules! build {
    ($name:ident { $($field:ident: $type:ty),* } $($items:tt)*) => {
        #[derive(Serialize, Deserialize)]
        struct $name { $($field: $type),* }

        impl Job for $name {
            const KIND: &'static str = "test.report";
            $($items)*

            async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
                Ok(Outcome::Done)
            }
        }
    };
}

build!(Running {
    title: String,
    year: i32
});
build!(Upcasting { title: String } const VERSION: i32 = 2;
    fn upcasters() -> Vec<Upcaster<Self>> {
        vec![Upcaster::from_version(1, |running: Running| Upcasting { title: running.title })]
    }
);
build!(Forgetful { title: String } const VERSION: i32 = 2;);
build!(Careless {
    year: i32,
    title: String
});

#[derive(Serialize)]
struct Fragile(u8);

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            7 => panic!("seven"),
            number => Ok(Self(number)),
        }
    }
}

async fn fragile(_: Fragile) -> Result<(), BoxError> {
    Ok(())
}

async fn other() -> Result<(), BoxError> {
    Ok(())
}

/// A board with these jobs, which nobody runs.
async fn waiting<C: Into<Call>>(
    calls: impl IntoIterator<Item = C, IntoIter: Send>,
) -> (String, Client) {
    let url = server::fresh_database().await;
    let client = Client::connect(database_at(&url)).await.unwrap();
    client.enqueue_many(calls).await.unwrap();
    (url, client)
}

fn report(year: i32) -> Running {
    Running {
        title: "Sales".to_owned(),
        year,
    }
}

#[tokio::test]
async fn every_waiting_job_is_read_with_the_handlers_at_hand() {
    // More than one part of them.
    let (url, client) = waiting((0..2_500).map(report)).await;
    let rows = sql::connect(&url).await;
    let oldest = number(&rows, "select min(id) from callboard.jobs").await;
    for handler in [Handler::of::<Running>(), Handler::of::<Upcasting>()] {
        let verified = client.verify([handler]).await.unwrap();
        assert!(verified.is_readable(), "{verified}");
        assert_eq!(verified.readable, 2_500);
        assert_eq!(verified.to_string(), "2500 jobs can be read");
    }
    let reasons = [
        (Handler::of::<Forgetful>(), "has no upcaster from version 1"),
        (Handler::of::<Careless>(), "count the version up"),
    ];
    for (handler, why) in reasons {
        let verified = client.verify([handler]).await.unwrap();
        assert!(!verified.is_readable());
        assert_eq!(verified.readable, 0);
        let [unreadable] = &*verified.unreadable else {
            panic!("{verified}");
        };
        assert_eq!((&*unreadable.kind, unreadable.version), ("test.report", 1));
        assert_eq!(
            (unreadable.jobs, unreadable.oldest.as_i64()),
            (2_500, oldest)
        );
        assert!(unreadable.why.contains(why), "{}", unreadable.why);
        assert!(
            verified.to_string().contains("2500 of \"test.report\""),
            "{verified}"
        );
    }
    let untouched = "select count(*) from callboard.jobs where state = 'available' and attempt = 0";
    assert_eq!(number(&rows, untouched).await, 2_500);
}

#[tokio::test]
async fn kinds_that_no_handler_runs_are_counted_apart() {
    let calls = [call!(other()), call!(other()), Call::from(report(2026))];
    let (_url, client) = waiting(calls).await;
    let verified = client.verify([Handler::of::<Running>()]).await.unwrap();
    assert!(verified.is_readable());
    let kind = call!(other()).kind().to_owned();
    assert_eq!(
        (verified.readable, verified.unknown),
        (1, BTreeMap::from([(kind, 2)]))
    );
    let twice = [Handler::of::<Running>(), Handler::of::<Upcasting>()];
    assert!(client.verify(twice).await.unwrap_err().is_config());
}

#[tokio::test]
async fn a_decoder_that_panics_costs_its_job_alone() {
    let calls = [6, 7, 8].map(|number| call!(fragile(Fragile(number))));
    let (_url, client) = waiting(calls).await;
    let verified = client.verify(functions![fragile]).await.unwrap();
    assert_eq!((verified.readable, verified.unreadable.len()), (2, 1));
    assert_eq!(verified.unreadable[0].why, "decoding them panics");
}

#[tokio::test]
async fn large_arguments_are_read_a_few_at_a_time() {
    let large = (0..20).map(|year| Running {
        title: "x".repeat(900_000),
        year,
    });
    let (_url, client) = waiting(large).await;
    let verified = client.verify([Handler::of::<Running>()]).await.unwrap();
    assert_eq!(verified.readable, 20);
}
