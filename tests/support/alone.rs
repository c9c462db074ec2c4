//! What a process has in use, and a process of its own for a test that measures it: in a shared one, the
//! tests beside it would be measured too.

use std::process::Command;

/// The memory that this process has in use, in bytes.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The tasks of this runtime.
pub fn tasks() -> usize {
    let runtime = tokio::runtime::Handle::current();
    runtime.metrics().num_alive_tasks()
}

/// Runs an ignored test of this binary in a process of its own; fails with what it says if it fails.
pub fn run_alone(test: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let complained = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "there is no test {test}: {said}");
}
