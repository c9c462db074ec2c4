//! The report of who crashed.

use callboard::job::Transition;
use callboard::testing::{Mishap, Role, TestBoard};
use callboard::{Job, JobState};

use crate::jobs::{Mail, application};

#[tokio::test]
async fn a_report_tells_who_crashed_why_and_what_became_of_the_job() {
    let board = TestBoard::start(application).await;
    assert_eq!(board.report().to_string(), "nobody crashed");
    board.mishap(Mail::KIND, 1, Mishap::panic("out of paper"));
    let job = board.client().enqueue(Mail { user: 1 }).await.unwrap();
    assert_eq!(board.settled(job).await.state, JobState::Completed);
    board.kill(Role::fetcher_of("mail")).await;
    board.restarted(Role::fetcher_of("mail")).await;

    let report = board.report();
    let [worker, fetcher] = &report.crashes[..] else {
        panic!("{report}");
    };
    assert!(worker.exit.to_string().contains("out of paper"));
    assert!(worker.back_after.is_some());
    let held = worker.job.as_ref().expect("it held a job");
    assert_eq!((held.id, held.attempt.as_i32()), (job, 1));
    assert!(matches!(
        held.fate[..],
        [
            (_, Transition::Retry { .. }),
            (_, Transition::Complete { .. })
        ]
    ));
    assert_eq!(fetcher.role, Role::fetcher_of("mail"));
    assert!(fetcher.exit.to_string().starts_with("killed"));
    assert!(fetcher.job.is_none());

    let text = report.to_string();
    let told = format!("job {job} (mail.send): attempt 1 panicked, attempt 2 completed");
    assert!(text.contains(&told), "{text}");
}
