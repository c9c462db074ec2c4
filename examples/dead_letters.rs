//! What happens to jobs that nobody could do, and how do they come back once the cause is gone?
//!
//! Forty mails and a few reports are given up for three different causes. The dead letters show these as
//! three groups, however much the texts of their errors differ. One cause is repaired; a choice counts its
//! letters first, then they are requeued in batches, and the others stay where they are.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use callboard::client::ChosenDead;
use callboard::{Board, BoxError, Database, DeadFilter, Queue, call, functions};

mod support;

/// Whether the mail server takes mail.
static IS_FIXED: AtomicBool = AtomicBool::new(false);
static ALARMS: AtomicU32 = AtomicU32::new(0);

async fn send_mail(user: u32) -> Result<(), String> {
    match user % 10 {
        0 => Err(format!("user {user} has no address")),
        _ if IS_FIXED.load(Ordering::SeqCst) => Ok(()),
        _ => Err(format!(
            "cannot send to \"user-{user}@example.com\": 10.0.0.{user}:25 refused"
        )),
    }
}

async fn report(year: u32) -> Result<(), String> {
    Err(format!("/data/{year}/sales.csv: no such file"))
}

#[tokio::main]
async fn main() -> ExitCode {
    support::run(example()).await
}

async fn example() -> Result<(), BoxError> {
    let database = Database::from_env_or_embedded()
        .await?
        .schema("callboard_dead_letters");
    let board = Board::builder(database)
        .queue(Queue::new("default").workers(4))
        .functions(functions![send_mail, report])
        .on_buried(async |letter| {
            // An alarm would go out here. It sees every burial, and holds up none.
            if ALARMS.fetch_add(1, Ordering::SeqCst) == 0 {
                println!(
                    "first alarm: job {} of {}: {}",
                    letter.job, letter.kind, letter.failure
                );
            }
        })
        .start()
        .await?;
    let client = board.client();

    let mails = (1..=40).map(|user| call!(send_mail(user)).max_attempts(1));
    let reports = (2023..=2025).map(|year| call!(report(year)).max_attempts(1));
    let jobs = client.enqueue_many(mails.chain(reports)).await?;
    support::until_ended(client, &jobs).await?;

    println!("\n{} jobs, and what became of them:", jobs.len());
    let groups = client.dead_groups(DeadFilter::all(), 10).await?;
    for group in &groups {
        println!(
            "{:>4} x {}, error {}",
            group.letters, group.kind, group.fingerprint
        );
        println!("         such as {:?}", group.sample_message);
    }
    let refused = groups.first().ok_or("nothing is dead")?;
    let letter = client.dead_letter(refused.sample).await?;
    let letter = letter.ok_or("the sample is gone")?;
    println!(
        "\none of the largest group, whole:\n{:#}",
        letter.diagnostics
    );

    println!("\nThe mail server is repaired. A dry run, and then the work:");
    IS_FIXED.store(true, Ordering::SeqCst);
    let mut chosen = client.choose_dead(DeadFilter::all().group(refused)).await?;
    println!("{} letters would be requeued", chosen.count());
    requeue(&mut chosen).await?;
    support::until_ended(client, &jobs).await?;

    let left = client.dead_groups(DeadFilter::all(), 10).await?;
    for group in &left {
        println!("{:>4} x {} are left", group.letters, group.kind);
    }
    let reports = DeadFilter::all().kind(call!(report(0)).kind());
    let deleted = client.delete_all_dead(reports).await?;
    println!("{deleted} reports are deleted; nobody wants them any more");
    client.delete_all_dead(DeadFilter::all()).await?;
    board.shutdown().await?;

    let counted: Vec<u64> = groups
        .iter()
        .chain(&left)
        .map(|group| group.letters)
        .collect();
    let alarms = ALARMS.load(Ordering::SeqCst);
    if counted != [36, 4, 3, 4, 3] || deleted != 3 || alarms != 43 {
        let text = format!("expected groups of 36, 4 and 3, and 43 alarms: {counted:?}, {alarms}");
        return Err(text.into());
    }
    Ok(())
}

async fn requeue(chosen: &mut ChosenDead) -> Result<(), BoxError> {
    while chosen.requeue_next(10).await? > 0 {
        println!("  {} of {}", chosen.done(), chosen.count());
    }
    Ok(())
}
