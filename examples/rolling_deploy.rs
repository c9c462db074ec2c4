//! What if old and new builds, with other kinds and other arguments, run side by side?
//!
//! Two builds of one shop stand in this file, as two releases stand in a repository. The second counts cents where
//! the first counts euros (arguments of version 2, with an upcaster from version 1), and sends a receipt for each
//! bill (a kind that the first does not know). This program starts itself as nodes of either build, in processes of
//! their own on one database, and posts bills as the shops of either build do.
//!
//! It deploys in both orders, workers first and shops first, and takes the second build back once. It ends with an
//! error if any job was lost, buried, failed, or run by a build that could not read it.

use std::process::ExitCode;
use std::time::Duration;

use callboard::client::Reason;
use callboard::{
    Board, BoxError, Call, Client, Database, Handler, JobId, JobInfo, JobState, Queue,
};
use node::{AS_NODE, Node};

#[path = "support/node.rs"]
mod node;
mod support;

/// The first build.
mod first {
    use std::time::Duration;

    use callboard::{BoxError, Context, Handler, Job, Outcome};
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Bill {
        pub(crate) euros: u32,
    }

    impl Job for Bill {
        const KIND: &'static str = "shop.bill";

        async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Outcome::done_with(&json!({ "build": 1, "cents": u64::from(self.euros) * 100 }))
        }
    }

    pub(crate) fn handlers() -> Vec<Handler> {
        vec![Handler::of::<Bill>().code_version("build-1")]
    }
}

/// The second build.
mod second {
    use std::time::Duration;

    use callboard::job::Upcaster;
    use callboard::{BoxError, Context, Handler, Job, Outcome};
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    /// The arguments of the first build.
    #[derive(Serialize, Deserialize)]
    struct BillOfEuros {
        euros: u32,
    }

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Bill {
        pub(crate) cents: u64,
    }

    impl Job for Bill {
        const KIND: &'static str = "shop.bill";
        const VERSION: i32 = 2;

        fn upcasters() -> Vec<Upcaster<Self>> {
            let in_cents = |bill: BillOfEuros| Self {
                cents: u64::from(bill.euros) * 100,
            };
            vec![Upcaster::from_version(1, in_cents)]
        }

        async fn perform(self, cx: &mut Context) -> Result<Outcome, BoxError> {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let bill = cx.job_id().as_i64();
            let receipt = cx.client().enqueue(Receipt { bill }).await?;
            let receipt = receipt.as_i64();
            Outcome::done_with(&json!({ "build": 2, "cents": self.cents, "receipt": receipt }))
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Receipt {
        bill: i64,
    }

    impl Job for Receipt {
        const KIND: &'static str = "shop.receipt";

        async fn perform(self, _cx: &mut Context) -> Result<Outcome, BoxError> {
            Outcome::done_with(&json!({ "build": 2, "bill": self.bill }))
        }
    }

    pub(crate) fn handlers() -> Vec<Handler> {
        let handlers = [Handler::of::<Bill>(), Handler::of::<Receipt>()];
        handlers
            .map(|handler| handler.code_version("build-2"))
            .into()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [AS_NODE, "build-1"] => support::run(run_node(first::handlers())).await,
        [AS_NODE, "build-2"] => support::run(run_node(second::handlers())).await,
        _ => support::run(example()).await,
    }
}

async fn database() -> Result<Database, BoxError> {
    let database = Database::from_env_or_embedded().await?;
    Ok(database.schema("callboard_rolling_deploy"))
}

/// The part of a node, of whichever build: a board, until the process that started this one is done or gone.
async fn run_node(handlers: Vec<Handler>) -> Result<(), BoxError> {
    let board = Board::builder(database().await?)
        .queue(Queue::new("default").workers(2))
        .functions(handlers)
        .start()
        .await?;
    node::run(board).await
}

async fn example() -> Result<(), BoxError> {
    let database = database().await?;
    database.migrate().await?;
    let scene = Scene {
        client: Client::connect(database.clone()).await?,
        database,
    };
    tokio::select! {
        played = scene.play() => played,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

/// Bills as the shops of the first build post them.
fn of_first(bills: u32) -> Vec<Call> {
    let bill = |euros| first::Bill { euros }.into();
    (1..=bills).map(bill).collect()
}

/// Bills as the shops of the second build post them.
fn of_second(bills: u32) -> Vec<Call> {
    let bill = |bill| {
        let cents = u64::from(bill) * 100 - 5;
        second::Bill { cents }.into()
    };
    (1..=bills).map(bill).collect()
}

struct Scene {
    database: Database,
    client: Client,
}

impl Scene {
    async fn play(&self) -> Result<(), BoxError> {
        self.workers_first().await?;
        self.shops_first_and_back_again().await?;
        println!("\nNothing was lost and nothing was buried.");
        Ok(())
    }

    async fn workers_first(&self) -> Result<(), BoxError> {
        println!("workers first: nodes of both builds run, and shops of both post");
        let old = self.start("build-1").await?;
        let mut of_old = self.post(of_first(100)).await?;
        let new = self.start("build-2").await?;
        let mut of_new = Vec::new();
        for _ in 0..10 {
            of_old.extend(self.post(of_first(20)).await?);
            of_new.extend(self.post(of_second(10)).await?);
        }
        self.tell_of_nodes().await?;
        old.stop()?;
        println!("  the last node of build 1 has left");
        of_new.extend(self.post(of_second(20)).await?);
        self.check(&of_old, &of_new).await?;
        new.stop()
    }

    async fn shops_first_and_back_again(&self) -> Result<(), BoxError> {
        println!("\nshops first: only nodes of build 1 run, and shops of both builds post");
        let old = self.start("build-1").await?;
        let mut of_new = self.post(of_second(50)).await?;
        let mut of_old = self.post(of_first(50)).await?;
        self.ended(&of_old).await?;
        self.wait_untouched(&of_new).await?;
        let new = self.start("build-2").await?;
        self.ended(&of_new).await?;
        println!("  a node of build 2 has come, and has run them");

        println!("  it is taken back, while its shops still post");
        new.stop()?;
        of_new.extend(self.post(of_second(50)).await?);
        let after = self.post(of_first(50)).await?;
        self.ended(&after).await?;
        self.wait_untouched(&of_new[50..]).await?;
        of_old.extend(after);
        let new = self.start("build-2").await?;
        self.check(&of_old, &of_new).await?;
        old.stop()?;
        new.stop()
    }

    /// Starts a node of this build, and waits until it is up.
    async fn start(&self, build: &str) -> Result<Node, BoxError> {
        let node = Node::start(&self.database, &[build])?;
        let is_up = |name: &str| name.ends_with(&format!(":{}", node.pid()));
        loop {
            let nodes = self.client.nodes().await?;
            if nodes.iter().any(|node| node.is_live && is_up(&node.name)) {
                return Ok(node);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn post(&self, bills: Vec<Call>) -> Result<Vec<JobId>, BoxError> {
        Ok(self.client.enqueue_many(bills).await?)
    }

    async fn tell_of_nodes(&self) -> Result<(), BoxError> {
        for node in self.client.nodes().await? {
            let versions = node.args_versions.iter().zip(&node.code_versions);
            let reads = node.kinds.iter().zip(versions);
            let reads: Vec<String> = reads
                .map(|(kind, (version, code))| format!("{kind} up to version {version} ({code})"))
                .collect();
            println!("  {} runs {}", node.name, reads.join(", "));
        }
        Ok(())
    }

    async fn ended(&self, jobs: &[JobId]) -> Result<Vec<JobInfo>, BoxError> {
        Ok(support::until_ended(&self.client, jobs).await?)
    }

    /// Checks that no node has touched these jobs, and that one of them can tell why.
    async fn wait_untouched(&self, jobs: &[JobId]) -> Result<(), BoxError> {
        for id in jobs {
            let job = self.client.job(*id).await?.ok_or("a job is lost")?;
            if job.state != JobState::Available || job.attempt.as_i32() > 0 {
                return Err(
                    format!("a node that cannot read job {id} has touched it: {job:?}").into(),
                );
            }
        }
        let why = self.client.explain(jobs[0]).await?;
        println!("  {} jobs wait untouched; {why}", jobs.len());
        match why.reasons[..] {
            [Reason::VersionNotServed { version: 2, .. }] => Ok(()),
            _ => Err("that is not why".into()),
        }
    }

    /// Waits for these jobs and their receipts, and checks that each was run by a build that reads it.
    async fn check(&self, of_old: &[JobId], of_new: &[JobId]) -> Result<(), BoxError> {
        let (of_old, of_new) = (self.ended(of_old).await?, self.ended(of_new).await?);
        let bills = of_old.iter().chain(&of_new);
        let receipts: Vec<JobId> = bills.filter_map(receipt).collect();
        let receipts = self.ended(&receipts).await?;
        println!(
            "  {:<22} {:>8} {:>8}",
            "posted, and run by", "build 1", "build 2"
        );
        for (what, jobs, builds) in [
            ("bills of build 1", &of_old, &[1, 2][..]),
            ("bills of build 2", &of_new, &[2]),
            ("receipts", &receipts, &[2]),
        ] {
            for job in jobs {
                is_well(job, builds)?;
            }
            let by = |build| jobs.iter().filter(|job| ran_by(job) == Some(build)).count();
            println!("  {what:<22} {:>8} {:>8}", by(1), by(2));
        }
        Ok(())
    }
}

/// The receipt of a bill, if its build sends one.
fn receipt(bill: &JobInfo) -> Option<JobId> {
    let id = bill.output.as_ref()?["receipt"].as_i64()?;
    Some(JobId::from_i64(id))
}

fn ran_by(job: &JobInfo) -> Option<i64> {
    job.output.as_ref()?["build"].as_i64()
}

fn is_well(job: &JobInfo, builds: &[i64]) -> Result<(), BoxError> {
    let is_done = job.state == JobState::Completed && job.errors.is_empty();
    let is_by_one_of_them = ran_by(job).is_some_and(|build| builds.contains(&build));
    if is_done && is_by_one_of_them {
        return Ok(());
    }
    Err(format!(
        "job {} was lost, failed, or run by the wrong build: {job:?}",
        job.id
    )
    .into())
}
