//! How does work flow through stages, and where does it get stuck?
//!
//! ```text
//! clicks ──┐                                        ┌─▶ writer-1 ─┐
//! sensors ─┼─▶ intake ─▶ enrich ─▶ batches ─▶ fan ──┼─▶ writer-2 ─┼─▶ database
//! orders ──┘                                        └─▶ writer-3 ─┘
//! ```
//!
//! Three sources of different pace, a producer that brings them together, a transformation, and three
//! consumers that write batches to a table. Nobody pushes: the writers ask, and their demand is passed up to
//! the sources. The live view shows it, from the snapshot of the tree: a stage with all of its demand
//! outstanding starves, and one with none is saturated. Half-way the database gets slow, and one sees the
//! demand vanish from the writers up to the sources.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use callboard::stage::{
    self, Batcher, Cancel, Consumer, Flow, Inlets, IterProducer, ProducerConsumer, Source,
    StageInfo, StageResult, StreamProducer, SubscribeOptions,
};
use callboard::supervision::{Restart, Snapshot, Strategy, SupervisorSpec};
use callboard::{BoxError, Database};
use futures_util::stream;

/// How many events each source has.
const EVENTS: u64 = 6_000;
const WRITERS: usize = 3;
const BATCH: usize = 100;

/// What happened somewhere.
#[derive(Debug, Clone)]
struct Event {
    source: &'static str,
    number: u64,
    text: String,
}

fn event(source: &'static str, number: u64) -> Event {
    Event {
        source,
        number,
        text: String::new(),
    }
}

/// Brings events together; each source is asked for as many as there is room for.
struct Intake;

impl ProducerConsumer for Intake {
    type In = Event;
    type Out = Event;
    type Message = Infallible;

    async fn transform(
        &mut self,
        events: Vec<Event>,
        flow: &mut Flow<Event, Event>,
    ) -> StageResult {
        flow.outlet.emit_all(events);
        Ok(())
    }
}

/// Says what an event means.
struct Enrich;

impl ProducerConsumer for Enrich {
    type In = Event;
    type Out = Event;
    type Message = Infallible;

    async fn transform(
        &mut self,
        events: Vec<Event>,
        flow: &mut Flow<Event, Event>,
    ) -> StageResult {
        let enriched = events.into_iter().map(|event| Event {
            text: format!("{} number {}", event.source, event.number),
            ..event
        });
        flow.outlet.emit_all(enriched);
        Ok(())
    }
}

/// Writes batches on a connection of its own.
struct Writer {
    url: Arc<str>,
    /// How many milliseconds a write takes besides.
    slowness: Arc<AtomicU64>,
    rows: Option<tokio_postgres::Client>,
}

impl Consumer for Writer {
    type Event = Vec<Event>;
    type Message = Infallible;

    async fn started(
        &mut self,
        _: stage::Mailbox<Infallible>,
        _: &mut Inlets<Vec<Event>>,
    ) -> StageResult {
        self.rows = Some(connect(&self.url).await?);
        Ok(())
    }

    async fn consume(
        &mut self,
        batches: Vec<Vec<Event>>,
        _: &mut Inlets<Vec<Event>>,
    ) -> StageResult {
        let rows = self.rows.as_ref().ok_or("it is connected at its start")?;
        for batch in batches {
            let sources: Vec<&str> = batch.iter().map(|event| event.source).collect();
            let numbers: Vec<i64> = batch.iter().map(|event| event.number as i64).collect();
            let texts: Vec<&str> = batch.iter().map(|event| &*event.text).collect();
            let insert =
                "insert into events select * from unnest($1::text[], $2::bigint[], $3::text[])";
            rows.execute(insert, &[&sources, &numbers, &texts]).await?;
            let slowness = self.slowness.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(slowness)).await;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded().await?;
    let url: Arc<str> = match database.embedded_url() {
        Some(url) => url.into(),
        None => std::env::var("DATABASE_URL")?.into(),
    };
    let rows = connect(&url).await?;
    // Only this session's tables would go with it, and the writers have sessions of their own.
    let table = "drop table if exists events; \
                 create table events (source text, number bigint, text text)";
    rows.batch_execute(table).await?;
    let slowness = Arc::new(AtomicU64::new(2));
    let tree = pipeline(&url, &slowness).spawn().await?;
    println!("outstanding demand: who is asked for how much (much: starves, none: saturated)\n");
    let mut is_slow = false;
    loop {
        let written = count(&rows).await?;
        println!("{}", view(&tree.snapshot(), written));
        if written == 3 * EVENTS as i64 {
            break;
        }
        if !is_slow && written > EVENTS as i64 {
            println!("-- the database gets slow");
            slowness.store(40, Ordering::Relaxed);
            is_slow = true;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    tree.stop_and_wait("done", None).await?;
    let distinct = "select count(distinct (source, number)) from events where text = source || ' number ' || number";
    let distinct: i64 = rows.query_one(distinct, &[]).await?.get(0);
    println!("\n{distinct} events are in the table, each once");
    rows.batch_execute("drop table events").await?;
    Ok(())
}

/// All stages under one supervisor, which starts each anew that crashes.
fn pipeline(url: &Arc<str>, slowness: &Arc<AtomicU64>) -> SupervisorSpec {
    let clicks = stage::producer("clicks", || {
        IterProducer::new((0..EVENTS).map(|number| event("clicks", number)))
    });
    let sensors = stage::producer("sensors", || {
        let tick = async |number: u64| {
            // A reading now and then, a hundred at a time.
            if number.is_multiple_of(100) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (number < EVENTS).then(|| (event("sensors", number), number + 1))
        };
        StreamProducer::new(stream::unfold(0, tick))
    });
    let orders = stage::producer("orders", || {
        IterProducer::new((0..EVENTS).map(|number| event("orders", number)))
    });
    // A source that is done ends nobody: the others go on.
    let of_sources = || {
        SubscribeOptions::new()
            .max_demand(200)
            .cancel(Cancel::Temporary)
    };
    let intake = stage::producer_consumer("intake", || Intake)
        .subscribe(clicks.source(), of_sources())
        .subscribe(sensors.source(), of_sources())
        .subscribe(orders.source(), of_sources());
    let enrich = stage::producer_consumer("enrich", || Enrich)
        .subscribe(intake.source(), following().max_demand(500));
    let batches =
        stage::producer_consumer("batches", || Batcher::new(BATCH, Duration::from_millis(50)))
            .subscribe(enrich.source(), following().max_demand(500));
    let tree = SupervisorSpec::new(Strategy::OneForOne)
        // A source that is done is not started again.
        .child(clicks.child().restart(Restart::Transient))
        .child(sensors.child().restart(Restart::Transient))
        .child(orders.child().restart(Restart::Transient))
        .child(intake.child())
        .child(enrich.child())
        .child(batches.child());
    (1..=WRITERS).fold(tree, |tree, number| {
        tree.child(writer(number, url, slowness, &batches.source()))
    })
}

fn writer(
    number: usize,
    url: &Arc<str>,
    slowness: &Arc<AtomicU64>,
    batches: &Source<Vec<Event>>,
) -> callboard::supervision::ChildSpec {
    let (url, slowness) = (Arc::clone(url), Arc::clone(slowness));
    let writer = move || Writer {
        url: Arc::clone(&url),
        slowness: Arc::clone(&slowness),
        rows: None,
    };
    stage::consumer(format!("writer-{number}"), writer)
        .subscribe(batches.clone(), following().max_demand(2))
        .child()
}

/// Subscribes again when its producer was started anew.
fn following<T>() -> SubscribeOptions<T> {
    SubscribeOptions::new().cancel(Cancel::resubscribe())
}

/// A line of the live view: the outstanding demand of each stage's consumers, and what waits in it.
fn view(tree: &Snapshot, written: i64) -> String {
    let stages = tree.children.iter();
    let infos = stages.filter_map(|child| StageInfo::of(&child.info));
    let demands = infos
        .filter(|info| !info.downstream.is_empty())
        .map(|info| {
            let downstream = info.downstream.iter();
            let outstanding: u64 = downstream
                .map(|subscription| subscription.outstanding())
                .sum();
            match info.buffered {
                0 => format!("{} {outstanding:>3}", info.name),
                buffered => format!("{} {outstanding:>3} (+{buffered} ready)", info.name),
            }
        });
    let demands: Vec<String> = demands.collect();
    format!("{written:>6} written │ {}", demands.join(" │ "))
}

async fn count(rows: &tokio_postgres::Client) -> Result<i64, BoxError> {
    Ok(rows
        .query_one("select count(*) from events", &[])
        .await?
        .get(0))
}

async fn connect(url: &str) -> Result<tokio_postgres::Client, BoxError> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
